//! Answers that are compressed on their way: whole, piece by piece, and never more complete than the backend's.

use std::{
    io::{Read, Write},
    sync::{Arc, Mutex, mpsc},
    time::Duration,
};

use flate2::{Decompress, FlushDecompress, read::GzDecoder};
use http::Response;
use selvedge_common::{
    filter::{Compressible, Compression, Filter, ResponseRate},
    model::{Backend, BackendProtocol},
};
use selvedge_tests::{
    client::{Answer, Client},
    http2::{Http2Client, Http2Origin, full, get, pieces},
    origin::{After, Origin},
    proxy::{Proxy, Setup},
};

/// More than one piece of the proxy, and easy to compress but for its numbers.
fn text(lines: usize) -> Vec<u8> {
    (0..lines)
        .flat_map(|line| format!("line {line} of a text that is {}\n", line * 7919 % 10_007).into_bytes())
        .collect()
}

fn compression() -> Filter {
    let compressible = |level, min_bytes| {
        Some(Compressible { level, min_bytes, types: vec!["text/plain".into(), "text/event-stream".into()] })
    };
    let (gzip, brotli) = (compressible(5, 256), compressible(5, 20));
    Filter::Compression(Arc::new(Compression { gzip, brotli, no_gzip_for: None }))
}

/// An engine that compresses the answers of this endpoint.
fn compressing(backend: Backend, address: std::net::SocketAddr, filters: Vec<Filter>) -> Proxy {
    let mut proxy = Proxy::start(Setup::default());
    proxy.route_all(&[address]);
    proxy.backend("test/origin:80", backend);
    proxy.edit_host("*", |host| host.routes[0].filters = filters);
    proxy.apply(&[("test/origin:80", &[address])]);
    proxy
}

/// An origin that answers with these fields and this body, as the path says: of a length, in chunks or up to the end.
fn origin(fields: &'static str, body: Arc<Vec<u8>>) -> Origin {
    Origin::scripted(move |seen, stream| {
        let path = seen.line.split(' ').nth(1).unwrap_or_default();
        let framing = match path {
            "/chunked" => "transfer-encoding: chunked\r\n".to_owned(),
            "/close" => "connection: close\r\n".to_owned(),
            _ => format!("content-length: {}\r\n", body.len()),
        };
        stream.write_all(format!("HTTP/1.1 200 OK\r\n{fields}{framing}\r\n").as_bytes()).unwrap();
        if seen.line.starts_with("HEAD") {
            return After::KeepOpen;
        }
        for piece in body.chunks(5000) {
            match path {
                "/chunked" => {
                    stream.write_all(format!("{:x}\r\n", piece.len()).as_bytes()).unwrap();
                    stream.write_all(&[piece, b"\r\n"].concat()).unwrap();
                }
                _ => stream.write_all(piece).unwrap(),
            }
        }
        match path {
            "/chunked" => stream.write_all(b"0\r\n\r\n").unwrap(),
            "/close" => return After::Close,
            _ => {}
        }
        After::KeepOpen
    })
}

fn ask(client: &mut Client, method: &str, path: &str, accept: &str) -> Answer {
    client.send(format!("{method} {path} HTTP/1.1\r\nHost: a\r\nAccept-Encoding: {accept}\r\n\r\n"));
    client.final_answer(method).unwrap()
}

fn decoded(coding: &str, body: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    match coding {
        "gzip" => GzDecoder::new(body).read_to_end(&mut plain).map(drop),
        "br" => brotli::Decompressor::new(body, 4096).read_to_end(&mut plain).map(drop),
        "" => {
            plain.extend_from_slice(body);
            Ok(())
        }
        other => panic!("nobody asked for {other}"),
    }
    .expect("the body is whole");
    plain
}

