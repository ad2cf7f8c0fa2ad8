//! Clients of HTTP/2: several requests at once on a connection, plain ones or calls of gRPC.

use std::rc::Rc;

use anyhow::Context;
use bytes::Bytes;
use h2::{
    RecvStream,
    client::{self, SendRequest},
};
use http::{HeaderValue, Request, Response};
use tokio::task::{self, JoinSet};

use super::{Shape, Speech, Target, meter::Meter, stream::Stream};

/// A message of 123 bytes behind its prefix of five.
const MESSAGE: [u8; 128] = {
    let mut message = [b'm'; 128];
    // Not compressed, length in four bytes.
    (message[0], message[1], message[2], message[3], message[4]) = (0, 0, 0, 0, 123);
    message
};

/// What is asked.
#[derive(Clone)]
pub struct Call {
    head: Request<()>,
    message: Option<Bytes>,
}

impl Call {
    /// A GET, or a call of gRPC.
    ///
    /// # Errors
    /// If host or path are none.
    pub fn new(target: &Target, shape: Shape) -> anyhow::Result<Self> {
        let scheme = if target.tls.is_some() { "https" } else { "http" };
        let head = Request::builder().uri(format!("{scheme}://{}{}", target.host, target.path));
        let head = head.header("user-agent", "bench/1.0").header("accept", "*/*");
        Ok(match shape.speech {
            Speech::Grpc => Self {
                head: head
                    .method("POST")
                    .header("content-type", "application/grpc")
                    .header("te", "trailers")
                    .body(())?,
                message: Some(Bytes::from_static(&MESSAGE)),
            },
            _ => Self { head: head.body(())?, message: None },
        })
    }
}

/// Asks on a connection, so many requests at once, until there are no more.
pub async fn ask(target: Rc<Target>, call: Call, streams: usize, meter: Rc<Meter>) {
    let connection = match connect(&target).await {
        Ok(connection) => connection,
        Err(error) => return meter.failed(format!("{error:#}")),
    };
    let mut tasks = JoinSet::new();
    for _ in 0..streams {
        let (mut connection, call, meter) = (connection.clone(), call.clone(), meter.clone());
        tasks.spawn_local(async move {
            while let Some(begin) = meter.next().await {
                match exchange(&mut connection, &call).await {
                    Ok(()) => meter.answered(begin),
                    Err(error) => {
                        meter.failed(format!("{error:#}"));
                        task::yield_now().await;
                    }
                }
            }
        });
    }
    while tasks.join_next().await.is_some() {}
}

async fn connect(target: &Target) -> anyhow::Result<SendRequest<Bytes>> {
    let stream = Stream::connect(target).await?;
    let (requests, connection) = client::handshake(stream).await?;
    // It ends with its last user; what goes wrong with it its requests tell.
    task::spawn_local(connection);
    Ok(requests)
}

async fn exchange(connection: &mut SendRequest<Bytes>, call: &Call) -> anyhow::Result<()> {
    let mut ready = connection.clone().ready().await?;
    let (response, mut body) = ready.send_request(call.head.clone(), call.message.is_none())?;
    if let Some(message) = &call.message {
        body.send_data(message.clone(), true)?;
    }
    let response: Response<RecvStream> = response.await?;
    anyhow::ensure!(response.status() == 200, "answered {}", response.status());
    let mut body = response.into_body();
    while let Some(piece) = body.data().await {
        body.flow_control().release_capacity(piece?.len())?;
    }
    let trailers = body.trailers().await?;
    if call.message.is_some() {
        let trailers = trailers.context("a call of gRPC without trailers")?;
        let status = trailers.get("grpc-status");
        anyhow::ensure!(status == Some(&HeaderValue::from_static("0")), "grpc-status {status:?}");
    }
    Ok(())
}
