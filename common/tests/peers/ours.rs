//! Our side: a server that sends back what it gets, and a client that asks it.

use std::future::poll_fn;

use selvedge_common::{
    http2::{Block, Broken, Client, Connection, ConnectionError, Handle, Reason},
    message::{self, Known},
};
use tokio::io::DuplexStream;

use super::{Echo, Fields, Message, Side, piece, sorted};

/// Drives a connection of a client.
pub async fn drive(mut connection: Connection<DuplexStream>) -> Result<(), ConnectionError> {
    poll_fn(|cx| connection.poll(cx, &mut |_, _| panic!("no server asks"))).await
}

/// Serves to the end of a connection; so many requests come.
pub async fn serve(mut connection: Connection<DuplexStream>, requests: usize) {
    let mut tasks = Vec::new();
    let ended = poll_fn(|cx| {
        connection.poll(cx, &mut |block, stream| {
            let head = read_head(block);
            tasks.push(tokio::task::spawn_local(async move {
                let _ = echo(head, stream).await;
            }));
        })
    });
    // Their client closes without a goodbye at times.
    let _ = ended.await;
    drop(connection);
    assert!(tasks.len() <= requests);
    for task in tasks {
        task.await.expect("no task fails");
    }
}

/// The fields to send back, and after how many bytes the stream is to be reset.
fn read_head(block: &mut Block) -> (Fields, Option<usize>) {
    assert_eq!(
        (block.method(), block.path(), block.authority()),
        (&b"POST"[..], &b"/a?b"[..], Some(&b"a:1"[..]))
    );
    let reset = block.fields.get_by_name("x-reset").map(|at| text(at).parse().expect("it is a number"));
    (fields(&block.fields), reset)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("it is text")
}

/// All fields but those of the test and of the protocol.
fn fields(fields: &message::Fields) -> Fields {
    let all = fields.iter().map(|(name, value)| (text(name), text(value)));
    sorted(all.filter(|(name, _)| name != "host" && name != "x-reset").collect())
}

/// Sends back each piece as soon as it has come.
async fn echo((head, reset): (Fields, Option<usize>), stream: Handle) -> Result<(), Broken> {
    stream.send_head(false, |out| {
        out.status(200);
        head.iter().for_each(|(name, value)| field(out, name, value));
    })?;
    let mut count = 0;
    while let Some(data) = poll_fn(|cx| stream.poll_data(cx)).await.transpose()? {
        if reset.is_some_and(|at| count + data.len() >= at) {
            stream.reset(Reason::INTERNAL_ERROR);
        }
        count += data.len();
        send(&stream, &data).await?;
    }
    if reset.is_some() {
        return Ok(());
    }
    let trailers = stream.take_trailers().map(|trailers| fields(&trailers)).unwrap_or_default();
    finish(&stream, &trailers)
}

fn field(out: &mut selvedge_common::http2::HeadWriter<'_>, name: &str, value: &str) {
    out.field(Known::of(name.as_bytes()), name.as_bytes(), value.as_bytes());
}

async fn send(stream: &Handle, mut body: &[u8]) -> Result<(), Broken> {
    while !body.is_empty() {
        let room = poll_fn(|cx| stream.poll_room(cx, body.len())).await?;
        stream.send_data(piece(&body[..room]), false)?;
        body = &body[room..];
    }
    Ok(())
}

fn finish(stream: &Handle, trailers: &Fields) -> Result<(), Broken> {
    match trailers.is_empty() {
        true => stream.send_data(piece(b""), true),
        false => {
            stream.send_head(true, |out| trailers.iter().for_each(|(name, value)| field(out, name, value)))
        }
    }
}

/// Asks, and reads the answer while the request is being sent.
pub async fn ask(client: &Client, message: Message) -> Echo {
    let opened = client.send(Box::default(), (false, false), |out| {
        out.request(b"POST", "http", b"a:1", b"/a?b");
        message.fields.iter().for_each(|(name, value)| field(out, name, value));
        if let Some(at) = message.reset_by(Side::Server) {
            field(out, "x-reset", &at.to_string());
        }
    });
    let stream = opened.expect("the connection is open");
    let sending = async {
        if let Some(at) = message.reset_by(Side::Client) {
            send(&stream, &message.body[..at]).await?;
            stream.reset(Reason::CANCEL);
        }
        send(&stream, &message.body).await?;
        finish(&stream, &message.trailers)
    };
    let reading = async {
        let head = poll_fn(|cx| stream.poll_answer(cx)).await?;
        let mut body = Vec::new();
        while let Some(data) = poll_fn(|cx| stream.poll_data(cx)).await.transpose()? {
            body.extend_from_slice(&data);
        }
        let trailers = stream.take_trailers().map(|trailers| fields(&trailers)).unwrap_or_default();
        assert!(head.status == 200 && stream.is_end());
        Ok::<_, Broken>((fields(&head.fields), body, trailers))
    };
    let (sent, read) = tokio::join!(sending, reading);
    sent.ok().and(read.ok())
}
