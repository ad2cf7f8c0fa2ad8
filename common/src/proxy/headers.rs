//! Header fields on their way: what is taken away, and what the proxy adds of its own.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;

use super::{exchange::Exchange, identity::name_caller, respond::add_own_fields};
use crate::{
    filter::FilterContext,
    message::{Fields, Known, ResponseHead, Scheme, lists},
    model::Listener,
};

/// Takes from a request what forwarded fields say of the client, if whoever sent them is trusted.
pub fn believe_forwarded(x: &mut Exchange<'_>, listener: &Listener) {
    let trusted = &listener.trusted_cidrs;
    if !is_trusted(trusted, x.client.address.ip()) {
        return;
    }
    if let Some(client) = first_untrusted(&x.head.fields, trusted) {
        x.client_ip = client;
    }
    match x.head.fields.get(Known::XForwardedProto) {
        Some(proto) if proto.eq_ignore_ascii_case(b"https") => x.scheme = Scheme::Https,
        Some(proto) if proto.eq_ignore_ascii_case(b"http") => x.scheme = Scheme::Http,
        _ => {}
    }
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
        scheme: x.scheme,
        port,
        https_port: x.https_port,
        now: x.start(),
        random: worker.random(),
        rates: &worker.shared.rate_limits,
    }
}

/// Makes the head of a request ready for a backend: hop-by-hop fields go, forwarded fields are added.
/// `upgrade` keeps the `Upgrade` field of a request that may become a tunnel.
pub fn towards_backend(x: &mut Exchange<'_>, listener: &Listener, upgrade: bool) {
    let trusted = is_trusted(&listener.trusted_cidrs, x.client.address.ip());
    // What the client's `Connection` names is gone since it came; what filters have set since then stays.
    strip_hop_by_hop(&mut x.head.fields, upgrade, &[]);
    if x.destination.is_some() {
        // Who calls from where within the cluster is nobody's business beyond it.
        x.head.fields.retain(|known, _, _| known != Known::Proxy && !known.tells_of_clients());
        return;
    }
    add_request_id(x, trusted);
    let fields = &mut x.head.fields;
    let chain = trusted && fields.contains(Known::XForwardedFor);
    let has = |known| trusted && fields.contains(known);
    let (proto, host, port) =
        (has(Known::XForwardedProto), has(Known::XForwardedHost), has(Known::XForwardedPort));
    fields.retain(|known, _, _| match known {
        Known::XRealIp | Known::Proxy => false,
        Known::XForwardedProto => proto,
        Known::XForwardedHost => host,
        Known::XForwardedPort => port,
        Known::XForwardedFor | Known::Forwarded => trusted,
        _ => true,
    });
    let peer = x.client.address.ip();
    match chain {
        true => append_to_chain(fields, peer),
        false => push_ip(fields, b"x-forwarded-for", peer),
    }
    push_ip(fields, b"x-real-ip", x.client_ip);
    let authority = x.head.authority_span();
    if !host && !authority.is_empty() {
        let fields = &mut x.head.fields;
        let name = fields.store(b"x-forwarded-host");
        fields.push_stored(name, authority);
    }
    if !port {
        let port = listener.public_port;
        x.head.fields.push_with(b"x-forwarded-port", |out| {
            out.extend_from_slice(itoa::Buffer::new().format(port).as_bytes())
        });
    }
    if !proto {
        x.head.fields.push(b"x-forwarded-proto", x.scheme.as_str().as_bytes());
    }
    if listener.forwarded_field {
        push_forwarded(x, peer);
    }
    if listener.identify {
        name_caller(x);
    }
}

