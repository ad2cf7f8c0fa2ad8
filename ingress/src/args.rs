//! The command line: every flag, each also an environment variable.

use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use clap::{Args, Id, Parser, Subcommand, ValueEnum, builder::Resettable};
pub use selvedge_common::program::args::{
    AccessLogFormat, BackendArgs, CheckedArgs, ClientArgs, DrainArgs, Format, LeaseArgs, LogArgs, ServeArgs,
    SourceArgs, TraceArgs,
};
use selvedge_common::{
    id::{ListenerName, RouteSetId},
    kube::store::ServiceName,
    model::{Listener, ListenerProtocol},
    program::{Published, Role, args::values::duration},
};

use crate::{
    class::NGINX_CONTROLLER,
    globals::ConfigMapName,
    migrate::Place,
    settings::{RouterName, SecretName, Settings},
    translate::{Edge, ROUTE_SET},
};

/// Name of the lease where no other is given.
pub const DEFAULT_LEASE: &str = "selvedge-ingress";

/// Selvedge's edge: Kubernetes Ingress objects to an L7 proxy
#[derive(Parser, Clone, Debug)]
#[command(name = "selvedge-ingress", version, max_term_width = 160, disable_help_flag = true)]
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
    /// Serve what Ingress objects say
    Run(Box<RunArgs>),
    /// Print what is wrong with manifests or with a cluster's objects; exit 1 on errors
    Check(Box<CheckArgs>),
    /// Print what becomes of the objects of ingress-nginx; exit 1 if something must be changed first, 2 if it cannot be read
    Migrate(Box<MigrateArgs>),
}

