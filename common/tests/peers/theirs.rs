//! The side of the library: a server that sends back what it gets, and a client that asks it.

use std::future::poll_fn;

use bytes::Bytes;
use h2::{Reason, RecvStream, SendStream, client::SendRequest};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use tokio::io::DuplexStream;

use super::{Echo, Fields, Message, Setup, Side, piece, sorted};

/// A client on one connection.
pub struct Client(SendRequest<Bytes>);

impl Client {
    /// Opens a connection.
    pub async fn connect(stream: DuplexStream, setup: Setup) -> Self {
        let mut builder = h2::client::Builder::new();
        builder
            .initial_window_size(setup.window)
            .initial_connection_window_size(setup.connection_window)
            .max_frame_size(setup.frame)
            .header_table_size(setup.table);
        let (client, connection) = builder.handshake(stream).await.expect("our server lets it begin");
        tokio::task::spawn_local(async move { connection.await.expect("our server breaks no rule") });
        Self(client)
    }

    /// Asks, and reads the answer while the request is being sent.
    pub async fn ask(&self, message: Message) -> Echo {
        let mut head = Request::post("http://a:1/a?b").body(()).expect("it is a request");
        *head.headers_mut() = headers(&message.fields);
        if let Some(at) = message.reset_by(Side::Server) {
            head.headers_mut().insert("x-reset", at.into());
        }
        let mut client = self.0.clone().ready().await.expect("the connection is open");
        let (answer, mut stream) = client.send_request(head, false).expect("it may be sent");
        let sending = async {
            if let Some(at) = message.reset_by(Side::Client) {
                send(&mut stream, &message.body[..at]).await?;
                stream.send_reset(Reason::CANCEL);
            }
            send(&mut stream, &message.body).await?;
            finish(&mut stream, &message.trailers)
        };
        let reading = async {
            let (head, mut body) = answer.await?.into_parts();
            assert_eq!(head.status, 200);
            let (data, trailers) = read(&mut body).await?;
            Ok::<_, h2::Error>((fields(&head.headers), data, trailers))
        };
        let (sent, read) = tokio::join!(sending, reading);
        sent.ok().and(read.ok())
    }
}

fn headers(fields: &Fields) -> HeaderMap {
    let name = |name: &String| HeaderName::from_bytes(name.as_bytes()).expect("it is a name");
    let value = |value: &String| HeaderValue::from_str(value).expect("it is a value");
    let mut headers = HeaderMap::new();
    for (of, is) in fields {
        headers.append(name(of), value(is));
    }
    headers
}

fn fields(headers: &HeaderMap) -> Fields {
    let text = |value: &HeaderValue| value.to_str().expect("it is text").to_owned();
    let all = headers.iter().map(|(name, value)| (name.to_string(), text(value)));
    sorted(all.filter(|(name, _)| name != "x-reset").collect())
}

async fn send(stream: &mut SendStream<Bytes>, mut body: &[u8]) -> Result<(), h2::Error> {
    while !body.is_empty() {
        stream.reserve_capacity(body.len());
        let room = poll_fn(|cx| stream.poll_capacity(cx)).await;
        let room = room.unwrap_or_else(|| Err(Reason::CANCEL.into()))?;
        stream.send_data(piece(&body[..room]), false)?;
        body = &body[room..];
    }
    Ok(())
}

fn finish(stream: &mut SendStream<Bytes>, trailers: &Fields) -> Result<(), h2::Error> {
    match trailers.is_empty() {
        true => stream.send_data(Bytes::new(), true),
        false => stream.send_trailers(headers(trailers)),
    }
}

async fn next(body: &mut RecvStream) -> Result<Option<Bytes>, h2::Error> {
    let Some(data) = body.data().await.transpose()? else { return Ok(None) };
    body.flow_control().release_capacity(data.len())?;
    Ok(Some(data))
}

async fn read(body: &mut RecvStream) -> Result<(Vec<u8>, Fields), h2::Error> {
    let mut all = Vec::new();
    while let Some(data) = next(body).await? {
        all.extend_from_slice(&data);
    }
    let trailers = body.trailers().await?;
    Ok((all, trailers.as_ref().map(fields).unwrap_or_default()))
}

/// Serves to the end of a connection.
pub async fn serve(stream: DuplexStream, setup: Setup) {
    let mut builder = h2::server::Builder::new();
    builder
        .initial_window_size(setup.window)
        .initial_connection_window_size(setup.connection_window)
        .max_frame_size(setup.frame)
        .header_table_size(setup.table);
    let mut connection = builder.handshake(stream).await.expect("our client begins");
    while let Some(request) = connection.accept().await {
        let (request, answer) = match request {
            Ok(request) => request,
            // Our client has all that it wanted and closes, whatever is still to be said to it.
            Err(error) if error.is_io() => return,
            Err(error) => panic!("our client breaks a rule: {error}"),
        };
        tokio::task::spawn_local(async move {
            let _ = echo(request, answer).await;
        });
    }
}

async fn echo(
    request: Request<RecvStream>,
    mut answer: h2::server::SendResponse<Bytes>,
) -> Result<(), h2::Error> {
    let (head, mut body) = request.into_parts();
    assert_eq!((head.method.as_str(), head.uri.to_string().as_str()), ("POST", "http://a:1/a?b"));
    let reset = head.headers.get("x-reset").map(|at| at.to_str().expect("it is text").parse::<usize>());
    let reset = reset.map(|at| at.expect("it is a number"));
    let mut response = Response::new(());
    *response.headers_mut() = headers(&fields(&head.headers));
    let mut stream = answer.send_response(response, false)?;
    let mut count = 0;
    while let Some(data) = next(&mut body).await? {
        if reset.is_some_and(|at| count + data.len() >= at) {
            stream.send_reset(Reason::INTERNAL_ERROR);
        }
        count += data.len();
        send(&mut stream, &data).await?;
    }
    if reset.is_some() {
        stream.send_reset(Reason::INTERNAL_ERROR);
        return Ok(());
    }
    let trailers = body.trailers().await?.as_ref().map(fields).unwrap_or_default();
    finish(&mut stream, &trailers)
}
