//! Gathering: manifests or a cluster's objects as they are now, translated, with all that is wrong.

use std::{collections::BTreeMap, fmt, path::Path, sync::Arc};

use tokio::sync::mpsc;

use super::{
    Role,
    args::CheckedArgs,
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

/// Where objects are said, by file and line.
pub type Places = BTreeMap<ObjectRef, (Arc<Path>, u32)>;

/// Objects as they are now, and what they come to.
pub struct Gathered<T> {
    /// All objects and their translation.
    pub reconciler: Reconciler<T>,
    /// What is wrong with objects, those of them included that may be somebody else's.
    pub problems: Vec<Problem>,
    /// What is wrong with no object that could be read.
    pub unread: Vec<Unread>,
    /// Where objects are said, if that is in files.
    pub places: Places,
}

/// What is wrong with no object that could be read.
#[derive(Clone, Debug)]
pub enum Unread {
    /// A flag that fits nothing there is.
    Flag(String),
    /// A document of a file.
    Manifest(ManifestProblem),
    /// Nothing wrong, but good to know.
    Notice(String),
    /// A part of a cluster.
    Other(String),
}

impl Unread {
    /// How bad it is; `None` for a notice.
    pub fn severity(&self) -> Option<Severity> {
        match self {
            Self::Manifest(problem) => Some(problem.severity),
            Self::Flag(_) => Some(Severity::Warning),
            Self::Other(_) => Some(Severity::Error),
            Self::Notice(_) => None,
        }
    }

    /// The same in a word.
    pub fn word(&self) -> &'static str {
        self.severity().map_or("notice", word)
    }
}

impl fmt::Display for Unread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Manifest(problem) => problem.fmt(f),
            Self::Flag(message) | Self::Notice(message) | Self::Other(message) => f.write_str(message),
        }
    }
}

/// How bad something is, in a word.
pub fn word(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    }
}

/// Objects as they are now.
pub struct Read {
    /// All of them, each as an event.
    pub events: Vec<ObjectEvent>,
    /// What is wrong with no object that could be read.
    pub unread: Vec<Unread>,
    /// Where objects are said, if that is in files.
    pub places: Places,
}

/// Reads what the flags name. `secrets` are namespaces whose Secrets are read beside those that the flags name.
///
/// # Errors
/// It cannot be read.
pub async fn read<T: Role>(role: &T, args: &CheckedArgs, secrets: Vec<String>) -> anyhow::Result<Read> {
    let (namespaces, all_secrets) = (args.namespace.clone(), role.reads_all_secrets());
    let scope = Scope { kinds: T::KINDS, namespaces, secrets, all_secrets };
    match args.cluster {
        true => cluster(args, scope).await,
        false => manifests(args, scope),
    }
}

/// Translates what was read.
pub fn translate<T: Role>(role: T, read: Read) -> Gathered<T> {
    let Read { events, mut unread, places } = read;
    let mut reconciler = Reconciler::new(role);
    reconciler.apply(events);
    let (role, objects) = (reconciler.translate(), reconciler.objects());
    unread.extend(role.unfitting(objects).into_iter().map(Unread::Flag));
    let suspected = role.suspected(objects);
    // Whether a key fits is known only when they are put to use.
    let (_, rejected) = LiveCertificates::build(&reconciler.snapshot().certificates, None);
    let unusable = rejected.into_iter().map(|rejected| problem_of(rejected).1);
    let problems = reconciler.problems().cloned().chain(unusable).chain(suspected).collect();
    Gathered { reconciler, problems, unread, places }
}

fn manifests(args: &CheckedArgs, scope: Scope) -> anyhow::Result<Read> {
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
    Ok(Read { events: change.events, unread, places })
}

async fn cluster(args: &CheckedArgs, scope: Scope) -> anyhow::Result<Read> {
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
    Ok(Read { events: objects, unread, places: Places::new() })
}