#[test]
fn a_client_finds_in_the_answer_what_the_backend_said() {
    for lines in [10, 100, 3000] {
        let body = Arc::new(text(lines));
        let origin = origin("content-type: text/plain\r\netag: \"a\"\r\n", body.clone());
        let proxy = compressing(Backend::default(), origin.address, vec![compression()]);
        let mut client = Client::connect(proxy.http());
        for path in ["/length", "/chunked", "/close"] {
            for (accept, coding) in [("gzip", "gzip"), ("gzip, br", "br"), ("identity", "")] {
                let answer = ask(&mut client, "GET", path, accept);
                assert_eq!(answer.field("content-encoding").unwrap_or_default(), coding);
                assert_eq!(answer.field("vary"), Some("Accept-Encoding"));
                assert!(decoded(coding, &answer.body) == *body, "{lines} {path} {coding}");
                assert_eq!(answer.field("etag"), Some(if coding.is_empty() { "\"a\"" } else { "W/\"a\"" }));
                if !coding.is_empty() {
                    assert!(answer.body.len() < body.len() && answer.field("content-length").is_none());
                }
            }
        }
    }
}

#[test]
fn head_has_the_fields_of_get_and_what_is_not_compressed_has_its_own() {
    let body = Arc::new(text(100));
    let plain = origin("content-type: text/plain\r\n", body.clone());
    let proxy = compressing(Backend::default(), plain.address, vec![compression()]);
    let mut client = Client::connect(proxy.http());
    let names = |answer: &Answer| -> Vec<String> {
        let others = answer.fields.iter().filter(|(name, _)| !name.eq_ignore_ascii_case("transfer-encoding"));
        others.map(|(name, _)| name.to_ascii_lowercase()).collect()
    };
    let of_get = names(&ask(&mut client, "GET", "/", "gzip"));
    let of_head = ask(&mut client, "HEAD", "/", "gzip");
    assert_eq!((names(&of_head), of_head.field("content-encoding")), (of_get, Some("gzip")));

    let given = [
        "content-type: image/png\r\n",
        "content-type: text/plain\r\ncontent-encoding: zstd\r\n",
        "content-type: text/plain\r\ncache-control: no-transform\r\n",
    ];
    for fields in given {
        let origin = origin(fields, body.clone());
        let proxy = compressing(Backend::default(), origin.address, vec![compression()]);
        let answer = ask(&mut Client::connect(proxy.http()), "GET", "/", "gzip, br");
        assert!(answer.body == *body && answer.field("vary").is_none(), "{fields}");
        assert_eq!(answer.field("content-length"), Some(&*body.len().to_string()));
    }
    let mut old = Client::connect(proxy.http());
    old.send("GET / HTTP/1.0\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n");
    assert!(old.answer().body == *body);
}

#[test]
fn a_piece_does_not_wait_for_the_next_and_what_breaks_off_is_no_whole_stream() {
    let (go, gone) = mpsc::channel::<()>();
    let gone = Mutex::new(gone);
    let origin = Origin::scripted(move |_, stream| {
        stream
            .write_all(
                b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n",
            )
            .unwrap();
        for event in 0..3 {
            stream.write_all(format!("9\r\ndata: {event}\n\n\r\n").as_bytes()).unwrap();
            gone.lock().unwrap().recv().unwrap();
        }
        // In the middle of the next chunk.
        stream.write_all(b"ff\r\ndata: ").unwrap();
        After::Close
    });
    let proxy = compressing(Backend::default(), origin.address, vec![compression()]);
    let mut client = Client::connect(proxy.http());
    client.send("GET / HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n");
    assert_eq!(client.head().unwrap().field("content-encoding"), Some("gzip"));
    let (mut gzip, mut plain) = (Decompress::new_gzip(15), Vec::with_capacity(4096));
    for event in 0..3 {
        let wanted = format!("data: {event}\n\n");
        while !plain.ends_with(wanted.as_bytes()) {
            let chunk = client.chunk().unwrap();
            gzip.decompress_vec(&chunk, &mut plain, FlushDecompress::Sync).unwrap();
        }
        go.send(()).unwrap();
    }
    // What came of the broken chunk may come too, but no end of the stream and no last chunk.
    loop {
        match client.chunk() {
            Ok(chunk) if chunk.is_empty() => panic!("the answer ends as if it were whole"),
            Ok(chunk) => {
                let status = gzip.decompress_vec(&chunk, &mut plain, FlushDecompress::Sync).unwrap();
                assert_ne!(status, flate2::Status::StreamEnd);
            }
            Err(_) => break,
        }
    }
}

