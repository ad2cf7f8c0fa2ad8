//! A question over HTTP/2, on a connection that ends with its answer.

use std::{io, pin::pin};

use bytes::Bytes;
use futures_util::FutureExt;
use h2::client::{Builder, SendRequest};
use http::{Request, Uri, header};

use super::ask::{Fault, MOST_BYTES, Place, USER_AGENT};
use crate::http1::Stream;

/// Asks for a place; the status of the answer.
pub(super) async fn ask(stream: Stream, place: &Place<'_>) -> Result<u16, Fault> {
    let request = Request::get(uri(place)?).header(header::USER_AGENT, USER_AGENT).body(());
    let request = request.map_err(|_| Fault::Unsendable)?;
    exchange(stream, async |sender| {
        let mut sender = sender.ready().await?;
        let (answer, _) = sender.send_request(request, true)?;
        Ok(answer.await?.status().as_u16())
    })
    .await
}

/// The whole URI of a place.
pub(super) fn uri(place: &Place<'_>) -> Result<Uri, Fault> {
    let scheme = if place.is_tls { "https" } else { "http" };
    let uri = Uri::builder().scheme(scheme).authority(&*place.host).path_and_query(place.path).build();
    uri.map_err(|_| Fault::Unsendable)
}

/// Opens HTTP/2 on a stream, lets a question be asked on it, and closes it. All of that is part of this future: who
/// drops it leaves nothing behind.
pub(super) async fn exchange<T>(
    stream: Stream,
    ask: impl AsyncFnOnce(SendRequest<Bytes>) -> Result<T, Fault>,
) -> Result<T, Fault> {
    let mut builder = Builder::new();
    builder.enable_push(false).max_header_list_size(MOST_BYTES as u32);
    let (sender, connection) = builder.handshake(stream).await?;
    let mut connection = pin!(connection);
    let mut asking = pin!(ask(sender));
    tokio::select! {
        biased;
        answer = &mut asking => {
            // It says goodbye as far as that needs no waiting.
            let _ = connection.now_or_never();
            answer
        }
        // What the connection has brought before its end may be the answer.
        ended = &mut connection => match (asking.now_or_never(), ended) {
            (Some(answer), _) => answer,
            (None, Err(error)) => Err(error.into()),
            (None, Ok(())) => Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
        },
    }
}
