//! Error pages: another backend answers instead of one that has no endpoint or whose answer is an error.

use super::{
    again::Again, attempt::Plan, body::Incoming, entry::enter, exchange::Exchange, forward, grpc, headers,
    live::LivePages, loops, picking::Choice, respond::Failure, responder::Responder,
};
use crate::{
    message::{Fields, Known, KnownSet},
    model::{ErrorPages, Listener, Retry},
};

/// What the backend of error pages is told; never by the client.
const OURS: [&str; 7] = [
    "X-Code",
    "X-Format",
    "X-Original-URI",
    "X-Namespace",
    "X-Ingress-Name",
    "X-Service-Name",
    "X-Service-Port",
];

/// How a request reaches the backend of error pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// For what it says of this status.
    Page(u16),
    /// As it is, as its own backend has no endpoint.
    AsItIs,
}

/// Whether an answer of a backend with this status is to be replaced.
pub fn replaces(x: &Exchange<'_>, status: u16) -> bool {
    // Most answers are none that could be.
    status >= 300 && wanted(x, |pages| pages.statuses.contains(&status))
}

/// How the backend of error pages is asked about a failure; `None` if it is not.
pub fn asked(x: &Exchange<'_>, failure: Failure) -> Option<Asked> {
    let is_empty = matches!(failure, Failure::NoEndpoint | Failure::OwnAddress | Failure::InvalidBackend(_));
    match failure {
        Failure::ClientClosed => None,
        _ if is_empty && wanted(x, |pages| pages.takes_empty) => Some(Asked::AsItIs),
        _ => replaces(x, failure.status()).then(|| Asked::Page(failure.status())),
    }
}

/// Whether there are error pages of which this holds. They are asked once, and clients of gRPC would not understand them.
fn wanted(x: &Exchange<'_>, holds: impl FnOnce(&ErrorPages) -> bool) -> bool {
    let pages = x.route.as_ref().and_then(|route| route.pages.as_ref());
    pages.is_some_and(|pages| !x.has_page && holds(&pages.settings)) && !grpc::is_grpc(&x.head)
}

/// Has the backend of error pages answer.
///
/// # Errors
/// Why it does not, unless its answer has started.
pub async fn serve(
    x: &mut Exchange<'_>,
    asked: Asked,
    body: &mut Incoming<'_>,
    responder: &mut Responder<'_>,
) -> Result<(), Failure> {
    let (Some(route), Some(listener)) = (x.route.clone(), x.listener.clone()) else {
        return Err(Failure::NoRoute);
    };
    let Some(LivePages { settings, upstream }) = route.pages.as_deref() else { return Err(Failure::NoRoute) };
    x.has_page = true;
    let upstream = upstream.clone().map_err(Failure::InvalidBackend)?;
    let _entered = enter(x, &upstream, responder).await?;
    tell(x, &listener, (&**settings, asked));
    let mut none = Incoming::Taken(Fields::default());
    let body = match asked {
        Asked::AsItIs => body,
        Asked::Page(_) if body.rewind() => body,
        Asked::Page(_) => {
            drop_body(x);
            &mut none
        }
    };
    x.received.set(0);
    let backend = upstream.backend();
    upstream.retries.earn(&backend.retry_allowance);
    let again = Again::new(&Retry::default(), x.head.method);
    let mut plan = Plan::new(x, &listener.limits, (false, again));
    plan.connect_timeout = backend.connect_timeout;
    plan.choice = Choice::new(x, &backend);
    drop(backend);
    forward::attempt(x, (&upstream, &plan), body, responder).await
}

/// Makes the head one that says what went wrong.
fn tell(x: &mut Exchange<'_>, listener: &Listener, (pages, asked): (&ErrorPages, Asked)) {
    if !x.is_dressed {
        headers::towards_backend(x, listener, false);
        if let Some(protection) = &listener.loop_protection {
            loops::leave_trace(x, protection);
        }
    }
    let head = &mut x.head;
    head.fields.remove_all(KnownSet::of(&[Known::Upgrade]));
    let format = head.fields.get_by_name("accept").map(<[u8]>::to_vec);
    let is_ours = |name: &[u8]| OURS.iter().any(|ours| ours.as_bytes().eq_ignore_ascii_case(name));
    head.fields.retain(|known, name, _| known != Known::Other || !is_ours(name));
    let code = match asked {
        Asked::Page(status) => status,
        Asked::AsItIs => Failure::NoEndpoint.status(),
    };
    let mut push = |name: &str, value: &[u8]| {
        if !value.is_empty() {
            head.fields.push(name.as_bytes(), value);
        }
    };
    push(OURS[0], itoa::Buffer::new().format(code).as_bytes());
    push(OURS[1], format.as_deref().unwrap_or_default());
    for (name, value) in OURS[3..].iter().zip([&pages.namespace, &pages.ingress, &pages.service, &pages.port])
    {
        push(name, value.as_bytes());
    }
    if matches!(asked, Asked::Page(_)) {
        let target = head.target().to_vec();
        head.fields.push(OURS[2].as_bytes(), &target);
        head.set_path(b"/");
    }
}

/// The body is gone, or partly so: the request goes without.
fn drop_body(x: &mut Exchange<'_>) {
    let had = x.head.fields.contains(Known::ContentLength) || x.head.method.usually_has_body();
    x.head.fields.remove(Known::ContentLength);
    if had {
        x.head.fields.push_known(Known::ContentLength, b"0");
    }
}
