//! The quickstart tries itself: every request that it proposes, and the change of a file, with clients of its own.

use std::{fs, io::Write, net::SocketAddr, path::Path, sync::Arc, time::Duration};

use anyhow::{Context as _, bail, ensure};
use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls_pki_types::ServerName;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;
use tokio_tungstenite::tungstenite::Message;

use crate::{
    demo::{Addresses, Demo},
    services::GREETING,
    tries::{EDIT, Edit, Request, Try, tries},
};

/// Longest time for one answer, and for a change to take effect.
const PATIENCE: Duration = Duration::from_secs(20);

/// Starts the quickstart on free ports with a copy of this folder, tries everything and says how each went.
///
/// # Errors
/// The first thing that is not as it should be.
pub async fn run(manifests: &Path, output: &mut dyn Write) -> anyhow::Result<()> {
    let copy = tempfile::tempdir()?;
    for entry in fs::read_dir(manifests).with_context(|| format!("cannot read {}", manifests.display()))? {
        let path = entry?.path();
        if let Some(name) = path.file_name().filter(|_| path.is_file()) {
            fs::copy(&path, copy.path().join(name))?;
        }
    }
    let free = SocketAddr::from(([127, 0, 0, 1], 0));
    let addresses = Addresses { http: free, https: free, admin: free };
    let demo = Demo::start(addresses, copy.path(), false).await?;
    let client = Client::new(&demo)?;
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let trying = async {
        let done = client.all(copy.path(), output).await;
        drop(stop);
        done
    };
    let (done, ()) = tokio::join!(trying, demo.run(async { drop(stopped.await) }));
    done
}

/// Waits until the edge has its first snapshot.
///
/// # Errors
/// It is not ready after a long time.
pub async fn ready(admin: SocketAddr) -> anyhow::Result<()> {
    let client = async {
        while !get(TcpStream::connect(admin).await?, "admin", "/readyz").await?.starts_with("200") {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        anyhow::Ok(())
    };
    tokio::time::timeout(PATIENCE, client).await.context("the edge is not ready in time")?
}

struct Client {
    addresses: Addresses,
    tls: TlsConnector,
}

impl Client {
    /// A client that trusts the certificate of the quickstart and no other.
    fn new(demo: &Demo) -> anyhow::Result<Self> {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(demo.certificate.clone())?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config =
            rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
        let config = config.with_root_certificates(roots).with_no_client_auth();
        Ok(Self { addresses: demo.addresses, tls: Arc::new(config).into() })
    }

    async fn all(&self, manifests: &Path, output: &mut dyn Write) -> anyhow::Result<()> {
        ready(self.addresses.admin).await?;
        for Try { about, line, request, expected } in tries(self.addresses) {
            let answer = self.ask(request).await.with_context(|| format!("{about}: {line}"))?;
            ensure!(answer.contains(expected), "{about}: {line}\nexpected: {expected}\nanswered: {answer}");
            writeln!(output, "ok  {about}")?;
        }
        let Edit { file, from, to, request, expected } = EDIT;
        let path = manifests.join(file);
        let before = self.ask(request).await?;
        ensure!(!before.contains(expected), "answered before the change: {before}");
        replace(&path, from, to)?;
        self.until(request, |answer| answer.contains(expected))
            .await
            .context("after the change of a file")?;
        writeln!(output, "ok  a changed file")?;
        replace(&path, to, from)?;
        self.until(request, |answer| answer == before).await.context("after the change was undone")?;
        writeln!(output, "ok  the same file as it was")?;
        Ok(())
    }

    /// Asks until the answer is as wanted.
    async fn until(&self, request: Request, wanted: impl Fn(&str) -> bool) -> anyhow::Result<()> {
        let asking = async {
            while !wanted(&self.ask(request).await?) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            anyhow::Ok(())
        };
        tokio::time::timeout(PATIENCE, asking).await.context("the answer stays as it was")?
    }

    /// Status and what else the request is about, as text.
    async fn ask(&self, request: Request) -> anyhow::Result<String> {
        let Addresses { http, https, admin } = self.addresses;
        let asking = async {
            match request {
                Request::Http(host, path) => get(TcpStream::connect(http).await?, host, path).await,
                Request::Https(host, path) => {
                    let stream = TcpStream::connect(https).await?;
                    get(self.tls.connect(ServerName::try_from(host)?, stream).await?, host, path).await
                }
                Request::WebSocket(host) => web_socket(http, host).await,
                Request::Grpc(host, path) => grpc(http, host, path).await,
                Request::Admin(path) => get(TcpStream::connect(admin).await?, "admin", path).await,
            }
        };
        tokio::time::timeout(PATIENCE, asking).await.context("no answer in time")?
    }
}

/// Status and body of a GET over HTTP/1.1.
async fn get(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    host: &str,
    path: &str,
) -> anyhow::Result<String> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let request = http::Request::get(path).header("host", host).body(Full::<Bytes>::default())?;
    let response = sender.send_request(request).await?;
    let status = response.status();
    let body = response.into_body().collect().await?.to_bytes();
    Ok(format!("{} {}", status.as_u16(), String::from_utf8_lossy(&body)))
}

/// The first message of a WebSocket that also sends back what it gets.
async fn web_socket(address: SocketAddr, host: &str) -> anyhow::Result<String> {
    let stream = TcpStream::connect(address).await?;
    let (mut socket, _) = tokio_tungstenite::client_async(format!("ws://{host}/"), stream).await?;
    let first = socket.next().await.context("closed before a message")??;
    socket.send(Message::text("and back")).await?;
    let second = socket.next().await.context("closed before the echo")??;
    ensure!(second == Message::text("and back"), "the echo is {second:?}");
    socket.close(None).await?;
    Ok(first.into_text()?.to_string())
}

/// The trailers of a gRPC call whose answer is the greeting.
async fn grpc(address: SocketAddr, host: &str, path: &str) -> anyhow::Result<String> {
    let stream = TokioIo::new(TcpStream::connect(address).await?);
    let (mut sender, connection) = http2::handshake(TokioExecutor::new(), stream).await?;
    tokio::spawn(connection);
    let request = http::Request::post(format!("http://{host}{path}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(Full::new(Bytes::from_static(&[0; 5])))?;
    let body = sender.send_request(request).await?.into_body().collect().await?;
    let trailers = body.trailers().cloned().unwrap_or_default();
    let message = body.to_bytes();
    ensure!(message == GREETING, "the message is {message:?}");
    let trailers =
        trailers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap_or_default()));
    Ok(trailers.collect::<Vec<_>>().join("\n"))
}

/// As `sed -i` does: a new file takes the place of the old one. What is replaced is there just once, so that it can
/// be undone.
fn replace(path: &Path, from: &str, to: &str) -> anyhow::Result<()> {
    let text = fs::read_to_string(path)?;
    if text.matches(from).count() != 1 || text.contains(to) {
        bail!("{} must hold {from} once and {to} not at all", path.display());
    }
    let beside = path.with_extension("new");
    fs::write(&beside, text.replace(from, to))?;
    Ok(fs::rename(beside, path)?)
}