#[tokio::test]
async fn clients_and_backends_of_http_2_are_served_alike() {
    let body = Arc::new(text(5000));
    let whole = body.clone();
    let origin = Http2Origin::start(100, move |_| {
        let body = whole.clone();
        async move { Response::builder().header("content-type", "text/plain").body(full(body.to_vec())).unwrap() }
    });
    let http2 = Backend { protocol: BackendProtocol::Http2, ..Backend::default() };
    let proxy = compressing(http2, origin.address, vec![compression()]);
    for (accept, coding) in [("gzip", "gzip"), ("br, gzip", "br"), ("*;q=0", "")] {
        let mut client = Http2Client::connect(proxy.http()).await;
        let mut asked = get("http://a/");
        asked.headers_mut().insert("accept-encoding", accept.parse().unwrap());
        let answer = client.whole(asked).await;
        assert_eq!((answer.field("content-encoding"), answer.field("vary")), (coding, "Accept-Encoding"));
        assert!(decoded(coding, &answer.body) == *body, "{coding}");
        assert_eq!(answer.head.headers.contains_key("content-length"), coding.is_empty());
    }
}

#[tokio::test]
async fn pieces_arrive_at_once_over_http_2_and_a_break_is_one() {
    let (give, given) = mpsc::channel();
    let origin = Http2Origin::start(100, move |_| {
        let (sender, body) = pieces();
        give.send(sender).unwrap();
        async move { Response::builder().header("content-type", "text/event-stream").body(body).unwrap() }
    });
    let http2 = Backend { protocol: BackendProtocol::Http2, ..Backend::default() };
    let proxy = compressing(http2, origin.address, vec![compression()]);
    let mut client = Http2Client::connect(proxy.http()).await;
    let mut asked = get("http://a/");
    asked.headers_mut().insert("accept-encoding", "br".parse().unwrap());
    let answer = client.send(asked).await.unwrap();
    let sender = given.recv().unwrap();
    let mut body = answer.into_body();
    let mut came = Vec::new();
    for event in 0..3 {
        let piece = format!("data: {event}\n\n");
        sender.send(Ok(hyper::body::Frame::data(piece.clone().into()))).await.unwrap();
        let mut plain = Vec::new();
        while !plain.ends_with(piece.as_bytes()) {
            let frame =
                tokio::time::timeout(Duration::from_secs(20), http_body_util::BodyExt::frame(&mut body));
            came.extend_from_slice(&frame.await.expect("it comes").unwrap().unwrap().into_data().unwrap());
            plain.clear();
            // The end is missing, and all before it is there.
            let _ = brotli::Decompressor::new(&came[..], 4096).read_to_end(&mut plain);
        }
    }
    sender.send(Err(selvedge_tests::http2::Broken)).await.unwrap();
    let end = loop {
        match http_body_util::BodyExt::frame(&mut body).await {
            Some(Ok(frame)) => came.extend_from_slice(&frame.into_data().unwrap()),
            end => break end,
        }
    };
    assert!(end.is_some_and(|end| end.is_err()), "the answer does not end as if it were whole");
    assert!(brotli::Decompressor::new(&came[..], 4096).read_to_end(&mut Vec::new()).is_err());
    assert!(!client.is_closed(), "only the stream breaks");
}

#[test]
fn an_answer_that_is_slowed_down_is_compressed_first() {
    let body = Arc::new(text(3000));
    let origin = origin("content-type: text/plain\r\n", body.clone());
    let rate = Filter::ResponseRate(ResponseRate { bytes_per_second: 100_000, after_bytes: 0 });
    let proxy = compressing(Backend::default(), origin.address, vec![rate, compression()]);
    let answer = ask(&mut Client::connect(proxy.http()), "GET", "/", "gzip");
    assert!(answer.body.len() < 100_000 && decoded("gzip", &answer.body) == *body);
}
