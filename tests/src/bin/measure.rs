//! Measures the edge at scale, as a process: start to ready, change to answer, memory and processor time.
//!
//!     cargo build --release -p selvedge-ingress
//!     cargo run --release -p selvedge-tests --bin measure -- files
//!     cargo run --release -p selvedge-tests --bin measure -- api

#![expect(clippy::print_stdout, reason = "figures are what it is for")]

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::Context;
use clap::{Parser, ValueEnum};
use selvedge_tests::{
    api_server::ApiServer,
    client::Client,
    manifests::{host, shop, write_shops},
    pod::{Manners, Pod},
    process::EdgeProcess,
    shops::{change_shop, create_shops},
    waiting::until,
};

/// Measure the edge at scale
#[derive(Parser)]
struct Arguments {
    /// Where Ingresses come from
    source: Source,
    /// Number of Ingresses
    #[arg(long, default_value_t = 10_000)]
    ingresses: usize,
    /// Number of files that they are in
    #[arg(long, default_value_t = 100)]
    files: usize,
    /// Number of changes, one after the other
    #[arg(long, default_value_t = 100)]
    changes: usize,
    /// The program; without it the one beside this tool
    #[arg(long)]
    program: Option<PathBuf>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Source {
    /// A folder of files
    Files,
    /// The small API server of the tests
    Api,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let own = std::env::current_exe()?;
    let beside = own.with_file_name("selvedge-ingress");
    let program = arguments.program.clone().unwrap_or(beside);
    anyhow::ensure!(program.is_file(), "{}: build it first, or give --program", program.display());
    match arguments.source {
        Source::Files => files(&arguments, &program),
        Source::Api => api(&arguments, &program),
    }
}

fn files(arguments: &Arguments, program: &Path) -> anyhow::Result<()> {
    let pod = Pod::start("pod", Manners::Good);
    for count in [0, 1] {
        let folder = tempfile::tempdir()?;
        write_shops(folder.path(), count, 1, pod.address)?;
        start(program, &["--manifests", path(folder.path())?], count);
    }
    let (count, files) = (arguments.ingresses, arguments.files.clamp(1, arguments.ingresses));
    let folder = tempfile::tempdir()?;
    write_shops(folder.path(), count, files, pod.address)?;
    let edge = start(program, &["--manifests", path(folder.path())?], count);
    let changes = Changes::of(&edge, arguments, |number, prefix| {
        let text = file_with_change(number, prefix, count.div_ceil(files), pod.address);
        let name = format!("shops-{}.yaml", number / count.div_ceil(files));
        // Written beforehand; the rename alone is the change.
        let prepared = folder.path().join(".prepared");
        fs::write(&prepared, text)?;
        let start = Instant::now();
        fs::rename(&prepared, folder.path().join(name))?;
        Ok(start)
    })?;
    changes.print(&edge);
    Ok(())
}

/// The file that a shop is in, with another path for it.
fn file_with_change(number: usize, prefix: &str, each: usize, pod: SocketAddr) -> String {
    let first = number / each * each;
    let path = |other| if other == number { prefix } else { "/" };
    (first..first + each).map(|other| shop(other, path(other), pod)).collect()
}

fn api(arguments: &Arguments, program: &Path) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let server = runtime.block_on(ApiServer::start());
    let client = runtime.block_on(async { server.client() });
    runtime.block_on(create_shops(&client, arguments.ingresses))?;
    let folder = tempfile::tempdir()?;
    let kubeconfig = folder.path().join("kubeconfig");
    fs::write(&kubeconfig, server.kubeconfig())?;
    let edge = start(program, &["--read-only", "--kubeconfig", path(&kubeconfig)?], arguments.ingresses);
    let changes = Changes::of(&edge, arguments, |number, prefix| {
        let start = Instant::now();
        runtime.block_on(change_shop(&client, number, prefix))?;
        Ok(start)
    })?;
    changes.print(&edge);
    Ok(())
}

fn path(path: &Path) -> anyhow::Result<&str> {
    path.to_str().context("paths are UTF-8")
}

/// Starts the edge and says what that took.
fn start(program: &Path, flags: &[&str], count: usize) -> EdgeProcess {
    let begin = Instant::now();
    let edge = EdgeProcess::start(program, flags);
    edge.until_ready();
    let took = begin.elapsed();
    if count > 0 {
        until(|| (edge.status(&host(count - 1), "/") != 404).then_some(()));
    }
    let (memory, time) = (edge.memory_bytes() as f64 / 1e6, edge.processor_time());
    println!("{count:>6} Ingresses: ready after {took:.1?}, {memory:.1} MB, {time:.1?} of processor time");
    edge
}

/// What changes took.
struct Changes {
    answered: Vec<Duration>,
    processor: Duration,
    translated: f64,
    /// From objects to tables in effect, in seconds, all changes together.
    translation: f64,
}

impl Changes {
    /// Makes changes, one after the other: each gives another shop a path in the place of `/`, and is over when `/` is
    /// answered 404. `make` says when it was begun.
    fn of(
        edge: &EdgeProcess,
        arguments: &Arguments,
        make: impl Fn(usize, &str) -> anyhow::Result<Instant>,
    ) -> anyhow::Result<Self> {
        // Far apart, so that those in files are each in another one.
        let count = arguments.changes.min(arguments.ingresses);
        let apart = arguments.ingresses / count.max(1);
        let counters = || {
            let hosts = edge.metric("selvedge_hosts_translated_total");
            (edge.processor_time(), hosts, edge.metric("selvedge_translation_duration_seconds_sum"))
        };
        let before = counters();
        let mut client = Client::connect(edge.http());
        let mut answered = Vec::new();
        for change in 0..count {
            let start = make(change * apart, "/changed")?;
            // Not `until`, which pauses for longer than a change should take.
            while client.get(&host(change * apart), "/").status != 404 {
                std::thread::sleep(Duration::from_micros(200));
            }
            answered.push(start.elapsed());
        }
        answered.sort();
        let after = counters();
        let (processor, translated, translation) =
            (after.0 - before.0, after.1 - before.1, after.2 - before.2);
        Ok(Self { answered, processor, translated, translation })
    }

    fn print(&self, edge: &EdgeProcess) {
        let at = |part: f64| self.answered[((self.answered.len() - 1) as f64 * part).round() as usize];
        let each = self.processor / self.answered.len().max(1) as u32;
        println!(
            "{} changes: answered after p50 {:.1?}, p99 {:.1?}, most {:.1?}; {each:.1?} of processor time each (with \
             the requests that ask for it), {} hosts translated",
            self.answered.len(),
            at(0.5),
            at(0.99),
            at(1.0),
            self.translated,
        );
        println!(
            "  of that from objects to tables in effect: {:.2} ms each",
            1e3 * self.translation / self.answered.len().max(1) as f64
        );
        println!("  memory after: {:.1} MB", edge.memory_bytes() as f64 / 1e6);
    }
}
