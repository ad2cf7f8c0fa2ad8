//! `graph`: asks a running router who calls whom, and prints it.

use std::{io::Write, net::SocketAddr, time::Duration};

use anyhow::{Context as _, bail};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::{Request, StatusCode, body::Bytes, client::conn::http1};
use hyper_util::rt::TokioIo;
use selvedge_common::runtime::graph::{Graph, dot, table};
use tokio::{net::TcpStream, time::timeout};

use crate::args::{GraphArgs, GraphFormat};

/// Longest wait for the answer.
const LIMIT: Duration = Duration::from_secs(5);
/// Largest answer in bytes that is read.
const LARGEST: usize = 64 << 20;

/// Prints the service graph of the router whose admin address is given.
///
/// # Errors
/// Nobody listens there, or it is no router.
pub async fn print(args: &GraphArgs, output: &mut dyn Write) -> anyhow::Result<()> {
    let answered = timeout(LIMIT, fetch(args.admin)).await;
    let text = answered.context("no answer in time").flatten().with_context(|| {
        format!("cannot ask {} for the graph; is it the --admin address of a running router?", args.admin)
    })?;
    match args.format {
        GraphFormat::Json => writeln!(output, "{}", String::from_utf8_lossy(&text))?,
        format => {
            let graph: Graph = serde_json::from_slice(&text).context("the answer is no graph")?;
            let printed = if format == GraphFormat::Dot { dot(&graph) } else { table(&graph) };
            write!(output, "{printed}")?;
        }
    }
    Ok(())
}

async fn fetch(address: SocketAddr) -> anyhow::Result<Bytes> {
    let stream = TcpStream::connect(address).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let request = Request::get("/graph").header("Host", address.to_string()).body(Empty::<Bytes>::new())?;
    let asked = async {
        let response = sender.send_request(request).await?;
        match response.status() {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND => bail!("it does not tell callers apart"),
            status => bail!("it answered {status}"),
        }
        let body = Limited::new(response.into_body(), LARGEST).collect().await;
        Ok(body.map_err(|error| anyhow::anyhow!("{error}"))?.to_bytes())
    };
    tokio::pin!(asked);
    // The connection moves while it is asked, and need not end in order.
    tokio::select! {
        answer = &mut asked => answer,
        _ = connection => asked.await,
    }
}
