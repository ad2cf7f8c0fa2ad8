//! Endpoints of backends: what they do with a request, and what they note of it.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use rustls::{ServerConnection, StreamOwned};
use selvedge_tests::tls;
use serde_json::json;

use crate::{
    certificates::{BACKEND, CERTIFICATES},
    seen::{Field, Seen},
};

/// What an endpoint does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Behaviour {
    /// Answers 200 and says who it is.
    Echo,
    /// Refuses connections.
    Refuse,
    /// Reads a request and closes.
    Close,
    /// Answers as `Echo` does, with this status.
    Status(u16),
    /// Does what the path says: `/status/404`, `/delay/3`, `/close`, `/set?NAME=VALUE&…`.
    Tool,
    /// Decides as the request's field `X-Test-Auth` says.
    Auth,
    /// Answers as `Echo` does, over TLS.
    Tls,
    /// Shows a page for the status in `X-Code`.
    ErrorPage,
}

/// An answer, but for its length.
struct Answer {
    status: u16,
    fields: Vec<Field>,
    body: Vec<u8>,
}

/// One endpoint.
struct Origin {
    behaviour: Behaviour,
    service: Arc<str>,
    seen: Arc<Mutex<Vec<Seen>>>,
}

/// Serves all connections of a listener in threads of its own.
pub fn run(listener: TcpListener, behaviour: Behaviour, service: Arc<str>, seen: Arc<Mutex<Vec<Seen>>>) {
    let origin = Arc::new(Origin { behaviour, service, seen });
    let settings = tls::settings_with(CERTIFICATES.pair(BACKEND), None, &[]);
    thread::spawn(move || {
        for tcp in listener.incoming().flatten() {
            let (origin, settings) = (origin.clone(), settings.clone());
            thread::spawn(move || {
                // A connection that ends early is nothing to complain of.
                let _ = match behaviour {
                    Behaviour::Tls => ServerConnection::new(settings)
                        .map_err(io::Error::other)
                        .and_then(|session| origin.serve_tls(session, tcp)),
                    _ => tcp.try_clone().and_then(|stream| origin.serve(stream, &tcp, None)),
                };
            });
        }
    });
}

impl Origin {
    fn serve_tls(&self, mut session: ServerConnection, mut tcp: TcpStream) -> io::Result<()> {
        while session.is_handshaking() {
            session.complete_io(&mut tcp)?;
        }
        let name = session.server_name().map(str::to_owned);
        let handle = tcp.try_clone()?;
        self.serve(StreamOwned::new(session, tcp), &handle, name)
    }

    fn serve(&self, stream: impl Read + Write, tcp: &TcpStream, name: Option<String>) -> io::Result<()> {
        let mut reader = BufReader::new(stream);
        while let Some(mut seen) = read_head(&mut reader)? {
            seen.endpoint = tcp.local_addr()?.to_string();
            (seen.service, seen.server_name) = (self.service.to_string(), name.clone());
            // What has no end is seen all the same.
            let read = read_body(&mut reader, &mut seen);
            self.seen.lock().expect("nobody panics with it").push(seen.clone());
            read?;
            let Some(answer) = self.answer(&seen, tcp)? else { return Ok(()) };
            let last = seen.version == "HTTP/1.0" || seen.field("connection") == Some("close");
            write(reader.get_mut(), &answer, &seen.method)?;
            if last {
                return Ok(());
            }
        }
        Ok(())
    }

    /// What is answered; `None` closes the connection.
    fn answer(&self, seen: &Seen, tcp: &TcpStream) -> io::Result<Option<Answer>> {
        let path = seen.target.split('?').next().unwrap_or_default();
        Ok(match self.behaviour {
            Behaviour::Echo | Behaviour::Tls | Behaviour::Refuse => Some(self.echo(200, seen)),
            Behaviour::Status(status) => Some(self.echo(status, seen)),
            Behaviour::Close => None,
            Behaviour::Auth => Some(judge(seen)),
            Behaviour::ErrorPage => {
                let code = seen.field("x-code").unwrap_or("404");
                let fields = vec![field("Content-Type", "text/html"), field("X-Errors", "page")];
                let body = format!("error page {code}\n").into_bytes();
                Some(Answer { status: code.parse().unwrap_or(404), fields, body })
            }
            Behaviour::Tool if path == "/close" => None,
            Behaviour::Tool if path == "/set" => Some(self.set(seen)),
            Behaviour::Tool => match path.strip_prefix("/status/").map(|rest| rest.get(..3)) {
                Some(status) => {
                    Some(self.echo(status.and_then(|text| text.parse().ok()).unwrap_or(200), seen))
                }
                None => match path.strip_prefix("/delay/").and_then(|text| text.parse().ok()) {
                    Some(seconds) if is_closed_within(tcp, Duration::from_secs(seconds))? => None,
                    _ => Some(self.echo(200, seen)),
                },
            },
        })
    }

    fn echo(&self, status: u16, seen: &Seen) -> Answer {
        let Seen { endpoint, method, target, fields, .. } = seen;
        let body = json!({
            "backend": *self.service, "endpoint": endpoint, "method": method, "target": target, "fields": fields,
        });
        let fields = vec![field("Content-Type", "application/json")];
        Answer { status, fields, body: body.to_string().into_bytes() }
    }

