//! The tree: every text file of the checkout.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::OnceLock,
};

/// Folders that hold nothing of ours, wherever they are.
const SKIPPED: [&str; 2] = ["target", "node_modules"];
/// Hidden files and folders that are ours.
const HIDDEN: [&str; 5] = [".ci", ".github", ".cargo", ".gitignore", ".dockerignore"];

/// A text file.
pub struct File {
    /// Path from the root, with `/`.
    pub path: String,
    /// What it holds.
    pub text: String,
}

impl File {
    /// A file for a test of a rule.
    pub fn sample(path: &str, text: &str) -> Self {
        Self { path: path.into(), text: text.into() }
    }

    /// Whether it is Rust.
    pub fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }
}

/// Every text file of the checkout, in order of path.
pub fn files() -> &'static [File] {
    static FILES: OnceLock<Vec<File>> = OnceLock::new();
    FILES.get_or_init(|| {
        // At run time, as a build folder may be shared by several checkouts.
        let own = std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo says where the package is");
        let root = Path::new(&own).parent().expect("the package is a folder of the workspace").to_owned();
        let mut files = Vec::new();
        read(&root, &root, &mut files);
        assert!(files.iter().any(|file| file.path == "Cargo.toml"), "no workspace in {}", root.display());
        files
    })
}

/// The Rust files of the checkout.
pub fn rust() -> impl Iterator<Item = &'static File> {
    files().iter().filter(|file| file.is_rust())
}

fn read(root: &Path, folder: &Path, files: &mut Vec<File>) {
    let entries = fs::read_dir(folder).expect("a folder of the checkout is readable");
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("so is its entry").path()).collect();
    paths.sort();
    for path in paths {
        let name = path.file_name().and_then(|name| name.to_str()).expect("names are UTF-8");
        if name.starts_with('.') && !HIDDEN.contains(&name) || SKIPPED.contains(&name) || path.is_symlink() {
            continue;
        }
        if path.is_dir() {
            read(root, &path, files);
        } else if let Ok(text) = fs::read_to_string(&path) {
            let path = path.strip_prefix(root).expect("it is below the root");
            files.push(File { path: path.to_str().expect("names are UTF-8").replace('\\', "/"), text });
        }
    }
}
