//! What the manifest files held when they were last read, and reading again what may have changed.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, Metadata},
    hash::BuildHasher,
    io::{self, Read},
    ops::Bound,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use foldhash::quality::FixedState;

use super::{
    FileChange, FileContent, Make,
    documents::{Known, Parsed},
    reading::{Text, read_all},
};

/// Larger files are refused; all manifests of a big cluster are smaller.
const MAX_FILE_BYTES: u64 = 64 << 20;
/// Folders nested deeper than this are not looked into.
const MAX_DEPTH: usize = 32;

/// The manifest files below some paths.
///
/// Paths are absolute here, as notifications are; only [`FileChange`] has them as the user gave them.
pub(super) struct Tree<T> {
    roots: Vec<PathBuf>,
    given: Vec<PathBuf>,
    make: Make<T>,
    files: BTreeMap<PathBuf, FileState<T>>,
    folders: BTreeSet<PathBuf>,
}

/// What is about to be looked at.
pub(super) enum Entered<'a> {
    /// A folder is listed.
    Folder(&'a Path),
    /// A link is followed.
    Link(&'a Path),
}

/// A file that has to be read or is gone.
pub(super) enum Found {
    /// The file, spelled as the user would.
    Gone(Arc<Path>),
    /// Its text, or why there is none.
    Text(PathBuf, Result<String, String>),
}

/// What a file was like when it was last read.
struct FileState<T> {
    stamp: Stamp,
    /// Hash of its bytes, so that a touched file is no change.
    content: Option<u64>,
    empty: bool,
    /// What was made of its pieces.
    known: Known<T>,
}

/// What changes when a file is written to or replaced.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    len: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl<T: Clone + Send + Sync> Tree<T> {
    /// Nothing is read yet.
    pub(super) fn new(given: &[PathBuf], make: Make<T>) -> Self {
        let (roots, known, files, folders) = Default::default();
        let mut tree = Self { roots, given: known, make, files, folders };
        for given in given {
            let root = std::path::absolute(given).unwrap_or_else(|_| given.clone());
            if !tree.roots.contains(&root) {
                tree.roots.push(root);
                tree.given.push(given.clone());
            }
        }
        tree
    }

    /// A path as the user would spell it.
    fn shown(&self, path: &Path) -> Arc<Path> {
        for (root, given) in self.roots.iter().zip(&self.given) {
            match path.strip_prefix(root) {
                Ok(rest) if rest.as_os_str().is_empty() => return given.as_path().into(),
                Ok(rest) => return given.join(rest).into(),
                Err(_) => {}
            }
        }
        path.into()
    }

    /// The paths it was made for.
    pub(super) fn roots(&self) -> &[PathBuf] {
        &self.roots
    }

    /// Whether this was a folder when it was last looked at.
    pub(super) fn is_folder(&self, path: &Path) -> bool {
        self.folders.contains(path)
    }

    /// Whether a file that had content has none, as it is between truncating it and writing to it.
    pub(super) fn is_emptied(&self, path: &Path) -> bool {
        let had_content = self.files.get(path).is_some_and(|file| !file.empty);
        had_content && fs::metadata(path).is_ok_and(|metadata| metadata.is_file() && metadata.len() == 0)
    }

    /// Looks at everything; reads files that differ in time, size or inode from the last reading.
    ///
    /// `enter` is called with each folder before it is listed and each link before it is followed, so that no change after it is missed.
    pub(super) fn rescan(&mut self, enter: &mut dyn FnMut(Entered<'_>)) -> Vec<FileChange<T>> {
        let mut found = Vec::new();
        for root in self.roots.clone() {
            self.look(&root, enter, &mut found);
        }
        self.read_found(found)
    }

    /// What there is to say of what was found.
    pub(super) fn read_found(&mut self, found: Vec<Found>) -> Vec<FileChange<T>> {
        let (mut changes, mut read, mut texts) = (Vec::new(), Vec::new(), Vec::new());
        for (at, found) in found.into_iter().enumerate() {
            match found {
                Found::Gone(file) => changes.push(FileChange { file, content: FileContent::Gone }),
                Found::Text(path, text) => {
                    let known = self.files.get_mut(&path).map(|file| std::mem::take(&mut file.known));
                    let file = self.shown(&path);
                    changes.push(FileChange { file: file.clone(), content: FileContent::Gone });
                    texts.push(Text { file, text, known: known.unwrap_or_default() });
                    read.push((at, path));
                }
            }
        }
        for ((at, path), parsed) in read.into_iter().zip(read_all(texts, &self.make)) {
            let Parsed { documents, errors, known } = parsed;
            changes[at].content = match errors.is_empty() {
                true => FileContent::Documents(documents),
                false => FileContent::Invalid { documents, errors },
            };
            if let Some(file) = self.files.get_mut(&path) {
                file.known = known;
            }
        }
        changes
    }

    /// Looks at one path: a file is read again if its stamp differs, a folder is scanned, what is gone is
    /// forgotten.
    pub(super) fn look(&mut self, path: &Path, enter: &mut dyn FnMut(Entered<'_>), found: &mut Vec<Found>) {
        let depth = self.depth(path);
        self.look_within(path, depth, enter, found);
    }

    /// As [`Tree::look`], but a file is read whatever its stamp says: the clock of a file system may be too
    /// coarse to tell two writes apart.
    pub(super) fn look_closely(
        &mut self,
        path: &Path,
        enter: &mut dyn FnMut(Entered<'_>),
        found: &mut Vec<Found>,
    ) {
        if let Some(file) = self.files.get_mut(path) {
            file.stamp = Stamp::default();
        }
        self.look(path, enter, found);
    }

    fn depth(&self, path: &Path) -> usize {
        let below = self.roots.iter().filter_map(|root| path.strip_prefix(root).ok());
        below.map(|rest| rest.components().count()).min().unwrap_or(0)
    }

    fn look_within(
        &mut self,
        path: &Path,
        depth: usize,
        enter: &mut dyn FnMut(Entered<'_>),
        found: &mut Vec<Found>,
    ) {
        if fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_symlink()) {
            enter(Entered::Link(path));
        }
        match fs::metadata(path) {
            Ok(metadata) if metadata.is_dir() => {
                self.forget_file(path, found);
                if depth < MAX_DEPTH {
                    self.scan(path, depth, enter, found);
                }
            }
            Ok(metadata) if metadata.is_file() => {
                if self.folders.contains(path) {
                    self.forget_below(path, found);
                }
                self.read(path, &metadata, found);
            }
            Ok(_) => self.forget_below(path, found),
            Err(error) if error.kind() == io::ErrorKind::NotFound => self.forget_below(path, found),
            // What cannot be looked at for another reason stays as it was.
            Err(error) => tracing::debug!(path = %path.display(), %error, "cannot look at manifest"),
        }
    }

    fn scan(
        &mut self,
        folder: &Path,
        depth: usize,
        enter: &mut dyn FnMut(Entered<'_>),
        found: &mut Vec<Found>,
    ) {
        enter(Entered::Folder(folder));
        self.folders.insert(folder.to_owned());
        let entries = match fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(error) => {
                tracing::warn!(folder = %folder.display(), %error, "cannot read folder of manifests");
                return;
            }
        };
        let mut seen = BTreeSet::new();
        for entry in entries.flatten() {
            let path = entry.path();
            // A link to a folder above itself would be followed for ever but for the depth.
            let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir())
                || (entry.file_type().is_ok_and(|kind| kind.is_symlink()) && path.is_dir());
            if !is_ignored(&path) && (is_folder || is_manifest(&path)) {
                seen.insert(path);
            }
        }
        for gone in self.children(folder).filter(|path| !seen.contains(path)).collect::<Vec<_>>() {
            self.forget_below(&gone, found);
        }
        for path in seen {
            self.look_within(&path, depth + 1, enter, found);
        }
    }

    /// Direct children of a folder that are known.
    fn children(&self, folder: &Path) -> impl Iterator<Item = PathBuf> {
        let files = self.files.range::<Path, _>(from(folder)).map(|(path, _)| path);
        let folders = self.folders.range::<Path, _>(from(folder));
        let below = |path: &&PathBuf| path.starts_with(folder);
        let children: BTreeSet<PathBuf> = files
            .take_while(below)
            .chain(folders.take_while(below))
            .filter(|path| path.parent() == Some(folder))
            .cloned()
            .collect();
        children.into_iter()
    }

    fn forget_below(&mut self, path: &Path, found: &mut Vec<Found>) {
        let files = self.files.range::<Path, _>(from(path)).map(|(file, _)| file);
        for file in files.take_while(|file| file.starts_with(path)).cloned().collect::<Vec<_>>() {
            self.forget_file(&file, found);
        }
        let folders = self.folders.range::<Path, _>(from(path));
        for folder in folders.take_while(|folder| folder.starts_with(path)).cloned().collect::<Vec<_>>() {
            self.folders.remove(&folder);
        }
    }

    fn forget_file(&mut self, path: &Path, found: &mut Vec<Found>) {
        if self.files.remove(path).is_some() {
            found.push(Found::Gone(self.shown(path)));
        }
    }

    fn read(&mut self, path: &Path, metadata: &Metadata, found: &mut Vec<Found>) {
        let stamp = Stamp::of(metadata);
        let known = self.files.get(path);
        if known.is_some_and(|file| file.stamp == stamp) {
            return;
        }
        let text = match read_text(path) {
            Ok(text) => Ok(text),
            // Gone between looking and reading; the next look says so.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return,
            Err(error) => Err(error.to_string()),
        };
        let hash = FixedState::with_seed(0).hash_one(&text);
        let empty = text.as_ref().is_ok_and(String::is_empty);
        let same = known.is_some_and(|file| file.content == Some(hash));
        let known = self.files.remove(path).map(|file| file.known).unwrap_or_default();
        self.files.insert(path.to_owned(), FileState { stamp, content: Some(hash), empty, known });
        if same {
            return;
        }
        found.push(Found::Text(path.to_owned(), text));
    }
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            len: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

/// The range that begins with this path and everything below it.
fn from(path: &Path) -> (Bound<&Path>, Bound<&Path>) {
    (Bound::Included(path), Bound::Unbounded)
}

fn read_text(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    fs::File::open(path)?.take(MAX_FILE_BYTES + 1).read_to_string(&mut text)?;
    if text.len() as u64 > MAX_FILE_BYTES {
        return Err(io::Error::other("larger than 64 MiB; split it"));
    }
    Ok(text)
}

/// Hidden entries and what editors keep beside a file while they write it.
pub(super) fn is_ignored(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.starts_with(['.', '#']) || name.ends_with(['~', '#'])
}

/// Whether the name says that it is a manifest.
pub(super) fn is_manifest(path: &Path) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str());
    extension.is_some_and(|extension| matches!(extension, "yaml" | "yml" | "json"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn editors_temporary_files_are_not_manifests() {
        let cases = [
            ("a.yaml", true),
            ("a.yml", true),
            ("a.json", true),
            ("a.b.yaml", true),
            (".a.yaml", false),
            (".a.yaml.swp", false),
            ("a.yaml~", false),
            ("#a.yaml#", false),
            (".#a.yaml", false),
            ("4913", false),
            ("a.yaml.tmp", false),
            ("..data", false),
            ("README", false),
        ];
        for (name, wanted) in cases {
            let path = Path::new("dir").join(name);
            assert_eq!(is_manifest(&path) && !is_ignored(&path), wanted, "{name}");
        }
    }
}
