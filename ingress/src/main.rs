//! The program `selvedge-ingress`.

use std::process::ExitCode;

use clap::{Parser, error::ErrorKind};
use selvedge_ingress::{
    app,
    args::{self, Arguments, CheckArgs, Command, RunArgs},
};
use tokio::signal::unix::{SignalKind, signal};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        // Help and the version are no errors and have as many lines as they need.
        Err(error) if !error.use_stderr() => error.exit(),
        Err(error) if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => error.exit(),
        Err(error) => {
            eprintln!("selvedge-ingress: {}", args::one_line(&error));
            return ExitCode::from(2);
        }
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let done = match (runtime, arguments.command) {
        (Err(error), _) => Err(error.into()),
        (Ok(runtime), Command::Run(args)) => runtime.block_on(run(args)),
        (Ok(runtime), Command::Check(args)) => runtime.block_on(check(args)),
    };
    done.unwrap_or_else(|error| {
        eprintln!("selvedge-ingress: {}", one_line(&error));
        ExitCode::FAILURE
    })
}

async fn run(args: Box<RunArgs>) -> anyhow::Result<ExitCode> {
    app::start_log(&args.log)?;
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let edge = app::Edge::start(args).await?;
    let shutdown = async {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        // Whoever asks again does not want to wait.
        tokio::spawn(async move {
            interrupt.recv().await;
            std::process::exit(130);
        });
    };
    edge.run(shutdown).await;
    Ok(ExitCode::SUCCESS)
}

async fn check(args: CheckArgs) -> anyhow::Result<ExitCode> {
    let sound = app::check(&args, &mut std::io::stdout().lock()).await?;
    Ok(if sound { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// An error with its causes, without those that it says already.
fn one_line(error: &anyhow::Error) -> String {
    let mut line = String::new();
    for text in error.chain().map(ToString::to_string).filter(|text| !text.is_empty()) {
        if line.is_empty() {
            line = text;
        } else if !line.contains(&text) {
            line = format!("{line}: {text}");
        }
    }
    line.replace('\n', " ")
}
