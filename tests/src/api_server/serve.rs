//! Requests to the in-process API server: addresses, verbs, lists in pages, watches as lines.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body_util::{BodyExt, Either, Full};
use hyper::{
    Method, Response,
    body::{Body, Frame, Incoming},
};
use serde_json::{Value, json};
use tokio::sync::{
    broadcast,
    mpsc::{self, Receiver, Sender},
};

use super::{
    Break, Message, Nonsense, Request, Shared,
    store::{self, Change, Key, Refusal},
};

type Answer = Response<Either<Full<Bytes>, Lines>>;

/// Lines of a watch as they come.
pub(super) struct Lines(Receiver<io::Result<Bytes>>);

impl Body for Lines {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        self.0.poll_recv(cx).map(|line| line.map(|line| line.map(Frame::data)))
    }
}

/// What a request is about.
struct Target {
    resource: String,
    plural: String,
    namespace: Option<String>,
    name: Option<String>,
    /// A part of the object that has an address of its own, such as its status.
    part: Option<String>,
    query: BTreeMap<String, String>,
}

pub(super) async fn answer(
    shared: Arc<Shared>,
    request: hyper::Request<Incoming>,
) -> Result<Answer, Infallible> {
    let delay = shared.state().delay;
    tokio::time::sleep(delay).await;
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let path = parts.uri.path().to_owned();
    let target = target(&path, parts.uri.query().unwrap_or_default());
    let watches = target.as_ref().is_some_and(|target| target.query.contains_key("watch"));
    let verb = if watches { "WATCH".to_owned() } else { parts.method.to_string() };
    let applies =
        parts.headers.get("content-type").is_some_and(|form| form == "application/apply-patch+yaml");
    let answered = match target {
        Some(target) => serve(&shared, (&parts.method, applies), target, &body),
        None if path == "/version" => Ok(json_answer(200, &version())),
        None => Err((404, "NotFound", "no such address".into())),
    };
    let answer = answered.unwrap_or_else(|refusal| json_answer(refusal.0, &store::status(&refusal)));
    let code = answer.status().as_u16();
    shared.state().requests.push(Request { verb, path, code });
    Ok(answer)
}

/// What an API server says of itself.
fn version() -> Value {
    json!({
        "major": "1", "minor": "0", "gitVersion": "v1.0.0", "gitCommit": "", "gitTreeState": "", "buildDate": "",
        "goVersion": "", "compiler": "", "platform": "",
    })
}

fn target(path: &str, query: &str) -> Option<Target> {
    let parts: Vec<_> = path.trim_matches('/').split('/').collect();
    let (group, rest) = match *parts.first()? {
        "api" => parts.split_at_checked(2)?,
        "apis" => parts.split_at_checked(3)?,
        _ => return None,
    };
    let (namespace, rest) = match rest {
        ["namespaces", namespace, rest @ ..] if !rest.is_empty() => (Some((*namespace).to_owned()), rest),
        rest => (None, rest),
    };
    let plural = (*rest.first()?).to_owned();
    let query = query.split('&').filter_map(|pair| pair.split_once('='));
    let query = query.map(|(name, value)| (name.to_owned(), unescape(value))).collect();
    Some(Target {
        resource: format!("{}/{plural}", group.join("/")),
        plural,
        namespace,
        name: rest.get(1).map(|name| (*name).to_owned()),
        part: rest.get(2).map(|part| (*part).to_owned()),
        query,
    })
}

fn unescape(text: &str) -> String {
    text.replace("%2F", "/").replace("%3D", "=").replace("%2C", ",")
}

