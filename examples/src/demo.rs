//! The edge of the quickstart, with its services and the manifests that only a running process can write.

use std::{
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use clap::Parser as _;
use rustls_pki_types::CertificateDer;
use selvedge_ingress::{
    app::Edge,
    args::{Arguments, Command, RunArgs},
};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::services::{SERVICES, Service};

/// The manifests that the quickstart serves unless it is told others.
pub const MANIFESTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/quickstart");

/// Where the edge listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// Clear text.
    pub http: SocketAddr,
    /// TLS.
    pub https: SocketAddr,
    /// Health, metrics and the snapshot.
    pub admin: SocketAddr,
}

/// The quickstart, bound; [`Demo::run`] serves.
pub struct Demo {
    edge: Edge,
    /// Where it listens; ports that were 0 are known now.
    pub addresses: Addresses,
    /// The certificate of `shop.example`.
    pub certificate: CertificateDer<'static>,
    /// EndpointSlices and the Secret; gone when this is dropped.
    _own: TempDir,
}

impl Demo {
    /// Starts the services and binds the edge, which serves this folder through the code of
    /// `selvedge-ingress run --manifests`.
    ///
    /// # Errors
    /// An address in use, or a folder that cannot be read.
    pub async fn start(addresses: Addresses, manifests: &Path, access_log: bool) -> anyhow::Result<Self> {
        let own = tempfile::tempdir().context("cannot make a temporary folder")?;
        let mut objects = Vec::new();
        for service in SERVICES {
            objects.push(slice(service, service.start().await?));
        }
        let made = rcgen::generate_simple_self_signed(["shop.example".to_owned()])?;
        objects.push(json!({
            "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls", "metadata": {"name": "shop-tls"},
            "stringData": {"tls.crt": made.cert.pem(), "tls.key": made.signing_key.serialize_pem()},
        }));
        let list = json!({"apiVersion": "v1", "kind": "List", "items": objects});
        std::fs::write(own.path().join("own.json"), list.to_string())?;
        let mut args = arguments(addresses, access_log)?;
        args.source.manifests = vec![manifests.to_owned(), own.path().to_owned()];
        let edge = Edge::start(args).await?;
        let address = |name: &str| edge.addresses()[&name.into()];
        let addresses =
            Addresses { http: address("http"), https: address("https"), admin: edge.admin_address()? };
        Ok(Self { edge, addresses, certificate: made.cert.der().clone(), _own: own })
    }

    /// Serves until `shutdown` is done, then drains.
    pub async fn run(self, shutdown: impl Future<Output = ()>) {
        self.edge.run(shutdown).await;
    }
}

/// The flags of the quickstart; whatever else the environment says stays.
fn arguments(addresses: Addresses, access_log: bool) -> anyhow::Result<Box<RunArgs>> {
    let Addresses { http, https, admin } = addresses;
    let listen = [format!("--http={http}"), format!("--https={https}"), format!("--admin={admin}")];
    let log = if access_log { "--access-log=text" } else { "--access-log=off" };
    let flags = ["selvedge-ingress", "run", "--lameduck=0", "--drain-deadline=10s", "--workers=2", log];
    let words = flags.into_iter().map(str::to_owned).chain(listen);
    match Arguments::try_parse_from(words)?.command {
        Command::Run(args) => Ok(args),
        Command::Check(_) | Command::Migrate(_) => anyhow::bail!("the flags above say run"),
    }
}

/// Where a service is.
fn slice(service: Service, address: SocketAddr) -> Value {
    let family = if matches!(address.ip(), IpAddr::V6(_)) { "IPv6" } else { "IPv4" };
    json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": family,
        "metadata": {"name": service.name, "labels": {"kubernetes.io/service-name": service.name}},
        "endpoints": [{"addresses": [address.ip().to_string()], "conditions": {"ready": true}}],
        "ports": [{"name": service.port, "port": address.port(), "protocol": "TCP"}],
    })
}

/// A path as short as the current folder allows.
pub fn shown(path: &Path) -> PathBuf {
    let current = std::env::current_dir().unwrap_or_default();
    path.strip_prefix(current).map_or_else(|_| path.to_owned(), Path::to_owned)
}
