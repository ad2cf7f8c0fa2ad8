//! Passing: requests for hosts that no route knows go to the host that they name, if that may be reached from here.

use std::{
    collections::HashSet,
    net::IpAddr,
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    Shared, address,
    body::Incoming,
    connect,
    exchange::Exchange,
    forward::forward,
    live::{Live, LiveListener},
    respond::Failure,
    responder::Responder,
    worker::Worker,
};
use crate::{
    message::{Known, Method, Scheme},
    model::{Listener, PassThrough},
    upstream::{Asking, Destination, NoDestination, Question, resolve},
};

/// Longest wait for the addresses of a name.
const PATIENCE: Duration = Duration::from_secs(5);

/// Whether the host of a request without a route is one to pass it on to: not one whose rules leave the request out, and
/// not one that may only be meant for a Service.
pub fn may_pass(x: &Exchange<'_>, listener: &LiveListener) -> bool {
    let (host, names) = (x.head.host(), listener.settings.service_names.as_ref());
    let is_known = listener.table.find_host(host).is_some();
    let is_of_service = names.is_some_and(|names| address::is_of_service(host, names));
    !is_known && !is_of_service && !is_in_namespace(host, &listener.namespaces)
}

/// Whether a host looks like `service.namespace`, with a namespace that there is: a Service that is misspelt or has just
/// been removed is nothing to ask beyond the cluster for.
fn is_in_namespace(host: &[u8], namespaces: &HashSet<Box<[u8]>>) -> bool {
    let Some(dot) = memchr::memchr(b'.', host) else { return false };
    namespaces.contains(&host[dot + 1..])
}

/// The host that a request names.
///
/// # Errors
/// When it is none.
pub fn destination(x: &Exchange<'_>, passing: &PassThrough) -> Result<Arc<Destination>, Failure> {
    let host = x.head.host();
    let port = address::port_of(x.head.authority()).unwrap_or(Scheme::Http.port());
    let key = address::ServiceKey::of(host, Some(port)).map_err(|_| Failure::NoRoute)?;
    let shared = &x.worker().shared;
    if let Some(known) = shared.destinations.get(key.with_port()) {
        return Ok(known);
    }
    let host = std::str::from_utf8(host).map_err(|_| Failure::NoRoute)?;
    Ok(shared.destinations.add(&shared.registry, (host, port), &passing.backend, Instant::now()))
}

/// Whether a request can be for a host beyond the cluster: it names no service, and the host is an address or a name of
/// several labels. To be asked before what is meant for us is taken away. A name of one label means something in a
/// namespace only, and a tunnel is what a client needs for HTTPS.
pub fn is_outward(x: &Exchange<'_>) -> bool {
    let host = x.head.host();
    let is_https = x.head.is_https();
    let names_service = x.head.fields.contains(Known::XSelvedgeService);
    (host.contains(&b'.') || host.contains(&b':')) && !is_https && !names_service
}

/// Passes a request on to its destination.
///
/// # Errors
/// What the client is to be told, unless the answer has started.
pub async fn serve(
    x: &mut Exchange<'_>,
    listener: &Listener,
    body: &mut Incoming<'_>,
    responder: &mut Responder<'_>,
) -> Result<(), Failure> {
    let destination = x.destination.clone().ok_or(Failure::NoRoute)?;
    resolve(x.worker(), &destination).await?;
    match x.head.method {
        Method::Connect => connect::serve(x, listener, body, responder).await,
        _ => forward(x, listener, body, responder).await,
    }
}

/// Has the addresses of a destination, or says why there are none to be used. The addresses that were looked at are
/// those that are connected to.
async fn resolve(worker: &Rc<Worker>, destination: &Arc<Destination>) -> Result<(), Failure> {
    let destinations = &worker.shared.destinations;
    let mut told = match destinations.ask(destination, Instant::now()) {
        Asking::Known(result) => return result.map_err(failure),
        Asking::Wait(told) => told,
        Asking::Ask(question, usable, told) => {
            worker.spawn("lookup", ask(worker.clone(), question));
            match usable {
                Some(result) => return result.map_err(failure),
                None => told,
            }
        }
    };
    // Too long a wait, or a worker that ended meanwhile, leave what was known before.
    let _ = worker.deadlines.within(PATIENCE, told.wait_for(|done| *done)).await;
    destination.last().map_err(failure)
}

async fn ask(worker: Rc<Worker>, question: Question) {
    let shared = worker.shared.clone();
    // The state is that of the moment when the addresses are there.
    question.ask(|address| is_forbidden(&shared.live.load(), &shared, address)).await;
}

/// Whether nothing is passed on to this address, by the word of any listener.
fn is_forbidden(live: &Live, shared: &Shared, address: IpAddr) -> bool {
    let listeners = || live.listeners.iter().flatten();
    let said = || listeners().filter_map(|listener| listener.settings.pass_through.as_deref());
    let by_listener = |passing: &PassThrough, address: IpAddr| {
        let is_endpoint = |id| {
            let endpoints = shared.registry.get(id).map(|upstream| upstream.endpoints());
            endpoints.is_some_and(|all| all.iter().any(|one| one.address.ip().to_canonical() == address))
        };
        passing.forbidden.contains(&address) || passing.forbidden_backends.iter().any(is_endpoint)
    };
    // Whatever its port: it may be a listener bound to all addresses, or the admin server.
    resolve::forms(address).any(|form| {
        resolve::is_local(form)
            || shared.destinations.is_forbidden(form)
            || said().any(|said| by_listener(said, form))
    })
}

fn failure(why: NoDestination) -> Failure {
    match why {
        NoDestination::Forbidden => Failure::ForbiddenDestination,
        NoDestination::Unresolved => Failure::Unresolved,
        NoDestination::Overload => Failure::Overload,
    }
}
