//! Live: what requests read, built from a snapshot and swapped in at once.

use std::{
    collections::{BTreeMap, HashSet},
    sync::{Arc, OnceLock},
};

use rustls::sign::CertifiedKey;

use super::tls::LiveCertificates;
use crate::{
    filter::{Compression, Filter},
    http1::HeadLimits,
    id::{ListenerName, ObjectRef, RouteId, RouteSetId},
    model::{
        BackendRef, BackendTarget, ErrorPages, InvalidBackend, Listener, ListenerProtocol, PassThrough,
        PathMatch, Retry, Route, RouteSet, Shared, Snapshot, TcpRoute,
    },
    routing::Table,
    runtime::metrics::{Metrics, RouteLabels, RouteMetrics},
    source::Rejected,
    spans::Recorder,
    upstream::{Registry, Upstream, service_of},
};

/// Id of the route of requests that are passed on, and what they are called in metrics.
pub const PASS_THROUGH: &str = "pass-through";

/// The state that new requests are served with.
pub struct Live {
    /// Grows by one with each snapshot that differs.
    pub generation: u64,
    /// Listeners, each at its place; `None` where there is none.
    pub listeners: Vec<Option<Arc<LiveListener>>>,
    /// Port that clients use for HTTPS.
    pub https_port: u16,
    /// Routing tables, shared by the listeners that name them.
    tables: Tables,
    /// Certificates that can be used.
    pub certificates: LiveCertificates,
    /// Who takes spans, if requests are traced.
    pub recorder: Option<Arc<Recorder>>,
    /// What it was built from.
    pub snapshot: Arc<Snapshot>,
}

type Tables = BTreeMap<RouteSetId, Arc<Table<LiveRoute>>>;

/// A listener with what it serves.
pub struct LiveListener {
    /// Its settings.
    pub settings: Arc<Listener>,
    /// Limits of a request head.
    pub head_limits: HeadLimits,
    /// Hosts and routes.
    pub table: Arc<Table<LiveRoute>>,
    /// Certificate for clients whose SNI matches no host.
    pub default_certificate: Arc<CertifiedKey>,
    /// Where its connections go if they speak no HTTP.
    pub tcp: Option<Arc<LiveRoute>>,
    /// What answers requests for hosts that no route knows, if they are passed on.
    pub pass_through: Option<Arc<LiveRoute>>,
    /// Namespaces that Services are in; only where requests are passed on.
    pub namespaces: HashSet<Box<[u8]>>,
}

/// A route with what it needs to serve requests.
pub struct LiveRoute {
    /// Its settings, which it shares with the snapshot.
    pub route: Shared<Route>,
    /// Its backends; invalid ones keep their share of the requests.
    pub targets: Box<[Target]>,
    total_weight: u64,
    /// Who gets copies of its requests.
    pub mirrors: Box<[LiveMirror]>,
    /// Who answers instead of an error.
    pub pages: Option<Box<LivePages>>,
    /// How its answers are compressed.
    pub compression: Option<Arc<Compression>>,
    /// Made with the first request, as most routes of a big cluster have none for a long time.
    counters: OnceLock<Arc<RouteMetrics>>,
}

/// One backend of a route with its share of the requests.
pub struct Target {
    /// The live side of the backend, or why there is none.
    pub upstream: Result<Arc<Upstream>, InvalidBackend>,
    /// Its share of the requests.
    pub weight: u32,
}

/// A backend that gets copies of requests.
pub struct LiveMirror {
    /// The live side of the backend, or why there is none.
    pub upstream: Result<Arc<Upstream>, InvalidBackend>,
    /// How many of a hundred requests are copied.
    pub percent: u8,
    /// `Host` of copies, if it is not that of the request.
    pub host: Option<Arc<str>>,
}

/// A backend that answers instead of an error.
pub struct LivePages {
    /// What it answers and is told.
    pub settings: Arc<ErrorPages>,
    /// The live side of the backend, or why there is none.
    pub upstream: Result<Arc<Upstream>, InvalidBackend>,
}

/// What is at one place for a listener.
pub enum Place {
    /// No listener.
    Free,
    /// The listener of this name.
    Serving(ListenerName),
    /// A listener that is in the snapshot no more, or not as it was; its connections end.
    Leaving,
}

