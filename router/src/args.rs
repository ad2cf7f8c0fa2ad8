//! The command line: every flag, each also an environment variable.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc};

use clap::{Args, Parser, Subcommand, ValueEnum};
pub use selvedge_common::program::args::{
    AccessLogFormat, BackendArgs, CheckedArgs, ClientArgs, DrainArgs, Format, LeaseArgs, LogArgs, ServeArgs,
    SourceArgs, TraceArgs,
};
use selvedge_common::{
    id::ListenerName,
    kube::{host, store::ServiceName},
    model::{
        Backend, BackendLimits, Balance, FailingStatuses, Health, Listener, ListenerProtocol, LoopProtection,
        ServiceNames,
    },
};

use crate::{settings::Settings, translate::ROUTE_SET};

/// Name of the lease where no other is given.
pub const DEFAULT_LEASE: &str = "selvedge-router";
/// Name of all routers together in `Via`, and in traces.
const TIER: &str = "selvedge-router";
/// How often a request may go through us.
const MOST_HOPS: u8 = 3;

/// Selvedge's router tier: one hop for the traffic between Services
#[derive(Parser, Clone, Debug)]
#[command(name = "selvedge-router", version, max_term_width = 160, disable_help_flag = true)]
pub struct Arguments {
    /// Print help
    #[arg(long, short, global = true, action = clap::ArgAction::HelpShort)]
    pub help: Option<bool>,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What the program can do.
#[derive(Subcommand, Clone, Debug)]
pub enum Command {
    /// Route requests to Services by their names
    Run(Box<RunArgs>),
    /// Print what is wrong with manifests or with a cluster's objects; exit 1 on errors
    Check(CheckArgs),
    /// Print who calls whom, with rates, errors and latencies, as a running router has counted it
    Graph(GraphArgs),
}

/// Flags of `run`.
#[derive(Args, Clone, Debug)]
#[command(mut_arg("lease", |lease| lease.default_value(DEFAULT_LEASE)))]
#[command(mut_arg("connect_timeout", |timeout| timeout.default_value("1s")))]
#[command(mut_arg("max_requests", |most| most.default_value("20000")))]
pub struct RunArgs {
    /// Where objects come from.
    #[command(flatten)]
    pub source: SourceArgs,
    /// By which names Services are known.
    #[command(flatten)]
    pub names: NameArgs,
    /// Where clients connect.
    #[command(flatten)]
    pub listen: ListenArgs,
    /// Who writes to the cluster.
    #[command(flatten)]
    pub lease: LeaseArgs,
    /// Which Services lead to the router.
    #[command(flatten)]
    pub switch: SwitchArgs,
    /// Limits that clients are held to.
    #[command(flatten)]
    pub client: ClientArgs,
    /// How backends are treated.
    #[command(flatten)]
    pub backend: BackendArgs,
    /// How much of a Service may be going on.
    #[command(flatten)]
    pub service: ServiceArgs,
    /// Stopping.
    #[command(flatten)]
    pub drain: DrainArgs,
    /// What is logged.
    #[command(flatten)]
    pub log: LogArgs,
    /// What is traced.
    #[command(flatten)]
    pub traces: TraceArgs,
}

/// By which names Services are known, and what happens to other names.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Destinations")]
pub struct NameArgs {
    /// What a host may end with after service.namespace, beside svc and the cluster's domain; repeatable
    #[arg(
        long,
        env = "SELVEDGE_SUFFIX",
        value_name = "NAME",
        value_delimiter = ',',
        default_value = "router.local",
        value_parser = domain
    )]
    pub suffix: Vec<Arc<str>>,
    /// Domain of the Kubernetes cluster
    #[arg(
        long,
        env = "SELVEDGE_CLUSTER_DOMAIN",
        value_name = "NAME",
        default_value = "cluster.local",
        value_parser = domain
    )]
    pub cluster_domain: Arc<str>,
    /// Pass requests for unknown hosts on, but never to this machine, the link or the API server; not with --namespace
    #[arg(long, env = "SELVEDGE_PASS_THROUGH", conflicts_with = "namespace")]
    pub pass_through: bool,
}

