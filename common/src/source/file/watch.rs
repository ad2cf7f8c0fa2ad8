//! Following manifest files: what the system notifies of is read at once, and all is looked at now and then.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::mpsc::{self, RecvTimeoutError},
    thread,
    time::{Duration, Instant},
};

use notify::{
    Event, EventKind, RecursiveMode, Watcher,
    event::{AccessKind, AccessMode, CreateKind, ModifyKind, RenameMode},
};
use tokio::sync::mpsc::Sender;

use super::{
    FileChange, FileSourceError, Make, check,
    links::Links,
    tree::{Entered, Tree, is_ignored, is_manifest},
};

/// How long a file may be open for writing before it is read all the same.
const WRITE_SETTLE: Duration = Duration::from_millis(50);
/// How long a file must be gone to count as gone: editors move a file away before they write the new one.
const REMOVAL_SETTLE: Duration = Duration::from_millis(40);
/// How often everything is looked at, beside the notifications.
const RESCAN: Duration = Duration::from_secs(5);
/// The same on a system without notifications.
const RESCAN_ALONE: Duration = Duration::from_secs(1);

/// Keeps the following alive; dropping it ends it.
#[derive(Debug)]
pub struct Follower {
    messages: mpsc::Sender<Message>,
}

#[derive(Debug)]
enum Message {
    Event(notify::Result<Event>),
    Stop,
}

/// Follows manifest files: the first batch holds every file (it may be empty), later ones what has changed.
///
/// A changed file is read when its writer closes it or another file is renamed to it. While the receiver is
/// busy, changes gather and come as one batch. Paths that vanish are waited for.
///
/// `make` is called for each document, on several threads, and not again for those of a file that are as they were.
///
/// # Errors
/// A path that does not exist or may not be read now.
pub fn follow<T: Clone + Send + Sync + 'static>(
    paths: &[PathBuf],
    make: Make<T>,
    batches: Sender<Vec<FileChange<T>>>,
) -> Result<Follower, FileSourceError> {
    follow_looking(paths, make, batches, RESCAN)
}

/// The same with another time between two looks at everything.
fn follow_looking<T: Clone + Send + Sync + 'static>(
    paths: &[PathBuf],
    make: Make<T>,
    batches: Sender<Vec<FileChange<T>>>,
    rescan: Duration,
) -> Result<Follower, FileSourceError> {
    check(paths)?;
    let (messages, inbox) = mpsc::channel();
    let notifications = messages.clone();
    let watcher = notify::recommended_watcher(move |event| {
        // Nobody listens any more only while everything ends.
        let _ = notifications.send(Message::Event(event));
    });
    let watcher = watcher.inspect_err(
        |error| tracing::warn!(%error, "no notifications of changed files; looking each second"),
    );
    let tree = Tree::new(paths, make);
    let following = Following {
        tree,
        links: Links::default(),
        arms: Arms { watcher: watcher.ok(), failed: false, rescan },
        pending: BTreeMap::new(),
        batches,
    };
    thread::Builder::new()
        .name("manifests".into())
        .spawn(move || following.run(&inbox))
        .map_err(FileSourceError::Thread)?;
    Ok(Follower { messages })
}

impl Drop for Follower {
    fn drop(&mut self) {
        let _ = self.messages.send(Message::Stop);
    }
}

struct Following<T> {
    tree: Tree<T>,
    links: Links,
    arms: Arms,
    pending: BTreeMap<PathBuf, Pending>,
    batches: Sender<Vec<FileChange<T>>>,
}

/// The watches that are armed.
struct Arms {
    watcher: Option<notify::RecommendedWatcher>,
    failed: bool,
    /// How often everything is looked at if it works.
    rescan: Duration,
}

/// A path to look at.
struct Pending {
    since: Instant,
    due: Instant,
    /// Its writer is done with it.
    closed: bool,
}

