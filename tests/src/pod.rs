//! Pods: HTTP/1.1 servers that come and go, by the book or without a word.

use std::{
    collections::HashMap,
    io::{BufRead, BufReader, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

/// Every so many answers, a pod of bad manners closes the connection without having said so.
const RUDE_EVERY: usize = 23;
/// How long it waits before that at most, so that now and then a request is on its way already.
const RUDE_PAUSE: Duration = Duration::from_micros(300);

/// How a pod treats connections that it keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manners {
    /// It keeps them until it is stopped, and says when it will close one.
    Good,
    /// It closes them now and then, without a word.
    Rude,
}

/// A running pod. It answers every request without a body 200 with its name.
pub struct Pod {
    /// Where it listens.
    pub address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    name: String,
    manners: Manners,
    stopping: AtomicBool,
    requests: AtomicUsize,
    connections: Mutex<HashMap<usize, TcpStream>>,
}

impl Pod {
    /// Starts a pod on a free port.
    ///
    /// # Panics
    /// If the system gives no port.
    pub fn start(name: &str, manners: Manners) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has free ports");
        let address = listener.local_addr().expect("a bound socket has an address");
        let shared = Arc::new(Shared {
            name: name.to_owned(),
            manners,
            stopping: AtomicBool::new(false),
            requests: AtomicUsize::new(0),
            connections: Mutex::default(),
        });
        let this = shared.clone();
        thread::spawn(move || {
            for number in 0.. {
                match listener.accept() {
                    Ok((stream, _)) => {
                        let this = this.clone();
                        thread::spawn(move || this.serve(number, stream));
                    }
                    Err(_) if this.stopping.load(Ordering::SeqCst) => return,
                    Err(_) => {}
                }
                if this.stopping.load(Ordering::SeqCst) {
                    // Those who have connected are served yet; closed at once, they would see a reset.
                    listener.set_nonblocking(true).expect("sockets can do without waiting");
                }
            }
        });
        Self { address, shared }
    }

    /// Requests that it has answered.
    pub fn requests(&self) -> usize {
        self.shared.requests.load(Ordering::SeqCst)
    }

    /// Stops as good servers do on SIGTERM: no new connections, requests that have arrived are answered, then all
    /// connections are closed.
    pub fn stop(self) {
        self.shared.stopping.store(true, Ordering::SeqCst);
        // Wakes the one who accepts, so that the port is closed.
        let _ = TcpStream::connect(self.address);
        for stream in self.shared.connections().values() {
            // What has arrived can still be read; then comes the end.
            let _ = stream.shutdown(Shutdown::Read);
        }
    }
}

impl Shared {
    fn serve(&self, number: usize, mut stream: TcpStream) {
        let _ = stream.set_nodelay(true);
        let (Ok(kept), Ok(input)) = (stream.try_clone(), stream.try_clone()) else { return };
        self.connections().insert(number, kept);
        let mut reader = BufReader::new(input);
        while read_head(&mut reader) {
            let count = self.requests.fetch_add(1, Ordering::SeqCst) + 1;
            let last = self.stopping.load(Ordering::SeqCst);
            let close = if last { "connection: close\r\n" } else { "" };
            let (name, length) = (&self.name, self.name.len());
            let answer = format!("HTTP/1.1 200 OK\r\n{close}content-length: {length}\r\n\r\n{name}");
            if stream.write_all(answer.as_bytes()).is_err() || last {
                break;
            }
            if self.manners == Manners::Rude && count.is_multiple_of(RUDE_EVERY) {
                thread::sleep(RUDE_PAUSE * (count % 3) as u32);
                break;
            }
        }
        self.connections().remove(&number);
    }

    fn connections(&self) -> MutexGuard<'_, HashMap<usize, TcpStream>> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads a head; `false` at the end of the connection.
fn read_head(reader: &mut impl BufRead) -> bool {
    let mut line = Vec::new();
    loop {
        line.clear();
        match reader.read_until(b'\n', &mut line) {
            Ok(count) if count > 2 => {}
            Ok(2) => return true,
            _ => return false,
        }
    }
}