/// Flags of `run`.
#[derive(Args, Clone, Debug)]
#[command(mut_arg("lease", |lease| lease.default_value(DEFAULT_LEASE)))]
pub struct RunArgs {
    /// Where objects come from.
    #[command(flatten)]
    pub source: SourceArgs,
    /// Which objects count.
    #[command(flatten)]
    pub class: ClassArgs,
    /// Where clients connect.
    #[command(flatten)]
    pub listen: ListenArgs,
    /// What is told to the cluster.
    #[command(flatten)]
    pub publish: PublishArgs,
    /// Limits that clients are held to.
    #[command(flatten)]
    pub client: ClientArgs,
    /// How backends are treated.
    #[command(flatten)]
    pub backend: BackendArgs,
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

/// Which Ingress objects count, and their defaults.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Objects")]
pub struct ClassArgs {
    /// Class to serve, all of controller selvedge.dev/ingress without it; repeatable
    #[arg(long, env = "SELVEDGE_INGRESS_CLASS", value_name = "NAME", value_delimiter = ',')]
    pub ingress_class: Vec<String>,
    /// Serve the classes of ingress-nginx, with its annotations and in its ways
    #[arg(long, env = "SELVEDGE_ADOPT_INGRESS_NGINX")]
    pub adopt_ingress_nginx: bool,
    /// Controller of the classes of ingress-nginx, where its argument --controller-class says another; repeatable
    #[arg(long, env = "SELVEDGE_NGINX_CONTROLLER_CLASS", value_name = "NAME", value_delimiter = ',', requires = "adopt_ingress_nginx", default_value = NGINX_CONTROLLER)]
    pub nginx_controller_class: Vec<String>,
    /// ConfigMap of ingress-nginx, read as it is for these classes; with --namespace its own must be one of them
    #[arg(long, env = "SELVEDGE_NGINX_CONFIGMAP", value_name = "NS/NAME", requires = "adopt_ingress_nginx")]
    pub nginx_configmap: Option<ConfigMapName>,
    /// ConfigMap of ingress-nginx with Services for ports of TCP: "9000": "ns/service:port"
    #[arg(long, env = "SELVEDGE_TCP_SERVICES_CONFIGMAP", value_name = "NS/NAME")]
    pub tcp_services_configmap: Option<ConfigMapName>,
    /// ConfigMap of ingress-nginx with Services for ports of UDP, whose owner is told that they are not carried
    #[arg(long, env = "SELVEDGE_UDP_SERVICES_CONFIGMAP", value_name = "NS/NAME")]
    pub udp_services_configmap: Option<ConfigMapName>,
    /// Serve Ingress objects that name no class, too
    #[arg(long, env = "SELVEDGE_WATCH_INGRESS_WITHOUT_CLASS")]
    pub watch_ingress_without_class: bool,
    /// Secret with the certificate for unknown names; self-signed without it
    #[arg(long, env = "SELVEDGE_DEFAULT_CERTIFICATE", value_name = "NS/NAME")]
    pub default_certificate: Option<SecretName>,
    /// Service of the router, for routes that go through it; with --namespace its own must be one of them
    #[arg(long, env = "SELVEDGE_ROUTER", value_name = "NS/NAME:PORT", default_value_t = RouterName::default())]
    pub router: RouterName,
}

/// Where clients connect.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Listeners")]
pub struct ListenArgs {
    /// Address for HTTP/1.1 and HTTP/2 in clear text; port 0 lets the system choose
    #[arg(long, env = "SELVEDGE_HTTP", value_name = "ADDR", default_value = "0.0.0.0:8080")]
    pub http: SocketAddr,
    /// Address for TLS with HTTP/1.1 and HTTP/2
    #[arg(long, env = "SELVEDGE_HTTPS", value_name = "ADDR", default_value = "0.0.0.0:8443")]
    pub https: SocketAddr,
    /// Address for /healthz, /readyz, /metrics and /snapshot
    #[arg(long, env = "SELVEDGE_ADMIN", value_name = "ADDR", default_value = "127.0.0.1:9911")]
    pub admin: SocketAddr,
    /// Port that clients of --http see, told in X-Forwarded-Port
    #[arg(long, env = "SELVEDGE_HTTP_PORT_PUBLIC", value_name = "PORT", default_value_t = 80)]
    pub http_port_public: u16,
    /// Port that clients of --https see, told in X-Forwarded-Port and used in redirects
    #[arg(long, env = "SELVEDGE_HTTPS_PORT_PUBLIC", value_name = "PORT", default_value_t = 443)]
    pub https_port_public: u16,
    /// How both are served.
    #[command(flatten)]
    pub serve: ServeArgs,
}

/// What is told to the cluster.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Status")]
pub struct PublishArgs {
    /// Service whose addresses are written to the status of Ingress objects
    #[arg(
        long,
        env = "SELVEDGE_PUBLISH_SERVICE",
        value_name = "NS/NAME",
        value_parser = service_name, conflicts_with = "publish_address"
    )]
    pub publish_service: Option<ServiceName>,
    /// IP address or host name to write to the status of Ingress objects; repeatable
    #[arg(long, env = "SELVEDGE_PUBLISH_ADDRESS", value_name = "ADDR", value_delimiter = ',')]
    pub publish_address: Vec<String>,
    /// Who writes it.
    #[command(flatten)]
    pub lease: LeaseArgs,
}

/// Flags of `check`.
#[derive(Args, Clone, Debug)]
pub struct CheckArgs {
    /// What is looked at.
    #[command(flatten)]
    pub checked: CheckedArgs,
    /// Which objects count.
    #[command(flatten)]
    pub class: ClassArgs,
    /// Form of what is printed
    #[arg(long, env = "SELVEDGE_FORMAT", value_name = "FORMAT", value_enum, default_value = "text")]
    pub format: Format,
}

/// Flags of `migrate`. It takes the classes of ingress-nginx over in any case, and reads a cluster if no path is given.
#[derive(Args, Clone, Debug)]
#[command(
    mut_arg("adopt_ingress_nginx", |adopt| adopt.hide(true)),
    mut_arg("nginx_controller_class", |controller| controller.requires(Resettable::<Id>::Reset)),
    mut_arg("nginx_configmap", |map| map
        .requires(Resettable::<Id>::Reset)
        .help("ConfigMap of the running ingress-nginx; without it the one that looks like it")),
    mut_arg("paths", |paths| paths
        .required_unless_present(Resettable::<Id>::Reset)
        .help("Folders and files of YAML to read; a cluster without any")),
    mut_arg("cluster", |cluster| cluster.hide(true))
)]
pub struct MigrateArgs {
    /// What is looked at.
    #[command(flatten)]
    pub checked: CheckedArgs,
    /// Which objects count.
    #[command(flatten)]
    pub class: ClassArgs,
    /// Form of what is printed
    #[arg(long, env = "SELVEDGE_FORMAT", value_name = "FORMAT", value_enum, default_value = "text")]
    pub format: ReportFormat,
    /// What is compared.
    #[command(flatten)]
    pub compare: CompareArgs,
}

