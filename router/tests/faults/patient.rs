//! A service that falls ill at a word and recovers at another.

use std::{
    io::Write,
    net::{Shutdown, SocketAddr, TcpStream},
    sync::{Arc, Condvar, Mutex, PoisonError},
    time::{Duration, Instant},
};

use selvedge_tests::origin::{After, Origin, Seen};

/// How long a slow answer takes.
const SLOWNESS: Duration = Duration::from_millis(100);

/// What is wrong with a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Illness {
    /// Nothing.
    None,
    /// It takes requests and never answers.
    Hangs,
    /// It takes its time for each answer.
    Slow,
    /// It resets the connection once it has a request.
    Resets,
    /// It answers 500.
    Errors,
    /// It has no endpoints.
    NoEndpoints,
}

/// The endpoints of a service, which all have the same illness.
pub struct Patient {
    illness: Arc<(Mutex<Illness>, Condvar)>,
    origins: Vec<Origin>,
}

impl Patient {
    /// Healthy, with so many endpoints.
    pub fn start(endpoints: usize) -> Self {
        let illness = Arc::new((Mutex::new(Illness::None), Condvar::new()));
        let origin = |_| {
            let illness = illness.clone();
            Origin::scripted(move |_: &Seen, stream| answer(&illness, stream))
        };
        Self { origins: (0..endpoints).map(origin).collect(), illness: illness.clone() }
    }

    /// Where its endpoints are.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.origins.iter().map(|origin| origin.address).collect()
    }

    /// Falls ill, or recovers; who hangs then answers.
    pub fn set(&self, illness: Illness) {
        *self.illness.0.lock().unwrap_or_else(PoisonError::into_inner) = illness;
        self.illness.1.notify_all();
    }
}

fn answer((illness, changed): &(Mutex<Illness>, Condvar), stream: &mut TcpStream) -> After {
    let now = *illness.lock().unwrap_or_else(PoisonError::into_inner);
    match now {
        Illness::None | Illness::NoEndpoints => {}
        Illness::Hangs => wait(illness, changed, (now, None)),
        Illness::Slow => wait(illness, changed, (now, Some(SLOWNESS))),
        Illness::Resets => {
            // With bytes unread the system answers with a reset; either way there is no answer.
            let _ = stream.shutdown(Shutdown::Both);
            return After::Close;
        }
        Illness::Errors => {
            return write(stream, b"HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\n\r\n");
        }
    }
    write(stream, b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
}

fn write(stream: &mut TcpStream, answer: &[u8]) -> After {
    match stream.write_all(answer) {
        Ok(()) => After::KeepOpen,
        Err(_) => After::Close,
    }
}

/// Waits until the illness is another one, at most this long.
fn wait(illness: &Mutex<Illness>, changed: &Condvar, (now, limit): (Illness, Option<Duration>)) {
    let end = Instant::now() + limit.unwrap_or(Duration::from_secs(60));
    let mut held = illness.lock().unwrap_or_else(PoisonError::into_inner);
    while *held == now {
        let Some(left) = end.checked_duration_since(Instant::now()) else { return };
        held = changed.wait_timeout(held, left).unwrap_or_else(PoisonError::into_inner).0;
    }
}
