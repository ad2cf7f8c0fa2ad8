//! A collector of OpenTelemetry spans over gRPC or HTTP, which takes what it is sent apart by itself.

use std::{
    collections::BTreeMap,
    io::{BufReader, Write},
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use http::{Request, Response};
use http_body_util::BodyExt;
use hyper::{body::Frame, body::Incoming};
use rustls::{ServerConnection, StreamOwned};
use selvedge_common::model::Certificate;

use crate::{
    http2::{Body, Http2Origin, full, grpc_trailers, pieces},
    origin::{After, Origin, Seen, read_request},
    tls,
    waiting::until,
};

/// What a collector answers to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It takes the spans.
    Take,
    /// It takes all but this many.
    TakeBut(u8),
    /// It fails with this status of gRPC.
    Fail(&'static str),
    /// It does not answer.
    Hang,
}

/// One span as it came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// Attribute `service.name` of its resource.
    pub service: String,
    /// Id of its trace in hexadecimal digits.
    pub trace_id: String,
    /// Its own id.
    pub span_id: String,
    /// Id of the span that it was made in; empty if there is none.
    pub parent: String,
    /// What it is called.
    pub name: String,
    /// Its kind; 2 is a server's.
    pub kind: u64,
    /// Begin and end in nanoseconds since 1970.
    pub time: (u64, u64),
    /// Attributes, numbers as text.
    pub attributes: BTreeMap<String, String>,
    /// Status and its message; 2 is an error.
    pub status: (u64, String),
}

impl Span {
    /// The value of an attribute; empty if there is none.
    pub fn attribute(&self, key: &str) -> &str {
        self.attributes.get(key).map_or("", String::as_str)
    }
}

/// What a collector was sent.
#[derive(Clone, Debug, Default)]
struct Sent {
    /// Messages that it took, as they came.
    messages: Vec<Vec<u8>>,
    /// Requests, those that failed too.
    requests: usize,
}

/// A running collector; it goes on in its threads until the process ends.
pub struct Collector {
    /// Where it listens.
    pub address: SocketAddr,
    sent: Arc<Mutex<Sent>>,
    _grpc: Option<Http2Origin>,
}

impl Collector {
    /// A collector over gRPC that takes everything.
    pub fn start() -> Self {
        Self::judging(|_| Verdict::Take)
    }

    /// A collector over gRPC that answers each request, counted from 0, as this says.
    pub fn judging(judge: impl Fn(usize) -> Verdict + Send + Sync + 'static) -> Self {
        let sent = Arc::<Mutex<Sent>>::default();
        let (kept, judge) = (sent.clone(), Arc::new(judge));
        let grpc = Http2Origin::start(100, move |request| {
            let (kept, judge) = (kept.clone(), judge.clone());
            async move { answer(request, &kept, &*judge).await }
        });
        Self { address: grpc.address, sent, _grpc: Some(grpc) }
    }

    /// A collector over gRPC under TLS with this certificate, that takes everything.
    pub fn secure(certificate: &Certificate) -> Self {
        let sent = Arc::<Mutex<Sent>>::default();
        let kept = sent.clone();
        let grpc = Http2Origin::under(tls::settings_with(certificate, None, &["h2"]), move |request| {
            let kept = kept.clone();
            async move { answer(request, &kept, &|_| Verdict::Take).await }
        });
        Self { address: grpc.address, sent, _grpc: Some(grpc) }
    }

    /// A collector over HTTP that takes everything that is posted to `/v1/traces` and nothing else.
    pub fn over_http() -> Self {
        let sent = Arc::<Mutex<Sent>>::default();
        let kept = sent.clone();
        let origin = Origin::scripted(move |seen, stream| {
            match stream.write_all(answer_http(seen, &kept).as_bytes()) {
                Ok(()) => After::KeepOpen,
                Err(_) => After::Close,
            }
        });
        Self { address: origin.address, sent, _grpc: None }
    }

