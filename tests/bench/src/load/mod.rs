//! Load: clients on connections that they keep or open anew, at full speed or at a fixed rate.

mod http1;
mod http2;
mod meter;
mod stream;

use std::{net::SocketAddr, rc::Rc, sync::Arc, time::Duration};

use anyhow::Context;
use bytes::Bytes;
use rustls::ClientConfig;
use tokio::{task::JoinSet, time::timeout};

use self::meter::Meter;
pub use self::{http1::open, meter::Outcome, stream::trust_anyone};

/// Longest time for requests in flight when a load ends.
const END: Duration = Duration::from_secs(20);

/// Whom the load asks.
#[derive(Clone)]
pub struct Target {
    /// The proxy.
    pub address: SocketAddr,
    /// The host that is asked for.
    pub host: String,
    /// The path that is asked for.
    pub path: String,
    /// Settings of TLS, where that is spoken.
    pub tls: Option<Arc<ClientConfig>>,
}

/// What is spoken with the proxy.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Speech {
    /// HTTP/1.1, on connections that are kept.
    Http1,
    /// HTTP/1.1, each request on a connection of its own.
    Http1Anew,
    /// HTTP/2.
    Http2,
    /// HTTP/2 as gRPC uses it.
    Grpc,
}

/// How the load is made up.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// What is spoken.
    pub speech: Speech,
    /// Connections at once.
    pub connections: usize,
    /// Requests at once on each of them; more than one with HTTP/2 only.
    pub streams: usize,
    /// Bytes sent with each request.
    pub upload: usize,
    /// Requests per second in all; as many as can be without it.
    pub rate: Option<u32>,
}

/// Clients at work.
pub struct Load {
    meter: Rc<Meter>,
    tasks: JoinSet<()>,
}

impl Load {
    /// Starts clients that go on until they are stopped; they count once [`Load::begin`] is called. The thread never
    /// rests meanwhile, so that its processor does not fall asleep, and what is due is sent to the microsecond.
    pub fn start(target: &Target, shape: Shape) -> anyhow::Result<Self> {
        let meter = Rc::new(Meter::open_ended(shape.rate.is_some()));
        let mut load = Self::with(meter.clone(), target, shape)?;
        load.tasks.spawn_local(meter.keep_pace(shape.rate));
        Ok(load)
    }

    fn with(meter: Rc<Meter>, target: &Target, shape: Shape) -> anyhow::Result<Self> {
        let target = Rc::new(target.clone());
        let mut tasks = JoinSet::new();
        let request: Bytes = http1::request(&target, shape).into();
        for _ in 0..shape.connections {
            let (target, meter) = (target.clone(), meter.clone());
            match shape.speech {
                Speech::Http1 | Speech::Http1Anew => {
                    tasks.spawn_local(http1::ask(target, request.clone(), meter));
                }
                Speech::Http2 | Speech::Grpc => {
                    let call = http2::Call::new(&target, shape)?;
                    tasks.spawn_local(http2::ask(target, call, shape.streams, meter));
                }
            }
        }
        Ok(Self { meter, tasks })
    }

    /// From now on requests count.
    pub fn begin(&self) {
        self.meter.begin();
    }

    /// Ends the load and says what it came to since [`Load::begin`].
    ///
    /// # Errors
    /// If none was answered, or requests in flight do not end.
    pub async fn end(mut self) -> anyhow::Result<Outcome> {
        self.meter.end();
        let over = async { while self.tasks.join_next().await.is_some() {} };
        timeout(END, over).await.context("requests in flight do not end")?;
        self.meter.outcome()
    }
}

/// Makes just so many requests, as fast as they are answered.
///
/// # Errors
/// If one fails, or all of them take too long.
pub async fn requests(target: &Target, shape: Shape, count: u64, patience: Duration) -> anyhow::Result<()> {
    let mut load = Load::with(Rc::new(Meter::counted(count)), target, shape)?;
    let over = async { while load.tasks.join_next().await.is_some() {} };
    let in_time = timeout(patience, over).await;
    let outcome = load.meter.outcome()?;
    anyhow::ensure!(in_time.is_ok(), "{} of {count} requests in {patience:?}", outcome.requests);
    anyhow::ensure!(
        outcome.failed == 0,
        "{} requests failed: {}",
        outcome.failed,
        outcome.failures.join("; ")
    );
    Ok(())
}
