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
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use anyhow::Context;
use clap::{Parser, ValueEnum};
use selvedge_tests::{
    api_server::{ApiServer, Break},
    client::Client,
    manifests::{host, shop, write_shops},
    pod::{Manners, Pod},
    process::EdgeProcess,
    shops::{change_endpoint, change_shop, create_shops},
    waiting::until,
};

/// Longest pause between two looks at whether a change has been answered.
const LOOK: Duration = Duration::from_micros(200);

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
    /// Number of changes of each sort
    #[arg(long, default_value_t = 100)]
    changes: usize,
    /// Changes per second, where they come at a rate
    #[arg(long, default_value_t = 100)]
    rate: u32,
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
    let (pod, other) = (Pod::start("pod", Manners::Good), Pod::start("other", Manners::Good));
    for count in [0, 1] {
        let folder = tempfile::tempdir()?;
        write_shops(folder.path(), count, 1, pod.address)?;
        start(program, &["--manifests", path(folder.path())?], count);
    }
    let (count, files) = (arguments.ingresses, arguments.files.clamp(1, arguments.ingresses));
    let each = count.div_ceil(files);
    let folder = tempfile::tempdir()?;
    write_shops(folder.path(), count, files, pod.address)?;
    let edge = start(program, &["--manifests", path(folder.path())?], count);
    let apart = count / arguments.changes.clamp(1, count);
    let replace = |number: usize, endpoint: SocketAddr| {
        let shops = number / each * each..((number / each + 1) * each).min(count);
        let one = |at: usize| {
            let prefix = if at.is_multiple_of(apart) { "/changed" } else { "/" };
            shop(at, prefix, if at == number { endpoint } else { pod.address })
        };
        // Written beforehand; the rename alone is the change.
        let prepared = folder.path().join(".prepared");
        fs::write(&prepared, shops.map(one).collect::<String>())?;
        let start = Instant::now();
        fs::rename(&prepared, folder.path().join(format!("shops-{}.yaml", number / each)))?;
        anyhow::Ok(start)
    };
    let measured = Measured { edge: &edge, arguments, apart };
    measured.paths("one after the other", None, |number| replace(number, pod.address))?;
    let shop_of = |at: usize| at * apart + apart / 2;
    measured.endpoints(shop_of, "other", |at| replace(shop_of(at), other.address))?;
    measured.memory();
    Ok(())
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
    let change = |number| {
        let start = Instant::now();
        runtime.block_on(change_shop(&client, number, "/changed"))?;
        anyhow::Ok(start)
    };
    let count = arguments.ingresses;
    let measured = Measured { edge: &edge, arguments, apart: count / arguments.changes.clamp(1, count) };
    let rate = Duration::from_secs(1) / arguments.rate.max(1);
    measured.paths("one after the other", None, change)?;
    measured.paths("at a rate", Some(rate), change)?;
    measured.unasked(rate, change)?;
    let pod = Pod::start("pod", Manners::Good);
    // Each with another Service.
    let shop_of = |at: usize| at * 101 % count;
    measured.endpoints(shop_of, "pod", |at| {
        let start = Instant::now();
        runtime.block_on(change_endpoint(&client, shop_of(at), pod.address))?;
        Ok(start)
    })?;
    measured.relist(&server);
    measured.memory();
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
    let time = edge.processor_time();
    println!("{count:>6} Ingresses: ready after {took:.1?}, {}, {time:.1?} of processor time", memory(&edge));
    edge
}

fn memory(edge: &EdgeProcess) -> String {
    let [all, own, of_files] =
        ["VmRSS:", "RssAnon:", "RssFile:"].map(|kind| edge.memory_of(kind) as f64 / 1e6);
    format!("{all:.1} MB of memory ({own:.1} its own, {of_files:.1} of its program and libraries)")
}

/// A running edge, and what is done to it.
struct Measured<'a> {
    edge: &'a EdgeProcess,
    arguments: &'a Arguments,
    /// From one shop that is changed to the next, so that those in files are each in another one.
    apart: usize,
}

