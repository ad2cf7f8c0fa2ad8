//! Raw HTTP/2 frames: a client that says exactly what a test wants, right or wrong.

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

/// No frame that a test waits for takes this long.
const PATIENCE: Duration = Duration::from_secs(20);

/// Types of frames (RFC 9113 §6).
pub mod kind {
    #![allow(missing_docs, reason = "the names are those of the RFC")]
    pub const DATA: u8 = 0;
    pub const HEADERS: u8 = 1;
    pub const PRIORITY: u8 = 2;
    pub const RST_STREAM: u8 = 3;
    pub const SETTINGS: u8 = 4;
    pub const PING: u8 = 6;
    pub const GOAWAY: u8 = 7;
    pub const WINDOW_UPDATE: u8 = 8;
    pub const CONTINUATION: u8 = 9;
}

/// Flag that a stream ends with this frame; ACK on SETTINGS and PING.
pub const END_STREAM: u8 = 1;
/// Flag that the header block ends with this frame.
pub const END_HEADERS: u8 = 4;

/// A frame as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Type, one of [`kind`].
    pub kind: u8,
    /// Flags.
    pub flags: u8,
    /// Stream, 0 for the connection.
    pub stream: u32,
    /// Payload.
    pub payload: Vec<u8>,
}

impl Frame {
    /// The error code of RST_STREAM and GOAWAY.
    pub fn code(&self) -> u32 {
        let at = if self.kind == kind::GOAWAY { 4 } else { 0 };
        let bytes = self.payload.get(at..at + 4).and_then(|bytes| bytes.try_into().ok());
        u32::from_be_bytes(bytes.expect("the frame has an error code"))
    }

    /// The status of HEADERS if it is one of those with an index of their own (200, 204, 304, 400, 404, 500).
    pub fn status(&self) -> Option<u16> {
        let statuses = [200, 204, 206, 304, 400, 404, 500];
        let index = self.payload.first().filter(|_| self.kind == kind::HEADERS)?.checked_sub(0x88)?;
        statuses.get(usize::from(index)).copied()
    }
}

/// A connection that speaks HTTP/2 frame by frame.
pub struct Frames<S: Read + Write = TcpStream> {
    stream: S,
}

impl Frames {
    /// Connects in plain text and sends the preface with these settings.
    pub fn connect(address: SocketAddr, settings: &[(u16, u32)]) -> Self {
        let stream = TcpStream::connect(address).expect("the proxy accepts connections");
        stream.set_read_timeout(Some(PATIENCE)).expect("the limit is not zero");
        stream.set_write_timeout(Some(PATIENCE)).expect("the limit is not zero");
        stream.set_nodelay(true).expect("TCP has this option");
        Self::over(stream, settings)
    }

    /// The half that reads, of a connection on which another one sends.
    pub fn reading(stream: TcpStream) -> Self {
        Self { stream }
    }

    /// The TCP connection.
    pub fn tcp(&self) -> &TcpStream {
        &self.stream
    }
}

impl<S: Read + Write> Frames<S> {
    /// Sends the preface with these settings on an open stream.
    pub fn over(stream: S, settings: &[(u16, u32)]) -> Self {
        let mut frames = Self { stream };
        let mut payload = Vec::new();
        for (name, value) in settings {
            payload.extend_from_slice(&name.to_be_bytes());
            payload.extend_from_slice(&value.to_be_bytes());
        }
        frames.raw(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").expect("the proxy reads the preface");
        frames.frame(kind::SETTINGS, 0, 0, &payload);
        frames
    }

    /// Sends bytes as they are.
    ///
    /// # Errors
    /// When the proxy has closed the connection.
    pub fn raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)?;
        self.stream.flush()
    }

    /// Sends a frame.
    pub fn frame(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        self.raw(&encode(kind, flags, stream, payload)).expect("the proxy reads what it is sent");
    }

    /// Sends a GET for `/` of host `a`.
    pub fn get(&mut self, stream: u32) {
        self.frame(kind::HEADERS, END_STREAM | END_HEADERS, stream, &get_block());
    }

    /// Begins a POST to `/` of host `a`, with more fields.
    pub fn post(&mut self, stream: u32, fields: &[(&str, &str)]) {
        let mut block = request_block("POST", "/", "a");
        fields.iter().for_each(|(name, value)| literal(&mut block, name, value));
        self.frame(kind::HEADERS, END_HEADERS, stream, &block);
    }

    /// Reads a frame.
    ///
    /// # Errors
    /// When the proxy has closed the connection.
    pub fn read_frame(&mut self) -> io::Result<Frame> {
        let mut head = [0; 9];
        self.stream.read_exact(&mut head)?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let mut payload = vec![0; length];
        self.stream.read_exact(&mut payload)?;
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]) & 0x7fff_ffff;
        Ok(Frame { kind: head[3], flags: head[4], stream, payload })
    }

    /// Reads frames, and acknowledges what wants it, until one is of this kind and stream.
    ///
    /// # Errors
    /// When the proxy closes the connection before.
    pub fn until(&mut self, kind: u8, stream: u32) -> io::Result<Frame> {
        loop {
            let frame = self.read_frame()?;
            let ack = matches!(frame.kind, kind::SETTINGS | kind::PING) && frame.flags & END_STREAM == 0;
            if ack {
                let payload: &[u8] = if frame.kind == kind::PING { &frame.payload } else { &[] };
                self.raw(&encode(frame.kind, END_STREAM, 0, payload))?;
            }
            if (frame.kind, frame.stream) == (kind, stream) {
                return Ok(frame);
            }
        }
    }

    /// Reads frames until one is of these kinds; `None` if the connection ends before.
    pub fn next_of(&mut self, kinds: &[u8]) -> Option<Frame> {
        loop {
            let frame = self.read_frame().ok()?;
            if kinds.contains(&frame.kind) {
                return Some(frame);
            }
        }
    }

    /// Reads to the end of the connection; the error code of a GOAWAY, if one came.
    ///
    /// Panics if the connection is still open when patience ends.
    pub fn ended(&mut self) -> Option<u32> {
        let mut code = None;
        loop {
            match self.read_frame() {
                Ok(frame) if frame.kind == kind::GOAWAY => code = Some(frame.code()),
                Ok(_) => {}
                Err(error) => {
                    let late = matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut);
                    assert!(!late, "the proxy ends the connection");
                    return code;
                }
            }
        }
    }
}