/// Which requests `migrate` compares two controllers by.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Comparison")]
pub struct CompareArgs {
    /// Send the same requests to both and show what differs; each is URL, HTTP_URL,HTTPS_URL or an address for ports 80 and 443
    #[arg(long, env = "SELVEDGE_COMPARE", value_names = ["URL_A", "URL_B"], num_args = 2, value_delimiter = ' ')]
    pub compare: Vec<Place>,
    /// Methods to compare by, the first in all forms of a path; others than these may change something behind both
    #[arg(long, env = "SELVEDGE_METHODS", value_name = "METHOD", value_delimiter = ',', default_value = "GET,HEAD,OPTIONS", value_parser = method)]
    pub methods: Vec<String>,
    /// Most requests to send to each of them, one at a time
    #[arg(long, env = "SELVEDGE_MOST_REQUESTS", value_name = "N", default_value_t = 2000)]
    pub most_requests: usize,
    /// Longest time for each answer, its body included
    #[arg(long, env = "SELVEDGE_ANSWER_TIMEOUT", value_name = "TIME", default_value = "10s", value_parser = duration)]
    pub answer_timeout: Duration,
    /// Longest time for the whole comparison; what is not sent by then is left out
    #[arg(long, env = "SELVEDGE_COMPARE_TIMEOUT", value_name = "TIME", default_value = "10m", value_parser = duration)]
    pub compare_timeout: Duration,
}

/// Form of the report of `migrate`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ReportFormat {
    /// For people at a terminal.
    Text,
    /// For machines.
    Json,
    /// A page of its own for people with a browser.
    Html,
}

fn method(text: &str) -> Result<String, String> {
    let is_token = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'-');
    match is_token && text != "CONNECT" {
        true => Ok(text.to_owned()),
        false => Err(format!("{text:?} is no method that can be compared; write it like GET or OPTIONS")),
    }
}

fn service_name(text: &str) -> Result<ServiceName, String> {
    let SecretName { namespace, name } = text.parse()?;
    Ok(ServiceName::new(&namespace, &name))
}

impl PublishArgs {
    /// Flags that were given and mean something only to an API server.
    pub fn given(&self) -> Vec<&'static str> {
        let flags = [
            ("--publish-service", self.publish_service.is_some()),
            ("--publish-address", !self.publish_address.is_empty()),
        ];
        let given = flags.into_iter().filter(|(_, given)| *given).map(|(flag, _)| flag);
        given.chain(self.lease.given(DEFAULT_LEASE)).collect()
    }

    /// The addresses to publish.
    pub fn published(&self) -> Published {
        Published { service: self.publish_service.clone(), addresses: self.publish_address.clone() }
    }
}

impl ClassArgs {
    /// What translation must know; without listeners.
    pub fn settings(&self, namespaces: &[String]) -> Settings {
        Settings {
            class_names: self.ingress_class.clone(),
            adopt_ingress_nginx: self.adopt_ingress_nginx,
            nginx_controllers: self.nginx_controller_class.clone(),
            nginx_configmap: self.nginx_configmap.clone(),
            tcp_services: self.tcp_services_configmap.clone(),
            udp_services: self.udp_services_configmap.clone(),
            watch_ingress_without_class: self.watch_ingress_without_class,
            default_certificate: self.default_certificate.clone(),
            namespaces: namespaces.to_vec(),
            router: self.router.clone(),
            ..Settings::default()
        }
    }

    /// Namespaces whose Secrets are read wherever other objects are.
    pub fn secrets(&self) -> Vec<String> {
        self.default_certificate.iter().map(|secret| secret.namespace.clone()).collect()
    }
}

impl RunArgs {
    /// What translation must know.
    pub fn settings(&self) -> Settings {
        Settings {
            timeouts: self.backend.timeouts(),
            retry: self.backend.retry(),
            backend: self.backend.backend(),
            tracing: self.traces.tracing(Edge::PROGRAM),
            listeners: self.listeners(&ROUTE_SET.into()),
            ..self.class.settings(&self.source.namespace)
        }
    }

