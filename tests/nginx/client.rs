//! The client of the cases: sends what an exchange says, and reads the answer.

use std::{
    io::{self, Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    time::Duration,
};

use rustls_pki_types::ServerName;
use selvedge_tests::{
    client::{Answer, Client},
    tls,
};
use socket2::{Domain, Socket, Type};

use crate::{case::Exchange, certificates::CERTIFICATES, edge::Running, origin::latin1};

/// No answer takes longer.
const PATIENCE: Duration = Duration::from_secs(20);

/// An answer, and who gave it.
#[derive(Clone, Debug)]
pub struct Answered {
    /// The answer, or why there was none.
    pub answer: Result<Answer, String>,
    /// Secret of the certificate that was shown, if it was over TLS.
    pub certificate: Option<&'static str>,
}

/// Sends the request of an exchange for the time of this number, and reads the answer.
pub fn ask(edge: &Running, exchange: &Exchange, cookie: Option<&str>, number: usize) -> Answered {
    let (method, _, host, is_tls) = exchange.request();
    let bytes = request(exchange, cookie, number);
    let address = if is_tls { edge.https } else { edge.http };
    let source = exchange.from.unwrap_or(Ipv4Addr::LOCALHOST);
    let mut certificate = None;
    let answer = connect(source, address).and_then(|tcp| {
        if !is_tls {
            return talk(tcp, &bytes, method);
        }
        let name = exchange.sni.as_deref().or(host).unwrap_or_default();
        let name = name.split(':').next().unwrap_or_default();
        // A name that is none is not sent, as an address is not.
        let name = if ServerName::try_from(name).is_ok() { name } else { "127.0.0.1" };
        let stream = tls::shake(tcp, tls::usual(&["http/1.1"]), name)?;
        let shown = stream.conn.peer_certificates().and_then(|chain| chain.first());
        certificate = shown.map(|shown| CERTIFICATES.name(shown));
        talk(stream, &bytes, method)
    });
    Answered { answer: answer.map_err(|error| error.to_string()), certificate }
}

fn connect(source: Ipv4Addr, address: SocketAddr) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.bind(&SocketAddr::from((source, 0)).into())?;
    socket.connect(&address.into())?;
    let tcp = TcpStream::from(socket);
    tcp.set_read_timeout(Some(PATIENCE))?;
    tcp.set_nodelay(true)?;
    Ok(tcp)
}

fn talk(stream: impl Read + Write, bytes: &[u8], method: &str) -> io::Result<Answer> {
    let mut client = Client::over(stream);
    // What is refused early need not be read whole.
    let _sent_as_far_as_it_was_read = client.try_send(bytes);
    client.final_answer(method)
}

fn request(exchange: &Exchange, cookie: Option<&str>, number: usize) -> Vec<u8> {
    if let Some(raw) = &exchange.raw {
        return latin1(raw);
    }
    let (method, target, host, _) = exchange.request();
    let mut head = format!("{method} {target} HTTP/{}\r\n", exchange.version.as_deref().unwrap_or("1.1"));
    if let Some(host) = host {
        head += &format!("Host: {host}\r\n");
    }
    for field in &exchange.fields {
        head += &format!("{field}\r\n");
    }
    if let Some(cookie) = cookie {
        head += &format!("Cookie: {cookie}\r\n");
    }
    let body = exchange.body.as_deref().map(latin1);
    let names = |name: &str| exchange.fields.iter().any(|field| field.to_lowercase().starts_with(name));
    if let Some(body) = body.as_ref().filter(|_| !names("content-length:") && !names("transfer-encoding:")) {
        head += &format!("Content-Length: {}\r\n", body.len());
    }
    let head = (head + "\r\n").replace("<i>", &number.to_string());
    [latin1(&head), body.unwrap_or_default()].concat()
}