/// Which Services lead to the router.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Switch of Services")]
pub struct SwitchArgs {
    /// Lead Services with the label selvedge.dev/via: router here; it needs the right to write Services and EndpointSlices
    #[arg(long, env = "SELVEDGE_SWITCH_SERVICES")]
    pub switch_services: bool,
    /// Service of this router, with a port named http
    #[arg(
        long,
        env = "SELVEDGE_ROUTER_SERVICE",
        value_name = "NS/NAME",
        default_value = "selvedge-system/selvedge-router",
        value_parser = service_name
    )]
    pub router_service: ServiceName,
}

/// Where clients connect.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Listeners")]
pub struct ListenArgs {
    /// Address for HTTP/1.1 and HTTP/2 in clear text; port 0 lets the system choose
    #[arg(long, env = "SELVEDGE_HTTP", value_name = "ADDR", default_value = "0.0.0.0:8080")]
    pub http: SocketAddr,
    /// Address for /healthz, /readyz, /metrics, /snapshot and /graph
    #[arg(long, env = "SELVEDGE_ADMIN", value_name = "ADDR", default_value = "127.0.0.1:9911")]
    pub admin: SocketAddr,
    /// Port that clients of --http see, told in X-Forwarded-Port
    #[arg(long, env = "SELVEDGE_HTTP_PORT_PUBLIC", value_name = "PORT", default_value_t = 80)]
    pub http_port_public: u16,
    /// How it is served.
    #[command(flatten)]
    pub serve: ServeArgs,
}

/// How much of one Service may be going on where no TrafficPolicy says it, so that one in trouble does not take the
/// router with it.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Backends")]
pub struct ServiceArgs {
    /// Requests and tunnels in flight to one port of a Service; more get 503 at once; 0 is no limit
    #[arg(long, env = "SELVEDGE_MAX_REQUESTS_PER_SERVICE", value_name = "N", default_value_t = 1000)]
    pub max_requests_per_service: u32,
    /// Connections to one port of a Service, for which as many requests again may wait; 0 is no limit
    #[arg(long, env = "SELVEDGE_MAX_CONNECTIONS_PER_SERVICE", value_name = "N", default_value_t = 0)]
    pub max_connections_per_service: u32,
}

/// Flags of `check`.
#[derive(Args, Clone, Debug)]
pub struct CheckArgs {
    /// What is looked at.
    #[command(flatten)]
    pub checked: CheckedArgs,
    /// Form of what is printed
    #[arg(long, env = "SELVEDGE_FORMAT", value_name = "FORMAT", value_enum, default_value = "text")]
    pub format: Format,
}

/// Flags of `graph`.
#[derive(Args, Clone, Debug)]
pub struct GraphArgs {
    /// Admin address of the router
    #[arg(long, env = "SELVEDGE_ADMIN", value_name = "ADDR", default_value = "127.0.0.1:9911")]
    pub admin: SocketAddr,
    /// Form of what is printed
    #[arg(long, env = "SELVEDGE_FORMAT", value_name = "FORMAT", value_enum, default_value = "table")]
    pub format: GraphFormat,
}

/// Forms in which the service graph is printed.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum GraphFormat {
    /// A line for each edge
    Table,
    /// As the admin address gives it
    Json,
    /// For Graphviz
    Dot,
}

/// A Service as `namespace/name`.
fn service_name(text: &str) -> Result<ServiceName, String> {
    match text.split('/').collect::<Vec<_>>()[..] {
        [namespace, name] if !namespace.is_empty() && !name.is_empty() => {
            Ok(ServiceName::new(namespace, name))
        }
        _ => Err(format!("{text:?} is not NAMESPACE/NAME")),
    }
}