/// What a `Live` is built with beside a snapshot.
pub struct Parts<'a> {
    /// Where the bound listeners are.
    pub listeners: &'a [Place],
    /// Live sides of backends; those of the snapshot are in it already.
    pub registry: &'a Registry,
    /// Where routes get their counters.
    pub metrics: &'a Metrics,
    /// Certificate where a listener names none that can be used.
    pub self_signed: &'a Arc<CertifiedKey>,
    /// Who takes spans, if requests are traced.
    pub recorder: Option<Arc<Recorder>>,
}

impl Live {
    /// A state that serves nothing.
    pub fn empty() -> Self {
        Self {
            generation: 0,
            listeners: Vec::new(),
            https_port: 443,
            tables: BTreeMap::new(),
            certificates: LiveCertificates::default(),
            recorder: None,
            snapshot: Arc::default(),
        }
    }

    /// The hosts and routes of a set.
    pub fn table(&self, set: &RouteSetId) -> Option<&Arc<Table<LiveRoute>>> {
        self.tables.get(set)
    }

    /// Builds the state of a snapshot; what did not change is shared with the previous one. Also says what
    /// could not be used.
    pub fn build(snapshot: Arc<Snapshot>, previous: &Live, parts: &Parts<'_>) -> (Live, Vec<Rejected>) {
        let (certificates, rejected) =
            LiveCertificates::build(&snapshot.certificates, Some(&previous.certificates));
        let tables: BTreeMap<_, _> = (snapshot.route_sets.iter())
            .map(|(id, set)| {
                let before = previous.tables.get(id).map(|table| &**table);
                let table = Table::build(set, before, |route| LiveRoute::build(route, parts));
                (id.clone(), Arc::new(table))
            })
            .collect();
        let listeners = (parts.listeners.iter().enumerate())
            .map(|(index, place)| match place {
                Place::Free => None,
                Place::Serving(name) => {
                    let settings = snapshot.listeners.get(name)?.clone();
                    LiveListener::build(name, settings, (&tables, &certificates), parts)
                }
                Place::Leaving => {
                    let before = previous.listeners.get(index)?.as_ref()?;
                    Some(before.leaving(&tables))
                }
            })
            .collect();
        let generation = previous.generation + 1;
        let https = snapshot.listeners.values().find(|l| l.protocol == ListenerProtocol::Https);
        let https_port = https.map_or(443, |listener| listener.public_port);
        let recorder = parts.recorder.clone();
        (Live { generation, listeners, https_port, tables, certificates, recorder, snapshot }, rejected)
    }
}

impl LiveListener {
    /// `None` if the snapshot does not have its routes.
    fn build(
        name: &ListenerName,
        settings: Arc<Listener>,
        (tables, certificates): (&Tables, &LiveCertificates),
        parts: &Parts<'_>,
    ) -> Option<Arc<Self>> {
        let tcp = match &settings.protocol {
            ListenerProtocol::Tcp(route) => Some(Arc::new(LiveRoute::build_tcp(name, route, parts))),
            ListenerProtocol::Http | ListenerProtocol::Https => None,
        };
        let table = match (tables.get(&settings.routes), &tcp) {
            (Some(table), _) => table.clone(),
            (None, Some(_)) => {
                Arc::new(Table::build(&RouteSet::default(), None, |route| LiveRoute::build(route, parts)))
            }
            (None, None) => return None,
        };
        let default_certificate = (settings.default_certificate.as_ref())
            .and_then(|id| certificates.get(id))
            .unwrap_or(parts.self_signed)
            .clone();
        let head_limits = HeadLimits::from(&settings.limits);
        let pass_through = settings.pass_through.as_ref();
        let pass_through = pass_through.map(|passing| Arc::new(LiveRoute::build_passing(passing, parts)));
        // Only where it matters, as it looks at every host.
        let namespaces = pass_through.as_ref().map(|_| table.namespaces()).unwrap_or_default();
        Some(Arc::new(Self {
            settings,
            head_limits,
            table,
            default_certificate,
            tcp,
            pass_through,
            namespaces,
        }))
    }

    /// The same for the connections that it still has; they see the routes change as long as there are any.
    fn leaving(&self, tables: &Tables) -> Arc<Self> {
        Arc::new(Self {
            settings: self.settings.clone(),
            head_limits: self.head_limits,
            table: tables.get(&self.settings.routes).unwrap_or(&self.table).clone(),
            default_certificate: self.default_certificate.clone(),
            tcp: self.tcp.clone(),
            pass_through: self.pass_through.clone(),
            namespaces: self.namespaces.clone(),
        })
    }
}