impl<T: Clone + Send + Sync> Following<T> {
    fn run(mut self, inbox: &mpsc::Receiver<Message>) {
        let first = self.rescan();
        if self.batches.blocking_send(first).is_err() {
            return;
        }
        let mut next_rescan = Instant::now() + self.arms.rescan_interval();
        loop {
            let due = self.pending.values().map(|pending| pending.due).min();
            let wait = due.map_or(next_rescan, |due| due.min(next_rescan));
            match inbox.recv_timeout(wait.saturating_duration_since(Instant::now())) {
                Ok(Message::Event(event)) => self.note(event, &mut next_rescan),
                Ok(Message::Stop) | Err(RecvTimeoutError::Disconnected) => return,
                Err(RecvTimeoutError::Timeout) => {}
            }
            for message in inbox.try_iter() {
                match message {
                    Message::Event(event) => self.note(event, &mut next_rescan),
                    Message::Stop => return,
                }
            }
            let mut changes = self.look_at_due();
            if next_rescan <= Instant::now() {
                changes.extend(self.rescan());
                next_rescan = Instant::now() + self.arms.rescan_interval();
            }
            if self.batches.is_closed()
                || (!changes.is_empty() && self.batches.blocking_send(changes).is_err())
            {
                return;
            }
        }
    }

    fn rescan(&mut self) -> Vec<FileChange<T>> {
        self.links.clear();
        for root in self.tree.roots() {
            self.arms.arm_above(root);
            // Before anything is read, so that no change after it is missed.
            self.links.learn(root, &mut |place| self.arms.arm_above(place));
        }
        self.pending.clear();
        let (arms, links) = (&mut self.arms, &mut self.links);
        self.tree.rescan(&mut |entered| enter(entered, arms, links))
    }

    fn look_at_due(&mut self) -> Vec<FileChange<T>> {
        let now = Instant::now();
        let due: Vec<_> = self.pending.extract_if(.., |_, pending| pending.due <= now).collect();
        let mut found = Vec::new();
        for (path, pending) in due {
            // Truncated, and not written yet: what it held stays until its writer closes it, or until the
            // next look at everything.
            if !pending.closed && self.tree.is_emptied(&path) {
                continue;
            }
            for root in self.tree.roots().iter().filter(|root| **root == path) {
                self.arms.arm_above(root);
                self.links.learn(root, &mut |place| self.arms.arm_above(place));
            }
            let (arms, links) = (&mut self.arms, &mut self.links);
            self.tree.look_closely(&path, &mut |entered| enter(entered, arms, links), &mut found);
        }
        self.tree.read_found(found)
    }

    fn note(&mut self, event: notify::Result<Event>, next_rescan: &mut Instant) {
        let event = match event {
            Ok(event) if event.need_rescan() => {
                tracing::debug!("notifications of changed files were lost; looking at all of them");
                *next_rescan = Instant::now();
                return;
            }
            Ok(event) => event,
            Err(error) => {
                tracing::debug!(%error, "notification of changed files failed; looking at all of them");
                *next_rescan = Instant::now();
                return;
            }
        };
        let Some(step) = Step::of(&event.kind) else { return };
        for path in event.paths {
            for target in self.targets(&path) {
                self.schedule(target, step);
            }
        }
    }

    /// What has to be looked at when this path changes.
    fn targets(&self, path: &Path) -> BTreeSet<PathBuf> {
        let mut targets: BTreeSet<_> = self.links.through(path).cloned().collect();
        // A root, or a folder above one.
        targets.extend(self.tree.roots().iter().filter(|root| root.starts_with(path)).cloned());
        targets.extend(self.links.scanned(path).into_iter().filter_map(|path| self.scanned_target(path)));
        targets
    }

