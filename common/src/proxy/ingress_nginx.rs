//! What ingress-nginx tells backends of the client, for routes that were made for it.

use super::{exchange::Exchange, headers::add_request_id, ip_text::IpText};
use crate::{
    message::{Fields, Known, KnownSet},
    model::Listener,
};

/// Names that no client speaks for, beside the known ones.
const OWN: [&str; 4] = [SCHEME, FORWARDED_SCHEME, ORIGINAL_FOR, ORIGINAL_HOST];
const SCHEME: &str = "x-scheme";
const FORWARDED_SCHEME: &str = "x-forwarded-scheme";
const ORIGINAL_FOR: &str = "x-original-forwarded-for";
const ORIGINAL_HOST: &str = "x-original-forwarded-host";

/// How the names of fields begin by which a backend of ingress-nginx commands the proxy.
const COMMAND: &[u8] = b"x-accel-";

/// Replaces what a request says of its client. Who is `trusted` may speak for the host and the port, and who asked and
/// by which scheme is known already.
pub fn add(x: &mut Exchange<'_>, listener: &Listener, trusted: bool) {
    let fields = &mut x.head.fields;
    let original_for = joined(fields.all(Known::XForwardedFor));
    let forwarded_host = joined(fields.all(Known::XForwardedHost));
    let other_host = listener.forwarded_host.as_ref().map(|name| joined(fields.all_by_name(name)));
    let original_host = other_host.as_ref().unwrap_or(&forwarded_host);
    if let Some(name) = &listener.proxied_client {
        add_proxied_client(x, listener, (name, trusted));
    }
    let fields = &mut x.head.fields;
    let request_id = joined(fields.all(Known::XRequestId));
    let port = fields.get(Known::XForwardedPort).filter(|_| trusted).map(<[u8]>::to_vec);
    fields.retain(|_, name, _| !OWN.iter().any(|own| own.as_bytes().eq_ignore_ascii_case(name)));
    // ingress-nginx: `Forwarded` stays, whoever sent it. Here it goes, as a backend may believe it.
    fields.remove_all(KnownSet::OF_CLIENTS.with(KnownSet::of(&[Known::Proxy, Known::XRequestId])));
    match request_id.filter(|id| !id.is_empty() && id.len() <= 128) {
        Some(id) => fields.push_known(Known::XRequestId, &id),
        None => add_request_id(x, false),
    }
    let authority = x.head.authority().to_vec();
    let fields = &mut x.head.fields;
    let client = IpText::new(x.client_ip);
    fields.push_known(Known::XRealIp, client.as_bytes());
    match original_for.as_ref().filter(|chain| trusted && listener.full_forwarded_for && !chain.is_empty()) {
        Some(chain) => {
            let whole = [&**chain, b", ", x.client.address_text.as_bytes()].concat();
            fields.push_known(Known::XForwardedFor, &whole);
        }
        None => fields.push_known(Known::XForwardedFor, client.as_bytes()),
    }
    let host = forwarded_host.as_ref().filter(|_| trusted).unwrap_or(&authority);
    if !host.is_empty() {
        fields.push_known(Known::XForwardedHost, host);
    }
    let mut text = itoa::Buffer::new();
    let own_port = text.format(listener.public_port).as_bytes();
    fields.push_known(Known::XForwardedPort, port.as_deref().unwrap_or(own_port));
    let scheme = x.scheme.as_str().as_bytes();
    fields.push_known(Known::XForwardedProto, scheme);
    fields.push(FORWARDED_SCHEME.as_bytes(), scheme);
    fields.push(SCHEME.as_bytes(), scheme);
    for (name, original) in [(ORIGINAL_FOR, &original_for), (ORIGINAL_HOST, original_host)] {
        if let Some(original) = original.as_ref().filter(|original| !original.is_empty()) {
            fields.push(name.as_bytes(), original);
        }
    }
}

/// Takes away what a backend of ingress-nginx tells the proxy, and nobody else, by fields of its answer. None of it is
/// obeyed: `X-Accel-Redirect` would lead a request past the rules of another path.
pub fn drop_commands(fields: &mut Fields) {
    let is_command = |name: &[u8]| {
        let begin = name.get(..COMMAND.len());
        begin.is_some_and(|begin| begin.eq_ignore_ascii_case(COMMAND))
    };
    if fields.iter().any(|(name, _)| is_command(name)) {
        fields.retain(|_, name, _| !is_command(name));
    }
}

/// Says who opened the connection or, if that is a trusted proxy, what it says of the client.
fn add_proxied_client(x: &mut Exchange<'_>, listener: &Listener, (name, trusted): (&str, bool)) {
    let fields = &mut x.head.fields;
    let said = match &listener.forwarded_for {
        None => joined(fields.all(Known::XForwardedFor)),
        Some(name) => joined(fields.all_by_name(name)),
    };
    fields.retain(|_, other, _| !other.eq_ignore_ascii_case(name.as_bytes()));
    let client = x.client.address_text.as_bytes();
    match said.filter(|_| trusted) {
        Some(said) => x.head.fields.push(name.as_bytes(), &said),
        None => x.head.fields.push(name.as_bytes(), client),
    }
}

/// All values of a field as one; `None` if there is none.
fn joined<'f>(values: impl Iterator<Item = &'f [u8]>) -> Option<Vec<u8>> {
    let values: Vec<_> = values.collect();
    (!values.is_empty()).then(|| values.join(&b", "[..]))
}
