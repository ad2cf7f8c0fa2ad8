//! Listening: which listeners are bound, and how they follow the snapshot.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    io,
    mem::{Discriminant, discriminant},
    net::{SocketAddr, TcpListener},
    sync::{Arc, mpsc},
    time::{Duration, Instant},
};

use socket2::{Domain, Protocol, Socket, TcpKeepalive, Type};

use crate::{
    id::ListenerName,
    model::{Listener, ListenerProtocol},
    proxy::{Bound, Opening, Place, Shared},
    source::{Rejected, RejectedPart},
};

/// Connections that the system keeps for a listener until a worker accepts them.
const BACKLOG: i32 = 4096;
/// Silence after which a client is asked whether it is still there, and what passes between the questions; after four
/// without an answer it is taken for gone. Requests have their own limits, but a tunnel may be silent for an hour.
const KEEPALIVE: Duration = Duration::from_secs(60);
const ASK_AGAIN: Duration = Duration::from_secs(15);
const QUESTIONS: u32 = 4;
/// Longest wait for the workers to close the sockets of listeners that are gone; they do so at once.
const CLOSE_TIME: Duration = Duration::from_secs(5);

/// The listeners of an engine, each at its place.
pub(super) struct Listening {
    places: Vec<Option<Slot>>,
    workers: usize,
    share_ports: bool,
}

struct Slot {
    name: ListenerName,
    /// As the snapshot says it.
    address: SocketAddr,
    protocol: Discriminant<ListenerProtocol>,
    /// What the system made of the address.
    local: SocketAddr,
    bound: Arc<Bound>,
    /// Disconnected once no worker has a socket of it.
    closed: mpsc::Receiver<Infallible>,
}

/// What following a snapshot came to.
#[derive(Default)]
pub(super) struct Followed {
    /// New sockets, one of each listener for each worker; to be handed out once the snapshot is in effect.
    pub(super) openings: Vec<Vec<Opening>>,
    /// Listeners that cannot be bound.
    pub(super) rejected: Vec<Rejected>,
}

/// Why a listener cannot be bound.
#[derive(Debug, thiserror::Error)]
pub(super) enum BindError {
    /// The system refuses the address.
    #[error("cannot listen on {0}: {1}; choose another address or stop who uses it")]
    Address(SocketAddr, io::Error),
    /// TLS could not be set up.
    #[error("cannot set up TLS: {0}")]
    Tls(#[from] rustls::Error),
}

impl Listening {
    /// No listeners yet. Without `share_ports` an address in use by another process is an error.
    pub(super) fn new(workers: usize, share_ports: bool) -> Self {
        Self { places: Vec::new(), workers, share_ports }
    }

    /// The address that each listener is bound to.
    pub(super) fn addresses(&self) -> BTreeMap<ListenerName, SocketAddr> {
        self.serving().map(|slot| (slot.name.clone(), slot.local)).collect()
    }

    /// What is at each place.
    pub(super) fn places(&self) -> Vec<Place> {
        let place = |slot: &Option<Slot>| match slot {
            None => Place::Free,
            Some(slot) if slot.bound.is_leaving() => Place::Leaving,
            Some(slot) => Place::Serving(slot.name.clone()),
        };
        self.places.iter().map(place).collect()
    }

    /// Stops listeners that are gone or changed in address or protocol, and binds those that are new.
    pub(super) fn follow(
        &mut self,
        wanted: &BTreeMap<ListenerName, Arc<Listener>>,
        shared: &Arc<Shared>,
    ) -> Followed {
        let mut followed = Followed::default();
        if shared.drain.is_draining() {
            return followed;
        }
        self.free_places();
        self.close_all_but(wanted);
        for (name, listener) in wanted {
            if self.serving().any(|slot| slot.name == *name) {
                continue;
            }
            match self.bind(name, listener, shared) {
                Ok(openings) => followed.openings.push(openings),
                Err(error) => {
                    let part = RejectedPart::Listener(name.clone());
                    followed.rejected.push(Rejected { part, message: error.to_string() });
                }
            }
        }
        followed
    }