fn serve(
    shared: &Arc<Shared>,
    (method, applies): (&Method, bool),
    target: Target,
    body: &[u8],
) -> Result<Answer, Refusal> {
    let mut state = shared.state();
    if let Some(nonsense) = state.nonsense {
        return nonsense_answer(nonsense);
    }
    if state.too_many > 0 {
        state.too_many -= 1;
        return Err((429, "TooManyRequests", "slow down".into()));
    }
    if state.missing.contains(&target.plural) {
        return Err((404, "NotFound", "the server could not find the requested resource".into()));
    }
    if *method == Method::GET && state.denied.contains(&target.plural) {
        return Err((403, "Forbidden", format!("{} is forbidden", target.plural)));
    }
    if *method == Method::GET && target.name.is_none() {
        drop(state);
        return if target.query.contains_key("watch") {
            watch(shared, target)
        } else {
            list(shared, &target)
        };
    }
    let parsed =
        || serde_json::from_slice::<Value>(body).map_err(|error| (400, "BadRequest", error.to_string()));
    let named = |name: Option<String>| -> Result<Key, Refusal> {
        let name = name.ok_or((400, "BadRequest", "no name".to_owned()))?;
        Ok((target.resource.clone(), target.namespace.clone().unwrap_or_default(), name))
    };
    let change = match *method {
        Method::POST => {
            let object = parsed()?;
            let key = named(object["metadata"]["name"].as_str().map(str::to_owned))?;
            Some(state.store.create(key, object)?)
        }
        Method::PUT => Some(state.store.replace(named(target.name.clone())?, parsed()?)?),
        Method::PATCH => {
            let key = named(target.name.clone())?;
            match target.query.get("fieldManager").filter(|_| applies) {
                Some(manager) if target.part.is_none() && state.store.get(&key).is_none() => {
                    Some(state.store.create_applied(key, parsed()?, manager)?)
                }
                manager => state.store.patch(key, parsed()?, manager.map(String::as_str))?,
            }
        }
        Method::DELETE => {
            let options = if body.is_empty() { Value::Null } else { parsed()? };
            Some(state.store.delete(&named(target.name.clone())?, options["preconditions"]["uid"].as_str())?)
        }
        _ => None,
    };
    if let Some(change) = change {
        let object = change.object.clone();
        // Under the lock, so that watches see changes in their order.
        let _ = shared.changes.send(Message::Change(change));
        return Ok(json_answer(if *method == Method::POST { 201 } else { 200 }, &object));
    }
    let key = named(target.name.clone())?;
    let object = state.store.get(&key).ok_or((404, "NotFound", format!("{} not found", key.2)))?;
    Ok(json_answer(200, object))
}

fn nonsense_answer(nonsense: Nonsense) -> Result<Answer, Refusal> {
    let (code, text) = match nonsense {
        Nonsense::Html => (200, "<!doctype html><title>Please sign in</title>\n"),
        Nonsense::Cut => (200, "{\"kind\": \"List\", \"apiVersion\": \"v1\", \"metadata\": {\"resou"),
        Nonsense::Nothing => (200, ""),
        Nonsense::OtherKind => (200, "{\"kind\": \"APIVersions\", \"versions\": [\"v1\"]}\n"),
        Nonsense::Failure => (500, "the backend is on fire\n"),
        Nonsense::Unknown => return Err((401, "Unauthorized", "unauthorized".into())),
        Nonsense::Forbidden => return Err((403, "Forbidden", "it is forbidden".into())),
    };
    let mut answer = Response::new(Either::Left(Full::new(Bytes::from_static(text.as_bytes()))));
    *answer.status_mut() = hyper::StatusCode::from_u16(code).expect("codes here are valid");
    Ok(answer)
}

fn list(shared: &Shared, target: &Target) -> Result<Answer, Refusal> {
    let state = shared.state();
    let number = |name: &str| target.query.get(name).and_then(|text| text.parse::<usize>().ok());
    let (skip, limit) = (number("continue").unwrap_or(0), number("limit").unwrap_or(usize::MAX));
    let all: Vec<_> = state
        .store
        .list(&target.resource, target.namespace.as_deref())
        .filter(|object| is_selected(object, target))
        .collect();
    let items: Vec<_> = all.iter().skip(skip).take(limit).collect();
    let mut metadata = json!({"resourceVersion": state.store.version().to_string()});
    if skip + items.len() < all.len() {
        metadata["continue"] = (skip + items.len()).to_string().into();
    }
    Ok(json_answer(200, &json!({"kind": "List", "apiVersion": "v1", "metadata": metadata, "items": items})))
}

