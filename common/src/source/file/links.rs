//! Links on the way to manifests: which path, when it changes, changes which manifest.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    ffi::OsString,
    fs,
    path::{Component, Path, PathBuf},
};

/// Links that are followed one after the other, as many as the system follows.
const MAX_LINKS: usize = 40;

/// What is known of links.
#[derive(Debug, Default)]
pub(super) struct Links {
    /// Links, and what they lead to in the end, to the paths that lead through them.
    places: BTreeMap<PathBuf, BTreeSet<PathBuf>>,
    /// Folders as they are without links, to the names by which they were scanned.
    folders: BTreeMap<PathBuf, BTreeSet<PathBuf>>,
}

impl Links {
    pub(super) fn clear(&mut self) {
        self.places.clear();
        self.folders.clear();
    }

    /// Remembers the links on the way of a path. `arm` is called with each place that has to be watched.
    pub(super) fn learn(&mut self, path: &Path, arm: &mut dyn FnMut(&Path)) {
        for place in chain(path) {
            arm(&place);
            self.places.entry(place).or_default().insert(path.to_owned());
        }
    }

    /// Remembers what a folder that was scanned is without links.
    pub(super) fn learn_folder(&mut self, folder: &Path) {
        if let Ok(real) = fs::canonicalize(folder) {
            self.folders.entry(real).or_default().insert(folder.to_owned());
        }
    }

    /// What leads through a path, which may be spelled with links in its folder.
    pub(super) fn through(&self, path: &Path) -> impl Iterator<Item = &PathBuf> {
        let real = unlinked(path);
        self.places.get(&real).into_iter().flatten()
    }

    /// The path by each name that its folder was scanned by. The system tells of a folder by one name only.
    pub(super) fn scanned(&self, path: &Path) -> Vec<PathBuf> {
        let real = unlinked(path);
        let (Some(folder), Some(name)) = (real.parent(), real.file_name()) else { return Vec::new() };
        let names = self.folders.get(folder).into_iter().flatten();
        names.map(|folder| folder.join(name)).collect()
    }
}

/// The path without links in its folder; its last part may be one.
fn unlinked(path: &Path) -> PathBuf {
    let folder = path.parent().and_then(|folder| fs::canonicalize(folder).ok());
    match (folder, path.file_name()) {
        (Some(folder), Some(name)) => folder.join(name),
        _ => path.to_owned(),
    }
}

/// Every link on the way of an absolute path and where it ends, each without links in its folder; nothing if there
/// are no links.
fn chain(path: &Path) -> Vec<PathBuf> {
    let parts = |path: &Path| -> Vec<OsString> {
        path.components().map(|part| part.as_os_str().to_owned()).collect()
    };
    let mut rest: VecDeque<_> = parts(path).into();
    let mut here = PathBuf::new();
    let mut chain = Vec::new();
    while let Some(part) = rest.pop_front() {
        match Path::new(&part).components().next() {
            Some(Component::ParentDir) => drop(here.pop()),
            Some(Component::CurDir) | None => {}
            // The root begins anew.
            Some(_) => here.push(&part),
        }
        let Ok(target) = fs::read_link(&here) else { continue };
        if chain.len() >= MAX_LINKS {
            break;
        }
        chain.push(here.clone());
        here.pop();
        for part in parts(&target).into_iter().rev() {
            rest.push_front(part);
        }
    }
    if !chain.is_empty() {
        chain.push(here);
    }
    chain
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn every_link_and_the_end_of_a_chain_are_told() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| fs::canonicalize(folder.path()).unwrap().join(name);
        fs::create_dir_all(at("rev1/sub")).unwrap();
        symlink("rev1", at("current")).unwrap();
        symlink(at("rev1/../current/sub"), at("absolute")).unwrap();
        symlink("loop", at("loop")).unwrap();
        let table = [
            ("rev1/sub", vec![]),
            ("current/sub", vec!["current", "rev1/sub"]),
            ("absolute/x", vec!["absolute", "current", "rev1/sub/x"]),
        ];
        for (path, wanted) in table {
            let wanted: Vec<_> = wanted.into_iter().map(at).collect();
            assert_eq!(chain(&at(path)), wanted, "{path}");
        }
        assert!(chain(&at("loop/x")).len() > 1);
    }
}
