//! Header fields on their way: what is taken away, and what the proxy adds of its own.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;

use super::{
    exchange::Exchange, identity::name_caller, ingress_nginx, ip_text::IpText, respond::add_own_fields,
};
use crate::{
    filter::FilterContext,
    http1::parse_length,
    message::{Fields, Known, KnownSet, ResponseHead, Scheme, lists},
    model::{ClientFields, Listener},
};

/// Takes from a request what forwarded fields say of the client, if whoever sent them is trusted.
pub fn believe_forwarded(x: &mut Exchange<'_>, listener: &Listener) {
    let trusted = &listener.trusted_cidrs;
    if !is_trusted(trusted, x.client.address.ip()) {
        return;
    }
    if let Some(client) = first_untrusted(&x.head.fields, listener) {
        x.client_ip = client;
    }
    match x.head.fields.get(Known::XForwardedProto).map(first_of_list) {
        Some(proto) if proto.eq_ignore_ascii_case(b"https") => x.scheme = Scheme::Https,
        Some(proto) if proto.eq_ignore_ascii_case(b"http") => x.scheme = Scheme::Http,
        _ => {}
    }
}

/// The first value of a list: of several proxies that add to it, it is that of the one that the client came to.
fn first_of_list(value: &[u8]) -> &[u8] {
    value.split(|byte| *byte == b',').next().unwrap_or_default().trim_ascii()
}

/// What filters know about the request; `caller` is who asks, if that is known.
pub fn filter_context<'a>(x: &Exchange<'a>, caller: Option<&'a str>) -> FilterContext<'a> {
    let port = match &x.listener {
        Some(listener) if x.scheme == x.client.scheme() => listener.public_port,
        _ if x.scheme == Scheme::Https => x.https_port,
        _ => x.scheme.port(),
    };
    let worker = x.worker();
    FilterContext {
        client: x.client_ip,
        caller,
        certificate: x.client.shown().map(|shown| &shown.certificate),
        scheme: x.scheme,
        port,
        https_port: x.https_port,
        now: x.start(),
        random: worker.random(),
        rates: &worker.shared.rate_limits,
        asked: None,
    }
}

/// Makes the head of a request ready for a backend: hop-by-hop fields go, forwarded fields are added.
/// `upgrade` keeps the `Upgrade` field of a request that may become a tunnel.
pub fn towards_backend(x: &mut Exchange<'_>, listener: &Listener, upgrade: bool) {
    let trusted = is_trusted(&listener.trusted_cidrs, x.client.address.ip());
    x.is_dressed = true;
    // What the client's `Connection` names is gone since it came; what filters have set since then stays.
    strip_hop_by_hop(&mut x.head.fields, upgrade, &[]);
    if x.destination.is_some() {
        // Who calls from where within the cluster is nobody's business beyond it.
        x.head.fields.remove_all(KnownSet::OF_CLIENTS.with(KnownSet::of(&[Known::Proxy])));
        return;
    }
    match client_fields(x) {
        ClientFields::Usual => add_usual(x, listener, trusted),
        ClientFields::IngressNginx => ingress_nginx::add(x, listener, trusted),
    }
    if listener.forwarded_field {
        push_forwarded(x);
    }
    if listener.identify {
        name_caller(x);
    }
}

/// Adds the fields of [`ClientFields::Usual`].
fn add_usual(x: &mut Exchange<'_>, listener: &Listener, trusted: bool) {
    add_request_id(x, trusted);
    let fields = &mut x.head.fields;
    let chain = trusted && fields.contains(Known::XForwardedFor);
    let has = |known| trusted && fields.contains(known);
    let (proto, host, port) =
        (has(Known::XForwardedProto), has(Known::XForwardedHost), has(Known::XForwardedPort));
    fields.remove_all(match trusted {
        true => KnownSet::of(&[Known::XRealIp, Known::Proxy]),
        false => KnownSet::OF_CLIENTS.with(KnownSet::of(&[Known::Proxy])),
    });
    let peer = &x.client.address_text;
    match chain {
        true => append_to_chain(fields, peer.as_bytes()),
        false => fields.push_known(Known::XForwardedFor, peer.as_bytes()),
    }
    match x.client_ip == x.client.address.ip() {
        true => fields.push_known(Known::XRealIp, peer.as_bytes()),
        false => fields.push_known(Known::XRealIp, IpText::new(x.client_ip).as_bytes()),
    }
    let authority = x.head.authority_span();
    if !host && !authority.is_empty() {
        let fields = &mut x.head.fields;
        let name = fields.store(b"x-forwarded-host");
        fields.push_stored(Known::XForwardedHost, name, authority);
    }
    if !port {
        let mut text = itoa::Buffer::new();
        x.head.fields.push_known(Known::XForwardedPort, text.format(listener.public_port).as_bytes());
    }
    if !proto {
        x.head.fields.push_known(Known::XForwardedProto, x.scheme.as_str().as_bytes());
    }
}

