//! Floods over HTTP/2: each ends its own connection, and no other one.

use std::io::Write;

use selvedge_tests::{
    client::Client,
    http2_frames::{END_HEADERS, END_STREAM, Frames, encode, get_block, kind, literal, request_block},
    origin::{After, Origin},
    proxy::Proxy,
};

/// GOAWAY with this code was all right, as is a connection that just ends: what was sent after the end may reset it
/// before the GOAWAY is read.
const CALM: [Option<u32>; 2] = [Some(11), None];

/// Flag that payload is padded, and by how much its first byte says (RFC 9113 §6.1).
const PADDED: u8 = 8;

/// Sends pieces of a flood until the proxy has had enough; it must not take this many.
fn flood(proxy: &Proxy, most: u32, piece: impl Fn(u32) -> Vec<u8>) -> Option<u32> {
    let mut witness = Client::connect(proxy.http());
    assert_eq!(witness.get("a", "/").status, 200);
    let mut frames = Frames::connect(proxy.http(), &[]);
    let mut reader = frames.tcp().try_clone().map(Frames::reading).unwrap();
    let reading = std::thread::spawn(move || reader.ended());
    (0..most).find(|index| frames.raw(&piece(*index)).is_err());
    let code = reading.join().unwrap();
    assert_eq!(witness.get("a", "/").status, 200, "other connections are served");
    code
}

fn quick() -> (Origin, Proxy) {
    let origin = Origin::named("ok");
    let proxy = Proxy::to(&[origin.address]);
    (origin, proxy)
}

/// Many frames in one write.
fn times(count: u32, frame: impl Fn(u32) -> Vec<u8>) -> Vec<u8> {
    (0..count).flat_map(frame).collect()
}

#[test]
fn resets_of_streams_that_were_just_opened() {
    let (_origin, proxy) = quick();
    let open = |stream| encode(kind::HEADERS, END_STREAM | END_HEADERS, stream, &get_block());
    let reset = |stream| encode(kind::RST_STREAM, 0, stream, &8u32.to_be_bytes());
    let code = flood(&proxy, 20_000, |index| {
        times(100, |step| {
            let stream = (index * 100 + step) * 2 + 1;
            [open(stream), reset(stream)].concat()
        })
    });
    assert!(CALM.contains(&code), "{code:?}");
}

#[test]
fn resets_that_the_client_makes_us_send() {
    let (_origin, proxy) = quick();
    // A window larger than can be is an error of its stream (RFC 9113 §6.9.1).
    let code = flood(&proxy, 20_000, |index| {
        let stream = index * 2 + 1;
        let open = encode(kind::HEADERS, END_HEADERS, stream, &request_block("POST", "/", "a"));
        [open, encode(kind::WINDOW_UPDATE, 0, stream, &[0x7f, 255, 255, 255])].concat()
    });
    assert!(CALM.contains(&code), "{code:?}");
}

/// What is sent for a stream.
type Piece<'a> = &'a dyn Fn(u32) -> Vec<u8>;

/// The header block of a POST to `/` of host `a`.
fn post_block() -> Vec<u8> {
    request_block("POST", "/", "a")
}

#[test]
fn resets_that_the_client_makes_us_send_in_other_ways() {
    let open = |stream| encode(kind::HEADERS, END_HEADERS, stream, &post_block());
    let ended = |stream| encode(kind::HEADERS, END_HEADERS | END_STREAM, stream, &get_block());
    let length = |stream| {
        let mut block = post_block();
        literal(&mut block, "content-length", "1");
        encode(kind::HEADERS, END_HEADERS, stream, &block)
    };
    // Each is an error of its stream (RFC 9113 §5.1, §6.3, §6.9, §8.1.1).
    let rows: [(&str, Piece); 6] = [
        ("a window of nothing", &|stream| {
            [open(stream), encode(kind::WINDOW_UPDATE, 0, stream, &[0; 4])].concat()
        }),
        ("DATA after the end", &|stream| [ended(stream), encode(kind::DATA, 0, stream, b"x")].concat()),
        ("HEADERS after the end", &|stream| [ended(stream), ended(stream)].concat()),
        ("more than its length", &|stream| [length(stream), encode(kind::DATA, 0, stream, b"xx")].concat()),
        ("a short PRIORITY", &|stream| [open(stream), encode(kind::PRIORITY, 0, stream, &[0; 4])].concat()),
        ("a wrong field", &|stream| {
            let mut block = post_block();
            literal(&mut block, "connection", "close");
            encode(kind::HEADERS, END_HEADERS, stream, &block)
        }),
    ];
    for (name, piece) in rows {
        let (_origin, proxy) = quick();
        let code = flood(&proxy, 20_000, |index| piece(index * 2 + 1));
        // Some of these are errors of the connection at once.
        assert!(code.is_none_or(|code| code != 0), "{name}: {code:?}");
    }
}

