//! An origin with habits: reads what arrives on its connections as they are, and answers each request with its name.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    sync::{Arc, Mutex},
};

use selvedge_tests::{origin::Origin, waiting::until};

use crate::habits::{Habits, Reading, Request};

/// The field in which an answer says which request it is for.
pub const SAW: &str = "x-saw";

/// A running origin.
pub struct Lenient {
    /// Where it listens.
    pub address: SocketAddr,
    origin: Origin,
    log: Arc<Mutex<Log>>,
}

/// What came of the connections.
#[derive(Debug, Default)]
pub struct Log {
    /// Requests of all connections in the order in which they were read.
    pub requests: Vec<Request>,
    /// Bytes at the end of a connection that were no whole request, and why not if that was sure.
    pub left: Vec<(Vec<u8>, Option<&'static str>)>,
    ended: usize,
}

impl Lenient {
    /// An origin that reads like this.
    pub fn start(habits: Habits) -> Self {
        let log: Arc<Mutex<Log>> = Arc::default();
        let noted = log.clone();
        let origin = Origin::raw(move |_, mut stream| {
            let left = serve(&habits, &mut stream, &noted);
            let mut log = noted.lock().unwrap();
            log.left.extend(left);
            log.ended += 1;
        });
        Self { address: origin.address, origin, log }
    }

    /// All that came; waits for the end of each connection, so the proxy must have ended.
    pub fn finish(self) -> Log {
        until(|| (self.log.lock().unwrap().ended == self.origin.connections()).then_some(()));
        std::mem::take(&mut *self.log.lock().unwrap())
    }
}

/// Serves a connection; gives what was left of it.
fn serve(
    habits: &Habits,
    stream: &mut TcpStream,
    log: &Mutex<Log>,
) -> Option<(Vec<u8>, Option<&'static str>)> {
    let (mut input, mut piece, mut encouraged) = (Vec::new(), [0; 16 << 10], false);
    loop {
        match habits.next(&input) {
            Reading::Whole(request, used) => {
                input.drain(..used);
                encouraged = false;
                let (closes, answer) = (request.closes, answer(&request));
                log.lock().unwrap().requests.push(request);
                stream.write_all(answer.as_bytes()).ok()?;
                if closes {
                    return None;
                }
                continue;
            }
            Reading::More(true) if !encouraged => {
                encouraged = true;
                stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").ok()?;
            }
            Reading::More(_) => {}
            Reading::Refused(why) => {
                // Who asked may have gone.
                let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
                return Some((input, Some(why)));
            }
        }
        match stream.read(&mut piece) {
            Ok(count @ 1..) => input.extend_from_slice(&piece[..count]),
            _ => return (!input.is_empty()).then_some((input, None)),
        }
    }
}

fn answer(request: &Request) -> String {
    let Request { method, target, .. } = request;
    let body = if method == "HEAD" { "" } else { "ok" };
    format!("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Saw: {method} {target}\r\n\r\n{body}")
}