impl LiveRoute {
    /// The route of all connections of a TCP listener, named after it.
    fn build_tcp(name: &ListenerName, route: &TcpRoute, parts: &Parts<'_>) -> Self {
        let source = ObjectRef::new("Listener", "", name.as_str());
        let (id, path) = (RouteId::new(name.as_str()), PathMatch::Prefix("/".into()));
        let retry = Retry { attempts: route.connect_retries, ..Retry::default() };
        let route = Route { retry: retry.into(), ..Route::new(id, source, path, route.backends.clone()) };
        Self::build(&route.into(), parts)
    }

    /// The route of all requests that are passed on; where they go is said by each.
    fn build_passing(passing: &PassThrough, parts: &Parts<'_>) -> Self {
        let source = ObjectRef::new("Listener", "", PASS_THROUGH);
        let path = PathMatch::Prefix("/".into());
        let route = Route {
            timeouts: passing.timeouts.clone().into(),
            retry: passing.retry.clone().into(),
            ..Route::new(RouteId::new(PASS_THROUGH), source, path, Vec::new())
        };
        Self::build(&route.into(), parts)
    }

    fn build(route: &Shared<Route>, parts: &Parts<'_>) -> Self {
        let targets: Box<[Target]> =
            route.backends.iter().map(|to| Target::build(to, parts.registry)).collect();
        let total_weight = targets.iter().map(|target| u64::from(target.weight)).sum();
        let mirrors = (route.mirrors.iter())
            .map(|to| LiveMirror {
                upstream: live_side(&to.target, parts.registry),
                percent: to.percent,
                host: to.host.clone(),
            })
            .collect();
        let pages = route.error_pages.as_ref().map(|settings| {
            let upstream = live_side(&settings.target, parts.registry);
            Box::new(LivePages { settings: settings.clone(), upstream })
        });
        let compression = route.filters.iter().find_map(|filter| match filter {
            Filter::Compression(compression) => Some(compression.clone()),
            _ => None,
        });
        // A route that has had requests goes on counting.
        let known = parts.metrics.known_route(&labels(route, &targets));
        let counters = known.map(OnceLock::from).unwrap_or_default();
        Self { route: route.clone(), targets, total_weight, mirrors, pages, compression, counters }
    }

    /// Its counters.
    pub fn counters(&self, metrics: &Metrics) -> &RouteMetrics {
        self.counters.get_or_init(|| metrics.route(&labels(&self.route, &self.targets)))
    }

    /// Chooses a target by weight; `None` if no target has any.
    pub fn pick(&self, random: u64) -> Option<usize> {
        if let [only] = &self.targets[..] {
            return (only.weight > 0).then_some(0);
        }
        let mut left = random.checked_rem(self.total_weight)?;
        self.targets.iter().position(|target| match left.checked_sub(u64::from(target.weight)) {
            Some(rest) => {
                left = rest;
                false
            }
            None => true,
        })
    }
}

/// What tells the route apart in metrics.
fn labels(route: &Route, targets: &[Target]) -> RouteLabels {
    let service =
        route.backends.iter().zip(targets).find_map(|(to, target)| match (&to.target, &target.upstream) {
            (BackendTarget::Backend(_), Ok(upstream)) => Some(upstream.service.clone()),
            (BackendTarget::Backend(id), Err(_)) => Some(service_of(id).into()),
            (BackendTarget::Invalid(_), _) => None,
        });
    let (namespace, name) = (route.source.namespace.clone(), route.source.name.clone());
    RouteLabels { namespace, route: name, service: service.unwrap_or_default() }
}

impl Target {
    fn build(to: &BackendRef, registry: &Registry) -> Self {
        Self { upstream: live_side(&to.target, registry), weight: to.weight }
    }
}

fn live_side(target: &BackendTarget, registry: &Registry) -> Result<Arc<Upstream>, InvalidBackend> {
    match target {
        BackendTarget::Backend(id) => registry.get(id).ok_or(InvalidBackend::ServiceNotFound),
        BackendTarget::Invalid(why) => Err(*why),
    }
}
