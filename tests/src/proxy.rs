//! A real engine on loopback, with a snapshot that a test writes in a few lines.

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use selvedge_common::{
    id::{BackendId, ListenerName, ObjectRef, RouteId, RouteSetId},
    model::{
        Backend, BackendProtocol, BackendRef, BackendTarget, Endpoint, EndpointState, Endpoints, HostMatch,
        Limits, Listener, ListenerProtocol, PathMatch, Route, RouteSet, Snapshot, VirtualHost,
    },
    proxy::ProxySettings,
    runtime::{
        access_log::AccessLog,
        engine::{Engine, EngineSettings},
        metrics::Metrics,
    },
    source::{Applied, Sink, Update},
};
use socket2::{Domain, Socket, Type};

/// An engine under test with the snapshot it serves.
pub struct Proxy {
    /// The engine.
    pub engine: Engine,
    /// What it serves; change it and [`Proxy::apply`] it.
    pub snapshot: Snapshot,
}

/// What an engine under test is started with.
pub struct Setup {
    /// Limits of both listeners.
    pub limits: Limits,
    /// Changes the listeners further.
    pub listener: fn(&mut Listener),
    /// Number of workers.
    pub workers: usize,
    /// Access log.
    pub access_log: AccessLog,
    /// Requests in flight at once; 0 is no limit.
    pub requests: usize,
    /// How often it is looked whether HTTP/2 connections had better be on another worker; 0 is never.
    pub spread_every: Duration,
    /// How long an unused connection to an endpoint is kept.
    pub upstream_idle: Duration,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            listener: |_| {},
            workers: 1,
            access_log: AccessLog::off(),
            requests: 0,
            spread_every: Duration::ZERO,
            upstream_idle: Duration::from_secs(60),
        }
    }
}

impl Proxy {
    /// Starts an engine with a plain and a TLS listener and no routes.
    pub fn start(setup: Setup) -> Self {
        let mut proxy = Self::bound(setup);
        proxy.apply(&[]);
        proxy
    }

    /// As [`Proxy::start`], but before the engine has been told of any snapshot.
    pub fn bound(setup: Setup) -> Self {
        let listener = |protocol, public_port| {
            let mut listener = Listener {
                public_port,
                limits: setup.limits.clone(),
                routes: "test".into(),
                ..listener(protocol)
            };
            (setup.listener)(&mut listener);
            Arc::new(listener)
        };
        let listeners = BTreeMap::from([
            (ListenerName::new("http"), listener(ListenerProtocol::Http, 80)),
            (ListenerName::new("https"), listener(ListenerProtocol::Https, 443)),
        ]);
        let settings = EngineSettings {
            workers: setup.workers,
            proxy: ProxySettings {
                upstream_idle: setup.upstream_idle,
                connections: 100_000,
                requests: setup.requests,
                spread_every: setup.spread_every,
                reason_field: true,
            },
            metrics: Metrics::new(),
            access_log: setup.access_log,
            share_ports: false,
        };
        let engine = Engine::start(settings, &listeners).expect("an engine starts on free ports");
        let route_sets = BTreeMap::from([(RouteSetId::new("test"), Arc::new(RouteSet::default()))]);
        let snapshot = Snapshot { listeners, route_sets, ..Snapshot::default() };
        Self { engine, snapshot }
    }

    /// An engine with default settings that sends everything to these endpoints over HTTP/1.1.
    pub fn to(endpoints: &[SocketAddr]) -> Self {
        let mut proxy = Self::start(Setup::default());
        proxy.route_all(endpoints);
        proxy
    }

    /// The same over HTTP/2.
    pub fn http2_to(endpoints: &[SocketAddr]) -> Self {
        let mut proxy = Self::start(Setup::default());
        proxy.backend("test/origin:80", Backend { protocol: BackendProtocol::Http2, ..Backend::default() });
        proxy.route("*", PathMatch::Prefix("/".into()), "test/origin:80");
        proxy.apply(&[("test/origin:80", endpoints)]);
        proxy
    }

    /// Sends every request to one backend with these endpoints.
    pub fn route_all(&mut self, endpoints: &[SocketAddr]) {
        self.backend("test/origin:80", Backend::default());
        self.route("*", PathMatch::Prefix("/".into()), "test/origin:80");
        self.apply(&[("test/origin:80", endpoints)]);
    }

    /// Adds or replaces a backend.
    pub fn backend(&mut self, id: &str, backend: Backend) {
        self.snapshot.backends.insert(BackendId::new(id), Arc::new(backend));
    }

