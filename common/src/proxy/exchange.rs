//! One request and its answer: everything known about it while it lasts, recorded exactly once when it ends.

use std::{
    cell::Cell,
    net::{IpAddr, SocketAddr},
    ops::{Deref, DerefMut},
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use super::{
    bound::Bound,
    client_tls::Shown,
    counting::Counted,
    identity::{self, Found},
    ip_text::IpText,
    live::{Live, LiveListener, LiveRoute},
    spanning::{self, Span},
    timing::Timing,
    worker::Worker,
};
use crate::{
    message::{Known, RequestHead, ResponseHead, Scheme},
    model::{Caller, Listener, Source},
    routing::Asked,
    runtime::access_log::AccessRecord,
    upstream::{Destination, Upstream},
};

/// A client's connection, as far as its requests need to know it.
pub struct Client {
    /// The worker that serves it.
    pub worker: Rc<Worker>,
    /// Its listener.
    pub bound: Arc<Bound>,
    /// Address of the client, or what the PROXY protocol says it is.
    pub address: SocketAddr,
    /// The same without port, as fields have it.
    pub address_text: IpText,
    /// TLS of the connection.
    pub tls: Option<ClientTls>,
    /// Who is behind it, as last looked up.
    pub found: Found,
}

/// What TLS says about a client's connection.
pub struct ClientTls {
    /// Name asked for by SNI, lower case. Which certificate that means is looked up for each request, so that
    /// a Secret of another name for the same host misdirects nobody.
    pub server_name: Option<Box<str>>,
    /// Version that was agreed on.
    pub version: &'static str,
    /// What the client showed, where clients are verified.
    pub shown: Option<Box<Shown>>,
}

impl Client {
    /// A connection without TLS from this address.
    pub fn new(worker: Rc<Worker>, bound: Arc<Bound>, address: SocketAddr) -> Self {
        let address_text = IpText::new(address.ip());
        Self { worker, bound, address, address_text, tls: None, found: Found::default() }
    }

    /// A connection of nobody, for what we send on our own account beside the requests of this one.
    pub fn unconnected(&self) -> Self {
        Self::new(self.worker.clone(), self.bound.clone(), self.address)
    }

    /// What the client showed, where clients are verified.
    pub fn shown(&self) -> Option<&Shown> {
        self.tls.as_ref()?.shown.as_deref()
    }

    /// How the client reached us, before trusted proxies are believed.
    pub fn scheme(&self) -> Scheme {
        match self.tls {
            Some(_) => Scheme::Https,
            None => Scheme::Http,
        }
    }

    /// What its listener serves now.
    pub fn listener<'l>(&self, live: &'l Live) -> Option<&'l Arc<LiveListener>> {
        live.listeners.get(self.bound.index)?.as_ref()
    }

    /// Whether the connection shall close after the request it serves: the engine drains or the listener leaves.
    pub fn is_ending(&self) -> bool {
        self.worker.shared.drain.is_draining() || self.bound.is_leaving()
    }
}

/// One request with its answer. Dropping it writes the access-log record and counts it, however it ended.
pub struct Exchange<'c> {
    /// Who asks.
    pub client: &'c Client,
    /// What is asked; the exchange gives the memory back when it ends.
    pub head: Lent,
    /// Settings of the listener that it came to. Neither a request nor a connection holds the state that it was
    /// routed with: streams may live for hours, and tables are large.
    pub listener: Option<Arc<Listener>>,
    /// Generation of the state that it was routed with.
    pub generation: u64,
    /// Port that clients use for HTTPS, for filters.
    pub https_port: u16,
    /// Address of the client after trusted proxies have been believed.
    pub client_ip: IpAddr,
    /// Scheme after trusted proxies have been believed.
    pub scheme: Scheme,
    /// Who calls, where that is known; not what a client says of itself.
    pub caller: Option<Arc<Caller>>,
    /// The same with its workload, for metrics.
    pub source: Option<Arc<Source>>,
    /// The route that answers.
    pub route: Option<Arc<LiveRoute>>,
    /// The route that was found first, if it led on to the one that answers.
    pub outer: Option<Arc<LiveRoute>>,
    /// The host that it is passed on to, if it is not one that a route knows.
    pub destination: Option<Arc<Destination>>,
    /// Index of the chosen target among those of the route.
    pub target: Option<usize>,
    /// Endpoint of the last try.
    pub endpoint: Option<SocketAddr>,
    /// How often a request was sent towards a backend.
    pub tries: u32,
    /// How long filters made it wait.
    pub waited: Duration,
    /// Status code sent to the client; 0 while there is none.
    pub status: u16,
    /// Why the proxy itself answered, or why an answer broke off.
    pub reason: Option<&'static str>,
    /// Whether the client wants to know where the time went.
    pub timing: Timing,
    /// Body bytes received from the client.
    pub received: Cell<u64>,
    /// Body bytes sent to the client.
    pub sent: Cell<u64>,
    /// What its answer gets beside what the backend says; most have nothing.
    pub added: Option<Box<Added>>,
    /// Whether its bytes are those of a client's TLS, which ends behind us.
    pub brings_tls: bool,
    /// Its span, where it is recorded in a trace.
    pub span: Option<Box<Span>>,
    /// Whether it has an id of ours already.
    pub has_id: bool,
    /// Whether its head is one for backends already.
    pub is_dressed: bool,
    /// Whether an error page was asked for already.
    pub has_page: bool,
    /// Whether it counts towards what may be going on in the process.
    pub is_counted: bool,
    /// Where it counts towards what its client may have going on.
    pub counted: Vec<Counted>,
    start: Instant,
    /// Whether it is logged and counted when it ends.
    is_recorded: bool,
}

