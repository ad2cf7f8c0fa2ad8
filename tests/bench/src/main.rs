//! Benchmarks: Selvedge beside other proxies, what one request costs, and whether that got worse.
//!
//! `BENCHMARKS.md` says how to read what comes out.

#![expect(clippy::print_stdout, reason = "tables are what it is for")]

mod backend;
mod callgrind;
mod contestant;
mod ground;
mod instructions;
mod load;
mod pause;
mod ports;
mod processors;
mod record;
mod rounds;
mod running;
mod scenario;
mod statistics;
mod table;
mod template;
mod usage;

use std::{collections::BTreeMap, path::PathBuf, process::ExitCode, time::Duration};

use clap::{Args, Parser, Subcommand};
use rustix::process::{Resource, getrlimit, setrlimit};
use tokio::{
    runtime,
    signal::unix::{SignalKind, signal},
    task::LocalSet,
};

use crate::{
    callgrind::Counts,
    contestant::{Annotated, Contestant, Kind},
    ground::Ground,
    instructions::Runs,
    processors::Processors,
    record::{Record, number},
    rounds::Effort,
    scenario::{SCENARIOS, Scenario},
};

/// The scenario of which the record is.
const RECORDED: &str = "keep-alive";
/// Requests of which the record is.
const RUNS: Runs = Runs { few: 1000, many: 5000 };

/// Measure Selvedge, and other proxies beside it
#[derive(Parser)]
struct Arguments {
    /// Folder with selvedge-ingress and selvedge-router; that of this tool without it
    #[arg(long, global = true)]
    programs: Option<PathBuf>,
    #[command(subcommand)]
    command: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Measure proxies in turn and print a table for each scenario
    Run(Run),
    /// Count what one request costs: instructions, allocations, system calls
    Instructions(Instructions),
    /// Compare what one request costs with the record, and fail where it got worse
    Figures(Figures),
}

#[derive(Args)]
struct Run {
    #[arg(
        help = "Proxies, KIND[+annotated][:ROUTES][@PROGRAM]; ratios are to the first one. Without any all that are there"
    )]
    contestants: Vec<Contestant>,
    /// What is asked of them, all without it; repeatable
    #[arg(long = "scenario")]
    scenarios: Vec<Scenario>,
    /// Rounds of each scenario
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Milliseconds of each proxy in a round
    #[arg(long, default_value_t = 1000)]
    window: u64,
    /// Connections of the scenarios about idle ones
    #[arg(long, default_value_t = 5000)]
    idle: usize,
}

#[derive(Args)]
struct Instructions {
    #[arg(required = true, help = "Proxies, KIND[+annotated][:ROUTES][@PROGRAM]")]
    contestants: Vec<Contestant>,
    /// What is asked of them
    #[arg(long, default_value = RECORDED)]
    scenario: Scenario,
    /// Requests of the first run
    #[arg(long, default_value_t = RUNS.few)]
    few: u64,
    /// Requests of the second run
    #[arg(long, default_value_t = RUNS.many)]
    many: u64,
}

#[derive(Args)]
struct Figures {
    /// The record
    #[arg(long, default_value = "tests/bench/figures.yaml")]
    record: PathBuf,
}