    /// What has to be looked at when this entry of a folder that was scanned changes, if anything.
    fn scanned_target(&self, path: PathBuf) -> Option<PathBuf> {
        let folder = path.parent()?;
        if !self.tree.is_folder(folder) {
            return None;
        }
        // A mounted ConfigMap: every entry is a link through `..data`, which is swapped.
        if path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"..")) {
            return Some(folder.to_owned());
        }
        let counts =
            !is_ignored(&path) && (is_manifest(&path) || self.tree.is_folder(&path) || path.is_dir());
        counts.then_some(path)
    }

    fn schedule(&mut self, path: PathBuf, step: Step) {
        let now = Instant::now();
        let pending = self.pending.entry(path).or_insert(Pending { since: now, due: now, closed: true });
        // The last event says what to wait for, but events without end do not put it off for ever.
        (pending.due, pending.closed) = match step {
            Step::Whole => (now, true),
            Step::Writing => (pending.since + WRITE_SETTLE, false),
            Step::Removed => (pending.since + REMOVAL_SETTLE, true),
        };
    }
}

/// Arms what is about to be looked at.
fn enter(entered: Entered<'_>, arms: &mut Arms, links: &mut Links) {
    match entered {
        Entered::Folder(folder) => {
            arms.arm(folder);
            links.learn_folder(folder);
        }
        Entered::Link(link) => links.learn(link, &mut |place| arms.arm_above(place)),
    }
}

/// What an event says about the file.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    /// It is as its writer wants it.
    Whole,
    /// It is being written.
    Writing,
    /// It is not there any more, maybe only for a moment.
    Removed,
}

impl Step {
    fn of(kind: &EventKind) -> Option<Step> {
        match kind {
            EventKind::Access(AccessKind::Close(AccessMode::Write)) => Some(Step::Whole),
            EventKind::Access(_) => None,
            EventKind::Create(CreateKind::Folder) => Some(Step::Whole),
            EventKind::Modify(ModifyKind::Name(RenameMode::From)) | EventKind::Remove(_) => {
                Some(Step::Removed)
            }
            EventKind::Modify(ModifyKind::Name(_)) => Some(Step::Whole),
            EventKind::Create(_) | EventKind::Modify(_) | EventKind::Any | EventKind::Other => {
                Some(Step::Writing)
            }
        }
    }
}

impl Arms {
    fn arm(&mut self, folder: &Path) {
        let Some(watcher) = &mut self.watcher else { return };
        match watcher.watch(folder, RecursiveMode::NonRecursive) {
            Ok(()) => self.failed = false,
            Err(error) if self.failed => {
                tracing::debug!(folder = %folder.display(), %error, "no notifications of changes");
            }
            Err(error) => {
                self.failed = true;
                tracing::warn!(
                    folder = %folder.display(), %error,
                    "no notifications of changes (is fs.inotify.max_user_watches too low?); looking each second"
                );
            }
        }
    }

    /// Arms the nearest folder above a path that exists, so that the path is seen when it comes back.
    fn arm_above(&mut self, path: &Path) {
        if let Some(folder) = path.ancestors().skip(1).find(|folder| folder.is_dir()) {
            self.arm(folder);
        }
    }

