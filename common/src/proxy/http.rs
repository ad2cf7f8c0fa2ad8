//! Http: the way of one request, from its head to the end of its answer, whichever protocol brought it.

use std::{future::poll_fn, pin::pin, sync::Arc, task::Poll, time::Duration};

use super::{
    address, asking,
    body::Incoming,
    connect, counting,
    error_pages::{self, Asked},
    exchange::Exchange,
    forward::forward,
    headers,
    identity::identify,
    limited::Limited,
    live::LiveRoute,
    loops, passing,
    respond::{self, Failure},
    responder::{Responder, ResponderError},
    rules, shedding, spanning, tls,
};
use crate::{
    filter::{Filter, FilterContext, Flow, Reply, ReplyKind},
    http1::RequestError,
    message::{Method, ResponseHead},
    model::{ClientFields, Listener, ServiceNames},
    routing::Table,
};

/// Serves one request. On return the answer is complete; after an error the client's connection or stream must
/// be broken off, as the answer is not.
///
/// # Errors
/// When the answer could not be sent whole.
pub async fn serve(
    x: &mut Exchange<'_>,
    body: &mut Incoming<'_>,
    responder: &mut Responder<'_>,
) -> Result<(), ResponderError> {
    if let Err(failure) = identify(x).await {
        return refuse(x, body, responder, failure).await;
    }
    let listener = match route(x) {
        Ok(listener) => listener,
        Err(failure) => return refuse(x, body, responder, failure).await,
    };
    let mut next = 0;
    loop {
        let mut flow = apply_filters(x, &mut next);
        if let Flow::Ask(question) = flow {
            flow = match Box::pin(asking::ask(x, (next, &listener), *question, responder)).await {
                Ok(Flow::Next) => continue,
                Ok(flow) => flow,
                Err(failure) => return refuse(x, body, responder, failure).await,
            };
        }
        match flow {
            Flow::Next if rules::lead_on(x) => next = 0,
            Flow::Next => break,
            // Who was answered does not ask again.
            Flow::Ask(_) => return refuse(x, body, responder, Failure::NoRoute).await,
            Flow::Count { id, key, most, status } => {
                if let Err(reply) = counting::enter(x, (&id, key.as_deref()), (most, status)) {
                    return answer(x, body, responder, &reply).await;
                }
            }
            Flow::Reply(reply) => return answer(x, body, responder, &reply).await,
            Flow::Wait(duration, reply) => {
                if let Err(failure) = Box::pin(wait(x, duration, responder)).await {
                    return refuse(x, body, responder, failure).await;
                }
                if let Some(reply) = reply {
                    return answer(x, body, responder, &reply).await;
                }
            }
        }
    }
    if !body.is_done() {
        Limited::apply(x, body);
    }
    let forwarded = match x.head.method {
        _ if x.destination.is_some() => Box::pin(passing::serve(x, &listener, body, responder)).await,
        Method::Connect => Box::pin(connect::serve(x, &listener, body, responder)).await,
        _ => forward(x, &listener, body, responder).await,
    };
    match forwarded {
        Ok(()) => Ok(()),
        Err(_) if responder.has_started() => Err(ResponderError::Closed),
        Err(failure) => refuse(x, body, responder, failure).await,
    }
}

/// Answers a request that failed.
///
/// # Errors
/// When the answer could not be sent.
pub async fn refuse(
    x: &mut Exchange<'_>,
    body: &mut Incoming<'_>,
    responder: &mut Responder<'_>,
    failure: Failure,
) -> Result<(), ResponderError> {
    if let Some(asked) = error_pages::asked(x, failure) {
        x.reason = (!matches!(failure, Failure::Replaced(_))).then(|| failure.reason());
        if let Some(result) = Box::pin(error_page(x, asked, body, responder)).await {
            return result;
        }
    }
    prepare_close(body, responder);
    respond::failure(x, responder, failure).await
}