/// Whether the field selector, such as `type=kubernetes.io/tls`, takes an object.
fn is_selected(object: &Value, target: &Target) -> bool {
    let selectors = target.query.get("fieldSelector").map(String::as_str).unwrap_or_default();
    selectors.split(',').filter_map(|selector| selector.split_once('=')).all(|(path, wanted)| {
        let pointer = format!("/{}", path.replace('.', "/"));
        object.pointer(&pointer).and_then(Value::as_str).unwrap_or_default() == wanted.trim_start_matches('=')
    })
}

fn watch(shared: &Arc<Shared>, target: Target) -> Result<Answer, Refusal> {
    let state = shared.state();
    let from = target.query.get("resourceVersion").and_then(|version| version.parse().ok()).unwrap_or(0);
    let backlog = state.store.since(from).map(|changes| changes.cloned().collect::<Vec<_>>());
    let changes = shared.changes.subscribe();
    let (sender, lines) = mpsc::channel(16);
    let shared = shared.clone();
    drop(state);
    tokio::spawn(async move {
        let Some(backlog) = backlog else {
            let _ = sender.send(Ok(expired())).await;
            return;
        };
        for change in backlog {
            if !send(&sender, &target, &change).await {
                return;
            }
        }
        feed(&shared, &target, &sender, changes).await;
    });
    Ok(Response::new(Either::Right(Lines(lines))))
}

async fn feed(
    shared: &Shared,
    target: &Target,
    sender: &Sender<io::Result<Bytes>>,
    mut changes: broadcast::Receiver<Message>,
) {
    let bookmark = shared.state().store.version().to_string();
    let bookmark = json!({"kind": "Bookmark", "apiVersion": "v1",
        "metadata": {"resourceVersion": bookmark, "annotations": {}}});
    let mut going = sender.send(Ok(event("BOOKMARK", &bookmark))).await.is_ok();
    while going {
        let message = tokio::select! {
            message = changes.recv() => message,
            () = sender.closed() => return,
        };
        going = match message {
            Ok(Message::Change(change)) => send(sender, target, &change).await,
            Ok(Message::Break(Break::Garbage)) => {
                sender.send(Ok(Bytes::from_static(b"{\"type\": garbage}\n"))).await.is_ok()
            }
            Ok(Message::Break(how)) => {
                let last = match how {
                    Break::Expired => Some(Ok(expired())),
                    Break::MidLine => Some(Ok(Bytes::from_static(b"{\"type\":\"ADDED\",\"object\":{\"met"))),
                    Break::End | Break::Garbage => None,
                };
                if let Some(last) = last {
                    let _ = sender.send(last).await;
                }
                if how == Break::MidLine {
                    let _ = sender.send(Err(io::ErrorKind::ConnectionReset.into())).await;
                }
                false
            }
            Err(_) => false,
        };
    }
}

/// Sends a change if it is about what is watched; `false` when nobody listens.
async fn send(sender: &Sender<io::Result<Bytes>>, target: &Target, change: &Change) -> bool {
    let namespace = change.object["metadata"]["namespace"].as_str();
    let within = target.namespace.is_none() || target.namespace.as_deref() == namespace;
    if change.resource != target.resource || !within || !is_selected(&change.object, target) {
        return true;
    }
    sender.send(Ok(event(change.action, &change.object))).await.is_ok()
}

fn expired() -> Bytes {
    let status = store::status(&(410, "Expired", "too old resource version".into()));
    event("ERROR", &status)
}

/// An event of a watch as API servers write it: with its type first, so that readers need not hold the object until they
/// know what became of it.
fn event(action: &str, object: &Value) -> Bytes {
    format!("{{\"type\":\"{action}\",\"object\":{object}}}\n").into()
}

fn json_answer(code: u16, value: &Value) -> Answer {
    let mut answer = Response::new(Either::Left(Full::new(value.to_string().into())));
    *answer.status_mut() = hyper::StatusCode::from_u16(code).expect("codes here are valid");
    let headers = answer.headers_mut();
    headers.insert("content-type", hyper::header::HeaderValue::from_static("application/json"));
    if code == 429 {
        headers.insert("retry-after", hyper::header::HeaderValue::from_static("1"));
    }
    answer
}