    fn rescan_interval(&self) -> Duration {
        if self.watcher.is_none() || self.failed { RESCAN_ALONE } else { self.rescan }
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use tokio::sync::mpsc::Receiver;

    use serde_json::Value;

    use super::*;
    use crate::source::file::FileContent;

    /// No test takes this long: what is noticed is noticed by notifications.
    const NEVER: Duration = Duration::from_secs(3_600);

    fn as_it_is() -> Make<Value> {
        std::sync::Arc::new(|value| value)
    }

    /// A followed folder and what has been said about it.
    struct Followed {
        folder: tempfile::TempDir,
        batches: Receiver<Vec<FileChange<Value>>>,
        state: BTreeMap<String, String>,
        _follower: Follower,
    }

    impl Followed {
        /// Follows `manifests` in a temporary folder after `prepare` has filled the folder.
        async fn new(prepare: impl FnOnce(&Path)) -> Self {
            let folder = tempfile::tempdir().unwrap();
            fs::create_dir(folder.path().join("manifests")).unwrap();
            prepare(&folder.path().join("manifests"));
            let (sender, batches) = tokio::sync::mpsc::channel(1);
            let follower =
                follow_looking(&[folder.path().join("manifests")], as_it_is(), sender, NEVER).unwrap();
            let mut followed = Self { folder, batches, state: BTreeMap::new(), _follower: follower };
            followed.next().await;
            followed
        }

        fn path(&self, name: &str) -> PathBuf {
            self.folder.path().join("manifests").join(name)
        }

        /// Waits for one batch and returns the names of the files in it.
        async fn next(&mut self) -> Vec<String> {
            let batch = tokio::time::timeout(Duration::from_secs(20), self.batches.recv()).await;
            let mut names = Vec::new();
            for change in batch.expect("a change is told within 20 s").expect("the follower lives") {
                let file = change.file.strip_prefix(self.folder.path().join("manifests")).unwrap();
                let name = file.to_str().unwrap().to_owned();
                match change.content {
                    FileContent::Documents(documents) => {
                        let values: Vec<_> = documents.iter().map(|d| d.value.to_string()).collect();
                        self.state.insert(name.clone(), values.join(" "));
                    }
                    FileContent::Invalid { errors, .. } => {
                        self.state.insert(name.clone(), format!("line {}", errors[0].line));
                    }
                    FileContent::Gone => drop(self.state.remove(&name)),
                }
                names.push(name);
            }
            names
        }

        /// Takes batches until the files are as wanted.
        async fn until(&mut self, wanted: &[(&str, &str)]) {
            let wanted = wanted.iter().map(|(n, t)| (n.to_string(), t.to_string())).collect();
            while self.state != wanted {
                let names = self.next().await;
                assert!(!names.is_empty(), "an empty batch");
            }
        }
    }

    fn write(path: PathBuf, text: &str) {
        fs::write(path, text).unwrap();
    }

    #[tokio::test]
    async fn a_file_written_in_place_costs_only_that_file() {
        let mut followed = Followed::new(|folder| {
            for number in 0..100 {
                write(folder.join(format!("{number}.yaml")), "1");
            }
        })
        .await;
        assert_eq!(followed.state.len(), 100);
        write(followed.path("7.yaml"), "2");
        assert_eq!(followed.next().await, ["7.yaml"]);
        assert_eq!(followed.state["7.yaml"], "2");
    }

    #[tokio::test]
    async fn a_file_is_created_renamed_to_and_removed() {
        let mut followed = Followed::new(|_| {}).await;
        write(followed.path("a.yaml"), "1");
        followed.until(&[("a.yaml", "1")]).await;
        write(followed.path(".a.yaml.tmp"), "2");
        fs::rename(followed.path(".a.yaml.tmp"), followed.path("a.yaml")).unwrap();
        followed.until(&[("a.yaml", "2")]).await;
        fs::rename(followed.path("a.yaml"), followed.path("b.yml")).unwrap();
        followed.until(&[("b.yml", "2")]).await;
        fs::remove_file(followed.path("b.yml")).unwrap();
        followed.until(&[]).await;
    }

    #[tokio::test]
    async fn a_file_moved_away_and_written_anew_is_followed() {
        let mut followed = Followed::new(|folder| write(folder.join("a.yaml"), "1")).await;
        fs::rename(followed.path("a.yaml"), followed.path("a.yaml~")).unwrap();
        write(followed.path("a.yaml"), "2");
        followed.until(&[("a.yaml", "2")]).await;
    }

    #[tokio::test]
    async fn a_truncated_file_is_read_once_its_writer_is_done() {
        use std::io::Write;
        let mut followed = Followed::new(|folder| write(folder.join("a.yaml"), "1")).await;
        let mut file = fs::File::create(followed.path("a.yaml")).unwrap();
        // Another change shows that time has passed and that the truncation was noticed before.
        write(followed.path("b.yaml"), "1");
        followed.until(&[("a.yaml", "1"), ("b.yaml", "1")]).await;
        file.write_all(b"2").unwrap();
        drop(file);
        followed.until(&[("a.yaml", "2"), ("b.yaml", "1")]).await;
    }

    #[tokio::test]
    async fn a_file_that_stays_open_is_read_too() {
        use std::io::Write;
        let mut followed = Followed::new(|_| {}).await;
        let mut file = fs::File::create(followed.path("a.yaml")).unwrap();
        file.write_all(b"2").unwrap();
        followed.until(&[("a.yaml", "2")]).await;
        drop(file);
    }

    #[tokio::test]
    async fn errors_have_the_line_of_the_file() {
        let mut followed = Followed::new(|folder| write(folder.join("a.yaml"), "1")).await;
        write(followed.path("a.yaml"), "a: 1\n---\nb: [\n");
        followed.until(&[("a.yaml", "line 3")]).await;
        write(followed.path("a.yaml"), "2");
        followed.until(&[("a.yaml", "2")]).await;
    }

    #[tokio::test]
    async fn a_removed_and_recreated_folder_is_followed_again() {
        let mut followed = Followed::new(|folder| write(folder.join("a.yaml"), "1")).await;
        for round in 0..3 {
            fs::remove_dir_all(followed.path("")).unwrap();
            followed.until(&[]).await;
            fs::create_dir(followed.path("")).unwrap();
            write(followed.path("a.yaml"), "1");
            followed.until(&[("a.yaml", "1")]).await;
            write(followed.path("a.yaml"), &format!("[{round}]"));
            followed.until(&[("a.yaml", &format!("[{round}]"))]).await;
        }
    }

    #[tokio::test]
    async fn folders_below_are_followed_and_hidden_ones_are_not() {
        let mut followed = Followed::new(|folder| {
            fs::create_dir(folder.join(".git")).unwrap();
            write(folder.join(".git/a.yaml"), "1");
        })
        .await;
        fs::create_dir_all(followed.path("x/y")).unwrap();
        write(followed.path("x/y/a.yaml"), "1");
        followed.until(&[("x/y/a.yaml", "1")]).await;
        fs::rename(followed.path("x"), followed.path("z")).unwrap();
        followed.until(&[("z/y/a.yaml", "1")]).await;
        write(followed.path("z/y/a.yaml"), "2");
        followed.until(&[("z/y/a.yaml", "2")]).await;
    }

    #[tokio::test]
    async fn a_swapped_link_of_a_mounted_config_map_changes_its_files_at_once() {
        let mut followed = Followed::new(|folder| {
            fs::create_dir(folder.join("..1")).unwrap();
            write(folder.join("..1/a.yaml"), "1");
            write(folder.join("..1/b.yaml"), "1");
            symlink("..1", folder.join("..data")).unwrap();
            symlink("..data/a.yaml", folder.join("a.yaml")).unwrap();
            symlink("..data/b.yaml", folder.join("b.yaml")).unwrap();
        })
        .await;
        followed.until(&[("a.yaml", "1"), ("b.yaml", "1")]).await;
        fs::create_dir(followed.path("..2")).unwrap();
        write(followed.path("..2/a.yaml"), "2");
        write(followed.path("..2/b.yaml"), "2");
        symlink("..2", followed.path("..data_tmp")).unwrap();
        fs::rename(followed.path("..data_tmp"), followed.path("..data")).unwrap();
        fs::remove_dir_all(followed.path("..1")).unwrap();
        assert_eq!(followed.next().await, ["a.yaml", "b.yaml"]);
        followed.until(&[("a.yaml", "2"), ("b.yaml", "2")]).await;
    }

    #[tokio::test]
    async fn a_single_file_is_followed_whatever_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(".hidden.txt");
        write(path.clone(), "1");
        let (sender, mut batches) = tokio::sync::mpsc::channel(1);
        let _follower = follow(std::slice::from_ref(&path), as_it_is(), sender).unwrap();
        assert_eq!(batches.recv().await.unwrap().len(), 1);
        write(folder.path().join("new"), "2");
        fs::rename(folder.path().join("new"), &path).unwrap();
        let batch = tokio::time::timeout(Duration::from_secs(20), batches.recv()).await.unwrap().unwrap();
        let FileContent::Documents(documents) = &batch[0].content else { panic!("{batch:?}") };
        assert_eq!((&*batch[0].file, documents[0].value.as_i64()), (path.as_path(), Some(2)));
    }

