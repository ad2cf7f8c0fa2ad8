//! A real kube-apiserver with its etcd, started for the tests when its binaries are found.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use crate::ports::lasting_port;

/// Binaries that must be in the folder.
const BINARIES: [&str; 2] = ["etcd", "kube-apiserver"];
/// Whoever has it may do everything.
const ADMIN: &str = "admin-token";
/// Whoever has it may do what a test grants to user `limited`.
const LIMITED: &str = "limited-token";

/// A running server; its processes end with the test's process, however that ends.
pub struct RealApiServer {
    folder: tempfile::TempDir,
    binaries: PathBuf,
    etcd_port: u16,
    port: u16,
    _etcd: Child,
    server: Child,
}

/// The folder with the binaries: `KUBEBUILDER_ASSETS`, or what `tests/cluster/build.sh` has built.
pub fn find_binaries() -> Option<PathBuf> {
    let complete = |folder: &Path| BINARIES.iter().all(|binary| folder.join(binary).is_file());
    if let Some(assets) = std::env::var_os("KUBEBUILDER_ASSETS").map(PathBuf::from) {
        return complete(&assets).then_some(assets);
    }
    let cache = std::env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")))?;
    let built = fs::read_dir(cache.join("selvedge/envtest")).ok()?;
    let mut built: Vec<_> = built
        .flatten()
        .filter(|entry| complete(&entry.path()))
        .filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path())))
        .collect();
    built.sort();
    built.pop().map(|(_, folder)| folder)
}

impl RealApiServer {
    /// Starts etcd and the server and waits until it is ready.
    pub async fn start(binaries: PathBuf) -> io::Result<Self> {
        let folder = tempfile::tempdir()?;
        fs::write(
            folder.path().join("tokens.csv"),
            format!("{ADMIN},admin,1,\"system:masters\"\n{LIMITED},limited,2\n"),
        )?;
        let key = rcgen::KeyPair::generate().map_err(io::Error::other)?;
        fs::write(folder.path().join("sa.key"), key.serialize_pem())?;
        fs::write(folder.path().join("sa.pub"), key.public_key_pem())?;
        let (etcd_port, port) = (lasting_port()?, lasting_port()?);
        let etcd = run(folder.path(), &binaries.join("etcd"), &etcd_flags(folder.path(), etcd_port))?;
        let server =
            run(folder.path(), &binaries.join("kube-apiserver"), &flags(folder.path(), etcd_port, port))?;
        let server = Self { folder, binaries, etcd_port, port, _etcd: etcd, server };
        server.ready().await?;
        Ok(server)
    }

    /// Kills the server, as `kill -9` does; etcd stays.
    pub fn kill(&mut self) {
        // The process that watches over it kills it when its standard input ends.
        drop(self.server.stdin.take());
        let _ = self.server.wait();
    }

    /// Starts it again on the same port.
    pub async fn restart(&mut self) -> io::Result<()> {
        let flags = flags(self.folder.path(), self.etcd_port, self.port);
        self.server = run(self.folder.path(), &self.binaries.join("kube-apiserver"), &flags)?;
        self.ready().await
    }

    /// A client that may do everything.
    pub fn client(&self) -> kube::Client {
        self.client_of(ADMIN)
    }

    /// A client that may do what a test grants to user `limited`.
    pub fn limited_client(&self) -> kube::Client {
        self.client_of(LIMITED)
    }

    /// The text of a kubeconfig for who may do everything.
    pub fn kubeconfig(&self) -> String {
        crate::api_server::kubeconfig(&format!("https://127.0.0.1:{}", self.port), ADMIN)
    }

    fn client_of(&self, token: &str) -> kube::Client {
        let address = format!("https://127.0.0.1:{}", self.port).parse().expect("an address is a URI");
        let mut config = kube::Config::new(address);
        config.accept_invalid_certs = true;
        config.auth_info.token = Some(token.to_owned().into());
        kube::Client::try_from(config).expect("a client can be made")
    }

    async fn ready(&self) -> io::Result<()> {
        let client = self.client();
        for _ in 0..600 {
            let request = http::Request::get("/readyz").body(Vec::new()).expect("a request can be made");
            if client.request_text(request).await.is_ok() {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let log = fs::read_to_string(self.folder.path().join("kube-apiserver.log")).unwrap_or_default();
        let last: Vec<_> = log.lines().rev().take(5).collect();
        Err(io::Error::other(format!("kube-apiserver is not ready within a minute: {last:?}")))
    }
}

/// Runs a program under a shell that kills it when this process ends or closes the shell's standard input.
fn run(folder: &Path, program: &Path, flags: &[String]) -> io::Result<Child> {
    let name = program.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let log = fs::File::create(folder.join(format!("{name}.log")))?;
    Command::new("sh")
        .args(["-c", "\"$@\" & pid=$!; read -r _; kill -9 $pid", "sh"])
        .arg(program)
        .args(flags)
        .stdin(Stdio::piped())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()
}

fn etcd_flags(folder: &Path, port: u16) -> Vec<String> {
    let address = format!("http://127.0.0.1:{port}");
    [
        format!("--data-dir={}", folder.join("etcd").display()),
        "--unsafe-no-fsync".into(),
        format!("--listen-client-urls={address}"),
        format!("--advertise-client-urls={address}"),
        "--listen-peer-urls=http://127.0.0.1:0".into(),
        "--log-level=error".into(),
    ]
    .into()
}

fn flags(folder: &Path, etcd_port: u16, port: u16) -> Vec<String> {
    let file = |name: &str| folder.join(name).display().to_string();
    [
        format!("--etcd-servers=http://127.0.0.1:{etcd_port}"),
        format!("--cert-dir={}", file("certificates")),
        format!("--secure-port={port}"),
        "--bind-address=127.0.0.1".into(),
        // Without one it ends where there is no default route.
        "--advertise-address=10.244.0.1".into(),
        format!("--service-account-key-file={}", file("sa.pub")),
        format!("--service-account-signing-key-file={}", file("sa.key")),
        "--service-account-issuer=https://kubernetes.default.svc".into(),
        format!("--token-auth-file={}", file("tokens.csv")),
        "--authorization-mode=RBAC".into(),
        "--service-cluster-ip-range=10.96.0.0/16".into(),
        "--disable-admission-plugins=ServiceAccount".into(),
    ]
    .into()
}