/// Fields that an answer gets beside what its backend says.
#[derive(Default)]
pub struct Added(Vec<AddedField>);

struct AddedField {
    name: &'static str,
    value: Vec<u8>,
    /// Whatever the status is; else only with those of usual answers.
    always: bool,
}

impl Added {
    /// Adds them to an answer.
    pub fn add(&self, head: &mut ResponseHead) {
        // ingress-nginx: these are the statuses that nginx adds fields to.
        let is_usual = matches!(head.status, 200 | 201 | 204 | 206 | 301..=304 | 307 | 308);
        for field in self.0.iter().filter(|field| field.always || is_usual) {
            head.fields.push(field.name.as_bytes(), &field.value);
        }
    }
}

/// A request head that goes back to its worker when the exchange ends, and not before.
pub struct Lent(Option<Box<RequestHead>>);

impl Deref for Lent {
    type Target = RequestHead;

    fn deref(&self) -> &RequestHead {
        self.0.as_deref().expect("it is there until the end")
    }
}

impl DerefMut for Lent {
    fn deref_mut(&mut self) -> &mut RequestHead {
        self.0.as_deref_mut().expect("it is there until the end")
    }
}

impl<'c> Exchange<'c> {
    /// A request that begins now.
    pub fn new(client: &'c Client, head: Box<RequestHead>) -> Self {
        let live = client.worker.live();
        let listener = client.listener(&live);
        Self {
            timing: Timing::asked(listener.map(|listener| &*listener.settings), &head),
            client,
            head: Lent(Some(head)),
            listener: listener.map(|listener| listener.settings.clone()),
            generation: live.generation,
            https_port: live.https_port,
            client_ip: client.address.ip(),
            scheme: client.scheme(),
            caller: None,
            source: None,
            route: None,
            outer: None,
            destination: None,
            target: None,
            endpoint: None,
            tries: 0,
            waited: Duration::ZERO,
            status: 0,
            reason: None,
            received: Cell::new(0),
            sent: Cell::new(0),
            added: None,
            brings_tls: false,
            span: None,
            has_id: false,
            is_dressed: false,
            has_page: false,
            is_counted: false,
            counted: Vec::new(),
            start: Instant::now(),
            is_recorded: true,
        }
    }

    /// A request that we send on our own account: it is in no log and no count of requests.
    pub fn unrecorded(client: &'c Client, head: Box<RequestHead>) -> Self {
        let mut x = Self::new(client, head);
        (x.is_recorded, x.timing.is_asked) = (false, false);
        x
    }