/// Has another backend answer instead of us; `None` if it does not.
async fn error_page(
    x: &mut Exchange<'_>,
    asked: Asked,
    body: &mut Incoming<'_>,
    responder: &mut Responder<'_>,
) -> Option<Result<(), ResponderError>> {
    if matches!(asked, Asked::Page(_)) && !matches!(body, Incoming::Replay(_)) {
        prepare_close(body, responder);
    }
    match error_pages::serve(x, asked, body, responder).await {
        Ok(()) => Some(Ok(())),
        Err(_) if responder.has_started() => Some(Err(ResponderError::Closed)),
        Err(Failure::ClientClosed) => Some(respond::failure(x, responder, Failure::ClientClosed).await),
        Err(_) => None,
    }
}

/// An answer that does not wait for the body: the connection can only go on if all of the body is there.
fn prepare_close(body: &mut Incoming<'_>, responder: &mut Responder<'_>) {
    if !body.is_done() && !body.discard_arrived() {
        responder.close_after();
    }
}

/// Finds the route of a request and notes it; gives the settings that it is served with.
fn route(x: &mut Exchange<'_>) -> Result<Arc<Listener>, Failure> {
    let live = x.worker().live();
    let listener = x.client.listener(&live).ok_or(Failure::NoRoute)?;
    x.generation = live.generation;
    let is_connect = x.head.method == Method::Connect;
    if (is_connect && !listener.settings.connect) || (!is_connect && x.head.path() == b"*") {
        return Err(Failure::NotProxied);
    }
    if let Some(client_tls) = &x.client.tls {
        let by_host = listener.table.find_certificate(x.head.host());
        let by_name = client_tls.server_name.as_ref();
        let by_name = by_name.and_then(|name| listener.table.find_certificate(name.as_bytes()));
        if tls::is_misdirected(by_name, by_host) {
            return Err(Failure::Misdirected);
        }
        // Browsers use a connection for all names of its certificate; TLS of this one ends elsewhere.
        let is_of_another =
            client_tls.server_name.as_ref().is_some_and(|name| name.as_bytes() != x.head.host());
        if is_of_another && listener.table.find_passthrough(x.head.host()).is_some() {
            return Err(Failure::Misdirected);
        }
        // Who was not asked for a certificate of this host, or by other authorities than those of now, comes anew.
        let wanted = listener.table.find_verification(x.head.host());
        if wanted.is_some_and(|wanted| x.client.shown().is_none_or(|shown| shown.verification != *wanted)) {
            return Err(Failure::Misdirected);
        }
    }
    headers::drop_nominated(&mut x.head.fields);
    if let Some(protection) = &listener.settings.loop_protection {
        loops::check(&x.head.fields, protection)?;
    }
    headers::believe_forwarded(x, &listener.settings);
    if listener.settings.takes_service_field {
        address::take_service_field(&mut x.head);
    }
    let passing = listener.settings.pass_through.as_ref().filter(|_| passing::is_outward(x));
    let found = match &listener.settings.service_names {
        None if !is_connect => listener.table.find(x.head.host(), x.head.path(), &x.asked()),
        names => find_service(x, names.as_ref().unwrap_or(&address::NO_NAMES), &listener.table)?,
    };
    let found = found.cloned();
    let passing = passing.filter(|_| found.is_none() && passing::may_pass(x, listener));
    let found = if passing.is_some() { listener.pass_through.clone() } else { found };
    let found = found.ok_or(Failure::NoRoute)?;
    // ingress-nginx: backends are never asked to send back what they were sent.
    if x.head.method == Method::Trace && found.route.client_fields == ClientFields::IngressNginx {
        return Err(Failure::NotProxied);
    }
    x.set_route(found);
    if let Some(recorder) = &live.recorder {
        spanning::begin(x, recorder);
    }
    shedding::admit(x)?;
    if let Some(passing) = passing {
        x.destination = Some(passing::destination(x, passing)?);
    }
    Ok(listener.settings.clone())
}

