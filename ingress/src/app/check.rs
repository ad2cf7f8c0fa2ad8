//! `check`: translates manifests or a cluster's objects and prints what is wrong.

use std::io::Write;

use selvedge_common::{
    kube::{
        manifests::{ManifestProblem, Manifests},
        objects::ObjectEvent,
        translation::Reconciler,
        watch::{self, WatchEvent},
    },
    model::{Problem, Severity},
    proxy::tls::LiveCertificates,
    source::file,
};
use tokio::sync::mpsc;

use super::{
    driver::problem_of,
    source::{client, scope},
};
use crate::{
    args::{CheckArgs, Format},
    class,
    translate::Edge,
};

/// Prints what is wrong; `false` if any of it is an error.
///
/// # Errors
/// What is to be checked cannot be read.
pub async fn check(args: &CheckArgs, output: &mut dyn Write) -> anyhow::Result<bool> {
    let (events, mut unread) = if args.cluster { cluster(args).await? } else { manifests(args)? };
    let settings = args.class.settings(&args.namespace);
    let mut reconciler = Reconciler::new(Edge::new(settings.clone()));
    reconciler.apply(events);
    unread.extend(class::unknown(&settings, reconciler.objects()).into_iter().map(Unread::Flag));
    let classless = class::classless(&settings, reconciler.objects());
    // Whether a key fits is known only when they are put to use.
    let (_, rejected) = LiveCertificates::build(&reconciler.snapshot().certificates, None);
    let unusable: Vec<_> = rejected.into_iter().map(|rejected| problem_of(rejected).1).collect();
    let problems: Vec<_> = reconciler.problems().chain(&unusable).chain(&classless).collect();
    match args.format {
        Format::Text => print_text(&unread, &problems, output)?,
        Format::Json => print_json(&unread, &problems, output)?,
    }
    let sound = unread.iter().all(|problem| problem.severity() != Severity::Error);
    Ok(sound && problems.iter().all(|problem| problem.severity != Severity::Error))
}

fn manifests(args: &CheckArgs) -> anyhow::Result<(Vec<ObjectEvent>, Vec<Unread>)> {
    let change = Manifests::default().apply(file::read(&args.paths)?);
    Ok((change.events, change.problems.into_iter().map(Unread::Manifest).collect()))
}

async fn cluster(args: &CheckArgs) -> anyhow::Result<(Vec<ObjectEvent>, Vec<Unread>)> {
    let client = client(args.kubeconfig.as_ref()).await?;
    // Waits for an API server that cannot be reached; better to say so.
    client.apiserver_version().await?;
    let (sender, mut events) = mpsc::channel(64);
    let watching = tokio::spawn(watch::run(client, scope(&args.namespace, &args.class), sender));
    let mut unread = Vec::new();
    let mut objects = Vec::new();
    while let Some(event) = events.recv().await {
        match event {
            WatchEvent::Synced(events) => {
                objects = events;
                break;
            }
            WatchEvent::Denied { part, message } => unread.push(Unread::Other(format!("{part}: {message}"))),
            WatchEvent::Undecodable { key, message } => {
                unread.push(Unread::Other(format!("{key}: {message}")))
            }
            WatchEvent::Missing { .. }
            | WatchEvent::Readable { .. }
            | WatchEvent::Changed(_)
            | WatchEvent::Invalid { .. } => {}
        }
    }
    watching.abort();
    Ok((objects, unread))
}

/// What is wrong with no object that could be read.
enum Unread {
    /// A flag that fits nothing there is.
    Flag(String),
    Manifest(ManifestProblem),
    Other(String),
}

impl Unread {
    fn severity(&self) -> Severity {
        match self {
            Self::Manifest(problem) => problem.severity,
            Self::Flag(_) => Severity::Warning,
            Self::Other(_) => Severity::Error,
        }
    }
}

fn word(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    }
}

fn print_text(unread: &[Unread], problems: &[&Problem], output: &mut dyn Write) -> std::io::Result<()> {
    for problem in unread {
        let word = word(problem.severity());
        match problem {
            Unread::Manifest(problem) => writeln!(output, "{word}: {problem}")?,
            Unread::Flag(message) | Unread::Other(message) => writeln!(output, "{word}: {message}")?,
        }
    }
    for problem in problems {
        writeln!(output, "{}: {problem}", word(problem.severity))?;
    }
    Ok(())
}

fn print_json(unread: &[Unread], problems: &[&Problem], output: &mut dyn Write) -> std::io::Result<()> {
    let unread = unread.iter().map(|problem| match problem {
        Unread::Manifest(problem) => serde_json::json!({
            "file": problem.file, "line": problem.line, "severity": problem.severity, "message": problem.message}),
        Unread::Flag(message) | Unread::Other(message) => {
            serde_json::json!({"severity": problem.severity(), "message": message})
        }
    });
    let all: Vec<_> = unread.chain(problems.iter().map(|problem| serde_json::json!(problem))).collect();
    writeln!(output, "{:#}", serde_json::json!({"problems": all}))
}
