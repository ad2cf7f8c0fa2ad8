//! The shop on loopback: its servers, a router and an edge, with the objects that a cluster would make of them.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::Context as _;
use clap::Parser as _;
use selvedge_ingress::{app::Edge, args as edge_args};
use selvedge_router::{app::Router, args as router_args};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{
    Seen,
    monolith::Monolith,
    services::{Behaviour, Server},
};

/// The manifests that the shop is made of.
pub const MANIFESTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/shop");
/// The address that the monolith calls from, by which the router knows it.
const MONOLITH: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 1, 1));
/// Where the router is told to be, for the edge.
const ROUTER: &str = "selvedge-system/selvedge-router:80";

/// Where edge and router listen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// The edge, for clients.
    pub edge: SocketAddr,
    /// The router, for services.
    pub router: SocketAddr,
    /// Health, metrics and graph of the router.
    pub router_admin: SocketAddr,
}

/// The shop, bound; [`Mesh::run`] serves.
pub struct Mesh {
    edge: Edge,
    router: Router,
    /// Where it listens; ports that were 0 are known now.
    pub addresses: Addresses,
    /// What each server has got, by the name of its service.
    pub seen: Vec<(&'static str, Arc<Seen>)>,
    /// Objects that only this process knows; gone when this is dropped.
    _own: TempDir,
}

impl Mesh {
    /// Starts the servers and binds router and edge, which serve this folder through the code of their programs.
    ///
    /// # Errors
    /// An address in use, or a folder that cannot be read.
    pub async fn start(addresses: Addresses, manifests: &Path, access_log: bool) -> anyhow::Result<Self> {
        let own = tempfile::tempdir().context("cannot make a temporary folder")?;
        let folders = [manifests.to_owned(), own.path().to_owned()];
        let router = Router::start(router_flags(addresses, &folders)?).await?;
        let listening = router.addresses()[&"http".into()];
        let (seen, mut objects) = start_servers(listening).await?;
        objects.extend(router_service(listening));
        let list = json!({"apiVersion": "v1", "kind": "List", "items": objects});
        std::fs::write(own.path().join("own.json"), list.to_string())?;
        let edge = Edge::start(edge_flags(addresses, &folders, access_log)?).await?;
        let addresses = Addresses {
            edge: edge.addresses()[&"http".into()],
            router: listening,
            router_admin: router.admin_address()?,
        };
        Ok(Self { edge, router, addresses, seen, _own: own })
    }

    /// Serves until `shutdown` is done, then drains.
    pub async fn run(self, shutdown: impl Future<Output = ()>) {
        let (stop, stopping) = tokio::sync::watch::channel(false);
        let mut router_stops = stopping.clone();
        let mut edge_stops = stopping;
        let ended = async {
            shutdown.await;
            // Both listen for it.
            let _ = stop.send(true);
        };
        let edge = self.edge.run(async move { drop(edge_stops.wait_for(|stop| *stop).await) });
        let router = self.router.run(async move { drop(router_stops.wait_for(|stop| *stop).await) });
        tokio::join!(edge, router, ended);
    }

    /// How much all servers of a service have got.
    pub fn seen_by(&self, service: &str) -> u64 {
        self.seen.iter().filter(|(name, _)| *name == service).map(|(_, seen)| seen.get()).sum()
    }
}

/// Starts every server of the shop; also gives the objects that say where they are.
async fn start_servers(router: SocketAddr) -> anyhow::Result<(Vec<(&'static str, Arc<Seen>)>, Vec<Value>)> {
    let monolith = Behaviour::Monolith(Monolith { proxy: router, from: MONOLITH });
    let servers = [
        Server::new("monolith", monolith),
        Server::new("catalog", Behaviour::Plain),
        Server::new("catalog-v2", Behaviour::Plain),
        Server::new("orders", Behaviour::Flaky),
        Server::new("orders-next", Behaviour::Plain),
        Server::new("payments", Behaviour::Plain),
        Server::new("payments", Behaviour::Plain),
        Server::new("payments", Behaviour::HangsUp),
    ];
    let (mut seen, mut objects) = (Vec::new(), vec![monolith_pod()]);
    for (number, server) in servers.into_iter().enumerate() {
        let (name, counts) = (server.name, server.seen.clone());
        let address = server.start((Ipv4Addr::LOCALHOST, 0).into()).await?;
        objects.push(slice(("shop", name), number, address));
        seen.push((name, counts));
    }
    Ok((seen, objects))
}

/// The pod that calls from the monolith's address.
fn monolith_pod() -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "monolith-0", "namespace": "shop", "labels": {"app": "monolith"}},
        "spec": {"serviceAccountName": "monolith", "containers": []},
        "status": {"phase": "Running", "podIP": MONOLITH, "podIPs": [{"ip": MONOLITH}]},
    })
}

/// The Service of the router and where it is.
fn router_service(address: SocketAddr) -> [Value; 2] {
    let service = json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"name": "selvedge-router", "namespace": "selvedge-system"},
        "spec": {"ports": [{"name": "http", "port": 80}]},
    });
    [service, slice(("selvedge-system", "selvedge-router"), 0, address)]
}

/// Where one endpoint of a service is.
fn slice((namespace, service): (&str, &str), number: usize, address: SocketAddr) -> Value {
    json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
        "metadata": {
            "name": format!("{service}-{number}"), "namespace": namespace,
            "labels": {"kubernetes.io/service-name": service},
        },
        "endpoints": [{"addresses": [address.ip()], "conditions": {"ready": true}}],
        "ports": [{"name": "http", "port": address.port(), "protocol": "TCP"}],
    })
}

fn flags(program: &str, own: &[String], folders: &[PathBuf]) -> Vec<String> {
    let mut words =
        [program, "run", "--lameduck=0", "--drain-deadline=10s", "--workers=2"].map(str::to_owned).to_vec();
    words.extend_from_slice(own);
    words.extend(folders.iter().map(|folder| format!("--manifests={}", folder.display())));
    words
}

fn router_flags(addresses: Addresses, folders: &[PathBuf]) -> anyhow::Result<Box<router_args::RunArgs>> {
    let Addresses { router, router_admin, .. } = addresses;
    let own = [format!("--http={router}"), format!("--admin={router_admin}"), "--access-log=off".to_owned()];
    match router_args::Arguments::try_parse_from(flags("selvedge-router", &own, folders))?.command {
        router_args::Command::Run(args) => Ok(args),
        _ => anyhow::bail!("the flags above say run"),
    }
}

fn edge_flags(
    addresses: Addresses,
    folders: &[PathBuf],
    access_log: bool,
) -> anyhow::Result<Box<edge_args::RunArgs>> {
    let log = if access_log { "text" } else { "off" };
    let own = [
        format!("--http={}", addresses.edge),
        "--https=127.0.0.1:0".to_owned(),
        "--admin=127.0.0.1:0".to_owned(),
        format!("--router={ROUTER}"),
        format!("--access-log={log}"),
    ];
    match edge_args::Arguments::try_parse_from(flags("selvedge-ingress", &own, folders))?.command {
        edge_args::Command::Run(args) => Ok(args),
        _ => anyhow::bail!("the flags above say run"),
    }
}