    /// An answer with the fields that the query names.
    fn set(&self, seen: &Seen) -> Answer {
        let mut answer = self.echo(200, seen);
        let query = seen.target.split_once('?').map_or("", |(_, query)| query);
        let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        // The backends of the record left out what had no value.
        for (name, value) in pairs.filter(|(_, value)| !value.is_empty()) {
            let value = decoded(value);
            match name {
                "status" => answer.status = value.parse().unwrap_or(200),
                "body" => answer.body = value.into_bytes(),
                "Content-Type" => answer.fields[0].1 = value,
                name => answer.fields.push(field(name, &value)),
            }
        }
        answer
    }
}

/// The authentication service.
fn judge(seen: &Seen) -> Answer {
    let status = seen.field("x-test-auth").and_then(|text| text.parse().ok()).unwrap_or(401);
    let mut fields = match status {
        200 => vec![field("X-Auth-User", "alice"), field("X-Auth-Groups", "dev,ops")],
        401 => vec![field("WWW-Authenticate", "Bearer realm=\"auth-service\"")],
        302 => vec![field("Location", "http://login.test/start")],
        _ => Vec::new(),
    };
    fields.extend(seen.field("x-test-auth-cookie").map(|cookie| field("Set-Cookie", cookie)));
    Answer { status, fields, body: format!("auth says {status}").into_bytes() }
}

/// Whether the other side closes the connection within this time.
fn is_closed_within(tcp: &TcpStream, time: Duration) -> io::Result<bool> {
    tcp.set_read_timeout(Some(time))?;
    let closed = matches!(tcp.peek(&mut [0]), Ok(0));
    tcp.set_read_timeout(None)?;
    Ok(closed)
}

fn write(stream: &mut impl Write, answer: &Answer, method: &str) -> io::Result<()> {
    let mut head = format!("HTTP/1.1 {} Said\r\n", answer.status);
    for (name, value) in &answer.fields {
        head += &format!("{name}: {value}\r\n");
    }
    let has_body = !matches!(answer.status, 100..=199 | 204 | 304);
    if has_body {
        head += &format!("Content-Length: {}\r\n", answer.body.len());
    }
    let mut bytes = latin1(&(head + "\r\n"));
    if has_body && method != "HEAD" {
        bytes.extend_from_slice(&answer.body);
    }
    stream.write_all(&bytes)?;
    stream.flush()
}

/// Reads a head; `None` at the end of the connection, and if it is no HTTP.
fn read_head(reader: &mut impl BufRead) -> io::Result<Option<Seen>> {
    if !reader.fill_buf()?.first().is_some_and(u8::is_ascii_uppercase) {
        return Ok(None);
    }
    let line = read_line(reader)?;
    let mut words = line.splitn(2, ' ');
    let method = words.next().unwrap_or_default().to_owned();
    let (target, version) = words.next().and_then(|rest| rest.rsplit_once(' ')).unwrap_or_default();
    let mut seen = Seen { method, target: target.to_owned(), version: version.to_owned(), ..Seen::default() };
    loop {
        let line = read_line(reader)?;
        match line.split_once(':') {
            Some((name, value)) => seen.fields.push(field(name, value.trim())),
            None => return Ok(Some(seen)),
        }
    }
}

fn read_body(reader: &mut impl BufRead, seen: &mut Seen) -> io::Result<()> {
    if seen.field("transfer-encoding").is_some() {
        loop {
            let size = usize::from_str_radix(&read_line(reader)?, 16).map_err(io::Error::other)?;
            if size == 0 {
                while !read_line(reader)?.is_empty() {}
                return Ok(());
            }
            reader.read_exact(&mut vec![0; size + 2])?;
            seen.bytes += size;
        }
    }
    let length = seen.field("content-length").and_then(|value| value.parse().ok()).unwrap_or(0);
    reader.read_exact(&mut vec![0; length])?;
    seen.bytes = length;
    Ok(())
}

/// A line without its end, each byte a character.
fn read_line(reader: &mut impl BufRead) -> io::Result<String> {
    let mut line = Vec::new();
    reader.read_until(b'\n', &mut line)?;
    let line = line.strip_suffix(b"\r\n").ok_or(io::ErrorKind::UnexpectedEof)?;
    Ok(line.iter().copied().map(char::from).collect())
}

/// Each character as a byte.
pub fn latin1(text: &str) -> Vec<u8> {
    text.chars().map(|character| u8::try_from(character).unwrap_or(b'?')).collect()
}

fn field(name: &str, value: &str) -> Field {
    (name.to_owned(), value.to_owned())
}

/// Undoes the escaping of a query.
fn decoded(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let byte = rest.get(1..3).filter(|_| first == '%').and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match byte {
            Some(byte) => out.push(char::from(byte)),
            None => out.push(if first == '+' { ' ' } else { first }),
        }
        rest = &rest[if byte.is_some() { 3 } else { first.len_utf8() }..];
    }
    out
}