fn main() -> ExitCode {
    match measure(&Arguments::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn measure(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    raise_open_files();
    // Before the runtime is there, so that all of it stays on one processor.
    let processors = match arguments.command {
        Action::Run(_) => {
            let processors = Processors::choose()?;
            processors::pin(processors.load)?;
            Some(processors)
        }
        _ => None,
    };
    let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
    let work = async {
        let mut end = signal(SignalKind::terminate())?;
        tokio::select! {
            result = act(arguments, processors) => result,
            // What was started is ended on the way out.
            _ = end.recv() => anyhow::bail!("asked to end"),
            _ = tokio::signal::ctrl_c() => anyhow::bail!("asked to end"),
        }
    };
    LocalSet::new().block_on(&runtime, work)
}

async fn act(arguments: &Arguments, processors: Option<Processors>) -> anyhow::Result<ExitCode> {
    let ground = Ground::prepare(arguments.programs.as_deref())?;
    match (&arguments.command, processors) {
        (Action::Run(arguments), Some(processors)) => run(arguments, &ground, processors).await,
        (Action::Run(_), None) => unreachable!("processors were chosen for it"),
        (Action::Instructions(arguments), _) => instructions(arguments, &ground).await,
        (Action::Figures(arguments), _) => figures(arguments, &ground).await,
    }
}

async fn run(arguments: &Run, ground: &Ground, processors: Processors) -> anyhow::Result<ExitCode> {
    let mut contestants = arguments.contestants.clone();
    if contestants.is_empty() {
        let usual =
            Kind::ALL.map(|kind| Contestant { kind, annotated: Annotated::Nobody, routes: 1, program: None });
        contestants = usual.into_iter().filter(|contestant| contestant.program(ground).is_ok()).collect();
    }
    anyhow::ensure!(!contestants.is_empty(), "no proxy is there; see BENCHMARKS.md");
    let effort = Effort {
        rounds: arguments.rounds.max(1),
        window: Duration::from_millis(arguments.window.max(100)),
        idle: arguments.idle.max(1),
        processor: processors.proxy,
    };
    for contestant in &contestants {
        println!("- {contestant}: {}", contestant.version(ground)?);
    }
    println!("\n{} rounds of {:?} each.", effort.rounds, effort.window);
    let scenarios = match arguments.scenarios.as_slice() {
        [] => &SCENARIOS,
        given => given,
    };
    let mut code = ExitCode::SUCCESS;
    for scenario in scenarios {
        match rounds::measure(*scenario, &contestants, ground, effort).await {
            Ok(rows) => println!("\n{}", table::table(*scenario, &rows).trim_end()),
            // The others are worth having.
            Err(error) => {
                println!("\n### {}\n\nNOT MEASURED: {error:#}", scenario.name);
                code = ExitCode::FAILURE;
            }
        }
    }
    Ok(code)
}

async fn instructions(arguments: &Instructions, ground: &Ground) -> anyhow::Result<ExitCode> {
    anyhow::ensure!(
        instructions::is_available(),
        "no valgrind on this machine; install the package of that name"
    );
    let runs = Runs { few: arguments.few.max(1), many: arguments.many.max(arguments.few + 1) };
    println!(
        "| proxy | instructions | allocations | system calls | waits | clock reads |\n|---|---:|---:|---:|---:|---:|"
    );
    for contestant in &arguments.contestants {
        let each = instructions::measure(arguments.scenario, contestant, ground, runs).await?;
        let Counts { instructions, allocations, system_calls, waits, clock_reads } = each;
        let figures = [instructions, allocations, system_calls, waits, clock_reads].map(number).join(" | ");
        println!("| {contestant} | {figures} |");
    }
    Ok(ExitCode::SUCCESS)
}

async fn figures(arguments: &Figures, ground: &Ground) -> anyhow::Result<ExitCode> {
    let record = Record::read(&arguments.record)?;
    if !instructions::is_available() {
        println!("NOT MEASURED: instructions, allocations and system calls per request");
        println!("no valgrind on this machine; install the package of that name");
        return Ok(ExitCode::SUCCESS);
    }
    let mut measured = BTreeMap::new();
    for program in record.programs() {
        let contestant: Contestant = program.parse().map_err(anyhow::Error::msg)?;
        let scenario = RECORDED.parse().map_err(anyhow::Error::msg)?;
        let each = instructions::measure(scenario, &contestant, ground, RUNS).await?;
        measured.insert(program.to_owned(), each);
    }
    let (table, is_good) = record.compare(&measured);
    println!("{table}");
    if !is_good {
        let path = arguments.record.display();
        eprintln!(
            "a request costs over 5 % more than {path} says; find out why, or change the record on purpose"
        );
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}

/// As many descriptors as may be had, for scenarios with many connections; proxies inherit that.
fn raise_open_files() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // Where it is not allowed there are fewer.
    let _ = setrlimit(Resource::Nofile, limit);
}