    /// Binds a listener, with a socket for each worker.
    pub(super) fn bind(
        &mut self,
        name: &ListenerName,
        listener: &Listener,
        shared: &Arc<Shared>,
    ) -> Result<Vec<Opening>, BindError> {
        let sockets = self.sockets(listener.address);
        let (local, sockets) = sockets.map_err(|error| BindError::Address(listener.address, error))?;
        let free = self.places.iter().position(Option::is_none);
        let index = free.unwrap_or(self.places.len());
        let is_tls = listener.protocol == ListenerProtocol::Https;
        let tls = is_tls.then(|| shared.tls_settings(index)).transpose()?;
        let bound = Bound::new(index, shared.metrics.listener(name), tls);
        let (open, closed) = mpsc::channel();
        let shared = self.share_ports;
        let openings = sockets.into_iter().map(|socket| {
            let (bound, open) = (bound.clone(), open.clone());
            Opening { bound, socket, shared, open }
        });
        let openings = openings.collect();
        let slot = Slot {
            name: name.clone(),
            address: listener.address,
            protocol: discriminant(&listener.protocol),
            local,
            bound,
            closed,
        };
        match free {
            Some(index) => self.places[index] = Some(slot),
            None => self.places.push(Some(slot)),
        }
        Ok(openings)
    }

    fn serving(&self) -> impl Iterator<Item = &Slot> {
        self.places.iter().flatten().filter(|slot| !slot.bound.is_leaving())
    }

    /// Frees the places of listeners whose last connection has ended.
    fn free_places(&mut self) {
        for place in &mut self.places {
            // Whoever could hold it once more would have to have it already.
            place.take_if(|slot| slot.bound.is_leaving() && Arc::strong_count(&slot.bound) == 1);
        }
    }

    /// Closes the sockets of listeners that are no longer wanted as they are. Their addresses may be wanted by others,
    /// so this waits until the workers have done it.
    fn close_all_but(&self, wanted: &BTreeMap<ListenerName, Arc<Listener>>) {
        let is_wanted = |slot: &Slot| {
            wanted.get(&slot.name).is_some_and(|listener| {
                listener.address == slot.address && discriminant(&listener.protocol) == slot.protocol
            })
        };
        let unwanted: Vec<_> = self.serving().filter(|slot| !is_wanted(slot)).collect();
        unwanted.iter().for_each(|slot| slot.bound.leave());
        let start = Instant::now();
        for slot in unwanted {
            let left = CLOSE_TIME.saturating_sub(start.elapsed());
            if slot.closed.recv_timeout(left) == Err(mpsc::RecvTimeoutError::Timeout) {
                tracing::warn!(listener = %slot.name, "a worker is slow to close its socket");
            }
        }
    }

    /// A socket for each worker on the same address.
    fn sockets(&self, mut address: SocketAddr) -> io::Result<(SocketAddr, Vec<TcpListener>)> {
        if !self.share_ports {
            check_unused(address)?;
        }
        let mut sockets = Vec::with_capacity(self.workers);
        for _ in 0..self.workers {
            let socket = bind(address)?;
            // With port 0 the system chooses once, and all workers share its choice.
            address = socket.local_addr()?;
            sockets.push(socket);
        }
        Ok((address, sockets))
    }
}

/// Workers share an address in a way that would let another process of the same user share it, too; requests would
/// go to the one or the other. A socket that does not share finds out.
fn check_unused(address: SocketAddr) -> io::Result<()> {
    socket(address)?.bind(&address.into())
}

fn socket(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    Ok(socket)
}

/// A listening socket that other workers can bind beside this one.
fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = socket(address)?;
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    // The connections that are accepted have it from here.
    let keepalive = TcpKeepalive::new().with_time(KEEPALIVE).with_interval(ASK_AGAIN).with_retries(QUESTIONS);
    socket.set_tcp_keepalive(&keepalive)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;

    use socket2::SockRef;

    use super::*;

    #[test]
    fn a_client_that_is_gone_is_found_out() {
        let listener = bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        listener.set_nonblocking(false).unwrap();
        let _client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (accepted, _) = listener.accept().unwrap();
        let socket = SockRef::from(&accepted);
        assert!(socket.keepalive().unwrap());
        assert_eq!(socket.tcp_keepalive_time().unwrap(), KEEPALIVE);
        assert_eq!(socket.tcp_keepalive_interval().unwrap(), ASK_AGAIN);
        assert_eq!(socket.tcp_keepalive_retries().unwrap(), QUESTIONS);
    }
}
