//! Scripted origins: raw HTTP/1.1 servers that record what they saw and answer as told, byte by byte.

use std::{
    io::{BufRead, BufReader, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

/// No request of a test takes this long.
const PATIENCE: Duration = Duration::from_secs(60);

/// One request as an origin saw it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Request line without its line end.
    pub line: String,
    /// Fields in order, as name and value.
    pub fields: Vec<(String, String)>,
    /// Body with its framing removed.
    pub body: Vec<u8>,
    /// Trailer fields of a chunked body.
    pub trailers: Vec<(String, String)>,
    /// Which connection it came on, counted from 0.
    pub connection: usize,
}

impl Seen {
    /// The value of the first field of this name, whatever its case.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str())
    }
}

/// What an origin does after it has read a request.
pub type Script = dyn Fn(&Seen, &mut TcpStream) -> After + Send + Sync;

/// What becomes of the connection after an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum After {
    /// It waits for the next request.
    KeepOpen,
    /// It is closed.
    Close,
}

/// A running origin; it goes on in its threads until the process ends.
#[derive(Clone)]
pub struct Origin {
    /// Where it listens.
    pub address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    connections: Arc<AtomicUsize>,
}

impl Origin {
    /// An origin that answers every request with these bytes and keeps the connection open.
    pub fn answering(answer: &'static str) -> Self {
        Self::scripted(move |_, stream| match stream.write_all(answer.as_bytes()) {
            Ok(()) => After::KeepOpen,
            Err(_) => After::Close,
        })
    }

    /// An origin that answers 200 with `name` as its body.
    pub fn named(name: &'static str) -> Self {
        Self::scripted(move |_, stream| {
            let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{name}", name.len());
            match stream.write_all(answer.as_bytes()) {
                Ok(()) => After::KeepOpen,
                Err(_) => After::Close,
            }
        })
    }

    /// An origin that reads each request whole and then does as the script says.
    pub fn scripted(script: impl Fn(&Seen, &mut TcpStream) -> After + Send + Sync + 'static) -> Self {
        Self::on(SocketAddr::from(([127, 0, 0, 1], 0)), true, script)
    }

    /// An origin whose script runs after the head and reads the body itself, if at all.
    pub fn after_head(script: impl Fn(&Seen, &mut TcpStream) -> After + Send + Sync + 'static) -> Self {
        Self::on(SocketAddr::from(([127, 0, 0, 1], 0)), false, script)
    }

    /// An origin whose script has each connection to itself, from its first byte on; the number counts them from 0.
    pub fn raw(script: impl Fn(usize, TcpStream) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("loopback has free ports");
        let address = listener.local_addr().expect("a bound socket has an address");
        let origin = Self { address, seen: Arc::default(), connections: Arc::default() };
        let (this, script) = (origin.clone(), Arc::new(script));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (this, script) = (this.clone(), script.clone());
                let connection = this.connections.fetch_add(1, Ordering::SeqCst);
                stream.set_read_timeout(Some(PATIENCE)).expect("the limit is not zero");
                thread::spawn(move || script(connection, stream));
            }
        });
        origin
    }

    /// An origin on this address.
    pub fn on(
        address: SocketAddr,
        read_body: bool,
        script: impl Fn(&Seen, &mut TcpStream) -> After + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind(address).expect("the address of an origin is free");
        let address = listener.local_addr().expect("a bound socket has an address");
        let origin = Self { address, seen: Arc::default(), connections: Arc::default() };
        let (this, script) = (origin.clone(), Arc::new(script));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (this, script) = (this.clone(), script.clone());
                let connection = this.connections.fetch_add(1, Ordering::SeqCst);
                thread::spawn(move || this.serve(stream, connection, read_body, &*script));
            }
        });
        origin
    }

    /// All requests so far.
    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().expect("no test panics while it holds this").clone()
    }

    /// The only request so far.
    pub fn only(&self) -> Seen {
        let seen = self.seen();
        assert_eq!(seen.len(), 1, "one request reaches the origin, not {seen:?}");
        seen.into_iter().next().expect("checked above")
    }

    /// Number of connections accepted so far.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    fn serve(&self, mut stream: TcpStream, connection: usize, read_body: bool, script: &Script) {
        // A script that reads for itself must find all that comes behind the head.
        let capacity = if read_body { 8 << 10 } else { 1 };
        let input = stream.try_clone().expect("sockets can be duplicated");
        let mut reader = BufReader::with_capacity(capacity, input);
        while let Some(mut seen) = read_head(&mut reader) {
            seen.connection = connection;
            if read_body && read_body_into(&mut reader, &mut seen).is_none() {
                return;
            }
            self.seen.lock().expect("no test panics while it holds this").push(seen.clone());
            if script(&seen, &mut stream) == After::Close {
                return;
            }
        }
    }
}

fn read_line(reader: &mut impl BufRead) -> Option<String> {
    let mut line = Vec::new();
    reader.read_until(b'\n', &mut line).ok().filter(|count| *count > 0)?;
    assert!(line.ends_with(b"\r\n"), "lines end with CRLF: {:?}", String::from_utf8_lossy(&line));
    Some(String::from_utf8_lossy(&line[..line.len() - 2]).into_owned())
}

fn read_fields(reader: &mut impl BufRead) -> Option<Vec<(String, String)>> {
    let mut fields = Vec::new();
    loop {
        let line = read_line(reader)?;
        if line.is_empty() {
            return Some(fields);
        }
        let (name, value) = line.split_once(':').expect("a field has a colon");
        fields.push((name.to_owned(), value.trim().to_owned()));
    }
}

/// Reads the head of a request; `None` at the end of the connection.
pub fn read_head(reader: &mut impl BufRead) -> Option<Seen> {
    let line = read_line(reader)?;
    Some(Seen { line, fields: read_fields(reader)?, ..Seen::default() })
}

/// Reads a request whole; `None` at the end of the connection.
pub fn read_request(reader: &mut impl BufRead) -> Option<Seen> {
    let mut seen = read_head(reader)?;
    read_body_into(reader, &mut seen).map(|()| seen)
}

fn read_body_into(reader: &mut impl BufRead, seen: &mut Seen) -> Option<()> {
    if seen.field("transfer-encoding").is_some() {
        loop {
            let size = usize::from_str_radix(&read_line(reader)?, 16).expect("chunk sizes are hex");
            if size == 0 {
                seen.trailers = read_fields(reader)?;
                return Some(());
            }
            let mut chunk = vec![0; size + 2];
            reader.read_exact(&mut chunk).ok()?;
            seen.body.extend_from_slice(&chunk[..size]);
        }
    }
    let length = seen.field("content-length").map_or(0, |value| value.parse().expect("lengths are numbers"));
    seen.body = vec![0; length];
    reader.read_exact(&mut seen.body).ok()
}
