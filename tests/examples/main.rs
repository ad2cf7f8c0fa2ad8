//! The examples do what they say: each file of `examples/` is executed here.

mod deploy;
mod ingress;
mod origins;
mod quickstart;
mod router;
mod shop;
mod tries;

use std::{
    fs,
    path::{Path, PathBuf},
};

/// The YAML files of a folder below the root of the checkout, in order, with their texts.
fn files(folder: &str) -> Vec<(PathBuf, String)> {
    // At run time, as a build folder may be shared by several checkouts.
    let own = std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo says where the package is");
    let folder = Path::new(&own).parent().expect("the package is a folder of the workspace").join(folder);
    let entries = fs::read_dir(&folder).expect("the folder is there");
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("entries are readable").path()).collect();
    paths.sort();
    assert!(!paths.is_empty(), "no files in {}", folder.display());
    let read = |path: PathBuf| {
        assert_eq!(path.extension().and_then(|end| end.to_str()), Some("yaml"), "{}", path.display());
        let text = fs::read_to_string(&path).expect("examples are text");
        (path, text)
    };
    paths.into_iter().map(read).collect()
}