/// Removes from a request that has just come what its `Connection` names (RFC 9110 §7.6.1), but never a field that the
/// message depends on. Before anything else is done with it: else a client could name fields that the proxy adds.
pub fn drop_nominated(fields: &mut Fields) {
    const KEPT: KnownSet = KnownSet::HOP_BY_HOP.with(KnownSet::PROTECTED);
    let nominated = nominated_fields(fields);
    if !nominated.is_empty() {
        fields.retain(|known, name, _| KEPT.contains(known) || !is_nominated(&nominated, name));
    }
}

/// Makes an interim answer ready for the client.
pub fn strip_interim(head: &mut ResponseHead) {
    let nominated = nominated_fields(&head.fields);
    strip_hop_by_hop(&mut head.fields, false, &nominated);
}

/// Makes the head of an answer ready for the client.
pub fn towards_client(x: &Exchange<'_>, head: &mut ResponseHead) {
    let upgrade = head.status == 101;
    let nominated = nominated_fields(&head.fields);
    strip_hop_by_hop(&mut head.fields, upgrade, &nominated);
    if client_fields(x) == ClientFields::IngressNginx {
        ingress_nginx::drop_commands(&mut head.fields);
    }
    add_own_fields(x, head);
}

/// How clients are told of. A route may have led on to rules of its Service; that is a matter of the first one.
fn client_fields(x: &Exchange<'_>) -> ClientFields {
    let route = x.outer.as_ref().or(x.route.as_ref());
    route.map_or(ClientFields::Usual, |route| route.route.client_fields)
}

fn is_trusted(trusted: &[IpNet], ip: IpAddr) -> bool {
    !trusted.is_empty() && trusted.iter().any(|net| net.contains(&ip.to_canonical()))
}

/// The last address of `X-Forwarded-For`, or of the field in its place, that is not a trusted proxy; the first one if all are.
fn first_untrusted(fields: &Fields, listener: &Listener) -> Option<IpAddr> {
    let trusted = &listener.trusted_cidrs;
    let values: Vec<&[u8]> = match &listener.forwarded_for {
        None => fields.all(Known::XForwardedFor).collect(),
        Some(name) => {
            let named = fields.iter().filter(|(other, _)| other.eq_ignore_ascii_case(name.as_bytes()));
            named.map(|(_, value)| value).collect()
        }
    };
    let mut nearest = None;
    for item in values.iter().rev().flat_map(|value| value.rsplit(|b| *b == b',')) {
        let Some(ip) = parse_ip(item.trim_ascii()) else { return nearest };
        nearest = Some(ip);
        if !is_trusted(trusted, ip) {
            break;
        }
    }
    nearest
}

fn parse_ip(text: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(text).ok()?;
    let text = text.strip_prefix('[').and_then(|text| text.split(']').next()).unwrap_or(text);
    text.parse().ok().or_else(|| text.parse::<std::net::SocketAddr>().ok().map(|address| address.ip()))
}

/// Removes hop-by-hop fields and those that `Connection` names (RFC 9110 §7.6.1), but never one that the
/// message depends on.
fn strip_hop_by_hop(fields: &mut Fields, upgrade: bool, nominated: &[Vec<u8>]) {
    const UPGRADE: KnownSet = KnownSet::of(&[Known::Upgrade]);
    let trailers = fields.all(Known::Te).any(|value| lists(value, b"trailers"));
    fields.remove_all(if upgrade { KnownSet::HOP_BY_HOP.without(UPGRADE) } else { KnownSet::HOP_BY_HOP });
    if !nominated.is_empty() {
        let kept = KnownSet::PROTECTED.with(UPGRADE);
        fields.retain(|known, name, _| kept.contains(known) || !is_nominated(nominated, name));
    }
    if trailers {
        // RFC 9110 §10.1.4: the one value that says something of the next hop too; gRPC insists on it.
        fields.push_known(Known::Te, b"trailers");
    }
}

fn is_nominated(nominated: &[Vec<u8>], name: &[u8]) -> bool {
    nominated.binary_search(&name.to_ascii_lowercase()).is_ok()
}

