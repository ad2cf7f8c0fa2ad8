//! Http: the way of one request, from its head to the end of its answer, whichever protocol brought it.

use std::sync::Arc;

use super::{
    body::Incoming,
    exchange::Exchange,
    forward::forward,
    headers,
    identity::identify,
    loops,
    respond::{self, Failure},
    responder::{Responder, ResponderError},
    rules, tls,
};
use crate::{
    filter::Flow,
    message::{Method, ResponseHead},
    model::Listener,
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
    loop {
        if let Some(reply) = apply_filters(x) {
            prepare_close(body, responder);
            return respond::reply(x, responder, &reply).await;
        }
        if !rules::lead_on(x) {
            break;
        }
    }
    match forward(x, &listener, body, responder).await {
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
    prepare_close(body, responder);
    respond::failure(x, responder, failure).await
}

/// An answer that does not wait for the body: the connection can only go on if all of the body is there.
fn prepare_close(body: &mut Incoming<'_>, responder: &mut Responder<'_>) {
    if !body.is_done() && !body.discard_arrived() {
        responder.close_after();
    }
}

/// Finds the route of a request and notes it; gives the settings that it is served with.
fn route(x: &mut Exchange<'_>) -> Result<Arc<Listener>, Failure> {
    let live = x.worker().shared.live.load();
    let listener = live.listeners.get(x.client.listener).and_then(Option::as_ref).ok_or(Failure::NoRoute)?;
    x.generation = live.generation;
    if x.head.method == Method::Connect || x.head.path() == b"*" {
        return Err(Failure::NotProxied);
    }
    if let Some(client_tls) = &x.client.tls {
        let by_host = listener.table.find_certificate(x.head.host());
        let by_name = client_tls.server_name.as_ref();
        let by_name = by_name.and_then(|name| listener.table.find_certificate(name.as_bytes()));
        if tls::is_misdirected(by_name, by_host) {
            return Err(Failure::Misdirected);
        }
    }
    if let Some(protection) = &listener.settings.loop_protection {
        loops::check(&x.head.fields, protection)?;
    }
    headers::believe_forwarded(x, &listener.settings);
    let found = listener.table.find(x.head.host(), x.head.path()).cloned();
    x.set_route(found.ok_or(Failure::NoRoute)?);
    Ok(listener.settings.clone())
}

/// Asks the filters of the route in their order; the first reply ends it.
fn apply_filters(x: &mut Exchange<'_>) -> Option<crate::filter::Reply> {
    let route = x.route.clone()?;
    if route.route.filters.is_empty() {
        return None;
    }
    let cx = headers::filter_context(x);
    route.route.filters.iter().find_map(|filter| match filter.request(&cx, &mut x.head) {
        Flow::Next => None,
        Flow::Reply(reply) => Some(reply),
    })
}

/// Lets the filters of the route change the head of an answer, and then those of the one that led to it.
pub(super) fn filter_response(x: &Exchange<'_>, head: &mut ResponseHead) {
    for route in x.route.iter().chain(&x.outer) {
        if route.route.filters.is_empty() {
            continue;
        }
        let cx = headers::filter_context(x);
        for filter in &route.route.filters {
            filter.response(&cx, head);
        }
    }
}
