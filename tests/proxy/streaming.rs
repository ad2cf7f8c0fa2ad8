//! Bodies pass as they come, in both directions at once, with bounded memory.

use std::{
    io::{Read, Write},
    net::TcpStream,
    sync::mpsc::{Receiver, Sender, channel},
    thread,
    time::Duration,
};

use selvedge_tests::{
    client::Client,
    origin::{After, Origin},
    proxy::Proxy,
};

/// More than the proxy and four socket buffers together can hold.
const MUCH: usize = 64 << 20;
/// A side that could not write for so long is held back.
const HELD_BACK: Duration = Duration::from_millis(300);

/// Writes `total` bytes, but stops where nobody takes them; says how many were taken.
fn write_until_held_back(stream: &mut TcpStream, total: usize) -> usize {
    stream.set_write_timeout(Some(HELD_BACK)).unwrap();
    let piece = vec![b'x'; 64 << 10];
    let mut written = 0;
    while written < total {
        match stream.write(&piece[..piece.len().min(total - written)]) {
            Ok(count) => written += count,
            Err(_) => break,
        }
    }
    stream.set_write_timeout(None).unwrap();
    written
}

/// Waits for a word of the test, then goes on.
fn gate() -> (Sender<()>, std::sync::Mutex<Receiver<()>>) {
    let (open, opened) = channel();
    (open, std::sync::Mutex::new(opened))
}

#[test]
fn the_head_of_an_answer_does_not_wait_for_its_body_nor_a_piece_for_the_next() {
    let (open, opened) = gate();
    let origin = Origin::scripted(move |seen, stream| {
        let chunked = seen.line.contains("chunked");
        let framing = if chunked { "transfer-encoding: chunked" } else { "content-length: 6" };
        stream.write_all(format!("HTTP/1.1 200 OK\r\n{framing}\r\n\r\n").as_bytes()).unwrap();
        for piece in ["ab", "cd", "ef"] {
            opened.lock().unwrap().recv().unwrap();
            let text = if chunked { format!("2\r\n{piece}\r\n") } else { piece.to_owned() };
            stream.write_all(text.as_bytes()).unwrap();
        }
        if chunked {
            stream.write_all(b"0\r\n\r\n").unwrap();
        }
        After::KeepOpen
    });
    let proxy = Proxy::to(&[origin.address]);
    let mut client = Client::connect(proxy.http());
    for path in ["/length", "/chunked"] {
        client.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"));
        assert_eq!(client.head().unwrap().status, 200);
        for piece in ["ab", "cd", "ef"] {
            open.send(()).unwrap();
            let got = if path == "/chunked" { client.chunk().unwrap() } else { client.exactly(2) };
            assert_eq!(got, piece.as_bytes());
        }
        if path == "/chunked" {
            assert_eq!(client.chunk().unwrap(), b"");
            client.exactly(2);
        }
    }
}

#[test]
fn the_head_of_a_request_does_not_wait_for_its_body() {
    let (arrived, arrival) = channel();
    let arrived = std::sync::Mutex::new(arrived);
    let origin = Origin::after_head(move |_, stream| {
        arrived.lock().unwrap().send(()).unwrap();
        let mut body = [0; 5];
        stream.read_exact(&mut body).unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").unwrap();
        After::Close
    });
    let proxy = Proxy::to(&[origin.address]);
    let mut client = Client::connect(proxy.http());
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n");
    arrival.recv_timeout(Duration::from_secs(20)).expect("the head arrives alone");
    client.send("hello");
    assert_eq!(client.answer().status, 200);
}

#[test]
fn bodies_stream_both_ways_at_once() {
    let origin = Origin::after_head(|_, stream| {
        stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").unwrap();
        // Chunks in, the same chunks out.
        let mut bytes = [0; 8];
        while let Ok(count @ 1..) = stream.read(&mut bytes) {
            stream.write_all(&bytes[..count]).unwrap();
        }
        After::Close
    });
    let proxy = Proxy::to(&[origin.address]);
    let mut client = Client::connect(proxy.http());
    client.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    assert_eq!(client.head().unwrap().status, 200);
    for index in 0..20 {
        let word = format!("{index:05}");
        client.send(format!("5\r\n{word}\r\n"));
        let mut echoed = Vec::new();
        while echoed.len() < word.len() {
            echoed.extend(client.chunk().unwrap());
        }
        assert_eq!(echoed, word.as_bytes());
    }
    client.send("0\r\n\r\n");
    assert_eq!(client.chunk().unwrap(), b"");
}