impl Measured<'_> {
    /// Changes paths: each gives another shop a path in the place of `/`, and is over when `/` is answered 404. `change`
    /// says when it was begun. With a pause changes come at a rate, whether or not those before are over.
    fn paths(
        &self,
        how: &str,
        pause: Option<Duration>,
        change: impl Fn(usize) -> anyhow::Result<Instant>,
    ) -> anyhow::Result<()> {
        let offset = if pause.is_some() { self.apart / 2 } else { 0 };
        let shop = |at: usize| at * self.apart + offset;
        let before = self.counters();
        let answered = self.each(
            pause,
            |at| change(shop(at)),
            |client, at| client.get(&host(shop(at)), "/").status == 404,
        )?;
        let (processor, hosts, translation) = self.since(before);
        let each = |all: f64| 1e3 * all / answered.len().max(1) as f64;
        println!(
            "{} changes of a path, {how}: answered after {}; {hosts} hosts translated; {:.2} ms of processor time each \
             with the requests that ask, of that {:.2} ms from objects to tables in effect",
            answered.len(),
            spread(&answered),
            each(processor.as_secs_f64()),
            each(translation),
        );
        Ok(())
    }

    /// The same at a rate while nobody asks, for what a change costs alone.
    fn unasked(
        &self,
        pause: Duration,
        change: impl Fn(usize) -> anyhow::Result<Instant>,
    ) -> anyhow::Result<()> {
        // More, as processor time is counted in steps of some milliseconds; others than those above.
        let count = (self.arguments.changes * 5).min(self.arguments.ingresses);
        let apart = self.arguments.ingresses / count.max(1);
        let before = self.counters();
        let start = Instant::now();
        for number in 0..count {
            change(number * apart + apart / 3)?;
            thread::sleep((start + pause * number as u32).saturating_duration_since(Instant::now()));
        }
        let done = || self.edge.metric("selvedge_hosts_translated_total") >= before.1 + count as f64;
        until(|| done().then_some(()));
        let (processor, hosts, translation) = self.since(before);
        let each = |all: f64| 1e6 * all / count as f64;
        println!(
            "{count} changes of a path at a rate, unasked: {:.0} µs of processor time each, of that {:.0} µs from objects \
             to tables in effect; {hosts} hosts translated",
            each(processor.as_secs_f64()),
            each(translation),
        );
        Ok(())
    }

    /// Changes endpoints; each is over when the shop that `shop_of` names is answered by this pod.
    fn endpoints(
        &self,
        shop_of: impl Fn(usize) -> usize + Sync,
        pod: &str,
        change: impl Fn(usize) -> anyhow::Result<Instant>,
    ) -> anyhow::Result<()> {
        let before = self.counters();
        let answered = self.each(None, change, |client, at| {
            client.get(&host(shop_of(at)), "/changed/or/not").body == pod.as_bytes()
        })?;
        let (_, hosts, _) = self.since(before);
        println!(
            "{} changes of an endpoint: in effect after {}; {hosts} hosts translated",
            answered.len(),
            spread(&answered),
        );
        Ok(())
    }

    /// All that there is is listed anew, though nothing has changed.
    fn relist(&self, server: &ApiServer) {
        let generation = || self.edge.metric("selvedge_snapshot_generation");
        let (before, swaps) = (self.counters(), generation());
        server.take_requests();
        server.compact();
        server.break_watches(Break::Expired);
        let ingresses = "/apis/networking.k8s.io/v1/ingresses";
        until(|| {
            let requests = server.take_requests();
            requests.iter().any(|request| request.verb == "WATCH" && request.path == ingresses).then_some(())
        });
        let (processor, hosts, _) = self.since(before);
        println!(
            "a list of everything anew: {hosts} hosts translated, {} swaps, {processor:.1?} of processor time",
            generation() - swaps
        );
    }

    /// Makes changes while another thread asks for each until it is answered; how long that took, sorted. Without a pause
    /// the next one waits for the answer.
    fn each(
        &self,
        pause: Option<Duration>,
        change: impl Fn(usize) -> anyhow::Result<Instant>,
        is_over: impl Fn(&mut Client, usize) -> bool + Send,
    ) -> anyhow::Result<Vec<Duration>> {
        let count = self.arguments.changes.min(self.arguments.ingresses);
        let (made, inbox) = mpsc::channel::<(usize, Instant)>();
        let (over, answered) = mpsc::channel();
        let address: SocketAddr = self.edge.http();
        thread::scope(|scope| {
            scope.spawn(move || {
                let mut client = Client::connect(address);
                for (at, start) in inbox {
                    while !is_over(&mut client, at) {
                        thread::sleep(LOOK);
                    }
                    // Nobody wants it any more once a change has failed.
                    let _ = over.send(start.elapsed());
                }
            });
            let (begin, mut took) = (Instant::now(), Vec::new());
            for at in 0..count {
                // It ends with the scope, after this thread.
                let _ = made.send((at, change(at)?));
                match pause {
                    Some(pause) => {
                        let next = begin + pause * (at as u32 + 1);
                        thread::sleep(next.saturating_duration_since(Instant::now()));
                    }
                    None => took.extend(answered.recv().ok()),
                }
            }
            drop(made);
            took.extend(answered.iter());
            took.sort();
            Ok(took)
        })
    }

    fn counters(&self) -> (Duration, f64, f64) {
        let hosts = self.edge.metric("selvedge_hosts_translated_total");
        let translation = self.edge.metric("selvedge_translation_duration_seconds_sum");
        (self.edge.processor_time(), hosts, translation)
    }

    fn since(&self, before: (Duration, f64, f64)) -> (Duration, f64, f64) {
        let now = self.counters();
        (now.0 - before.0, now.1 - before.1, now.2 - before.2)
    }

    fn memory(&self) {
        println!("{}", memory(self.edge));
    }
}

/// Times of changes, which are sorted.
fn spread(sorted: &[Duration]) -> String {
    let at = |part: f64| {
        let last = sorted.len().saturating_sub(1) as f64;
        sorted.get((last * part).round() as usize).copied().unwrap_or_default()
    };
    format!("p50 {:.1?}, p99 {:.1?}, most {:.1?}", at(0.5), at(0.99), at(1.0))
}
