//! Raw clients: send bytes, read answers.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream},
    time::Duration,
};

use socket2::{Domain, Socket, Type};

/// No answer of a test takes this long; a test that waits longer has failed.
const PATIENCE: Duration = Duration::from_secs(60);

/// An answer as a client saw it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// Status code.
    pub status: u16,
    /// Fields in order, as name and value.
    pub fields: Vec<(String, String)>,
    /// Body with its framing removed.
    pub body: Vec<u8>,
    /// Trailer fields of a chunked body.
    pub trailers: Vec<(String, String)>,
}

impl Answer {
    /// The value of the first field of this name, whatever its case.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str())
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// A connection of a client.
pub struct Client<S: Read + Write = TcpStream> {
    reader: BufReader<S>,
}

impl Client {
    /// Connects in plain text.
    pub fn connect(address: SocketAddr) -> Self {
        Self::try_connect(address).expect("the proxy accepts connections")
    }

    /// Connects in plain text to a proxy that may not be there.
    ///
    /// # Errors
    /// When it is not.
    pub fn try_connect(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        Ok(Self::over(stream))
    }

    /// Connects from this address of loopback, of which all of 127.0.0.0/8 are (on Linux).
    pub fn connect_from(source: Ipv4Addr, address: SocketAddr) -> Self {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("the system has sockets left");
        socket
            .bind(&SocketAddr::from((source, 0)).into())
            .expect("every address of loopback can be a source");
        socket.connect(&address.into()).expect("the proxy accepts connections");
        let stream = TcpStream::from(socket);
        stream.set_read_timeout(Some(PATIENCE)).expect("the limit is not zero");
        stream.set_nodelay(true).expect("TCP has this option");
        Self::over(stream)
    }

    /// Sends one request, maybe to a proxy that stops reading it, and reads everything up to the end.
    pub fn exchange(address: SocketAddr, request: impl AsRef<[u8]>) -> Vec<u8> {
        let mut client = Self::connect(address);
        let _sent_as_far_as_it_was_read = client.try_send(request);
        client.rest().expect("the proxy closes the connection in order")
    }

    /// Says that nothing more will be sent.
    pub fn finish(&self) {
        self.tcp().shutdown(Shutdown::Write).expect("the connection is open");
    }

    /// The TCP connection.
    pub fn tcp(&self) -> &TcpStream {
        self.reader.get_ref()
    }
}

impl<S: Read + Write> Client<S> {
    /// A client on an open stream.
    pub fn over(stream: S) -> Self {
        Self { reader: BufReader::new(stream) }
    }

    /// Sends bytes as they are.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.try_send(bytes).expect("the proxy reads what it is sent");
    }

    /// Sends bytes as they are, to a proxy that may have closed the connection.
    pub fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.reader.get_mut().write_all(bytes.as_ref())?;
        self.reader.get_mut().flush()
    }

    /// Sends a GET for this host and path and reads the answer.
    pub fn get(&mut self, host: &str, path: &str) -> Answer {
        self.send(format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        self.answer()
    }

    /// Reads an answer to anything but HEAD; panics if there is none.
    pub fn answer(&mut self) -> Answer {
        self.try_answer().expect("an answer arrives whole")
    }

    /// Reads the head of an answer.
    pub fn head(&mut self) -> io::Result<Answer> {
        let line = self.line()?;
        let status =
            line.split(' ').nth(1).and_then(|word| word.parse().ok()).ok_or(io::ErrorKind::InvalidData)?;
        Ok(Answer { status, fields: self.fields()?, ..Answer::default() })
    }

    /// Reads an answer to anything but HEAD.
    pub fn try_answer(&mut self) -> io::Result<Answer> {
        let head = self.head()?;
        self.body_of(head)
    }

    /// Reads the answer to a request with this method, and passes over interim ones.
    ///
    /// # Errors
    /// When it does not arrive whole.
    pub fn final_answer(&mut self, method: &str) -> io::Result<Answer> {
        let mut head = self.head()?;
        while matches!(head.status, 100..=199) && head.status != 101 {
            head = self.head()?;
        }
        if method == "HEAD" { Ok(head) } else { self.body_of(head) }
    }

    fn body_of(&mut self, mut answer: Answer) -> io::Result<Answer> {
        if matches!(answer.status, 100..=199 | 204 | 304) {
            return Ok(answer);
        }
        if answer.field("transfer-encoding").is_some() {
            self.chunks(&mut answer)?;
        } else if let Some(length) = answer.field("content-length") {
            answer.body = vec![0; length.parse().map_err(|_| io::ErrorKind::InvalidData)?];
            self.reader.read_exact(&mut answer.body)?;
        } else {
            self.reader.read_to_end(&mut answer.body)?;
        }
        Ok(answer)
    }

    /// Reads exactly this many bytes.
    pub fn exactly(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        self.reader.read_exact(&mut bytes).expect("the bytes arrive");
        bytes
    }

    /// Reads until the proxy closes the connection.
    pub fn rest(&mut self) -> io::Result<Vec<u8>> {
        let mut rest = Vec::new();
        self.reader.read_to_end(&mut rest)?;
        Ok(rest)
    }

    /// Reads one chunk of a chunked body; empty is the last one, whose trailers are left unread.
    pub fn chunk(&mut self) -> io::Result<Vec<u8>> {
        let size = usize::from_str_radix(&self.line()?, 16).map_err(|_| io::ErrorKind::InvalidData)?;
        if size == 0 {
            return Ok(Vec::new());
        }
        let mut chunk = vec![0; size + 2];
        self.reader.read_exact(&mut chunk)?;
        chunk.truncate(size);
        Ok(chunk)
    }

    /// Whether the proxy has closed the connection and sent nothing more.
    pub fn is_closed(&mut self) -> bool {
        match self.rest() {
            Ok(rest) => rest.is_empty(),
            Err(error) => error.kind() == io::ErrorKind::ConnectionReset,
        }
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = Vec::new();
        self.reader.read_until(b'\n', &mut line)?;
        let line = line.strip_suffix(b"\r\n").ok_or(io::ErrorKind::UnexpectedEof)?;
        Ok(String::from_utf8_lossy(line).into_owned())
    }

    fn fields(&mut self) -> io::Result<Vec<(String, String)>> {
        let mut fields = Vec::new();
        loop {
            let line = self.line()?;
            if line.is_empty() {
                return Ok(fields);
            }
            let (name, value) = line.split_once(':').ok_or(io::ErrorKind::InvalidData)?;
            fields.push((name.to_owned(), value.trim().to_owned()));
        }
    }

    fn chunks(&mut self, answer: &mut Answer) -> io::Result<()> {
        loop {
            let size = usize::from_str_radix(&self.line()?, 16).map_err(|_| io::ErrorKind::InvalidData)?;
            if size == 0 {
                answer.trailers = self.fields()?;
                return Ok(());
            }
            let mut chunk = vec![0; size + 2];
            self.reader.read_exact(&mut chunk)?;
            answer.body.extend_from_slice(&chunk[..size]);
        }
    }
}