/// Names in `Connection` beyond the usual ones, in lower case and sorted; almost always none.
fn nominated_fields(fields: &Fields) -> Vec<Vec<u8>> {
    let mut names: Vec<_> = (fields.all(Known::Connection))
        .flat_map(|value| value.split(|b| *b == b','))
        .map(<[u8]>::trim_ascii)
        .filter(|name| {
            let usual: [&[u8]; 5] = [b"", b"close", b"keep-alive", b"upgrade", b"te"];
            !usual.iter().any(|usual| usual.eq_ignore_ascii_case(name))
        })
        .map(<[u8]>::to_ascii_lowercase)
        .collect();
    names.sort_unstable();
    names
}

/// Gives a request its id, before others are asked about it.
pub fn identify_request(x: &mut Exchange<'_>, listener: &Listener) {
    add_request_id(x, is_trusted(&listener.trusted_cidrs, x.client.address.ip()));
    x.has_id = true;
}

/// Gives the request an id, unless it has one and whoever sent it is trusted.
pub fn add_request_id(x: &mut Exchange<'_>, trusted: bool) {
    if x.has_id {
        return;
    }
    if trusted && x.head.fields.get(Known::XRequestId).is_some_and(|id| !id.is_empty() && id.len() <= 128) {
        return;
    }
    let id = u128::from(x.worker().random()) << 64 | u128::from(x.worker().random());
    x.head.fields.remove(Known::XRequestId);
    x.head.fields.push_known(Known::XRequestId, &hexadecimal(id));
}

/// A number in 32 hexadecimal digits.
fn hexadecimal(number: u128) -> [u8; 32] {
    let mut text = [0; 32];
    for (digits, byte) in text.chunks_exact_mut(2).zip(number.to_be_bytes()) {
        for (digit, value) in digits.iter_mut().zip([byte >> 4, byte & 15]) {
            *digit = value + if value < 10 { b'0' } else { b'a' - 10 };
        }
    }
    text
}

fn append_to_chain(fields: &mut Fields, peer: &[u8]) {
    let chain = fields.all(Known::XForwardedFor).collect::<Vec<_>>().join(&b", "[..]);
    fields.remove(Known::XForwardedFor);
    fields.push_known_with(Known::XForwardedFor, |out| {
        out.extend_from_slice(&chain);
        out.extend_from_slice(b", ");
        out.extend_from_slice(peer);
    });
}

/// `Forwarded` (RFC 7239): one element for this hop after those that came.
fn push_forwarded(x: &mut Exchange<'_>) {
    let before = x.head.fields.all(Known::Forwarded).collect::<Vec<_>>().join(&b", "[..]);
    let authority = x.head.authority().to_vec();
    let scheme = x.scheme.as_str();
    x.head.fields.remove(Known::Forwarded);
    x.head.fields.push_known_with(Known::Forwarded, |out| {
        if !before.is_empty() {
            out.extend_from_slice(&before);
            out.extend_from_slice(b", ");
        }
        out.extend_from_slice(b"for=");
        let (before, after): (&[u8], &[u8]) = match x.client.address.ip().to_canonical() {
            IpAddr::V4(_) => (b"", b""),
            IpAddr::V6(_) => (b"\"[", b"]\""),
        };
        out.extend_from_slice(before);
        out.extend_from_slice(x.client.address_text.as_bytes());
        out.extend_from_slice(after);
        if !authority.is_empty() {
            out.extend_from_slice(b";host=\"");
            out.extend_from_slice(&authority);
            out.push(b'"');
        }
        out.extend_from_slice(b";proto=");
        out.extend_from_slice(scheme.as_bytes());
    });
}

/// A request of HTTP/1.0 without host gets the address it is sent to, as HTTP/1.1 needs one (RFC 9112 §3.2).
pub fn name_host(x: &mut Exchange<'_>, endpoint: SocketAddr) {
    if x.head.fields.contains(Known::Host) {
        return;
    }
    match x.head.authority() {
        [] => x.head.fields.push_known(Known::Host, endpoint.to_string().as_bytes()),
        _ => {
            let name = x.head.fields.store(b"host");
            let authority = x.head.authority_span();
            x.head.fields.push_stored(Known::Host, name, authority);
        }
    }
}

/// The length that a message announces; its form was checked when it was read.
pub fn content_length(fields: &Fields) -> Option<u64> {
    parse_length(fields.get(Known::ContentLength)?).ok()
}