/// A domain in lower case, without dots around.
fn domain(text: &str) -> Result<Arc<str>, String> {
    let name = text.trim_matches('.').to_ascii_lowercase();
    host::check(&name).map_err(|fault| format!("{text:?} is not a domain: {fault}"))?;
    Ok(name.into())
}

impl NameArgs {
    /// How the listeners look requests up.
    pub fn service_names(&self) -> ServiceNames {
        let of_cluster = [format!("svc.{}", self.cluster_domain).into(), "svc".into()];
        let suffixes = of_cluster.into_iter().chain(self.suffix.iter().cloned()).collect();
        ServiceNames { suffixes, field: true, fixed: None }
    }
}

impl ServiceArgs {
    /// The same for the model.
    fn limits(&self) -> BackendLimits {
        let limit = |most: u32| (most > 0).then_some(most);
        BackendLimits {
            connections: limit(self.max_connections_per_service),
            pending: None,
            requests: limit(self.max_requests_per_service),
        }
    }
}

impl SwitchArgs {
    /// The Service of the router, if Services are to be switched to it.
    pub fn switches_to(&self) -> Option<ServiceName> {
        self.switch_services.then(|| self.router_service.clone())
    }

    /// Flags that were given and mean something only to an API server.
    pub fn given(&self) -> Option<&'static str> {
        self.switch_services.then_some("--switch-services")
    }
}

impl CheckArgs {
    /// What translation must know; without listeners.
    pub fn settings(&self) -> Settings {
        Settings { namespaces: self.checked.namespace.clone(), ..Settings::default() }
    }
}

impl RunArgs {
    /// What translation must know.
    pub fn settings(&self) -> Settings {
        Settings {
            namespaces: self.source.namespace.clone(),
            suffixes: self.names.suffix.clone(),
            cluster_domain: self.names.cluster_domain.clone(),
            pass_through: self.names.pass_through,
            timeouts: self.backend.timeouts(),
            retry: self.backend.retry(),
            backend: self.backend(),
            tracing: self.traces.tracing(TIER),
            switches_to: self.switch.switches_to(),
            listeners: self.listeners(),
        }
    }

    /// How a Service is treated that no policy says anything of. Callers here expect of an endpoint that it answers
    /// with success, so one that keeps failing by its status is as bad as one that does not answer.
    fn backend(&self) -> Backend {
        let backend = self.backend.backend();
        let health = Health { failing_statuses: FailingStatuses::Server, ..backend.health };
        Backend { balance: Balance::Ewma, health, limits: self.service.limits(), ..backend }
    }

