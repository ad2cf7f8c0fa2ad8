//! The monolith: a program that knows nothing of a mesh and calls its neighbours as programs have always done.
//!
//! That is plain HTTP, through the proxy that its environment names.

use std::net::{IpAddr, SocketAddr};

use anyhow::Context as _;
use bytes::Bytes;
use http::StatusCode;
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpSocket;

/// Whom it asks for each page.
pub const NEIGHBOURS: [&str; 3] = ["catalog", "orders", "payments"];

/// Where its calls go out.
#[derive(Clone, Copy, Debug)]
pub struct Monolith {
    /// What `http_proxy` says.
    pub proxy: SocketAddr,
    /// Address that it calls from; unspecified lets the system choose.
    pub from: IpAddr,
}

impl Monolith {
    /// A page made of what the neighbours say; 502 if one of them fails.
    pub(super) async fn page(self) -> (StatusCode, String) {
        let mut page = String::from("the shop\n");
        for neighbour in NEIGHBOURS {
            match self.call(neighbour).await {
                Ok(text) => page.push_str(&text),
                Err(error) => return (StatusCode::BAD_GATEWAY, format!("{neighbour}: {error:#}\n")),
            }
        }
        (StatusCode::OK, page)
    }

    async fn call(self, neighbour: &str) -> anyhow::Result<String> {
        let socket = if self.proxy.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        if !self.from.is_unspecified() {
            socket.bind((self.from, 0).into())?;
        }
        let stream = socket.connect(self.proxy).await.context("the proxy does not answer")?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        // What every HTTP client sends to a proxy (RFC 9112 §3.2.2). The name is as short as in its configuration of
        // old: the router knows the namespace of who asks.
        let request = http::Request::get(format!("http://{neighbour}/page"))
            .header("host", neighbour)
            .body(Empty::<Bytes>::new())?;
        let response = sender.send_request(request).await?;
        let status = response.status();
        let body = response.into_body().collect().await?.to_bytes();
        anyhow::ensure!(status.is_success(), "{status}");
        Ok(format!("  {}", String::from_utf8_lossy(&body)))
    }
}
