//! Crowds: very many clients at once, each of which holds a connection in the same bad way.

use std::{
    io::{self, Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use rustls::ClientConfig;
use socket2::{Domain, Socket, Type};

use crate::tls;

/// Threads that connect.
const THREADS: usize = 4;
/// Clients from one address; each address has so many ports.
const PER_SOURCE: usize = 5_000;
/// A segment this small keeps what the system buffers for a client small, too.
const SMALL_SEGMENT: u32 = 536;
/// Bytes that a client's system takes in before the client reads.
const SMALL_WINDOW: usize = 2_048;
/// No connection takes longer to be made.
const PATIENCE: Duration = Duration::from_secs(20);

/// How a client misbehaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Vice {
    /// It sends a request head byte by byte.
    SlowHead,
    /// It sends a request body byte by byte.
    SlowBody,
    /// It asks for a large answer and does not read it.
    SlowReader,
    /// It connects to a TLS port and says nothing.
    BeforeHandshake,
    /// It shakes hands and says nothing more.
    AfterHandshake,
}

/// Clients that hold their connections until they are dropped.
pub struct Crowd {
    vice: Vice,
    clients: Vec<TcpStream>,
}

impl Crowd {
    /// So many clients from several addresses of loopback, all of which ask for a host.
    ///
    /// # Panics
    /// If one of them cannot connect.
    pub fn gather(vice: Vice, address: SocketAddr, host: &str, count: usize) -> Self {
        let next = AtomicUsize::new(0);
        let settings = tls::usual(&["http/1.1"]);
        let clients = thread::scope(|scope| {
            let connect = || {
                let numbers = std::iter::from_fn(|| Some(next.fetch_add(1, Ordering::Relaxed)));
                let numbers = numbers.take_while(|number| *number < count);
                let clients = numbers.map(|number| open(vice, address, (host, &settings), number));
                clients.collect::<io::Result<Vec<_>>>().expect("the proxy takes connections")
            };
            let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(connect)).collect();
            threads.into_iter().flat_map(|thread| thread.join().expect("it connects")).collect()
        });
        Self { vice, clients }
    }

    /// Sends one byte more on each connection, where that is the vice; the proxy may have closed any of them.
    pub fn nag(&self) {
        if matches!(self.vice, Vice::SlowHead | Vice::SlowBody) {
            for mut client in &self.clients {
                let _ = client.write(b"x");
            }
        }
    }
}

fn open(
    vice: Vice,
    address: SocketAddr,
    (host, settings): (&str, &Arc<ClientConfig>),
    number: usize,
) -> io::Result<TcpStream> {
    let source = Ipv4Addr::new(127, 0, 7, u8::try_from(1 + number / PER_SOURCE).unwrap_or(u8::MAX));
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.bind(&SocketAddr::from((source, 0)).into())?;
    if vice == Vice::SlowReader {
        socket.set_tcp_mss(SMALL_SEGMENT)?;
        socket.set_recv_buffer_size(SMALL_WINDOW)?;
    }
    socket.connect(&address.into())?;
    let mut stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(PATIENCE))?;
    let request = match vice {
        Vice::SlowHead => format!("GET / HTTP/1.1\r\nHost: {host}\r\nX-"),
        Vice::SlowBody => format!("POST / HTTP/1.1\r\nHost: {host}\r\nContent-Length: 1000000\r\n\r\nx"),
        Vice::SlowReader => format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n"),
        Vice::BeforeHandshake | Vice::AfterHandshake => String::new(),
    };
    if vice == Vice::AfterHandshake {
        stream = tls::shake(stream, settings.clone(), host)?.sock;
    }
    // A proxy that has no room for it may have closed it already.
    let _ = stream.write_all(request.as_bytes());
    stream.set_nonblocking(true)?;
    Ok(stream)
}

/// An origin that takes every connection and keeps it. It answers with a head and this many bytes of a body that never
/// ends, or with nothing.
pub struct Hoard {
    /// Where it listens.
    pub address: SocketAddr,
    kept: Arc<Mutex<Vec<TcpStream>>>,
}

impl Hoard {
    /// Starts it on a free port.
    ///
    /// # Panics
    /// If the system gives no port.
    pub fn start(answer: Option<usize>) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("loopback has free ports");
        let address = listener.local_addr().expect("a bound socket has an address");
        let kept = Arc::<Mutex<Vec<TcpStream>>>::default();
        let keeping = kept.clone();
        thread::spawn(move || {
            let body = vec![b'x'; answer.unwrap_or(0)];
            for mut stream in listener.incoming().flatten() {
                if answer.is_some() && begin_answer(&mut stream, &body).is_err() {
                    continue;
                }
                keeping.lock().unwrap_or_else(PoisonError::into_inner).push(stream);
            }
        });
        Self { address, kept }
    }

    /// Closes all that it has kept so far.
    pub fn clear(&self) {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

fn begin_answer(stream: &mut TcpStream, body: &[u8]) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    // The head comes in one piece.
    let _ = stream.read(&mut [0; 4096])?;
    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", 1 << 30);
    stream.write_all(head.as_bytes())?;
    stream.set_nonblocking(true)?;
    // As much as the system takes.
    let _ = stream.write(body)?;
    Ok(())
}
