//! The servers that tests run against, and what tests do with them.

use std::sync::atomic::{AtomicUsize, Ordering};

use k8s_openapi::api::{core::v1::Namespace, events::v1::Event, networking::v1::Ingress};
use kube::{
    Api, Client,
    api::{ListParams, PostParams},
};
use selvedge_common::kube::{
    objects::ObjectEvent,
    watch::{self, Scope, WatchEvent},
};
use selvedge_tests::{
    api_server::ApiServer,
    not_run,
    real_api_server::{RealApiServer, find_binaries},
    waiting::{PATIENCE, eventually},
};
use tokio::sync::{OnceCell, mpsc};

use crate::definitions;

static REAL: OnceCell<Option<RealApiServer>> = OnceCell::const_new();
static NAMESPACES: AtomicUsize = AtomicUsize::new(0);

/// The real server that all tests share, if its binaries are found.
async fn real() -> Option<&'static RealApiServer> {
    let start = async || {
        let Some(binaries) = find_binaries() else {
            say_not_run();
            return None;
        };
        say(&format!("in-process and {}", binaries.display()));
        let server = RealApiServer::start(binaries).await.expect("a server whose binaries are there starts");
        definitions::install(&server.client()).await;
        Some(server)
    };
    REAL.get_or_init(start).await.as_ref()
}

/// Says which servers there are, past the capture of output by the test runner.
fn say(servers: &str) {
    use std::io::Write;
    // A closed standard error is no reason to fail.
    let _ = writeln!(std::io::stderr(), "API servers: {servers}");
}

/// A client of the real server that all tests share, with a namespace of its own.
pub async fn real_with_namespace() -> Option<(Client, String)> {
    let client = real().await?.client();
    let namespace = create_namespace(&client).await;
    Some((client, namespace))
}

/// Runs a test against each server, in a namespace of its own.
pub async fn on_each(test: impl AsyncFn(Client, String)) {
    let small = ApiServer::start().await;
    let namespace = create_namespace(&small.client()).await;
    test(small.client(), namespace).await;
    if let Some(real) = real().await {
        let namespace = create_namespace(&real.client()).await;
        test(real.client(), namespace).await;
    }
}

/// As [`on_each`], with a kubeconfig file of the server.
pub async fn on_each_with_kubeconfig(test: impl AsyncFn(Client, String, String)) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("kubeconfig").to_str().unwrap().to_owned();
    let small = ApiServer::start().await;
    std::fs::write(&file, small.kubeconfig()).unwrap();
    let namespace = create_namespace(&small.client()).await;
    test(small.client(), namespace, file.clone()).await;
    if let Some(real) = real().await {
        std::fs::write(&file, real.kubeconfig()).unwrap();
        let namespace = create_namespace(&real.client()).await;
        test(real.client(), namespace, file).await;
    }
}

/// The real server, where a test cannot do with a client alone.
pub async fn own_real() -> Option<RealApiServer> {
    match find_binaries() {
        Some(binaries) => {
            let server = RealApiServer::start(binaries).await.expect("the server starts");
            definitions::install(&server.client()).await;
            Some(server)
        }
        None => {
            say_not_run();
            None
        }
    }
}

fn say_not_run() {
    not_run::say("tests against a real API server", "there is none; tests/cluster/build.sh builds it");
}

/// Creates a namespace that no other test has.
pub async fn create_namespace(client: &Client) -> String {
    let name = format!("test-{}", NAMESPACES.fetch_add(1, Ordering::Relaxed));
    let namespace = serde_json::from_value(serde_json::json!({"metadata": {"name": name}})).unwrap();
    let _: Namespace = Api::all(client.clone()).create(&PostParams::default(), &namespace).await.unwrap();
    name
}

/// The flags of an edge that serves the Ingresses of one namespace, with or without a class, and tells their owners.
pub fn flags<'a>(namespace: &'a str, kubeconfig: &'a str) -> Vec<&'a str> {
    let of = ["--kubeconfig", kubeconfig, "--namespace", namespace, "--lease-namespace", namespace];
    [&of[..], &["--watch-ingress-without-class"]].concat()
}

