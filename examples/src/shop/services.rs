//! The services of the shop: small, plain HTTP/1.1, some of them not quite well.

use std::{
    convert::Infallible,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};

use super::{Seen, monolith::Monolith};

/// Every so many requests orders answers 503.
const ORDERS_FAILS_EVERY: u64 = 3;

/// What a server of the shop does.
#[derive(Clone, Debug)]
pub enum Behaviour {
    /// Says its name.
    Plain,
    /// Says its name, but for each third request 503.
    Flaky,
    /// Hangs up once it was asked.
    HangsUp,
    /// Asks the others and tells what they said.
    Monolith(Monolith),
}

/// One server of the shop.
#[derive(Clone, Debug)]
pub struct Server {
    /// The service that it belongs to.
    pub name: &'static str,
    /// What it does.
    pub behaviour: Behaviour,
    /// What it has got.
    pub seen: Arc<Seen>,
}

/// The services that say their names, those that are not well included.
const NAMES: [&str; 5] = ["catalog", "catalog-v2", "orders", "orders-next", "payments"];

impl Server {
    /// A server of the service with this name; `None` if the shop has none.
    pub fn of(name: &str, proxy: Option<SocketAddr>) -> Option<Self> {
        if name == "monolith" {
            let monolith = Monolith { proxy: proxy?, from: IpAddr::V4(Ipv4Addr::UNSPECIFIED) };
            return Some(Self::new("monolith", Behaviour::Monolith(monolith)));
        }
        let name = NAMES.into_iter().find(|known| *known == name)?;
        let behaviour = if name == "orders" { Behaviour::Flaky } else { Behaviour::Plain };
        Some(Self::new(name, behaviour))
    }

    /// A server that has got nothing yet.
    pub fn new(name: &'static str, behaviour: Behaviour) -> Self {
        Self { name, behaviour, seen: Arc::default() }
    }

    /// Starts it within the runtime that this is called in and for as long as that lives.
    ///
    /// # Errors
    /// The address cannot be bound.
    pub async fn start(self, address: SocketAddr) -> std::io::Result<SocketAddr> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        tokio::spawn(async move {
            loop {
                match listener.accept().await {
                    Ok((stream, _)) => drop(tokio::spawn(self.clone().serve(stream))),
                    // Too many open files; others will close some.
                    Err(_) => tokio::task::yield_now().await,
                }
            }
        });
        Ok(address)
    }

    /// Serves a connection. How it ends concerns nobody.
    async fn serve(self, stream: TcpStream) {
        let service = service_fn(|request| self.answer(request));
        let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
    }

    async fn answer(&self, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, HungUp> {
        let number = self.seen.count();
        let path = request.uri().path().to_owned();
        // Read to its end, as a real one would.
        let _ = request.into_body().collect().await;
        let (status, text) = match &self.behaviour {
            Behaviour::Plain => (StatusCode::OK, format!("{} for {path}\n", self.name)),
            Behaviour::Flaky if number.is_multiple_of(ORDERS_FAILS_EVERY) => {
                (StatusCode::SERVICE_UNAVAILABLE, "busy\n".to_owned())
            }
            Behaviour::Flaky => (StatusCode::OK, format!("{} for {path}\n", self.name)),
            Behaviour::HangsUp => return Err(HungUp),
            Behaviour::Monolith(monolith) => monolith.page().await,
        };
        let mut response = Response::new(Full::new(Bytes::from(text)));
        *response.status_mut() = status;
        Ok(response)
    }
}

/// A server that closes the connection instead of an answer.
#[derive(Debug, thiserror::Error)]
#[error("hung up")]
struct HungUp;

impl From<Infallible> for HungUp {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}