    /// The listeners for translation to complete.
    fn listeners(&self) -> BTreeMap<ListenerName, Listener> {
        let ListenArgs { http, http_port_public, serve, .. } = &self.listen;
        let (limits, routes) = (self.client.limits(), ROUTE_SET.into());
        let plain = serve.listener((*http, *http_port_public), ListenerProtocol::Http, limits, &routes);
        let plain = Listener {
            connect: true,
            identify: true,
            service_names: Some(self.names.service_names()),
            loop_protection: Some(LoopProtection { id: TIER.into(), hops: MOST_HOPS }),
            server_timing: true,
            ..plain
        };
        BTreeMap::from([("http".into(), plain)])
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use clap::CommandFactory;
    use selvedge_common::model::Timeouts;

    use super::*;

    fn run(flags: &[&str]) -> Result<Box<RunArgs>, String> {
        let flags = ["selvedge-router", "run"].iter().chain(flags);
        match Arguments::try_parse_from(flags).map_err(|error| error.to_string())?.command {
            Command::Run(run) => Ok(run),
            Command::Check(_) | Command::Graph(_) => Err("not run".into()),
        }
    }

    #[test]
    fn the_definition_is_sound() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn a_hop_inside_the_cluster_has_its_own_defaults() {
        let run = run(&[]).unwrap();
        let settings = run.settings();
        assert_eq!(settings.backend.connect_timeout, Duration::from_secs(1));
        assert_eq!(settings.timeouts, Timeouts::default());
        assert_eq!(run.client.max_requests, 20_000);
        assert_eq!(run.lease.name, DEFAULT_LEASE);
        assert_eq!(settings.backend.balance, Balance::Ewma);
        let health = &settings.backend.health;
        assert_eq!((health.failing_statuses, health.failures), (FailingStatuses::Server, 5));
        assert!(!settings.pass_through && run.lease.given(DEFAULT_LEASE).is_empty());
        let listener = &settings.listeners[&"http".into()];
        assert_eq!(listener.address.to_string(), "0.0.0.0:8080");
        let suffixes = listener.service_names.clone().unwrap().suffixes;
        assert_eq!(
            suffixes.iter().map(|s| &**s).collect::<Vec<_>>(),
            ["svc.cluster.local", "svc", "router.local"]
        );
    }

    #[test]
    fn a_service_has_limits_unless_the_flags_take_them_away() {
        let limits = |flags: &[&str]| run(flags).unwrap().settings().backend.limits;
        let usual = BackendLimits { requests: Some(1000), ..BackendLimits::default() };
        assert_eq!(limits(&[]), usual);
        assert_eq!(limits(&["--max-requests-per-service=0"]), BackendLimits::default());
        let connections = limits(&["--max-connections-per-service=7"]);
        assert_eq!(connections, BackendLimits { connections: Some(7), ..usual });
    }

    #[test]
    fn suffixes_are_repeated_and_lose_their_dots() {
        let run = run(&["--suffix", ".Mesh.Example.", "--suffix=a,b.c", "--cluster-domain", "k8s"]).unwrap();
        let suffixes = run.names.service_names().suffixes;
        let suffixes: Vec<_> = suffixes.iter().map(|s| &**s).collect();
        assert_eq!(suffixes, ["svc.k8s", "svc", "mesh.example", "a", "b.c"]);
    }

    #[test]
    fn an_empty_zone_is_unknown() {
        let zone = |flags: &[&str]| run(flags).unwrap().backend.zone();
        assert_eq!((zone(&[]), zone(&["--zone="])), (None, None));
        assert_eq!(zone(&["--zone=a"]).as_deref(), Some("a"));
    }

    #[test]
    fn services_are_switched_only_if_asked_for() {
        assert_eq!(run(&[]).unwrap().settings().switches_to, None);
        let usual = ServiceName::new("selvedge-system", "selvedge-router");
        let switches = run(&["--switch-services"]).unwrap();
        assert_eq!(switches.settings().switches_to, Some(usual));
        assert_eq!(switches.switch.given(), Some("--switch-services"));
        let named = run(&["--switch-services", "--router-service=mesh/router"]).unwrap();
        assert_eq!(named.settings().switches_to, Some(ServiceName::new("mesh", "router")));
    }

    #[test]
    fn each_flag_is_an_environment_variable_and_has_one_line_of_help() {
        let command = Arguments::command();
        let arguments = command.get_subcommands().flat_map(clap::Command::get_arguments);
        for argument in arguments.filter(|argument| !argument.is_positional()) {
            let Some(long) = argument.get_long().filter(|long| *long != "help") else { continue };
            let wanted = format!("SELVEDGE_{}", long.to_uppercase().replace('-', "_"));
            assert_eq!(argument.get_env().and_then(|env| env.to_str()), Some(&*wanted), "--{long}");
            let help = argument.get_help().map(ToString::to_string).unwrap_or_default();
            assert!(!help.is_empty() && !help.contains('\n'), "--{long}: {help:?}");
        }
    }

    #[test]
    fn wrong_names_are_told_with_the_flag() {
        for (flag, value) in [
            ("--suffix", "a..b"),
            ("--suffix", ""),
            ("--cluster-domain", "x:1"),
            ("--router-service", "router"),
            ("--router-service", "a/b/c"),
            ("--router-service", "/router"),
        ] {
            let error = run(&[flag, value]).unwrap_err();
            assert!(error.contains(flag), "{flag} {value}: {error}");
        }
    }
}