    /// The worker that serves it.
    pub fn worker(&self) -> &'c Rc<Worker> {
        &self.client.worker
    }

    /// Address of the client, with its port as far as it is known: proxies in front tell none.
    pub fn client_address(&self) -> SocketAddr {
        let address = self.client.address;
        SocketAddr::new(self.client_ip, if self.client_ip == address.ip() { address.port() } else { 0 })
    }

    /// The backend that was chosen.
    pub fn upstream(&self) -> Option<&Arc<Upstream>> {
        let of_route = || {
            let target = self.route.as_ref()?.targets.get(self.target?)?;
            target.upstream.as_ref().ok()
        };
        self.destination.as_ref().map(|to| &to.upstream).or_else(of_route)
    }

    /// What conditions of routes look at.
    pub fn asked(&self) -> Asked<'_> {
        Asked { head: &self.head, caller: self.caller.as_deref() }
    }

    /// Notes the route that answers, and counts the request there.
    pub fn set_route(&mut self, route: Arc<LiveRoute>) {
        route.counters(&self.worker().shared.metrics).begin();
        self.worker().shared.workers[self.worker().index].begin();
        self.route = Some(route);
    }

    /// Notes another route that answers instead of the one that was found first, and counts the request there.
    pub fn lead_on(&mut self, route: Arc<LiveRoute>) {
        let metrics = &self.worker().shared.metrics;
        route.counters(metrics).begin();
        if let Some(outer) = &self.route {
            outer.counters(metrics).hand_over();
        }
        self.outer = self.route.replace(route);
    }

    /// Notes who calls.
    pub fn set_source(&mut self, source: Option<Arc<Source>>) {
        self.caller = source.as_ref().map(|source| source.caller.clone());
        self.source = source;
    }

    /// Has the answer get a field beside what its backend says; `always` is whatever its status.
    pub fn add_to_answer(&mut self, name: &'static str, value: &[u8], always: bool) {
        let added = self.added.get_or_insert_default();
        added.0.push(AddedField { name, value: value.to_vec(), always });
    }

    /// Has the answer that comes instead of this one say what this one says of who may ask.
    pub fn keep_challenges(&mut self, answer: &ResponseHead) {
        const NAME: &str = "WWW-Authenticate";
        if answer.status != 401 {
            return;
        }
        for (_, value) in answer.fields.iter().filter(|(name, _)| name.eq_ignore_ascii_case(NAME.as_bytes()))
        {
            self.add_to_answer(NAME, value, true);
        }
    }

    /// Longest time that writing to the client may stall.
    pub fn write_stall(&self) -> Duration {
        self.listener.as_ref().map_or(Duration::from_secs(60), |listener| listener.limits.write_stall)
    }

    /// When it began.
    pub fn start(&self) -> Instant {
        self.start
    }
}

impl Drop for Exchange<'_> {
    fn drop(&mut self) {
        if self.is_recorded {
            self.record();
        }
        let worker = &self.client.worker;
        if self.route.is_some() {
            worker.shared.workers[worker.index].end();
        }
        if self.is_counted {
            worker.shared.load.leave();
        }
        if let Some(head) = self.head.0.take() {
            self.client.worker.give_request(head);
        }
    }
}

impl Exchange<'_> {
    /// Logs and counts it.
    fn record(&mut self) {
        let worker = &self.client.worker;
        let duration = self.start.elapsed();
        let route = self.route.as_deref();
        if self.status == 0 {
            (self.status, self.reason) = (499, self.reason.or(Some("client_closed")));
        }
        if let Some(route) = route {
            let counters = route.counters(&worker.shared.metrics);
            counters.end(self.status, duration, self.received.get(), self.sent.get());
        }
        identity::count(self, duration);
        if let Some(reason) = self.reason {
            worker.shared.metrics.own_responses.add(reason);
        }
        let is_unlogged = self.outer.as_deref().or(route).is_some_and(|route| route.route.unlogged);
        let is_logged = || self.listener.as_ref().is_none_or(|to| to.is_logged(self.head.target()));
        if worker.log.is_on() && !is_unlogged && is_logged() {
            worker.log.record(&AccessRecord {
                time: SystemTime::now() - duration,
                client: self.client_ip,
                method: self.head.method_name(),
                target: self.head.target(),
                host: self.head.authority(),
                version: self.head.version,
                status: self.status,
                received_bytes: self.received.get(),
                sent_bytes: self.sent.get(),
                duration,
                route: route.map(|route| route.route.id.as_str()),
                backend: self.upstream().map(|upstream| upstream.id.as_str()),
                endpoint: self.endpoint,
                tries: self.tries,
                generation: self.generation,
                reason: self.reason,
                request_id: self.head.fields.get(Known::XRequestId).unwrap_or_default(),
                user_agent: self.head.fields.get(Known::UserAgent),
                referer: self.head.fields.get_by_name("referer"),
                tls: self.client.tls.as_ref().map(|tls| tls.version),
            });
        }
        if self.span.is_some() || self.route.is_none() {
            spanning::end(self, SystemTime::now() - duration, duration);
        }
    }
}