    /// Follows one path and says what its manifests hold, after each batch.
    struct FollowedPath {
        batches: Receiver<Vec<FileChange<Value>>>,
        _follower: Follower,
    }

    impl FollowedPath {
        async fn new(path: PathBuf) -> Self {
            let (sender, batches) = tokio::sync::mpsc::channel(1);
            let follower = follow_looking(&[path], as_it_is(), sender, NEVER).unwrap();
            let mut followed = Self { batches, _follower: follower };
            followed.until(1).await;
            followed
        }

        /// Takes batches until one says this.
        async fn until(&mut self, wanted: i64) {
            loop {
                let batch = tokio::time::timeout(Duration::from_secs(20), self.batches.recv()).await;
                let batch = batch.expect("a change is told").expect("the follower lives");
                let says = |change: &FileChange<Value>| match &change.content {
                    FileContent::Documents(documents) => documents[0].value.as_i64() == Some(wanted),
                    _ => false,
                };
                if batch.iter().any(says) {
                    return;
                }
            }
        }
    }

    /// Points a link elsewhere, as kubelet and git-sync do.
    fn swap(link: &Path, target: &str) {
        let beside = link.with_file_name("new-link");
        symlink(target, &beside).unwrap();
        fs::rename(beside, link).unwrap();
    }

