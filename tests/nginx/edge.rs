//! The edge of a case: its own translation and a real engine, on free ports.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use selvedge_common::{
    id::ListenerName,
    kube::{
        objects::{Object, ObjectEvent},
        translation::Reconciler,
    },
    model::{Backend, Listener, ListenerProtocol},
    proxy::ProxySettings,
    runtime::{
        access_log::AccessLog,
        engine::{Engine, EngineSettings},
        metrics::Metrics,
    },
    source::Sink,
};
use selvedge_ingress::{class::NGINX_CONTROLLER, settings::Settings, translate};
use serde_json::{Value, json};

/// A running edge; dropping it stops it.
pub struct Running {
    /// Where it serves HTTP.
    pub http: SocketAddr,
    /// Where it serves HTTPS.
    pub https: SocketAddr,
    _engine: Engine,
}

/// What the edge is told beside objects: the one place to change when more can be said.
fn settings(ejects: bool) -> Settings {
    let listener = |protocol, public_port| Listener {
        public_port,
        takes_service_field: true,
        ..Listener::new((Ipv4Addr::LOCALHOST, 0).into(), protocol, translate::ROUTE_SET.into())
    };
    let mut backend = Backend::default();
    if !ejects {
        backend.health.failures = 0;
    }
    Settings {
        backend,
        listeners: [
            (ListenerName::new("http"), listener(ListenerProtocol::Http, 80)),
            (ListenerName::new("https"), listener(ListenerProtocol::Https, 443)),
        ]
        .into(),
        adopt_ingress_nginx: true,
        nginx_configmap: format!("{}/{}", crate::objects::GLOBAL.0, crate::objects::GLOBAL.1).parse().ok(),
        ..Settings::default()
    }
}

/// The class that Ingresses of the cases name.
fn class() -> Value {
    json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "IngressClass", "metadata": {"name": "nginx"},
        "spec": {"controller": NGINX_CONTROLLER},
    })
}

/// Starts an edge and brings these objects into effect, one list after the other. Endpoints that fail are left out for a
/// while if it `ejects`.
pub fn start(objects: [Vec<Object>; 2], ejects: bool) -> Running {
    let settings = settings(ejects);
    let listeners =
        settings.listeners.iter().map(|(name, it)| (name.clone(), Arc::new(it.clone()))).collect();
    let engine = Engine::start(engine_settings(), &listeners).expect("an engine starts on free ports");
    let mut reconciler = Reconciler::new(translate::Edge::new(settings));
    let classes = crate::objects::read(vec![class()]);
    for batch in [classes].into_iter().chain(objects) {
        let outcome = reconciler.apply(batch.into_iter().map(ObjectEvent::Applied));
        if let Some(update) = outcome.update {
            engine.apply(update);
        }
    }
    let addresses = engine.addresses();
    let address = |name: &str| addresses[&ListenerName::new(name)];
    Running { http: address("http"), https: address("https"), _engine: engine }
}

fn engine_settings() -> EngineSettings {
    EngineSettings {
        workers: 1,
        proxy: ProxySettings {
            upstream_idle: Duration::from_secs(60),
            connections: 1000,
            requests: 0,
            spread_every: Duration::ZERO,
            reason_field: true,
        },
        metrics: Metrics::new(),
        access_log: AccessLog::off(),
        share_ports: false,
    }
}