/// A request head that reached a [`FrameOrigin`].
#[derive(Clone, Copy, Debug)]
pub struct Accepted {
    /// Which connection it came on, counted from 0.
    pub connection: usize,
    /// Which request of that connection it is, counted from 0.
    pub request: usize,
    /// Its stream.
    pub stream: u32,
}

/// A running origin that answers each head of a request with frames as they are.
pub struct FrameOrigin {
    /// Where it listens.
    pub address: SocketAddr,
    connections: Arc<AtomicUsize>,
    requests: Arc<AtomicUsize>,
}

impl FrameOrigin {
    /// An origin with this script.
    pub fn start(script: impl Fn(Accepted) -> Vec<u8> + Send + Sync + 'static) -> Self {
        Self::closing(move |accepted| (script(accepted), false))
    }

    /// The same of a script that says of each answer whether the connection closes behind it.
    pub fn closing(script: impl Fn(Accepted) -> (Vec<u8>, bool) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("loopback has free ports");
        let address = listener.local_addr().expect("a bound socket has an address");
        let (connections, requests): (Arc<AtomicUsize>, Arc<AtomicUsize>) = Default::default();
        let (accepted, all, script) = (connections.clone(), requests.clone(), Arc::new(script));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let connection = accepted.fetch_add(1, Ordering::SeqCst);
                let (all, script) = (all.clone(), script.clone());
                thread::spawn(move || serve(stream, connection, &all, &*script));
            }
        });
        Self { address, connections, requests }
    }

    /// Number of connections accepted so far.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// Number of request heads so far, on all connections.
    pub fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}

fn serve(
    mut stream: TcpStream,
    connection: usize,
    all: &AtomicUsize,
    script: &(dyn Fn(Accepted) -> (Vec<u8>, bool) + Send + Sync),
) -> io::Result<()> {
    stream.read_exact(&mut [0; 24])?;
    stream.write_all(&encode(kind::SETTINGS, 0, 0, &[]))?;
    let mut frames = Frames { stream };
    for request in 0.. {
        let stream = loop {
            let frame = frames.read_frame()?;
            match frame.kind {
                kind::SETTINGS if frame.flags & END_STREAM == 0 => {
                    frames.raw(&encode(kind::SETTINGS, END_STREAM, 0, &[]))?;
                }
                kind::HEADERS => break frame.stream,
                _ => {}
            }
        };
        all.fetch_add(1, Ordering::SeqCst);
        let (answer, closes) = script(Accepted { connection, request, stream });
        frames.raw(&answer)?;
        if closes {
            break;
        }
    }
    Ok(())
}

/// A frame as bytes.
pub fn encode(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut frame = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    frame.extend_from_slice(&[kind, flags]);
    frame.extend_from_slice(&stream.to_be_bytes());
    frame.extend_from_slice(payload);
    frame
}

/// The header block of a GET for `/` of host `a`.
pub fn get_block() -> Vec<u8> {
    request_block("GET", "/", "a")
}

/// The header block of a request.
pub fn request_block(method: &str, path: &str, authority: &str) -> Vec<u8> {
    let mut block = Vec::new();
    literal(&mut block, ":method", method);
    literal(&mut block, ":scheme", "http");
    literal(&mut block, ":path", path);
    literal(&mut block, ":authority", authority);
    block
}

/// Appends a field without any compression (RFC 7541 §6.2.2).
pub fn literal(block: &mut Vec<u8>, name: &str, value: &str) {
    field(block, name.as_bytes(), value.as_bytes());
}

/// The same for bytes that no field may have.
pub fn field(block: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    block.push(0);
    string(block, name);
    string(block, value);
}

fn string(block: &mut Vec<u8>, text: &[u8]) {
    let mut length = text.len();
    if length < 127 {
        block.push(length as u8);
    } else {
        block.push(127);
        length -= 127;
        while length >= 128 {
            block.push(length as u8 | 128);
            length >>= 7;
        }
        block.push(length as u8);
    }
    block.extend_from_slice(text);
}