    #[tokio::test]
    async fn a_single_file_of_a_mounted_config_map_is_followed() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for (name, text) in [("..1", "1"), ("..2", "2"), ("..3", "3")] {
            fs::create_dir(at(name)).unwrap();
            write(at(name).join("a.yaml"), text);
        }
        symlink("..1", at("..data")).unwrap();
        symlink("..data/a.yaml", at("a.yaml")).unwrap();
        let mut followed = FollowedPath::new(at("a.yaml")).await;
        swap(&at("..data"), "..2");
        followed.until(2).await;
        fs::remove_dir_all(at("..1")).unwrap();
        swap(&at("..data"), "..3");
        followed.until(3).await;
    }

    #[tokio::test]
    async fn a_swapped_link_above_the_root_is_followed() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for (name, text) in [("rev1", "1"), ("rev2", "2"), ("rev3", "3")] {
            fs::create_dir_all(at(name).join("sub")).unwrap();
            write(at(name).join("sub/a.yaml"), text);
        }
        symlink("rev1", at("current")).unwrap();
        let mut followed = FollowedPath::new(at("current/sub")).await;
        swap(&at("current"), "rev2");
        followed.until(2).await;
        swap(&at("current"), "rev3");
        followed.until(3).await;
        write(at("rev3/sub/a.yaml"), "4");
        followed.until(4).await;
    }

    #[tokio::test]
    async fn a_file_behind_a_link_is_followed_where_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir(at("manifests")).unwrap();
        fs::create_dir(at("outside")).unwrap();
        write(at("outside/real"), "1");
        symlink("../outside/real", at("manifests/a.yaml")).unwrap();
        let mut followed = FollowedPath::new(at("manifests")).await;
        write(at("outside/real"), "2");
        followed.until(2).await;
        write(at("outside/other"), "3");
        swap(&at("manifests/a.yaml"), "../outside/other");
        followed.until(3).await;
        write(at("outside/other"), "4");
        followed.until(4).await;
    }

    #[test]
    fn a_path_that_does_not_exist_is_named() {
        let (sender, _batches) = tokio::sync::mpsc::channel(1);
        let error = follow(&["no/such/folder".into()], as_it_is(), sender).unwrap_err().to_string();
        assert!(error.starts_with("no/such/folder: "), "{error}");
    }

    #[tokio::test]
    async fn dropping_the_follower_ends_it() {
        let folder = tempfile::tempdir().unwrap();
        let (sender, mut batches) = tokio::sync::mpsc::channel(1);
        let follower = follow(&[folder.path().to_owned()], as_it_is(), sender).unwrap();
        assert_eq!(batches.recv().await, Some(Vec::new()));
        drop(follower);
        assert_eq!(batches.recv().await, None);
    }
}
