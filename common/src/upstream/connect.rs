//! Connect: how a peer is reached, in plain text or under TLS.

use std::{io, net::SocketAddr, time::Duration};

use socket2::{SockRef, TcpKeepalive};
use tokio::{io::AsyncWriteExt, net::TcpStream};
use tokio_rustls::TlsConnector;

use super::{Peer, proxy_header::header, resolve::source_towards, tls::backend_name};
use crate::http1::{Socket, Stream};

/// Silence after which a peer is asked whether it is still there; half a minute later it is taken for gone.
const KEEPALIVE: Duration = Duration::from_secs(30);

/// Why a peer could not be reached. Nothing was sent to it.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// TCP failed.
    #[error("connection failed: {0}")]
    Tcp(io::Error),
    /// TLS failed.
    #[error("TLS handshake failed: {0}")]
    Tls(io::Error),
    /// The system has no descriptor, memory or port left for it; the peer is not to blame.
    #[error("no descriptors, memory or ports left: {0}")]
    Shortage(io::Error),
    /// It took longer than the backend's `connect_timeout`.
    #[error("connection took too long")]
    Timeout,
}

/// For whom a connection is opened; the default is the proxy itself.
#[derive(Clone, Copy, Debug, Default)]
pub struct Asker {
    /// Address of the client, for peers that want to know it.
    pub client: Option<SocketAddr>,
    /// Whether the client brings TLS of its own, so that there is none beneath it, whatever the backend says.
    pub brings_tls: bool,
}

/// Opens a connection to a peer on the proxy's own account, TLS included, within this time.
///
/// # Errors
/// When the peer refuses, does not answer in time or TLS fails.
pub async fn connect(peer: &Peer, limit: Duration) -> Result<Stream, ConnectError> {
    connect_for(peer, Asker::default(), limit).await
}

/// The same for a client.
///
/// # Errors
/// As [`connect()`].
pub async fn connect_for(peer: &Peer, asker: Asker, limit: Duration) -> Result<Stream, ConnectError> {
    match tokio::time::timeout(limit, open(peer, asker)).await {
        Ok(result) => result,
        Err(_) => Err(ConnectError::Timeout),
    }
}

/// Has the system give a peer up that acknowledges nothing of what it was sent for so long, or takes nothing of what
/// waits for it; `None` is as the system has it, a quarter of an hour as a rule. While something is on its way the peer
/// is not asked whether it is there, so that alone would not find out. Elsewhere than on Linux this does nothing.
pub fn give_up_after(tcp: &TcpStream, limit: Option<Duration>) {
    #[cfg(target_os = "linux")]
    // If that fails, the connection is broken already.
    let _ = SockRef::from(tcp).set_tcp_user_timeout(limit);
    #[cfg(not(target_os = "linux"))]
    let _ = (tcp, limit);
}

async fn open(peer: &Peer, asker: Asker) -> Result<Stream, ConnectError> {
    let mut tcp =
        TcpStream::connect(peer.address).await.map_err(|error| match is_shortage(&error, peer.address) {
            true => ConnectError::Shortage(error),
            false => ConnectError::Tcp(error),
        })?;
    prepare(&tcp).map_err(ConnectError::Tcp)?;
    if let Some(version) = peer.proxy_protocol {
        tcp.write_all(&header(version, asker.client, peer.address)).await.map_err(ConnectError::Tcp)?;
    }
    let socket = Socket::new(tcp);
    let Some(secured) = peer.tls.as_ref().filter(|_| !asker.brings_tls) else {
        return Ok(Stream::Plain(socket));
    };
    let connector = TlsConnector::from(secured.settings.clone());
    let name = backend_name(&secured.tls, peer.address);
    let stream = connector.connect(name, socket).await.map_err(ConnectError::Tls)?;
    Ok(Stream::TlsClient(Box::new(stream)))
}

/// Sets what each connection to a peer has.
fn prepare(tcp: &TcpStream) -> io::Result<()> {
    tcp.set_nodelay(true)?;
    // A peer whose machine is gone says nothing. PING of HTTP/2 would find out too, but gRPC servers close a
    // connection that sends it more than once in five minutes.
    let keepalive = TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE / 3).with_retries(3);
    SockRef::from(tcp).set_tcp_keepalive(&keepalive)
}

/// Whether the system or this process is short of something that it needs for a connection to this address.
fn is_shortage(error: &io::Error, address: SocketAddr) -> bool {
    use rustix::io::Errno;
    let is = |errno: &Errno| error.raw_os_error() == Some(errno.raw_os_error());
    // No address to connect from means that all ports towards the peer are in use, unless there is none that would
    // reach it at all, as on a machine without IPv6.
    (is(&Errno::ADDRNOTAVAIL) && source_towards(address.ip()).is_ok())
        || [Errno::MFILE, Errno::NFILE, Errno::NOMEM, Errno::NOBUFS].iter().any(is)
}

#[cfg(test)]
mod tests {
    use rustix::io::Errno;

    use super::*;

    #[test]
    fn what_this_machine_lacks_is_not_the_peers_fault() {
        let rows = [
            (Errno::MFILE, "127.0.0.1:80", true),
            (Errno::NOBUFS, "127.0.0.1:80", true),
            (Errno::ADDRNOTAVAIL, "127.0.0.1:80", true),
            // Nothing can be sent to a link-local address whose link is not named.
            (Errno::ADDRNOTAVAIL, "[fe80::1]:80", false),
            (Errno::CONNREFUSED, "127.0.0.1:80", false),
            (Errno::HOSTUNREACH, "127.0.0.1:80", false),
        ];
        for (errno, address, wanted) in rows {
            let error = io::Error::from_raw_os_error(errno.raw_os_error());
            assert_eq!(is_shortage(&error, address.parse().unwrap()), wanted, "{errno} {address}");
        }
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn a_peer_that_is_gone_is_found_out() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let tcp = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        prepare(&tcp).unwrap();
        let socket = SockRef::from(&tcp);
        assert!(socket.keepalive().unwrap());
        assert_eq!(socket.tcp_keepalive_time().unwrap(), KEEPALIVE);
        assert_eq!(socket.tcp_keepalive_interval().unwrap(), KEEPALIVE / 3);
        assert_eq!(socket.tcp_keepalive_retries().unwrap(), 3);
        assert_eq!(socket.tcp_user_timeout().unwrap(), None);
        for limit in [Some(Duration::from_secs(70)), None] {
            give_up_after(&tcp, limit);
            assert_eq!(socket.tcp_user_timeout().unwrap(), limit);
        }
    }
}