    /// The same under TLS with this certificate.
    pub fn over_https(certificate: &Certificate) -> Self {
        let sent = Arc::<Mutex<Sent>>::default();
        let (kept, settings) = (sent.clone(), tls::settings_with(certificate, None, &["http/1.1"]));
        let origin = Origin::raw(move |_, tcp| {
            let session = ServerConnection::new(settings.clone()).expect("the settings are complete");
            let mut reader = BufReader::new(StreamOwned::new(session, tcp));
            while let Some(seen) = read_request(&mut reader) {
                let stream = reader.get_mut();
                let answer = answer_http(&seen, &kept);
                if stream.write_all(answer.as_bytes()).and_then(|()| stream.flush()).is_err() {
                    break;
                }
            }
        });
        Self { address: origin.address, sent, _grpc: None }
    }

    /// Its URL.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// How many requests came.
    pub fn requests(&self) -> usize {
        self.sent.lock().expect("nobody panics with it").requests
    }

    /// Everything that it took, byte by byte.
    pub fn messages(&self) -> Vec<Vec<u8>> {
        self.sent.lock().expect("nobody panics with it").messages.clone()
    }

    /// All spans that it took.
    pub fn spans(&self) -> Vec<Span> {
        self.messages().iter().flat_map(|message| spans(message)).collect()
    }

    /// Waits for this many spans.
    ///
    /// # Panics
    /// If there are more, or fewer for a long time.
    pub fn wait_for(&self, count: usize) -> Vec<Span> {
        let spans = until(|| Some(self.spans()).filter(|spans| spans.len() >= count));
        assert_eq!(spans.len(), count, "{spans:#?}");
        spans
    }

    /// Waits for the one span that there is.
    ///
    /// # Panics
    /// If there are more, or none for a long time.
    pub fn only(&self) -> Span {
        self.wait_for(1).remove(0)
    }
}

/// Takes what is posted to the right path, and says what to answer.
fn answer_http(seen: &Seen, kept: &Mutex<Sent>) -> String {
    let is_right = seen.line == "POST /v1/traces HTTP/1.1"
        && seen.field("content-type") == Some("application/x-protobuf");
    let mut kept = kept.lock().expect("nobody panics with it");
    kept.requests += 1;
    if is_right {
        kept.messages.push(seen.body.clone());
    }
    let status = if is_right { "200 OK" } else { "404 Not Found" };
    format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n")
}

async fn answer(
    request: Request<Incoming>,
    kept: &Mutex<Sent>,
    judge: &(dyn Fn(usize) -> Verdict + Send + Sync),
) -> Response<Body> {
    let path = request.uri().path().to_owned();
    let content = request.headers().get("content-type").cloned();
    let Ok(body) = request.into_body().collect().await else { return Response::new(full("")) };
    let body = body.to_bytes();
    let number = {
        let mut kept = kept.lock().expect("nobody panics with it");
        kept.requests += 1;
        kept.requests - 1
    };
    let is_right = path == "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
        && content.is_some_and(|content| content == "application/grpc");
    let builder = Response::builder().header("content-type", "application/grpc");
    let verdict = if is_right { judge(number) } else { Verdict::Fail("12") };
    let rejected = match verdict {
        Verdict::Take => 0,
        Verdict::TakeBut(count) => count,
        Verdict::Fail(status) => {
            return builder
                .header("grpc-status", status)
                .body(full(""))
                .expect("it has the form of an answer");
        }
        Verdict::Hang => std::future::pending().await,
    };
    kept.lock().expect("nobody panics with it").messages.push(body[5..].to_vec());
    let message: &[u8] = &[0, 0, 0, 0, 4, 0x0a, 2, 0x08, rejected];
    let message = if rejected == 0 { vec![0; 5] } else { message.to_vec() };
    let (sender, body) = pieces();
    tokio::task::spawn_local(async move {
        // Who asked may be gone.
        let _ = sender.send(Ok(Frame::data(message.into()))).await;
        let _ = sender.send(Ok(grpc_trailers("0"))).await;
    });
    builder.body(body).expect("it has the form of an answer")
}

