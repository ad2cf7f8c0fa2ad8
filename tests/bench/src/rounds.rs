//! Rounds: contestants are measured in turn, so that what disturbs the machine disturbs all of them.

use std::time::Duration;

use anyhow::Context;
use tokio::{io::AsyncWriteExt as _, time::timeout};

use crate::{
    contestant::Contestant,
    ground::Ground,
    load::{self, Load, Shape, Speech},
    pause::pass,
    running::{Conditions, Running},
    scenario::{Measure, Scenario},
    usage::{memory_bytes, processor_time},
};

/// Time before requests count.
const WARM_UP: Duration = Duration::from_millis(300);
/// Longest time until a proxy answers.
const READY: Duration = Duration::from_secs(60);
/// Longest time until a proxy has ended; then it is killed.
const END: Duration = Duration::from_secs(5);
/// Requests before connections are counted, so that what is built at first is there.
const FIRST_REQUESTS: u64 = 2000;
/// Time in which a proxy gives back what it does not need.
const SETTLE: Duration = Duration::from_secs(2);
/// Longest time to open all connections.
const OPENING: Duration = Duration::from_secs(120);

/// How long is measured.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// Rounds of each scenario.
    pub rounds: usize,
    /// Time of each contestant in a round.
    pub window: Duration,
    /// Open connections, where these are measured.
    pub idle: usize,
    /// The processor of proxies.
    pub processor: usize,
}

/// What one window came to.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sample {
    /// Processor time of the proxy for each request, in microseconds.
    pub processor: f64,
    /// Part of its processor that the proxy used.
    pub busy: f64,
    /// Requests per second.
    pub rate: f64,
    /// Latency that half of the requests kept, in microseconds.
    pub half: f64,
    /// Latency that 99 % of them kept.
    pub slowest: f64,
    /// Memory of the proxy, in bytes.
    pub memory: f64,
    /// Memory for each open connection, in bytes.
    pub connection: f64,
}

/// What a contestant came to, round by round.
pub struct Row {
    /// Who.
    pub contestant: Contestant,
    /// One for each round.
    pub samples: Vec<Sample>,
}

/// Measures a scenario with all contestants that can do it.
///
/// # Errors
/// If one cannot be started, or requests fail.
pub async fn measure(
    scenario: Scenario,
    contestants: &[Contestant],
    ground: &Ground,
    effort: Effort,
) -> anyhow::Result<Vec<Row>> {
    let able = contestants.iter().filter(|contestant| contestant.kind.can(scenario.way));
    let conditions = Conditions { under: vec![], processor: Some(effort.processor) };
    let mut rows = Vec::new();
    let mut running = Vec::new();
    for contestant in able {
        let mut proxy = Running::start(contestant, ground, &conditions)?;
        proxy.until_ready(READY).await?;
        rows.push(Row { contestant: contestant.clone(), samples: vec![] });
        running.push(proxy);
    }
    let rounds = if matches!(scenario.measure, Measure::Idle) { 1 } else { effort.rounds };
    for round in 0..rounds {
        for (row, proxy) in rows.iter_mut().zip(&running) {
            let sample = match scenario.measure {
                Measure::Load(shape) => under_load(proxy, scenario, shape, effort.window).await,
                Measure::Idle => idle(proxy, scenario, effort.idle).await,
            };
            let sample = sample.with_context(|| format!("{}, {}", scenario.name, row.contestant))?;
            eprintln!("{} {}/{rounds} {}: {sample:.1?}", scenario.name, round + 1, row.contestant);
            row.samples.push(sample);
        }
    }
    for proxy in running {
        // Some wait for clients; their figures are taken already.
        let _ = proxy.stop(END).await;
    }
    Ok(rows)
}

async fn under_load(
    proxy: &Running,
    scenario: Scenario,
    shape: Shape,
    window: Duration,
) -> anyhow::Result<Sample> {
    let target = proxy.target(scenario.way, scenario.protocol(), scenario.answer)?;
    let load = Load::start(&target, shape)?;
    pass(WARM_UP).await;
    let before = processor_time(proxy.id())?;
    load.begin();
    pass(window).await;
    let used = (processor_time(proxy.id())? - before).as_secs_f64();
    let memory = memory_bytes(proxy.id())? as f64;
    let outcome = load.end().await?;
    let (requests, time) = (outcome.requests as f64, outcome.time.as_secs_f64());
    anyhow::ensure!(
        outcome.failed == 0,
        "{} of {requests} requests failed: {}",
        outcome.failed,
        outcome.failures.join("; ")
    );
    Ok(Sample {
        processor: used * 1e6 / requests,
        busy: used / time,
        rate: requests / time,
        half: outcome.half.as_secs_f64() * 1e6,
        slowest: outcome.slowest.as_secs_f64() * 1e6,
        memory,
        connection: 0.0,
    })
}

async fn idle(proxy: &Running, scenario: Scenario, count: usize) -> anyhow::Result<Sample> {
    let target = proxy.target(scenario.way, scenario.protocol(), scenario.answer)?;
    let few = Shape { speech: Speech::Http1, connections: 8, streams: 1, upload: 0, rate: None };
    load::requests(&target, few, FIRST_REQUESTS, OPENING).await?;
    pass(SETTLE).await;
    let before = memory_bytes(proxy.id())? as f64;
    let opened = timeout(OPENING, async {
        let mut open = Vec::with_capacity(count);
        for _ in 0..count {
            open.push(load::open(&target, few).await?);
        }
        anyhow::Ok(open)
    });
    let open = opened.await.with_context(|| format!("{count} connections take over {OPENING:?}"))??;
    pass(SETTLE).await;
    let memory = memory_bytes(proxy.id())? as f64;
    for mut stream in open {
        let _ = stream.shutdown().await;
    }
    let connection = (memory - before) / count.max(1) as f64;
    Ok(Sample { memory, connection, ..Sample::default() })
}
