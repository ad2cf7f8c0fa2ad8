//! The ground that all contestants stand on: backends, a certificate, and where programs are.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use anyhow::Context;
use tempfile::TempDir;

use crate::{backend::Backends, contestant::Kind, contestant::Way};

/// What is the same for all contestants.
pub struct Ground {
    /// Where requests end.
    pub backends: Backends,
    /// A chain of one certificate, as PEM.
    pub certificate_text: String,
    /// Its key.
    pub key_text: String,
    /// Where the other proxies were set up.
    pub cache: PathBuf,
    /// Where our programs were built.
    pub own: PathBuf,
    folder: TempDir,
}

impl Ground {
    /// Starts the backends and writes the certificate. Our programs are beside this one if nothing else is said.
    ///
    /// # Errors
    /// If there is no room or no port for them.
    pub fn prepare(programs: Option<&Path>) -> anyhow::Result<Self> {
        let hosts = Kind::ALL.map(|kind| kind.host(Way::Tls).to_owned());
        let made = rcgen::generate_simple_self_signed(hosts).context("no certificate can be made")?;
        let program = env::current_exe().context("where this program is is not known")?;
        let ground = Self {
            backends: Backends::start().context("backends cannot be started")?,
            certificate_text: made.cert.pem().replace("\r\n", "\n"),
            key_text: made.signing_key.serialize_pem().replace("\r\n", "\n"),
            cache: cache()?,
            own: programs.or(program.parent()).map_or_else(PathBuf::new, Path::to_owned),
            folder: tempfile::tempdir().context("no room for temporary files")?,
        };
        fs::write(ground.certificate(), &ground.certificate_text)?;
        fs::write(ground.key(), &ground.key_text)?;
        fs::write(ground.both(), format!("{}{}", ground.certificate_text, ground.key_text))?;
        Ok(ground)
    }

    /// The file with the certificate.
    pub fn certificate(&self) -> PathBuf {
        self.folder.path().join("certificate.pem")
    }

    /// The file with its key.
    pub fn key(&self) -> PathBuf {
        self.folder.path().join("key.pem")
    }

    /// The file with both.
    pub fn both(&self) -> PathBuf {
        self.folder.path().join("both.pem")
    }

    /// Libraries of other proxies that the machine may not have.
    pub fn libraries(&self) -> PathBuf {
        self.cache.join("libraries")
    }

    /// A folder that goes with the ground.
    ///
    /// # Errors
    /// If there is no room.
    pub fn new_folder(&self) -> anyhow::Result<TempDir> {
        tempfile::tempdir_in(self.folder.path()).context("no room for temporary files")
    }
}

/// Where `setup.sh` lays out what it fetches.
fn cache() -> anyhow::Result<PathBuf> {
    let given = env::var_os("XDG_CACHE_HOME").filter(|given| !given.is_empty()).map(PathBuf::from);
    let usual = || env::var_os("HOME").map(|home| Path::new(&home).join(".cache"));
    let cache = given.or_else(usual).context("neither XDG_CACHE_HOME nor HOME is set")?;
    Ok(cache.join("selvedge").join("bench"))
}