/// Finds the route of a request by the name of a service. `CONNECT` goes where a request for `/` would go, and nowhere
/// if the table does not have its host.
fn find_service<'t>(
    x: &mut Exchange<'_>,
    names: &ServiceNames,
    table: &'t Table<LiveRoute>,
) -> Result<Option<&'t Arc<LiveRoute>>, Failure> {
    let head = &mut x.head;
    let is_connect = head.method == Method::Connect;
    if is_connect {
        // A `Host` beside the target may leave the port out.
        let target = head.target().to_vec();
        address::port_of(&target).ok_or(Failure::Refused(RequestError::BadTarget))?;
        head.set_host(&target).map_err(|error| Failure::Refused(RequestError::BadHost(error)))?;
        head.set_path(b"/");
    }
    let namespace = x.caller.as_ref().map(|caller| &*caller.namespace);
    let key = address::take_key(head, names, namespace)?;
    let (asked, keys) = (x.asked(), (key.with_port(), key.name()));
    if !is_connect {
        return Ok(table.find_service(keys, x.head.path(), &asked));
    }
    Ok(table.find_service_host(keys.0, keys.1).and_then(|host| host.find(b"/", &asked)))
}

/// Asks the filters of the route in their order, from `next` on; the first that wants more than to go on ends it.
fn apply_filters(x: &mut Exchange<'_>, next: &mut usize) -> Flow {
    let Some(route) = x.route.as_ref().filter(|route| !route.route.filters.is_empty()) else {
        return Flow::Next;
    };
    let route = route.clone();
    let source = x.source.clone();
    let cx = headers::filter_context(x, source.as_deref().map(|source| &*source.name));
    for filter in &route.route.filters[*next..] {
        *next += 1;
        match filter.request(&cx, &mut x.head) {
            Flow::Next => {}
            flow => return flow,
        }
    }
    Flow::Next
}

/// Answers as a filter decided.
async fn answer(
    x: &mut Exchange<'_>,
    body: &mut Incoming<'_>,
    responder: &mut Responder<'_>,
    reply: &Reply,
) -> Result<(), ResponderError> {
    if matches!(reply.kind, ReplyKind::Refusal { .. }) && error_pages::replaces(x, reply.status) {
        let challenges = reply.fields.iter().filter(|(name, _)| *name == "WWW-Authenticate");
        challenges.for_each(|(name, value)| x.add_to_answer(name, value, true));
        x.reason = Some(reply.reason);
        let page = Asked::Page(reply.status);
        if let Some(result) = Box::pin(error_page(x, page, body, responder)).await {
            return result;
        }
        // The answer of our own says it itself.
        x.added = None;
    }
    prepare_close(body, responder);
    respond::reply(x, responder, reply).await
}

/// Waits as a filter wants it. The time counts as the backend's: what its answer may take becomes shorter.
async fn wait(
    x: &mut Exchange<'_>,
    duration: Duration,
    responder: &mut Responder<'_>,
) -> Result<(), Failure> {
    let limit = x.route.as_ref().map_or(Duration::ZERO, |route| route.route.timeouts.request);
    let left = limit.saturating_sub(x.waited);
    // The deadlines of the worker are too coarse for this.
    let mut sleep = pin!(tokio::time::sleep(duration.min(left)));
    poll_fn(|cx| match sleep.as_mut().poll(cx) {
        Poll::Ready(()) => Poll::Ready(Ok(())),
        Poll::Pending => responder.poll_closed(cx).map(|()| Err(Failure::ClientClosed)),
    })
    .await?;
    x.waited += duration;
    if duration < left { Ok(()) } else { Err(Failure::RequestTimeout) }
}

/// Lets the filters of the route change the head of an answer, and then those of the one that led to it: of a backend's
/// answer, or of one that the route describes.
pub(super) fn filter_response(x: &Exchange<'_>, head: &mut ResponseHead) {
    if let Some(added) = &x.added {
        added.add(head);
    }
    each_filter(x, |filter, cx| filter.response(cx, head));
}

/// The same for a refusal or failure.
pub(super) fn filter_refusal(x: &Exchange<'_>, head: &mut ResponseHead) {
    each_filter(x, |filter, cx| filter.refusal(cx, head));
}

fn each_filter(x: &Exchange<'_>, mut tell: impl FnMut(&Filter, &FilterContext<'_>)) {
    let caller = x.source.as_deref().map(|source| &*source.name);
    for route in x.route.iter().chain(&x.outer) {
        if route.route.filters.is_empty() {
            continue;
        }
        let cx = FilterContext { asked: Some(&x.head), ..headers::filter_context(x, caller) };
        route.route.filters.iter().for_each(|filter| tell(filter, &cx));
    }
}
