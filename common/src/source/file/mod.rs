//! Manifest files as a source: the documents in folders and files, and how they change.

mod documents;
mod links;
mod reading;
mod tree;
mod watch;

use std::{io, path::Path, path::PathBuf, sync::Arc};

use serde_json::Value;

pub use documents::{Document, LineError};
pub use watch::{Follower, follow};

/// Makes of a document what is wanted of it; see [`follow`].
pub type Make<T> = Arc<dyn Fn(Value) -> T + Send + Sync>;

/// What a manifest file now holds.
#[derive(Clone, Debug, PartialEq)]
pub struct FileChange<T> {
    /// The file, spelled as the user gave it or its folder.
    pub file: Arc<Path>,
    /// What is in it.
    pub content: FileContent<T>,
}

/// The content of a manifest file.
#[derive(Clone, Debug, PartialEq)]
pub enum FileContent<T> {
    /// Its documents, all well-formed.
    Documents(Vec<Document<T>>),
    /// Some of it cannot be read.
    Invalid {
        /// What can.
        documents: Vec<Document<T>>,
        /// Why the rest cannot; at least one.
        errors: Vec<LineError>,
    },
    /// The file does not exist any more.
    Gone,
}

/// Why manifests cannot be followed.
#[derive(Debug, thiserror::Error)]
pub enum FileSourceError {
    /// A path does not exist or may not be read.
    #[error("{path}: {error}", path = .path.display())]
    Unreadable {
        /// The path as given.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// The thread that follows the files cannot be started.
    #[error("cannot start a thread to follow manifests: {0}")]
    Thread(io::Error),
}

/// Reads every manifest file in the paths once, files as they are, folders with all below them, and calls `make` for
/// each document.
///
/// In folders only `*.yaml`, `*.yml` and `*.json` count; hidden entries and editors' temporary files do not.
///
/// # Errors
/// A path that does not exist or may not be read.
pub fn read<T: Clone + Send + Sync>(
    paths: &[PathBuf],
    make: Make<T>,
) -> Result<Vec<FileChange<T>>, FileSourceError> {
    check(paths)?;
    let mut tree = tree::Tree::new(paths, make);
    Ok(tree.rescan(&mut |_| {}))
}

fn check(paths: &[PathBuf]) -> Result<(), FileSourceError> {
    for path in paths {
        let readable = match std::fs::metadata(path) {
            Ok(metadata) if metadata.is_dir() => std::fs::read_dir(path).map(drop),
            Ok(_) => std::fs::File::open(path).map(drop),
            Err(error) => Err(error),
        };
        readable.map_err(|error| FileSourceError::Unreadable { path: path.clone(), error })?;
    }
    Ok(())
}
