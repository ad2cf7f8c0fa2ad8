//! What there is to try: each request as a line for a shell, as something to send, and with its answer.

use std::net::SocketAddr;

use crate::{demo::Addresses, services::WELCOME};

/// Something to try.
#[derive(Debug)]
pub struct Try {
    /// What it shows.
    pub about: &'static str,
    /// The same for a shell.
    pub line: String,
    /// What is sent.
    pub request: Request,
    /// What the answer contains.
    pub expected: &'static str,
}

/// What is sent.
#[derive(Clone, Copy, Debug)]
pub enum Request {
    /// A GET in clear text.
    Http(&'static str, &'static str),
    /// A GET over TLS.
    Https(&'static str, &'static str),
    /// A WebSocket is opened and its first message read.
    WebSocket(&'static str),
    /// A gRPC call over HTTP/2 in clear text; the answer is its trailers.
    Grpc(&'static str, &'static str),
    /// A GET to the admin address.
    Admin(&'static str),
}

/// A change of a file while the edge runs, and back.
#[derive(Debug)]
pub struct Edit {
    /// The file in the folder of manifests.
    pub file: &'static str,
    /// What is in it once.
    pub from: &'static str,
    /// What takes its place.
    pub to: &'static str,
    /// The request that shows the change.
    pub request: Request,
    /// Its answer after the change.
    pub expected: &'static str,
}

/// The change that the quickstart proposes.
pub const EDIT: Edit = Edit {
    file: "api.yaml",
    from: "api-v1",
    to: "api-v2",
    request: Request::Http("shop.example", "/api/items"),
    expected: "api-v2: GET /api/items for shop.example over http",
};

/// What to try at these addresses, in order.
pub fn tries(addresses: Addresses) -> Vec<Try> {
    let cases = [
        (
            "a path of the shop",
            Request::Http("shop.example", "/cart"),
            "shop: GET /cart for shop.example over http",
        ),
        (
            "a longer path, from another Ingress of the same host",
            Request::Http("shop.example", "/api/items"),
            "api-v1: GET /api/items for shop.example over http",
        ),
        (
            "the longest one wins",
            Request::Http("shop.example", "/api/v2/items"),
            "api-v2: GET /api/v2/items for shop.example over http",
        ),
        (
            "paths are compared by their elements",
            Request::Http("shop.example", "/apiary"),
            "shop: GET /apiary for shop.example over http",
        ),
        (
            "TLS, with a certificate that was made just now",
            Request::Https("shop.example", "/cart"),
            "shop: GET /cart for shop.example over https",
        ),
        (
            "no rule matches: the default backend",
            Request::Http("other.example", "/"),
            "fallback: GET / for other.example over http",
        ),
        (
            "a WebSocket; curl shows its first message and stops after a second",
            Request::WebSocket("chat.example"),
            WELCOME,
        ),
        (
            "gRPC over HTTP/2 in clear text",
            Request::Grpc("greeter.example", "/demo.Greeter/Hello"),
            "grpc-status: 0",
        ),
        ("health of the edge; /metrics and /snapshot are there as well", Request::Admin("/readyz"), "ready"),
    ];
    let line = |request| line(addresses, request);
    cases
        .into_iter()
        .map(|(about, request, expected)| Try { about, line: line(request), request, expected })
        .collect()
}

/// A request as a line for a shell.
pub fn line(addresses: Addresses, request: Request) -> String {
    let Addresses { http, https, admin } = addresses;
    let to = |address: SocketAddr| format!("--connect-to ::{address}");
    match request {
        Request::Http(host, path) => format!("curl {} http://{host}{path}", to(http)),
        Request::Https(host, path) => format!("curl -k {} https://{host}{path}", to(https)),
        Request::WebSocket(host) => format!(
            "curl -si -N -m 1 -o - {} -H 'Connection: Upgrade' -H 'Upgrade: websocket' \
             -H 'Sec-WebSocket-Version: 13' -H 'Sec-WebSocket-Key: c2VsdmVkZ2UgcXVpY2tzdA==' http://{host}/",
            to(http)
        ),
        Request::Grpc(host, path) => format!(
            "printf '\\0\\0\\0\\0\\0' | curl -si -o - --http2-prior-knowledge {} -H 'te: trailers' \
             -H 'content-type: application/grpc' --data-binary @- http://{host}{path}",
            to(http)
        ),
        Request::Admin(path) => format!("curl http://{admin}{path}"),
    }
}