/// The value of a field of a message.
#[derive(Clone, Debug)]
enum Value<'m> {
    Number(u64),
    Bytes(&'m [u8]),
}

impl<'m> Value<'m> {
    fn bytes(&self) -> &'m [u8] {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::Number(_) => panic!("a number where bytes belong"),
        }
    }

    fn number(&self) -> u64 {
        match self {
            Self::Number(number) => *number,
            Self::Bytes(_) => panic!("bytes where a number belongs"),
        }
    }

    fn text(&self) -> String {
        String::from_utf8(self.bytes().to_vec()).expect("texts of protobuf are UTF-8")
    }

    fn hexadecimal(&self) -> String {
        self.bytes().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// The fields of a message of protobuf in their order.
fn fields(mut message: &[u8]) -> Vec<(u64, Value<'_>)> {
    let mut fields = Vec::new();
    while !message.is_empty() {
        let key = varint(&mut message);
        let value = match key & 7 {
            0 => Value::Number(varint(&mut message)),
            1 => Value::Number(little_endian(take(&mut message, 8))),
            5 => Value::Number(little_endian(take(&mut message, 4))),
            2 => {
                let length = varint(&mut message);
                Value::Bytes(take(&mut message, length as usize))
            }
            other => panic!("a field of kind {other}"),
        };
        fields.push((key >> 3, value));
    }
    fields
}

fn varint(message: &mut &[u8]) -> u64 {
    let mut number = 0;
    for place in 0.. {
        let byte = take(message, 1)[0];
        number |= u64::from(byte & 0x7f) << (7 * place);
        if byte < 0x80 {
            break;
        }
    }
    number
}

fn take<'m>(message: &mut &'m [u8], length: usize) -> &'m [u8] {
    let (taken, rest) = message.split_at(length);
    *message = rest;
    taken
}

fn little_endian(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// The values of all fields of this number.
fn all(message: &[u8], number: u64) -> Vec<Value<'_>> {
    fields(message).into_iter().filter(|(field, _)| *field == number).map(|(_, value)| value).collect()
}

/// The spans of a request to export some.
fn spans(message: &[u8]) -> Vec<Span> {
    let mut found = Vec::new();
    for of_resource in all(message, 1) {
        let resource = all(of_resource.bytes(), 1);
        let attributes = attributes(&all(resource[0].bytes(), 1));
        for of_scope in all(of_resource.bytes(), 2) {
            for written in all(of_scope.bytes(), 2) {
                let service = attributes["service.name"].clone();
                found.push(Span { service, ..span(written.bytes()) });
            }
        }
    }
    found
}

fn span(message: &[u8]) -> Span {
    let mut span = Span { attributes: attributes(&all(message, 9)), ..Span::default() };
    for (field, value) in fields(message) {
        match field {
            1 => span.trace_id = value.hexadecimal(),
            2 => span.span_id = value.hexadecimal(),
            4 => span.parent = value.hexadecimal(),
            5 => span.name = value.text(),
            6 => span.kind = value.number(),
            7 => span.time.0 = value.number(),
            8 => span.time.1 = value.number(),
            15 => {
                let status = value.bytes();
                span.status.1 = all(status, 2).first().map(Value::text).unwrap_or_default();
                span.status.0 = all(status, 3).first().map(Value::number).unwrap_or_default();
            }
            9 | 16 => {}
            other => panic!("field {other}"),
        }
    }
    span
}

fn attributes(pairs: &[Value<'_>]) -> BTreeMap<String, String> {
    let pair = |pair: &Value<'_>| {
        let key = all(pair.bytes(), 1)[0].text();
        let value = all(pair.bytes(), 2)[0].clone();
        let (field, value) = fields(value.bytes()).remove(0);
        let text = match field {
            1 => value.text(),
            3 => value.number().to_string(),
            other => panic!("a value of kind {other}"),
        };
        (key, text)
    };
    let map: BTreeMap<_, _> = pairs.iter().map(pair).collect();
    assert_eq!(map.len(), pairs.len(), "an attribute is there twice: {map:?}");
    map
}
