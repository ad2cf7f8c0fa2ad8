//! `check`: translates manifests or a cluster's objects and prints what is wrong.

use std::{collections::BTreeMap, io::Write, path::Path, sync::Arc};

use tokio::sync::mpsc;

use super::{
    Role,
    args::{CheckedArgs, Format},
    driver::problem_of,
    source::{client, passed_over},
};
use crate::{
    id::ObjectRef,
    kube::{
        manifests::{ManifestProblem, Manifests, Said},
        objects::ObjectEvent,
        translation::Reconciler,
        watch::{self, Scope, WatchEvent},
    },
    model::{Problem, Severity},
    proxy::tls::LiveCertificates,
    source::file,
};

/// Prints what is wrong; `false` if any of it is an error. `secrets` are namespaces whose Secrets are read beside
/// those that the flags name.
///
/// # Errors
/// What is to be checked cannot be read.
pub async fn check<T: Role>(
    role: T,
    (args, format): (&CheckedArgs, Format),
    secrets: Vec<String>,
    output: &mut dyn Write,
) -> anyhow::Result<bool> {
    let (namespaces, all_secrets) = (args.namespace.clone(), role.reads_all_secrets());
    let scope = Scope { kinds: T::KINDS, namespaces, secrets, all_secrets };
    let (events, mut unread, places) = match args.cluster {
        true => {
            let (events, unread) = cluster(args, scope).await?;
            (events, unread, Places::new())
        }
        false => manifests(args, scope)?,
    };
    let mut reconciler = Reconciler::new(role);
    reconciler.apply(events);
    let (role, objects) = (reconciler.translate(), reconciler.objects());
    unread.extend(role.unfitting(objects).into_iter().map(Unread::Flag));
    let suspected = role.suspected(objects);
    // Whether a key fits is known only when they are put to use.
    let (_, rejected) = LiveCertificates::build(&reconciler.snapshot().certificates, None);
    let unusable: Vec<_> = rejected.into_iter().map(|rejected| problem_of(rejected).1).collect();
    let problems: Vec<_> = reconciler.problems().chain(&unusable).chain(&suspected).collect();
    match format {
        Format::Text => print_text(&unread, (&problems, &places), output)?,
        Format::Json => print_json(&unread, (&problems, &places), output)?,
    }
    let sound = unread.iter().all(|problem| problem.severity() != Some(Severity::Error));
    Ok(sound && problems.iter().all(|problem| problem.severity != Severity::Error))
}

/// Where objects are said, by file and line.
type Places = BTreeMap<ObjectRef, (Arc<Path>, u32)>;

fn manifests(args: &CheckedArgs, scope: Scope) -> anyhow::Result<(Vec<ObjectEvent>, Vec<Unread>, Places)> {
    let mut manifests = Manifests::default();
    let change = manifests.apply(file::read(&args.paths, Said::reader(scope.kinds))?);
    let place = |event: &ObjectEvent| match event {
        ObjectEvent::Applied(object) => {
            let (file, line) = manifests.place(&object.key())?;
            Some((object.key().to_ref(), (file.clone(), line)))
        }
        ObjectEvent::Deleted(_) => None,
    };
    let places = change.events.iter().filter_map(place).collect();
    let mut unread: Vec<_> = change.problems.into_iter().map(Unread::Manifest).collect();
    if !change.passed_over.is_empty() {
        unread.push(Unread::Notice(passed_over(&change.passed_over)));
    }
    Ok((change.events, unread, places))
}

async fn cluster(args: &CheckedArgs, scope: Scope) -> anyhow::Result<(Vec<ObjectEvent>, Vec<Unread>)> {
    let client = client(args.kubeconfig.as_ref()).await?;
    // Waits for an API server that cannot be reached; better to say so.
    client.apiserver_version().await?;
    let (sender, mut events) = mpsc::channel(64);
    let watching = tokio::spawn(watch::run(client, scope, sender));
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
    /// Nothing wrong, but good to know.
    Notice(String),
    Other(String),
}

impl Unread {
    /// `None` for a notice.
    fn severity(&self) -> Option<Severity> {
        match self {
            Self::Manifest(problem) => Some(problem.severity),
            Self::Flag(_) => Some(Severity::Warning),
            Self::Other(_) => Some(Severity::Error),
            Self::Notice(_) => None,
        }
    }

    fn word(&self) -> &'static str {
        self.severity().map_or("notice", word)
    }
}

fn word(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    }
}

fn print_text(
    unread: &[Unread],
    (problems, places): (&[&Problem], &Places),
    output: &mut dyn Write,
) -> std::io::Result<()> {
    for problem in unread {
        let word = problem.word();
        match problem {
            Unread::Manifest(problem) => writeln!(output, "{word}: {problem}")?,
            Unread::Flag(message) | Unread::Notice(message) | Unread::Other(message) => {
                writeln!(output, "{word}: {message}")?
            }
        }
    }
    for problem in problems {
        let word = word(problem.severity);
        match places.get(&problem.object) {
            Some((file, line)) => writeln!(output, "{word}: {}:{line}: {problem}", file.display())?,
            None => writeln!(output, "{word}: {problem}")?,
        }
    }
    Ok(())
}

fn print_json(
    unread: &[Unread],
    (problems, places): (&[&Problem], &Places),
    output: &mut dyn Write,
) -> std::io::Result<()> {
    let unread = unread.iter().map(|problem| match problem {
        Unread::Manifest(problem) => serde_json::json!({
            "file": problem.file, "line": problem.line, "severity": problem.severity, "message": problem.message}),
        Unread::Flag(message) | Unread::Notice(message) | Unread::Other(message) => {
            serde_json::json!({"severity": problem.word(), "message": message})
        }
    });
    let problems = problems.iter().map(|problem| {
        let mut value = serde_json::json!(problem);
        if let Some((file, line)) = places.get(&problem.object) {
            value["file"] = serde_json::json!(file);
            value["line"] = serde_json::json!(line);
        }
        value
    });
    let all: Vec<_> = unread.chain(problems).collect();
    writeln!(output, "{:#}", serde_json::json!({"problems": all}))
}