/// Removes from a request that has just come what its `Connection` names (RFC 9110 §7.6.1), but never a field that the
/// message depends on. Before anything else is done with it: else a client could name fields that the proxy adds.
pub fn drop_nominated(fields: &mut Fields) {
    let nominated = nominated_fields(fields);
    if !nominated.is_empty() {
        fields.retain(|known, name, _| {
            known.is_hop_by_hop() || known.is_protected() || !is_nominated(&nominated, name)
        });
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
    add_own_fields(x, head);
}

fn is_trusted(trusted: &[IpNet], ip: IpAddr) -> bool {
    !trusted.is_empty() && trusted.iter().any(|net| net.contains(&ip.to_canonical()))
}

/// The last address of `X-Forwarded-For` that is not a trusted proxy; the first one if all are.
fn first_untrusted(fields: &Fields, trusted: &[IpNet]) -> Option<IpAddr> {
    let values: Vec<&[u8]> = fields.all(Known::XForwardedFor).collect();
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
    let trailers = fields.all(Known::Te).any(|value| lists(value, b"trailers"));
    fields.retain(|known, name, _| match known {
        Known::Upgrade => upgrade,
        known if known.is_hop_by_hop() => false,
        known if known.is_protected() => true,
        _ => nominated.is_empty() || !is_nominated(nominated, name),
    });
    if trailers {
        // RFC 9110 §10.1.4: the one value that says something of the next hop too; gRPC insists on it.
        fields.push(b"te", b"trailers");
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

fn add_request_id(x: &mut Exchange<'_>, trusted: bool) {
    if trusted && x.head.fields.get(Known::XRequestId).is_some_and(|id| !id.is_empty() && id.len() <= 128) {
        return;
    }
    let (high, low) = (x.worker().random(), x.worker().random());
    x.head.fields.remove(Known::XRequestId);
    x.head.fields.push_with(b"x-request-id", |out| {
        for word in [high, low] {
            out.extend((0..16).rev().map(|digit| b"0123456789abcdef"[(word >> (digit * 4)) as usize & 15]));
        }
    });
}

fn append_to_chain(fields: &mut Fields, peer: IpAddr) {
    let chain = fields.all(Known::XForwardedFor).collect::<Vec<_>>().join(&b", "[..]);
    fields.remove(Known::XForwardedFor);
    fields.push_with(b"x-forwarded-for", |out| {
        out.extend_from_slice(&chain);
        out.extend_from_slice(b", ");
        write_ip(out, peer);
    });
}

fn push_ip(fields: &mut Fields, name: &[u8], ip: IpAddr) {
    fields.push_with(name, |out| write_ip(out, ip));
}

fn write_ip(out: &mut Vec<u8>, ip: IpAddr) {
    use std::io::Write;
    let written = match ip.to_canonical() {
        IpAddr::V4(v4) => {
            let [a, b, c, d] = v4.octets();
            let mut buffer = itoa::Buffer::new();
            for (index, octet) in [a, b, c, d].into_iter().enumerate() {
                if index > 0 {
                    out.push(b'.');
                }
                out.extend_from_slice(buffer.format(octet).as_bytes());
            }
            Ok(())
        }
        IpAddr::V6(v6) => write!(out, "{v6}"),
    };
    // Writing to a Vec cannot fail.
    debug_assert!(written.is_ok());
}

/// `Forwarded` (RFC 7239): one element for this hop after those that came.
fn push_forwarded(x: &mut Exchange<'_>, peer: IpAddr) {
    let before = x.head.fields.all(Known::Forwarded).collect::<Vec<_>>().join(&b", "[..]);
    let authority = x.head.authority().to_vec();
    let scheme = x.scheme.as_str();
    x.head.fields.remove(Known::Forwarded);
    x.head.fields.push_with(b"forwarded", |out| {
        if !before.is_empty() {
            out.extend_from_slice(&before);
            out.extend_from_slice(b", ");
        }
        out.extend_from_slice(b"for=");
        match peer.to_canonical() {
            IpAddr::V4(_) => write_ip(out, peer),
            IpAddr::V6(_) => {
                out.extend_from_slice(b"\"[");
                write_ip(out, peer);
                out.extend_from_slice(b"]\"");
            }
        }
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
        [] => x.head.fields.push(b"host", endpoint.to_string().as_bytes()),
        _ => {
            let name = x.head.fields.store(b"host");
            let authority = x.head.authority_span();
            x.head.fields.push_stored(name, authority);
        }
    }
}

/// The length that a message announces; its form was checked when it was read.
pub fn content_length(fields: &Fields) -> Option<u64> {
    std::str::from_utf8(fields.get(Known::ContentLength)?).ok()?.parse().ok()
}
