//! Flags for how listeners are served, whatever their addresses.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use clap::{Args, builder::RangedU64ValueParser};
use ipnet::IpNet;

use super::values::duration;
use crate::{
    id::RouteSetId,
    model::{Limits, Listener, ListenerProtocol},
};

/// How listeners are served.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Listeners")]
pub struct ServeArgs {
    /// Expect a PROXY protocol header, version 1 or 2, at the start of each connection
    #[arg(long, env = "SELVEDGE_PROXY_PROTOCOL")]
    pub proxy_protocol: bool,
    /// Network whose X-Forwarded-* fields and request ids are believed; repeatable
    #[arg(long, env = "SELVEDGE_TRUSTED_CIDR", value_name = "CIDR", value_delimiter = ',', value_parser = network)]
    pub trusted_cidr: Vec<IpNet>,
    /// Send Forwarded (RFC 7239) to backends beside the X-Forwarded-* fields
    #[arg(long, env = "SELVEDGE_FORWARDED_FIELD")]
    pub forwarded_field: bool,
    /// Worker threads, at most 1024; 0 is one per core
    #[arg(long, env = "SELVEDGE_WORKERS", value_name = "N", default_value_t = 0, value_parser = RangedU64ValueParser::<usize>::new().range(0..=1024))]
    pub workers: usize,
    /// How often HTTP/2 connections of a busy worker are looked at, to move one to a worker with less to do; 0 is never
    #[arg(long, env = "SELVEDGE_SPREAD_INTERVAL", value_name = "TIME", default_value = "10s", value_parser = duration)]
    pub spread_interval: Duration,
    /// Listen beside another process that shares its ports as well, to take over from it
    #[arg(long, env = "SELVEDGE_SHARE_PORTS")]
    pub share_ports: bool,
    /// Do not say in x-selvedge-reason why the proxy itself answered
    #[arg(long, env = "SELVEDGE_HIDE_REASON")]
    pub hide_reason: bool,
}

/// A network, or a single address.
fn network(text: &str) -> Result<IpNet, String> {
    text.parse()
        .or_else(|_| text.parse::<IpAddr>().map(IpNet::from))
        .map_err(|_| format!("{text:?} is not a network; write it like 10.0.0.0/8 or fd00::/8"))
}

impl ServeArgs {
    /// A listener that is served so, for translation to complete. `public_port` is the port that clients see.
    pub fn listener(
        &self,
        (address, public_port): (SocketAddr, u16),
        protocol: ListenerProtocol,
        limits: Limits,
        routes: &RouteSetId,
    ) -> Listener {
        Listener {
            proxy_protocol: self.proxy_protocol,
            public_port,
            trusted_cidrs: self.trusted_cidr.clone(),
            forwarded_field: self.forwarded_field,
            limits,
            ..Listener::new(address, protocol, routes.clone())
        }
    }
}
