//! A small API server within the test's process: list, watch, write, and faults on demand.

mod serve;
mod store;

use std::{
    collections::BTreeSet,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use hyper_util::rt::TokioIo;
use kube::{
    Api,
    api::{DynamicObject, PostParams},
};
use selvedge_common::kube::objects::Kind;
use store::{Change, Store};
use tokio::{
    net::{TcpListener, TcpSocket},
    sync::broadcast,
    task::{AbortHandle, JoinSet},
};

use crate::ports::lasting_port;

/// What happens to the watches that are open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Break {
    /// They end as they do after some minutes.
    End,
    /// They end in the middle of a line, by a broken connection.
    MidLine,
    /// They are told that their version is too old, and end.
    Expired,
    /// They are sent a line that is no JSON, and go on.
    Garbage,
}

/// What is answered in the place of anything sensible.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nonsense {
    /// A page of HTML with status 200, as a portal that wants a password shows it.
    Html,
    /// JSON with status 200 that ends in the middle.
    Cut,
    /// Nothing, with status 200.
    Nothing,
    /// An object that is neither a list nor an event, with status 200.
    OtherKind,
    /// Status 500 with a line of text.
    Failure,
    /// Status 401, as if the token had been withdrawn.
    Unknown,
    /// Status 403, as if all rights had been taken away.
    Forbidden,
}

/// A request that was served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// `GET`, `WATCH`, `POST`, `PUT`, `PATCH` or `DELETE`.
    pub verb: String,
    /// Path of the address.
    pub path: String,
    /// Status of the answer.
    pub code: u16,
}

/// The server; its objects outlive a stop.
pub struct ApiServer {
    address: SocketAddr,
    shared: Arc<Shared>,
    serving: Option<AbortHandle>,
}

struct Shared {
    state: Mutex<State>,
    changes: broadcast::Sender<Message>,
}

#[derive(Clone, Debug)]
enum Message {
    Change(Change),
    Break(Break),
}

#[derive(Default)]
struct State {
    store: Store,
    requests: Vec<Request>,
    denied: BTreeSet<String>,
    missing: BTreeSet<String>,
    nonsense: Option<Nonsense>,
    too_many: u32,
    delay: Duration,
}

impl ApiServer {
    /// Starts on a free port.
    pub async fn start() -> Self {
        let changes = broadcast::Sender::new(4_096);
        let shared = Arc::new(Shared { state: Mutex::default(), changes });
        let port = lasting_port().expect("there are free ports");
        let mut server = Self { address: SocketAddr::from(([127, 0, 0, 1], port)), shared, serving: None };
        server.restart().await;
        server
    }

    /// Stops: every connection breaks and new ones are refused.
    pub fn stop(&mut self) {
        if let Some(serving) = self.serving.take() {
            serving.abort();
        }
    }

    /// Starts again on the same port.
    pub async fn restart(&mut self) {
        self.stop();
        let listener = loop {
            let socket = TcpSocket::new_v4().expect("a socket can be made");
            socket.set_reuseaddr(true).expect("an option can be set");
            match socket.bind(self.address).and_then(|()| socket.listen(128)) {
                Ok(listener) => break listener,
                // The old listener is closed a moment later.
                Err(_) => tokio::task::yield_now().await,
            }
        };
        self.address = listener.local_addr().expect("a bound socket has an address");
        self.serving = Some(tokio::spawn(accept(listener, self.shared.clone())).abort_handle());
    }

    /// A client of it.
    pub fn client(&self) -> kube::Client {
        let address = format!("http://{}", self.address).parse().expect("an address is a URI");
        kube::Client::try_from(kube::Config::new(address)).expect("a client can be made")
    }

    /// The text of a kubeconfig for it.
    pub fn kubeconfig(&self) -> String {
        kubeconfig(&format!("http://{}", self.address), "none")
    }

    /// Creates an object of a kind that is read, in namespace `default` if its kind has one.
    pub async fn create(&self, object: serde_json::Value) {
        let word = |name: &str| object[name].as_str().unwrap_or_default();
        let kind = Kind::find(word("apiVersion"), word("kind")).expect("a kind that is read");
        let resource = kind.resource();
        let api: Api<DynamicObject> = match kind.is_namespaced() {
            true => Api::namespaced_with(self.client(), "default", &resource),
            false => Api::all_with(self.client(), &resource),
        };
        let object = serde_json::from_value(object).expect("an object");
        api.create(&PostParams::default(), &object).await.expect("the server takes it");
    }

    /// Breaks every open watch.
    pub fn break_watches(&self, how: Break) {
        // No receiver means no watch to break.
        let _ = self.shared.changes.send(Message::Break(how));
    }

    /// Forgets the history, so that watches cannot be resumed.
    pub fn compact(&self) {
        self.state().store.compact();
    }

    /// Answers 403 to whoever reads a resource, for example `secrets`, and ends all watches.
    pub fn deny(&self, plural: &str) {
        self.state().denied.insert(plural.into());
        self.break_watches(Break::End);
    }

    /// Denies it no more.
    pub fn allow(&self, plural: &str) {
        self.state().denied.remove(plural);
    }

    /// Answers 404 for a resource.
    pub fn forget(&self, plural: &str) {
        self.state().missing.insert(plural.into());
    }

    /// Answers nonsense to whatever is asked, and ends all watches; `None` is the end of that.
    pub fn talk(&self, nonsense: Option<Nonsense>) {
        self.state().nonsense = nonsense;
        if nonsense.is_some() {
            self.break_watches(Break::End);
        }
    }

    /// Answers so many requests with 429.
    pub fn too_many(&self, requests: u32) {
        self.state().too_many = requests;
    }

    /// Waits before each answer.
    pub fn slow(&self, delay: Duration) {
        self.state().delay = delay;
    }

    /// What has been asked since the last call.
    pub fn take_requests(&self) -> Vec<Request> {
        std::mem::take(&mut self.state().requests)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state()
    }
}

/// A kubeconfig for a server that this machine alone can reach.
pub(crate) fn kubeconfig(address: &str, token: &str) -> String {
    serde_json::json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "test",
        "clusters": [{"name": "test", "cluster": {"server": address, "insecure-skip-tls-verify": true}}],
        "users": [{"name": "test", "user": {"token": token}}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
    })
    .to_string()
}

impl Drop for ApiServer {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    // Aborted with this task.
    let mut connections = JoinSet::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        while connections.try_join_next().is_some() {}
        let shared = shared.clone();
        connections.spawn(async move {
            let service = hyper::service::service_fn(|request| serve::answer(shared.clone(), request));
            // Clients go away as they like.
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}
