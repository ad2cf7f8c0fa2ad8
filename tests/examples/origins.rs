//! Origins for the Services of an example: each answers with its name and the version of HTTP that it saw.

use std::{
    convert::Infallible,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::LazyLock,
};

use bytes::Bytes;
use http::{Request, Response, Version};
use http_body_util::Full;
use hyper::{
    body::Incoming,
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use selvedge_tests::edge;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};

/// Field in which an origin says what it was asked in.
pub const PROTOCOL: &str = "x-protocol";

/// The first bytes of HTTP/2 (RFC 9113 section 3.4).
const PREFACE: &[u8] = b"PRI ";

static RUNTIME: LazyLock<tokio::runtime::Runtime> = LazyLock::new(|| {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(1).enable_all().build().expect("a runtime starts")
});

/// Puts origins under the objects of an example: EndpointSlices for Services that have none, own addresses in
/// those that it has, and a Secret for each that TLS names.
pub fn supply(objects: &mut Vec<Value>) -> Vec<rustls_pki_types::CertificateDer<'static>> {
    let services: Vec<_> = objects.iter().filter(|object| object["kind"] == "Service").cloned().collect();
    let mut sliced = Vec::new();
    for slice in objects.iter_mut().filter(|object| object["kind"] == "EndpointSlice") {
        sliced.push(slice["metadata"]["labels"]["kubernetes.io/service-name"].clone());
        let address = start(text(&slice["metadata"]["name"]), slice["addressType"] == "IPv6");
        slice["endpoints"][0]["addresses"] = json!([address.ip().to_string()]);
        slice["ports"][0]["port"] = json!(address.port());
    }
    let unsliced = services.iter().filter(|service| !sliced.contains(&service["metadata"]["name"]));
    let slices: Vec<_> = unsliced.flat_map(slices).collect();
    objects.extend(slices);
    let (secrets, certificates): (Vec<_>, Vec<_>) = secrets(objects).into_iter().unzip();
    objects.extend(secrets);
    certificates
}

/// A slice with an origin of its own for each port of a Service. Its name is that of the Service, and of the port
/// where there are several.
fn slices(service: &Value) -> Vec<Value> {
    let name = text(&service["metadata"]["name"]);
    let ports = service["spec"]["ports"].as_array().cloned().unwrap_or_default();
    if service["spec"]["type"] == "ExternalName" {
        return Vec::new();
    }
    let ipv6 = service["spec"]["ipFamilies"][0] == "IPv6";
    let slice = |port: &Value| {
        let port_name = port["name"].as_str();
        let origin = match port_name {
            Some(port) if ports.len() > 1 => format!("{name}:{port}"),
            _ => name.to_owned(),
        };
        let address = start(&origin, ipv6);
        edge::slice(&origin.replace(':', "-"), name, port_name, address)
    };
    ports.iter().map(slice).collect()
}

fn secrets(objects: &[Value]) -> Vec<(Value, rustls_pki_types::CertificateDer<'static>)> {
    let tls = objects.iter().filter_map(|object| object["spec"]["tls"].as_array()).flatten();
    let secret = |tls: &Value| {
        let hosts = tls["hosts"].as_array().expect("examples name the hosts of a certificate");
        edge::tls_secret(text(&tls["secretName"]), &hosts.iter().map(text).collect::<Vec<_>>())
    };
    tls.map(secret).collect()
}

fn text(value: &Value) -> &str {
    value.as_str().expect("a name is text")
}

/// Starts an origin that lives as long as the process.
fn start(name: &str, ipv6: bool) -> SocketAddr {
    let ip = if ipv6 { IpAddr::from(Ipv6Addr::LOCALHOST) } else { Ipv4Addr::LOCALHOST.into() };
    let listener = std::net::TcpListener::bind((ip, 0)).expect("loopback has free ports");
    listener.set_nonblocking(true).expect("sockets can be so");
    let address = listener.local_addr().expect("a bound socket has an address");
    let name = name.to_owned();
    RUNTIME.spawn(async move {
        let listener = TcpListener::from_std(listener).expect("the runtime takes sockets");
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, name.clone()));
        }
    });
    address
}

/// Serves HTTP/1.1, or HTTP/2 to those who begin with it.
async fn serve(stream: TcpStream, name: String) {
    let mut first = [0; PREFACE.len()];
    while stream.peek(&mut first).await.is_ok_and(|count| (1..first.len()).contains(&count)) {}
    let service = service_fn(move |request: Request<Incoming>| {
        let protocol = if request.version() == Version::HTTP_2 { "HTTP/2" } else { "HTTP/1.1" };
        let response =
            Response::builder().header(PROTOCOL, protocol).body(Full::new(Bytes::from(name.clone())));
        async move { Ok::<_, Infallible>(response.expect("the field is right")) }
    });
    let stream = TokioIo::new(stream);
    // The edge closes connections as it likes.
    match first == PREFACE {
        true => drop(http2::Builder::new(TokioExecutor::new()).serve_connection(stream, service).await),
        false => drop(http1::Builder::new().serve_connection(stream, service).await),
    }
}
