//! The shop tries itself: many pages, and what the router made of the calls behind them.

use std::{io::Write, net::SocketAddr, path::Path, time::Duration};

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;

use super::mesh::{Addresses, Mesh};

/// Pages that are asked for.
pub const PAGES: u64 = 200;
/// Longest time for anything.
const PATIENCE: Duration = Duration::from_secs(30);

/// Starts the shop on free ports, asks for pages and says how the split, the copies, the retries and the ejection went.
///
/// # Errors
/// The first thing that is not as it should be.
pub async fn run(manifests: &Path, output: &mut dyn Write) -> anyhow::Result<()> {
    let free = SocketAddr::from(([127, 0, 0, 1], 0));
    let addresses = Addresses { edge: free, router: free, router_admin: free };
    let mesh = Mesh::start(addresses, manifests, false).await?;
    let addresses = mesh.addresses;
    let seen: Vec<_> = mesh.seen.clone();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let trying = async {
        let done = tokio::time::timeout(PATIENCE, all(addresses, &seen, output)).await;
        drop(stop);
        done.context("not done in time")?
    };
    let (done, ()) = tokio::join!(trying, mesh.run(async { drop(stopped.await) }));
    done
}

type SeenBy = [(&'static str, std::sync::Arc<super::Seen>)];

async fn all(addresses: Addresses, seen: &SeenBy, output: &mut dyn Write) -> anyhow::Result<()> {
    let got = |service: &str| -> u64 {
        seen.iter().filter(|(name, _)| *name == service).map(|(_, seen)| seen.get()).sum()
    };
    first_page(addresses.edge).await?;
    for _ in 1..PAGES {
        let page = get(addresses.edge, "shop.example", "/").await?;
        ensure!(page.starts_with("200 "), "a page is {page}");
    }
    writeln!(output, "ok  {PAGES} pages, though one endpoint of payments hangs up and orders often fails")?;
    let (old, new) = (got("catalog"), got("catalog-v2"));
    ensure!(old + new == got("monolith"), "{old} and {new} of {} calls", got("monolith"));
    ensure!(new * 20 >= PAGES && new * 2 <= PAGES, "catalog-v2 got {new} of {PAGES}");
    writeln!(output, "ok  split: catalog {old}, catalog-v2 {new}")?;
    ensure!(got("orders") > got("monolith"), "orders got {} calls", got("orders"));
    writeln!(output, "ok  retries: orders was asked {} times for {} pages", got("orders"), got("monolith"))?;
    while got("orders-next") < got("monolith") / 2 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    writeln!(output, "ok  mirror: orders-next got {} copies", got("orders-next"))?;
    let metrics = get(addresses.router_admin, "admin", "/metrics").await?;
    let ejections = metrics.lines().find_map(|line| line.strip_prefix("selvedge_upstream_ejections_total "));
    ensure!(ejections.is_some_and(|count| count != "0"), "ejections: {ejections:?}");
    writeln!(output, "ok  ejection: the endpoint of payments that hangs up gets nothing any more")?;
    let graph = get(addresses.router_admin, "admin", "/graph").await?;
    let graph: Value = serde_json::from_str(graph.trim_start_matches("200 ")).context("/graph is no JSON")?;
    let calls = |destination: &str| {
        let mut edges = graph["edges"].as_array().into_iter().flatten();
        edges.any(|edge| edge["source"] == "shop/monolith-0" && edge["destination"] == destination)
    };
    ensure!(
        calls("shop/catalog") && calls("shop/orders") && calls("shop/payments"),
        "the graph is {graph:#}"
    );
    writeln!(output, "ok  graph: the router knows who calls whom")?;
    Ok(())
}

/// Both programs need a moment until they have read everything.
async fn first_page(edge: SocketAddr) -> anyhow::Result<()> {
    while !get(edge, "shop.example", "/").await.is_ok_and(|page| page.starts_with("200 ")) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Ok(())
}

/// Status and body of a GET over HTTP/1.1.
///
/// # Errors
/// Nobody answers there.
pub async fn get(address: SocketAddr, host: &str, path: &str) -> anyhow::Result<String> {
    let stream = TcpStream::connect(address).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let request = http::Request::get(path).header("host", host).body(Empty::<Bytes>::new())?;
    let response = sender.send_request(request).await?;
    let status = response.status();
    let body = response.into_body().collect().await?.to_bytes();
    Ok(format!("{} {}", status.as_u16(), String::from_utf8_lossy(&body)))
}