/// Waits until the owner of an object is told this reason.
pub async fn until_told(client: &Client, namespace: &str, (kind, name): (&str, &str), reason: &str) {
    let api: Api<Event> = Api::namespaced(client.clone(), namespace);
    eventually(async || {
        let events = api.list(&ListParams::default()).await.unwrap().items;
        let found = events.iter().any(|event| {
            let regarding = event.regarding.as_ref().unwrap();
            let about = (regarding.kind.as_deref(), regarding.name.as_deref());
            about == (Some(kind), Some(name)) && event.reason.as_deref() == Some(reason)
        });
        found.then_some(())
    })
    .await;
}

/// An Ingress with one host.
pub fn ingress(name: &str, host: &str) -> Ingress {
    serde_json::from_value(serde_json::json!({
        "metadata": {"name": name},
        "spec": {"rules": [{"host": host, "http": {"paths": [{"path": "/", "pathType": "Prefix",
            "backend": {"service": {"name": "shop", "port": {"number": 80}}}}]}}]}
    }))
    .unwrap()
}

/// Creates an Ingress.
pub async fn create(client: &Client, namespace: &str, ingress: &Ingress) -> Ingress {
    Api::namespaced(client.clone(), namespace).create(&PostParams::default(), ingress).await.unwrap()
}

/// A running watch of one namespace.
pub struct Watched {
    events: mpsc::Receiver<WatchEvent>,
    task: tokio::task::JoinHandle<()>,
}

impl Watched {
    pub fn new(client: Client, namespace: &str) -> Self {
        let (sender, events) = mpsc::channel(64);
        let scope = Scope { namespaces: vec![namespace.to_owned()], ..Scope::default() };
        Self { events, task: tokio::spawn(watch::run(client, scope, sender)) }
    }

    /// The next event.
    pub async fn next(&mut self) -> WatchEvent {
        let next = tokio::time::timeout(PATIENCE, self.events.recv()).await;
        next.expect("an event comes within a minute").expect("the watch goes on")
    }

    /// The next event, if there is one already.
    pub fn try_next(&mut self) -> Option<WatchEvent> {
        loop {
            match self.events.try_recv().ok()? {
                WatchEvent::Changed(events) if own(&events).is_empty() => {}
                event => return Some(event),
            }
        }
    }

    /// The first list as text, sorted.
    pub async fn synced(&mut self) -> Vec<String> {
        match self.next().await {
            WatchEvent::Synced(events) => sorted(&own(&events)),
            other => panic!("not the first list: {other:?}"),
        }
    }

    /// So many changes as text, in the order in which they come; all other events fail.
    pub async fn changes(&mut self, count: usize) -> Vec<String> {
        let mut changes = Vec::new();
        while changes.len() < count {
            match self.next().await {
                WatchEvent::Changed(events) => changes.extend(own(&events).iter().map(text)),
                other => panic!("no change: {other:?}, after {changes:?}"),
            }
        }
        changes
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Those of objects in namespaces: what belongs to the whole cluster may be that of a test beside this one.
fn own(events: &[ObjectEvent]) -> Vec<ObjectEvent> {
    let is_own = |event: &&ObjectEvent| match event {
        ObjectEvent::Applied(object) => !object.key().namespace.is_empty(),
        ObjectEvent::Deleted(key) => !key.namespace.is_empty(),
    };
    events.iter().filter(is_own).cloned().collect()
}

/// Events as text, sorted.
pub fn sorted(events: &[ObjectEvent]) -> Vec<String> {
    let mut texts: Vec<_> = events.iter().map(text).collect();
    texts.sort();
    texts
}

/// `+ Ingress shop` or `- Ingress shop`; Ingresses with their host.
pub fn text(event: &ObjectEvent) -> String {
    match event {
        ObjectEvent::Applied(object) => {
            let key = object.key();
            let host = match object {
                selvedge_common::kube::objects::Object::Ingress(ingress) => {
                    let rule = ingress.spec.as_ref().and_then(|spec| spec.rules.first());
                    rule.and_then(|rule| rule.host.as_deref()).unwrap_or_default().to_owned()
                }
                _ => String::new(),
            };
            format!("+ {} {} {host}", key.kind.name(), key.name).trim_end().to_owned()
        }
        ObjectEvent::Deleted(key) => format!("- {} {}", key.kind.name(), key.name),
    }
}
