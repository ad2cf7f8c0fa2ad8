//! A program as a command: its command line is read, it runs until a signal, and errors end it with one line.

use std::{io, process::ExitCode};

use clap::{Parser, error::ErrorKind};
use tokio::signal::unix::{SignalKind, signal};

use super::{Plan, Program, Role, start_log};

/// Reads the command line. Errors are told in one line; help and the version have as many as they need, and end the
/// process.
///
/// # Errors
/// What to exit with if it is wrong.
pub fn parse<A: Parser>(program: &str) -> Result<A, ExitCode> {
    A::try_parse().map_err(|error| {
        let asks = error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand;
        if asks || !error.use_stderr() {
            error.exit();
        }
        eprintln!("{program}: {}", flags_line(&error));
        ExitCode::from(2)
    })
}

/// Runs it to its end in this thread. An error is told in one line.
///
/// Where the system gives every program huge pages, this one goes without: it keeps memory of each size for each thread,
/// and two megabytes of each would be twelve for nothing.
pub fn execute(program: &str, work: impl Future<Output = anyhow::Result<ExitCode>>) -> ExitCode {
    if let Err(error) = rustix::thread::disable_transparent_huge_pages(true) {
        tracing::debug!(%error, "huge pages stay as the system gives them");
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let done = runtime.map_err(Into::into).and_then(|runtime| runtime.block_on(work));
    done.unwrap_or_else(|error| {
        tell(program, &error);
        ExitCode::FAILURE
    })
}

/// Tells an error in one line, unless it is that nobody reads any more what is printed: whoever has seen enough of a
/// report, as `head` does, needs not be told.
pub fn tell(program: &str, error: &anyhow::Error) {
    let printing = error.downcast_ref::<io::Error>();
    if printing.is_none_or(|error| error.kind() != io::ErrorKind::BrokenPipe) {
        eprintln!("{program}: {}", one_line(error));
    }
}

/// Serves until SIGTERM or SIGINT, then drains.
///
/// # Errors
/// What [`Program::start`] finds, or a filter of the log that is none.
pub async fn serve<T: Role>(plan: impl Into<Plan<T>>) -> anyhow::Result<ExitCode> {
    let plan = plan.into();
    start_log(&plan.log)?;
    let asked = asked_to_stop()?;
    Program::start(plan).await?.run(asked).await;
    Ok(ExitCode::SUCCESS)
}

/// Done when SIGTERM or SIGINT comes; a second SIGINT ends the process.
fn asked_to_stop() -> io::Result<impl Future<Output = ()>> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        // Whoever asks again does not want to wait.
        tokio::spawn(async move {
            interrupt.recv().await;
            std::process::exit(130);
        });
    })
}

/// What is wrong with flags, in one line.
pub fn flags_line(error: &clap::Error) -> String {
    let text = error.to_string();
    let paragraph = text.split("\n\n").find(|paragraph| !paragraph.trim().is_empty()).unwrap_or_default();
    let words: Vec<_> = paragraph.split_whitespace().collect();
    words.join(" ").trim_start_matches("error: ").to_owned()
}

/// An error with its causes, without those that it says already.
pub fn one_line(error: &anyhow::Error) -> String {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_one_line_and_says_nothing_twice() {
        let error = anyhow::anyhow!("in use\nby another").context("cannot listen").context("cannot listen");
        assert_eq!(one_line(&error), "cannot listen: in use by another");
    }
}
