//! What one request costs under callgrind: many requests less few, in which the start falls out.

use std::{fs, process::Command, time::Duration};

use anyhow::Context;

use crate::{
    callgrind::Counts,
    contestant::Contestant,
    ground::Ground,
    load::{self, Shape, Speech},
    running::{Conditions, Running},
    scenario::{Measure, Scenario},
};

/// Longest time until a proxy answers; under callgrind, on a machine that builds meanwhile, that is slow.
const READY: Duration = Duration::from_secs(300);
/// Longest time for all requests.
const REQUESTS: Duration = Duration::from_secs(300);
/// Longest time until a proxy has ended and its profile is written.
const END: Duration = Duration::from_secs(120);
/// Fewer connections than elsewhere: so many are enough to find the proxy always at work.
const CONNECTIONS: usize = 16;

/// Numbers of requests of the two runs.
#[derive(Clone, Copy, Debug)]
pub struct Runs {
    /// Of the first one. Enough that connections to backends are there.
    pub few: u64,
    /// Of the second one.
    pub many: u64,
}

/// Whether callgrind can be had on this machine.
pub fn is_available() -> bool {
    Command::new("valgrind").arg("--version").output().is_ok_and(|output| output.status.success())
}

/// What a request costs a contestant.
///
/// # Errors
/// If it cannot be started or a request fails.
pub async fn measure(
    scenario: Scenario,
    contestant: &Contestant,
    ground: &Ground,
    runs: Runs,
) -> anyhow::Result<Counts> {
    let Measure::Load(shape) = scenario.measure else {
        anyhow::bail!("{}: a scenario without requests", scenario.name)
    };
    let anew = shape.speech == Speech::Http1Anew;
    let connections = if anew { 1 } else { CONNECTIONS.min(shape.connections) };
    let shape = Shape { connections, rate: None, ..shape };
    let few = profile(scenario, shape, contestant, ground, runs.few).await?;
    let many = profile(scenario, shape, contestant, ground, runs.many).await?;
    Ok((many - few).each((runs.many - runs.few) as f64))
}

async fn profile(
    scenario: Scenario,
    shape: Shape,
    contestant: &Contestant,
    ground: &Ground,
    requests: u64,
) -> anyhow::Result<Counts> {
    let folder = ground.new_folder()?;
    let file = format!("--callgrind-out-file={}/%p", folder.path().display());
    let flags =
        ["valgrind", "--quiet", "--tool=callgrind", "--collect-systime=yes", "--trace-children=yes", &file];
    let conditions = Conditions { under: flags.map(str::to_owned).into(), processor: None };
    let measured = async {
        let mut proxy = Running::start(contestant, ground, &conditions)?;
        proxy.until_ready(READY).await?;
        let target = proxy.target(scenario.way, scenario.protocol(), scenario.answer)?;
        load::requests(&target, shape, requests, REQUESTS).await?;
        proxy.stop(END).await
    };
    measured.await.with_context(|| format!("{}, {contestant}, under callgrind", scenario.name))?;
    let mut counts = Counts::default();
    for entry in fs::read_dir(folder.path())? {
        let text = fs::read(entry?.path())?;
        counts = counts + String::from_utf8_lossy(&text).parse()?;
    }
    anyhow::ensure!(counts.instructions > 0.0, "{contestant}: callgrind has written no profile");
    Ok(counts)
}