    /// Adds a route to a host and gives it for changes.
    pub fn route(&mut self, host: &str, path: PathMatch, backend: &str) {
        self.edit_host(host, |entry| {
            let id = RouteId::new(format!("test/route/{}", entry.routes.len()));
            entry.routes.push(route(id, path, backend).into());
        });
    }

    /// Changes the entry of a host, which is made if there is none.
    pub fn edit_host(&mut self, host: &str, edit: impl FnOnce(&mut VirtualHost)) {
        let host: HostMatch = host.parse().expect("every text is a host");
        let set = self.snapshot.route_sets.get_mut(&RouteSetId::new("test")).expect("made at start");
        let hosts = &mut Arc::make_mut(set).hosts;
        let mut entry = hosts.get(&host).cloned().unwrap_or_default();
        edit(Arc::make_mut(&mut entry));
        hosts.insert(host, entry);
    }

    /// Brings the snapshot and these endpoints into effect.
    pub fn apply(&mut self, endpoints: &[(&str, &[SocketAddr])]) -> Applied {
        let endpoints = endpoints.iter().map(|(id, list)| (BackendId::new(id), ready(list))).collect();
        self.engine.apply(Update::Snapshot { snapshot: Arc::new(self.snapshot.clone()), endpoints })
    }

    /// Brings new endpoints of a backend into effect.
    pub fn endpoints(&self, id: &str, endpoints: &[SocketAddr]) -> Applied {
        self.engine.apply(Update::Endpoints(vec![(BackendId::new(id), ready(endpoints))]))
    }

    /// Asks endpoints whether they are well, as long as the engine lives.
    pub fn check_health(&self) {
        let asking = self.engine.check_health();
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("the system gives a runtime").block_on(asking);
        });
    }

    /// Sends spans as long as the engine lives, and the last ones then; the thread ends with the last one.
    pub fn export_spans(&self) -> thread::JoinHandle<()> {
        let exporting = self.engine.export_spans();
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("the system gives a runtime").block_on(exporting);
        })
    }

    /// Address of the plain listener.
    pub fn http(&self) -> SocketAddr {
        self.engine.addresses()[&ListenerName::new("http")]
    }

    /// Adds or replaces a listener, and gives its name back.
    pub fn listen(&mut self, name: &str, listener: Listener) -> ListenerName {
        let name = ListenerName::new(name);
        self.snapshot.listeners.insert(name.clone(), Arc::new(listener));
        name
    }

    /// Address of a listener; `None` if it is not bound.
    pub fn address(&self, name: &str) -> Option<SocketAddr> {
        self.engine.addresses().get(&ListenerName::new(name)).copied()
    }

    /// Address of the TLS listener.
    pub fn https(&self) -> SocketAddr {
        self.engine.addresses()[&ListenerName::new("https")]
    }
}

/// A listener on a free port of loopback, with default settings, for the routes of the edge.
pub fn listener(protocol: ListenerProtocol) -> Listener {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    Listener { public_port: 80, ..Listener::new(address, protocol, "edge".into()) }
}

/// A route with default settings.
pub fn route(id: RouteId, path: PathMatch, backend: &str) -> Route {
    let backend = BackendRef { target: BackendTarget::Backend(BackendId::new(backend)), weight: 1 };
    Route::new(id, ObjectRef::new("Ingress", "test", "route"), path, vec![backend])
}

/// Ready endpoints at these addresses.
pub fn ready(addresses: &[SocketAddr]) -> Endpoints {
    let mut list: Vec<Endpoint> =
        (addresses.iter()).map(|address| Endpoint::new(*address, EndpointState::Ready)).collect();
    list.sort();
    list.into()
}

/// Sockets that keep an address without listening.
static KEPT: Mutex<Vec<Socket>> = Mutex::new(Vec::new());

/// An address on loopback where nobody listens, nor will until it is [vacated](vacate): a bound socket that does not
/// listen keeps the port, else a listener that is opened later could get it.
pub fn nowhere() -> SocketAddr {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket can be made");
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).expect("loopback has free ports");
    let address = address(&socket);
    KEPT.lock().expect("nobody panics with the list").push(socket);
    address
}

/// Gives an address of [`nowhere`] up, so that somebody can listen there.
pub fn vacate(given: SocketAddr) {
    KEPT.lock().expect("nobody panics with the list").retain(|socket| address(socket) != given);
}

fn address(socket: &Socket) -> SocketAddr {
    let address = socket.local_addr().expect("a bound socket has an address");
    address.as_socket().expect("an IPv4 socket has a socket address")
}