#[test]
fn frames_that_are_answered_or_dropped_at_once() {
    let rows = [
        ("ping", encode(kind::PING, 0, 0, &[0; 8])),
        ("settings", encode(kind::SETTINGS, 0, 0, &[])),
        ("settings of the table", encode(kind::SETTINGS, 0, 0, &[0, 1, 0, 0, 0, 0])),
        ("settings of windows", encode(kind::SETTINGS, 0, 0, &[0, 4, 0, 0, 255, 255])),
        ("acknowledgement", encode(kind::PING, END_STREAM, 0, &[0; 8])),
        ("priority", encode(kind::PRIORITY, 0, 1, &[0, 0, 0, 0, 1])),
        ("window update", encode(kind::WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1])),
        ("unknown", encode(99, 0, 0, &[])),
    ];
    for (name, frame) in rows {
        let (_origin, proxy) = quick();
        let code = flood(&proxy, 20_000, |_| frame.repeat(100));
        assert!(CALM.contains(&code), "{name}: {code:?}");
    }
}

#[test]
fn heads_of_a_stream_that_was_reset() {
    let (_origin, proxy) = quick();
    let mut block = post_block();
    literal(&mut block, "content-length", "1");
    let code = flood(&proxy, 20_000, |index| match index {
        // More than its length: we reset the stream, and drop what still comes of it.
        0 => [encode(kind::HEADERS, END_HEADERS, 1, &block), encode(kind::DATA, 0, 1, b"xx")].concat(),
        _ => encode(kind::HEADERS, END_HEADERS, 1, &post_block()).repeat(100),
    });
    assert!(CALM.contains(&code), "{code:?}");
}

#[test]
fn goaway_again_and_again() {
    let (_origin, proxy) = quick();
    let code = flood(&proxy, 20_000, |_| encode(kind::GOAWAY, 0, 0, &[0; 8]).repeat(100));
    // The client has said that it goes, so it may be taken at its word.
    assert!(CALM.contains(&code) || code == Some(0), "{code:?}");
}

#[test]
fn empty_data() {
    // With a length of nothing, and with padding only.
    for (flags, payload) in [(0, vec![]), (PADDED, [&[255][..], &[0; 255]].concat())] {
        let (_origin, proxy) = quick();
        let code = flood(&proxy, 20_000, |index| match index {
            0 => encode(kind::HEADERS, END_HEADERS, 1, &post_block()),
            _ => encode(kind::DATA, flags, 1, &payload).repeat(100),
        });
        assert!(CALM.contains(&code), "{flags}: {code:?}");
    }
}

#[test]
fn windows_that_open_byte_by_byte() {
    // As many streams as may be, each with an answer that goes out in pieces of one byte.
    let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n{}", "x".repeat(100_000));
    let origin = Origin::answering(answer.leak());
    let proxy = Proxy::to(&[origin.address]);
    let mut witness = Client::connect(proxy.http());
    assert_eq!(witness.get("a", "/").status, 200);
    let mut frames = Frames::connect(proxy.http(), &[(4, 1)]);
    let mut reader = frames.tcp().try_clone().map(Frames::reading).unwrap();
    let reading = std::thread::spawn(move || reader.ended());
    (0..100).for_each(|index| frames.get(index * 2 + 1));
    let more: Vec<u8> =
        (0..100).flat_map(|index| encode(kind::WINDOW_UPDATE, 0, index * 2 + 1, &[0, 0, 0, 1])).collect();
    // A byte in a frame of its own pays for a third of the frame that asks for it.
    let rounds = (0..20_000).find(|_| frames.raw(&more).is_err());
    let code = reading.join().unwrap();
    assert!(CALM.contains(&code), "{code:?} after {rounds:?} rounds");
    assert_eq!(witness.get("a", "/").status, 200, "other connections are served");
}

