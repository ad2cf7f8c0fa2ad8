//! Identity: finds out who calls, and takes away what clients say of that themselves.

mod callers;
mod edges;
mod tokens;

use std::{cell::RefCell, sync::Arc};

use callers::Callers;
use tokens::{Tokens, Verdict};

pub use edges::{WorkerEdges, count};
pub use tokens::WorkerTokens;

use super::{
    exchange::{Client, Exchange},
    respond::Failure,
};
use crate::{
    message::{Fields, Known},
    model::Source,
};

/// Names of this beginning are ours, but for what a client may ask for by them.
const OWN: &[u8] = b"x-selvedge-";
/// What a client may ask for.
const ASKED: [&[u8]; 2] = [b"service", b"timing"];
/// How proxies of another kind tell who called them.
const CLIENT_CERTIFICATE: &[u8] = b"x-forwarded-client-cert";

/// What is known of callers, for all workers of an engine.
#[derive(Default)]
pub struct Identity {
    /// Who is behind an address.
    pub callers: Callers,
    /// Who has shown which token.
    pub tokens: Tokens,
}

/// Who is behind a connection, as of a generation of [`Callers`].
#[derive(Default)]
pub struct Found(RefCell<(u64, Option<Arc<Source>>)>);

/// Notes who sends a request, if its listener wants to know, and removes from it what claims an identity.
///
/// A token says it; the address of the client says it where there is no token or none can be verified.
///
/// # Errors
/// A token that is refused.
pub async fn identify(x: &mut Exchange<'_>) -> Result<(), Failure> {
    if !x.listener.as_ref().is_some_and(|listener| listener.identify) {
        return Ok(());
    }
    let by_address = by_address(x.client);
    let result = match x.head.fields.get(Known::XSelvedgeToken) {
        Some(_) if x.worker().shared.identity.tokens.is_on() => Box::pin(by_token(x, by_address)).await,
        _ => Ok(by_address),
    };
    remove_claims(&mut x.head.fields);
    x.set_source(result?);
    Ok(())
}

/// Tells a backend who called. To be called last, so that nothing else says it.
pub fn name_caller(x: &mut Exchange<'_>) {
    let Some(source) = &x.source else { return };
    x.head.fields.push(b"x-selvedge-caller", source.name.as_bytes());
}

/// Looked up once for a connection, and again when anything has changed since.
fn by_address(client: &Client) -> Option<Arc<Source>> {
    let callers = &client.worker.shared.identity.callers;
    // Before the look-up: a change in between makes the next request look again.
    let generation = callers.generation();
    let mut found = client.found.0.borrow_mut();
    if found.0 != generation {
        *found = (generation, callers.find(client.address.ip()));
    }
    found.1.clone()
}

async fn by_token(
    x: &mut Exchange<'_>,
    by_address: Option<Arc<Source>>,
) -> Result<Option<Arc<Source>>, Failure> {
    let mut texts = x.head.fields.all(Known::XSelvedgeToken);
    let (Some(text), None) = (texts.next(), texts.next()) else { return Err(Failure::BadToken) };
    let metrics = &x.worker().shared.metrics;
    match tokens::verdict(x.worker(), text).await {
        // The address tells the workload, too.
        Verdict::Known(source) => match by_address {
            Some(known) if known.caller == source.caller => Ok(Some(known)),
            _ => Ok(Some(source)),
        },
        Verdict::Refused => Err(Failure::BadToken),
        Verdict::Unavailable => {
            metrics.tokens_unverified.inc();
            Ok(by_address)
        }
    }
}

/// Removes fields by which a client would claim to be someone.
fn remove_claims(fields: &mut Fields) {
    fields.retain(|_, name, _| !is_claim(name));
}

fn is_claim(name: &[u8]) -> bool {
    if !matches!(name.first(), Some(b'x' | b'X')) {
        return false;
    }
    match name.split_at_checked(OWN.len()) {
        Some((own, rest)) if own.eq_ignore_ascii_case(OWN) => {
            !ASKED.iter().any(|asked| asked.eq_ignore_ascii_case(rest))
        }
        _ => name.eq_ignore_ascii_case(CLIENT_CERTIFICATE),
    }
}

#[cfg(test)]
mod tests {
    use super::is_claim;

    #[test]
    fn what_claims_an_identity_is_told_from_what_asks_for_something() {
        let cases: [(&str, bool); 12] = [
            ("X-Selvedge-Caller", true),
            ("x-selvedge-token", true),
            ("x-SELVEDGE-reason", true),
            ("x-selvedge-", true),
            ("x-selvedge-anything-new", true),
            ("X-Forwarded-Client-Cert", true),
            ("X-Selvedge-Service", false),
            ("x-selvedge-timing", false),
            ("x-selvedge", false),
            ("x-forwarded-for", false),
            ("authorization", false),
            ("", false),
        ];
        for (name, claims) in cases {
            assert_eq!(is_claim(name.as_bytes()), claims, "{name}");
        }
    }
}
