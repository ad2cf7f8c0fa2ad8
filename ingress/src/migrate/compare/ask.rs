//! Asking: one request on a connection of its own, and as much of the answer as is compared.

use std::{
    hash::{DefaultHasher, Hasher},
    time::Duration,
};

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::{Request, Response, body::Incoming, client::conn::http1, header};
use hyper_util::rt::TokioIo;
use rustls_pki_types::ServerName;
use selvedge_common::{model::BackendProtocol, upstream::tls::client_settings};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::TlsConnector;

use super::{Place, questions::Question};

/// Most bytes of a body that are looked at.
const MOST_BODY: u64 = 1 << 20;
/// Most bytes of it that are kept.
const MOST_KEPT: usize = 1 << 16;
/// Where requests that ask what other hosts may do come from.
const ORIGIN: &str = "https://selvedge-compare.invalid";

/// What is compared of an answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Answer {
    pub status: u16,
    /// Name in small letters and value, in order.
    pub fields: Vec<(String, String)>,
    /// Length and sum of the body, or of its begin.
    pub length: u64,
    pub sum: u64,
    /// The body itself, if it is not too long.
    pub body: Vec<u8>,
}

/// Asks, and gives it no longer than this.
pub(super) async fn ask(place: &Place, question: &Question, longest: Duration) -> Result<Answer, String> {
    match timeout(longest, answer(place, question)).await {
        Ok(answer) => answer,
        Err(_) => Err("no whole answer in time".into()),
    }
}

async fn answer(place: &Place, question: &Question) -> Result<Answer, String> {
    let address = place.address(question.is_tls).ok_or("there is no address for it")?;
    let tcp = TcpStream::connect(address).await.map_err(|error| format!("cannot connect: {error}"))?;
    if !question.is_tls {
        return exchange(tcp, question).await;
    }
    let name = ServerName::try_from(question.host.clone()).map_err(|error| error.to_string())?;
    // What is compared is the answer, so any certificate will do; nothing secret is sent.
    let connector = TlsConnector::from(client_settings(BackendProtocol::Http1));
    let tls = connector.connect(name, tcp).await.map_err(|error| format!("no TLS: {error}"))?;
    exchange(tls, question).await
}

async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    question: &Question,
) -> Result<Answer, String> {
    let told = |error: hyper::Error| format!("no answer: {error}");
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(told)?;
    let connection = tokio::spawn(connection);
    let mut request = Request::builder()
        .method(question.method.as_str())
        .uri(question.path.as_str())
        .header(header::HOST, &question.host)
        .header(header::USER_AGENT, "selvedge-ingress migrate")
        .header(header::ACCEPT, "*/*")
        .header(header::CONNECTION, "close");
    if question.method == "OPTIONS" {
        request = request.header(header::ORIGIN, ORIGIN).header(header::ACCESS_CONTROL_REQUEST_METHOD, "GET");
    }
    let request = request.body(Empty::<Bytes>::new()).map_err(|error| format!("no request: {error}"))?;
    let answer = match sender.send_request(request).await {
        Ok(response) => read(response).await,
        Err(error) => Err(told(error)),
    };
    // What is left of the answer is of no use.
    connection.abort();
    answer
}

async fn read(response: Response<Incoming>) -> Result<Answer, String> {
    let (head, mut body) = response.into_parts();
    let text = |value: &header::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let fields = head.headers.iter().map(|(name, value)| (name.as_str().to_owned(), text(value)));
    let mut answer = Answer { status: head.status.as_u16(), fields: fields.collect(), ..Answer::default() };
    let mut sum = DefaultHasher::new();
    while answer.length < MOST_BODY
        && let Some(frame) = body.frame().await
    {
        let frame = frame.map_err(|error| format!("a broken body: {error}"))?;
        let Ok(data) = frame.into_data() else { continue };
        // How it is cut into frames must not matter, nor how far the last one reaches.
        let room = usize::try_from(MOST_BODY - answer.length).unwrap_or(usize::MAX);
        let data = &data[..data.len().min(room)];
        data.iter().for_each(|byte| sum.write_u8(*byte));
        answer.length += data.len() as u64;
        answer.body.extend(data);
        answer.body.truncate(MOST_KEPT + 1);
    }
    if answer.body.len() > MOST_KEPT {
        answer.body.clear();
    }
    answer.sum = sum.finish();
    Ok(answer)
}