#[test]
fn sizes_of_the_table_that_change_all_the_time() {
    let (_origin, proxy) = quick();
    // The table is emptied and made anew at the begin of each block (RFC 7541 §4.2), on streams that end at once.
    let sizes = [0x20, 0x3f, 0xe1, 0x1f];
    let mut witness = Client::connect(proxy.http());
    assert_eq!(witness.get("a", "/").status, 200);
    let mut frames = Frames::connect(proxy.http(), &[]);
    for index in 0..50 {
        let stream = index * 2 + 1;
        let block = [&sizes[..], &get_block()].concat();
        frames.frame(kind::HEADERS, END_STREAM | END_HEADERS, stream, &block);
        assert_eq!(frames.until(kind::HEADERS, stream).unwrap().status(), Some(200));
    }
    // Very many in one block are at most as many as the block has bytes; whether they are taken does not matter.
    let block = [sizes.repeat(4_000), get_block()].concat();
    frames.frame(kind::HEADERS, END_STREAM | END_HEADERS, 101, &block);
    frames.next_of(&[kind::HEADERS, kind::RST_STREAM, kind::GOAWAY]);
    assert_eq!(witness.get("a", "/").status, 200, "other connections are served");
}

#[test]
fn continuation_without_end() {
    let (_origin, proxy) = quick();
    let mut field = Vec::new();
    literal(&mut field, "x-bomb", &"b".repeat(1000));
    for piece in [field, Vec::new()] {
        let code = flood(&proxy, 20_000, |index| match index {
            0 => encode(kind::HEADERS, END_STREAM, 1, &get_block()),
            _ => encode(kind::CONTINUATION, 0, 1, &piece).repeat(10),
        });
        assert!(CALM.contains(&code) || code == Some(9), "{code:?}");
    }
}

#[test]
fn a_header_bomb_is_refused_before_it_is_unpacked() {
    let (origin, proxy) = quick();
    let mut frames = Frames::connect(proxy.http(), &[]);
    // One field of 3,000 bytes in the table, and 12,000 references to it: 36 MB.
    let mut block = get_block();
    let mut field = Vec::new();
    literal(&mut field, "x-bomb", &"b".repeat(3000));
    field[0] = 0x40;
    block.extend(field);
    block.extend([0xbe; 12_000]);
    frames.frame(kind::HEADERS, END_STREAM | END_HEADERS, 1, &block);
    let answer = frames.next_of(&[kind::HEADERS, kind::RST_STREAM, kind::GOAWAY]);
    assert!(answer.is_none_or(|frame| frame.status() != Some(200)));
    assert_eq!(origin.seen().len(), 0);
    assert_eq!(Client::connect(proxy.http()).get("a", "/").status, 200);
}

#[test]
fn a_header_list_over_the_limit_is_answered_431() {
    let (origin, proxy) = quick();
    let mut frames = Frames::connect(proxy.http(), &[]);
    let mut block = get_block();
    for index in 0..40 {
        literal(&mut block, &format!("x-{index}"), &"b".repeat(1000));
    }
    let (first, rest) = block.split_at(16_000);
    let (second, third) = rest.split_at(16_000);
    frames.frame(kind::HEADERS, END_STREAM, 1, first);
    frames.frame(kind::CONTINUATION, 0, 1, second);
    frames.frame(kind::CONTINUATION, END_HEADERS, 1, third);
    let answer = frames.until(kind::HEADERS, 1).unwrap();
    // 431 in the forms that HPACK has for it: the name of `:status` by index, the value as it is or packed.
    let is_431 = answer.payload.windows(3).any(|text| text == b"431" || text == [0x68, 0x17, 0x2f]);
    assert!(is_431 || answer.status().is_none(), "{answer:?}");
    frames.get(3);
    assert_eq!(frames.until(kind::HEADERS, 3).unwrap().status(), Some(200), "the connection goes on");
    assert_eq!(origin.seen().len(), 1);
}

#[test]
fn more_streams_than_allowed_are_refused_and_the_others_served() {
    let gate = std::sync::Arc::new(std::sync::Barrier::new(101));
    let waiting = gate.clone();
    let origin = Origin::scripted(move |_, stream| {
        waiting.wait();
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").unwrap();
        After::Close
    });
    let proxy = Proxy::to(&[origin.address]);
    let mut frames = Frames::connect(proxy.http(), &[]);
    frames.until(kind::SETTINGS, 0).unwrap();
    let open: Vec<u8> = (0..102)
        .flat_map(|index| encode(kind::HEADERS, END_STREAM | END_HEADERS, index * 2 + 1, &get_block()))
        .collect();
    frames.raw(&open).unwrap();
    assert_eq!(frames.until(kind::RST_STREAM, 201).unwrap().code(), 7, "REFUSED_STREAM");
    gate.wait();
    let mut answered = 0;
    while answered < 100 {
        answered += u32::from(frames.read_frame().unwrap().status() == Some(200));
    }
}