#[test]
fn a_slow_reader_holds_the_backend_back() {
    let (sender, taken) = channel();
    let sender = std::sync::Mutex::new(sender);
    let origin = Origin::scripted(move |_, stream| {
        stream.write_all(format!("HTTP/1.1 200 OK\r\ncontent-length: {MUCH}\r\n\r\n").as_bytes()).unwrap();
        let written = write_until_held_back(stream, MUCH);
        sender.lock().unwrap().send(written).unwrap();
        stream.write_all(&vec![b'x'; MUCH - written]).unwrap();
        After::KeepOpen
    });
    let proxy = Proxy::to(&[origin.address]);
    let mut client = Client::connect(proxy.http());
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(taken.recv().unwrap() < MUCH, "the backend is held back");
    assert_eq!(client.answer().body.len(), MUCH, "and all of it arrives");
}

#[test]
fn a_slow_backend_holds_the_client_back() {
    let (open, opened) = gate();
    let origin = Origin::after_head(move |_, stream| {
        opened.lock().unwrap().recv().unwrap();
        let mut left = vec![0; 1 << 20];
        let mut count = 0;
        while count < MUCH {
            count += stream.read(&mut left).unwrap();
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").unwrap();
        After::Close
    });
    let proxy = Proxy::to(&[origin.address]);
    let mut client = Client::connect(proxy.http());
    client.send(format!("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: {MUCH}\r\n\r\n"));
    let mut tcp = client.tcp().try_clone().unwrap();
    let written = write_until_held_back(&mut tcp, MUCH);
    assert!(written < MUCH, "the client is held back");
    open.send(()).unwrap();
    tcp.write_all(&vec![b'x'; MUCH - written]).unwrap();
    assert_eq!(client.answer().status, 200);
}

#[test]
fn an_early_answer_reaches_a_client_that_is_still_sending() {
    for (after, coding) in [
        (After::Close, "Content-Length: 30000000"),
        (After::KeepOpen, "Content-Length: 30000000"),
        (After::Close, "Transfer-Encoding: chunked"),
    ] {
        let origin = Origin::after_head(move |_, stream| {
            let answer = b"HTTP/1.1 413 Content Too Large\r\ncontent-length: 5\r\n\r\nlarge";
            stream.write_all(answer).unwrap();
            after
        });
        let proxy = Proxy::to(&[origin.address]);
        let mut client = Client::connect(proxy.http());
        client.send(format!("POST / HTTP/1.1\r\nHost: a\r\n{coding}\r\n\r\n"));
        let mut tcp = client.tcp().try_clone().unwrap();
        let sending = thread::spawn(move || {
            // Endless as far as the proxy is concerned; it may stop reading.
            let chunk = [b"ffff\r\n".as_slice(), &[b'x'; 0xffff], b"\r\n"].concat();
            for _ in 0..400 {
                if tcp.write_all(&chunk).is_err() {
                    return;
                }
            }
        });
        let answer = client.answer();
        assert_eq!((answer.status, answer.text().as_str()), (413, "large"), "{coding}");
        assert_eq!(answer.field("connection"), Some("close"), "{coding}");
        sending.join().unwrap();
    }
}

#[test]
fn a_client_that_sends_everything_before_it_reads_sees_an_early_answer() {
    let origin = Origin::after_head(|_, stream| {
        stream.write_all(b"HTTP/1.1 413 Content Too Large\r\ncontent-length: 5\r\n\r\nlarge").unwrap();
        After::Close
    });
    let proxy = Proxy::to(&[origin.address]);
    let mut client = Client::connect(proxy.http());
    client.send(format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", 4 << 20));
    client.send(vec![b'x'; 4 << 20]);
    assert_eq!(client.answer().text(), "large");
}
