//! Writes the definitions of all kinds as YAML: into `crds/yaml`, or into the folder that is its only argument.

use std::{env, fs, io, path::PathBuf};

use selvedge_crds::definition::files;

fn main() -> io::Result<()> {
    // Cargo says where the source is when it runs the program, as a build folder may be shared by several checkouts.
    let own = || Some(PathBuf::from(env::var_os("CARGO_MANIFEST_DIR")?).join("yaml"));
    let given = env::args_os().nth(1).map(PathBuf::from);
    let folder = given.or_else(own).ok_or_else(|| io::Error::other("name the folder to write to"))?;
    fs::create_dir_all(&folder)?;
    for (name, text) in files() {
        fs::write(folder.join(name), text)?;
    }
    Ok(())
}