    /// The listeners for translation to complete; both serve the set of routes of this name.
    pub fn listeners(&self, routes: &RouteSetId) -> BTreeMap<ListenerName, Listener> {
        let ListenArgs { http, https, serve, .. } = &self.listen;
        let ports = (self.listen.http_port_public, self.listen.https_port_public);
        let limits = || self.client.limits();
        let listener = |address, protocol| Listener {
            takes_service_field: true,
            ..serve.listener(address, protocol, limits(), routes)
        };
        let plain = listener((*http, ports.0), ListenerProtocol::Http);
        let tls = listener((*https, ports.1), ListenerProtocol::Https);
        BTreeMap::from([("http".into(), plain), ("https".into(), tls)])
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;
    use selvedge_common::model::{Backend, Health, Limits, Retry, RetryAllowance, Timeouts};

    use selvedge_common::program::command::flags_line;

    use super::*;

    fn run(flags: &[&str]) -> Result<Box<RunArgs>, String> {
        let flags = ["selvedge-ingress", "run"].iter().chain(flags);
        match Arguments::try_parse_from(flags).map_err(|error| error.to_string())?.command {
            Command::Run(run) => Ok(run),
            Command::Check(_) | Command::Migrate(_) => Err("not run".into()),
        }
    }

    #[test]
    fn the_definition_is_sound() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn defaults_are_those_of_the_model() {
        let run = run(&[]).unwrap();
        assert_eq!(run.client.limits(), Limits::default());
        assert_eq!(run.backend.backend(), Backend::default());
        assert_eq!(run.backend.timeouts(), Timeouts::default());
        assert_eq!(run.backend.retry(), Retry::default());
        let listeners = run.listeners(&"edge".into());
        let told: Vec<_> = listeners.values().map(|l| (l.address.to_string(), l.public_port)).collect();
        assert_eq!(told, [("0.0.0.0:8080".into(), 80), ("0.0.0.0:8443".into(), 443)]);
        assert_eq!(run.listen.admin.to_string(), "127.0.0.1:9911");
        assert_eq!(run.log.access_log, AccessLogFormat::Text);
        assert_eq!(run.settings().router.to_string(), "selvedge-system/selvedge-router:80");
        assert!(listeners.values().all(|listener| listener.takes_service_field));
    }

    #[test]
    fn flags_for_backends_reach_translation() {
        let flags = "--connect-timeout 1s --retries 2 --retry-body-size 1KiB --retry-budget-percent 1 \
            --retry-budget-per-second 2 --ejection-failures 3 --ejection-time 4s --max-ejection-time 5s \
            --max-ejected-percent 6 --panic-percent 7 --http2-max-fields 8";
        let run = run(&flags.split_whitespace().collect::<Vec<_>>()).unwrap();
        let settings = run.settings();
        assert_eq!(settings.retry, Retry { attempts: 2, body_bytes: 1024, ..Retry::default() });
        let (ejection, longest_ejection) = (Duration::from_secs(4), Duration::from_secs(5));
        let (most_ejected_percent, panic_percent) = (6, 7);
        let health = Health {
            failures: 3,
            ejection,
            longest_ejection,
            most_ejected_percent,
            panic_percent,
            ..Health::default()
        };
        assert_eq!(settings.backend.health, health);
        assert_eq!(settings.backend.retry_allowance, RetryAllowance { percent: 1, per_second: 2 });
        assert_eq!(settings.backend.connect_timeout, Duration::from_secs(1));
        assert!(settings.listeners.values().all(|listener| listener.limits.http2.fields == 8));
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
    fn wrong_flags_are_named() {
        let cases: [(&[&str], &str); 10] = [
            (&["--http", "8080"], "--http"),
            (&["--max-head-size", "16KB"], "16KiB"),
            (&["--lameduck", "5"], "1m30s"),
            (&["--trusted-cidr", "10.0.0.0/33"], "10.0.0.0/8"),
            (&["--default-certificate", "x"], "NAMESPACE/NAME"),
            (&["--router", "a/b"], "NAMESPACE/SERVICE:PORT"),
            (&["--router", "b:80"], "NAMESPACE/SERVICE:PORT"),
            (&["--publish-service", "a/b", "--publish-address", "1.2.3.4"], "cannot be used with"),
            (&["--manifests", "x", "--kubeconfig", "y"], "cannot be used with"),
            (&["--htp", "127.0.0.1:1"], "--http"),
        ];
        for (flags, wanted) in cases {
            let error = run(flags).unwrap_err();
            assert!(error.contains(wanted), "{flags:?}: {error}");
        }
    }

    #[test]
    fn wrong_flags_are_one_line() {
        for flags in [&["--http", "8080"][..], &["--htp=x"], &["--manifests", "x", "--kubeconfig", "y"]] {
            let error =
                Arguments::try_parse_from(["selvedge-ingress", "run"].iter().chain(flags)).unwrap_err();
            let line = flags_line(&error);
            let flag = flags[0].split('=').next().unwrap();
            assert!(!line.contains('\n') && line.contains(flag) && !line.contains("Usage"), "{line}");
        }
        let missing = flags_line(&Arguments::try_parse_from(["selvedge-ingress", "check"]).unwrap_err());
        assert!(missing.contains("PATH"), "{missing}");
    }

    #[test]
    fn flags_of_the_cluster_are_known_when_they_are_given() {
        assert!(run(&[]).unwrap().publish.given().is_empty());
        let flags = ["--publish-address=1.2.3.4", "--lease=x", "--identity=y", "--read-only"];
        let given = run(&flags).unwrap().publish.given();
        assert_eq!(given, ["--publish-address", "--lease", "--identity", "--read-only"]);
    }

    #[test]
    fn numbers_out_of_range_are_refused_with_the_range() {
        let cases = [
            ("--max-fields", "0", "1..=256"),
            ("--max-fields", "257", "1..=256"),
            ("--max-head-size", "1023", "from 1KiB to 128KiB"),
            ("--max-head-size", "129KiB", "from 1KiB to 128KiB"),
            ("--max-target-size", "0", "from 1 to"),
            ("--http2-max-streams", "0", "1.."),
            ("--http2-max-fields", "0", "1.."),
            ("--http2-stream-window", "0", "from 1 to 2147483647"),
            ("--http2-stream-window", "2GiB", "from 1 to 2147483647"),
            ("--http2-connection-window", "0", "from 1 to 2147483647"),
            ("--http2-connection-window", "2147483648", "from 1 to 2147483647"),
            ("--workers", "1025", "0..=1024"),
            ("--panic-percent", "101", "0..=100"),
        ];
        for (flag, value, wanted) in cases {
            let error = run(&[flag, value]).unwrap_err();
            let line = error.lines().next().unwrap();
            assert!(line.contains(flag) && line.contains(wanted), "{flag} {value}: {error}");
        }
        for (flag, value) in [
            ("--max-fields", "256"),
            ("--max-head-size", "128KiB"),
            ("--http2-stream-window", "2147483647"),
            ("--workers", "1024"),
        ] {
            assert!(run(&[flag, value]).is_ok(), "{flag} {value}");
        }
    }

    #[test]
    fn lists_are_repeated_or_separated_by_commas() {
        let run =
            run(&["--namespace", "a,b", "--namespace", "c", "--trusted-cidr", "10.0.0.0/8,::1"]).unwrap();
        assert_eq!(run.source.namespace, ["a", "b", "c"]);
        assert_eq!(run.listen.serve.trusted_cidr.len(), 2);
    }

    #[test]
    fn migrate_takes_classes_over_and_reads_a_cluster_by_itself() {
        for flags in
            [&["--nginx-configmap=a/b"][..], &["--kubeconfig=x"], &["x"], &["--compare", "http://a", "b"]]
        {
            let all = ["selvedge-ingress", "migrate"].iter().chain(flags);
            assert!(Arguments::try_parse_from(all).is_ok(), "{flags:?}");
        }
        assert!(run(&["--nginx-configmap=a/b"]).unwrap_err().contains("--adopt-ingress-nginx"));
    }

    #[test]
    fn check_needs_paths_or_a_cluster() {
        for (flags, sound) in
            [(&[][..], false), (&["x"], true), (&["--cluster"], true), (&["x", "--cluster"], false)]
        {
            let flags = ["selvedge-ingress", "check"].iter().chain(flags);
            assert_eq!(
                Arguments::try_parse_from(flags.clone()).is_ok(),
                sound,
                "{:?}",
                flags.collect::<Vec<_>>()
            );
        }
    }
}
