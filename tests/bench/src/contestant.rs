//! Contestants: the proxies that are measured, what they can do and how they are started.

use std::{
    fmt, fs,
    path::{Path, PathBuf},
    process::Command,
    str::FromStr,
};

use anyhow::Context;

use crate::{ground::Ground, template::fill};

/// Most routes; their names have five digits.
const MOST_ROUTES: usize = 100_000;
/// Rules in one RouteRule.
const RULES: usize = 10;

const EDGE: &str = include_str!("../peers/edge.yaml");
const EDGE_PLAIN: &str = include_str!("../peers/edge-plain.yaml");
const EDGE_ANNOTATED: &str = include_str!("../peers/edge-annotated.yaml");
const SERVICES: &str = include_str!("../peers/services.yaml");

/// The kinds of proxies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// nginx, to which the others are compared as a rule.
    Nginx,
    /// HAProxy.
    Haproxy,
    /// Envoy.
    Envoy,
    /// A small proxy made with Pingora.
    Pingora,
    /// `selvedge-ingress`.
    Edge,
    /// `selvedge-router`.
    Router,
}

/// What a scenario needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// HTTP/1.1 in clear text.
    Plain,
    /// TLS, with HTTP/1.1 or HTTP/2.
    Tls,
    /// HTTP/2 in clear text to a backend that speaks the same.
    Grpc,
}

/// Ports of a proxy on loopback.
#[derive(Clone, Copy, Debug)]
pub struct Ports {
    /// For HTTP/1.1 in clear text.
    pub plain: u16,
    /// For TLS.
    pub tls: u16,
    /// For gRPC; Selvedge's is the plain one.
    pub grpc: u16,
    /// For the admin address.
    pub admin: u16,
}

/// Which hosts of a contestant have annotations of ingress-nginx.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Annotated {
    /// None.
    #[default]
    Nobody,
    /// One that nothing is asked of.
    Neighbour,
    /// The one that is asked; of nginx the same settings.
    Host,
}

/// A proxy to be measured: `KIND[+neighbour|+annotated][:ROUTES][@PROGRAM]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Contestant {
    /// What it is.
    pub kind: Kind,
    /// Which of its hosts have annotations.
    pub annotated: Annotated,
    /// Routes on the one host.
    pub routes: usize,
    /// The program, where it is not the usual one.
    pub program: Option<PathBuf>,
}

impl Kind {
    /// All of them, nginx first.
    pub const ALL: [Self; 6] =
        [Self::Nginx, Self::Haproxy, Self::Envoy, Self::Pingora, Self::Edge, Self::Router];

    /// As it is called on the command line and in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Nginx => "nginx",
            Self::Haproxy => "haproxy",
            Self::Envoy => "envoy",
            Self::Pingora => "pingora",
            Self::Edge => "edge",
            Self::Router => "router",
        }
    }

    /// Whether it can be asked this way.
    pub fn can(self, way: Way) -> bool {
        self != Self::Router || way != Way::Tls
    }

    /// Whether it is ours, built beside this program.
    fn is_own(self) -> bool {
        matches!(self, Self::Edge | Self::Router)
    }

    /// The host of the scenarios, or of those that are about gRPC. The router knows hosts as names of Services.
    pub fn host(self, way: Way) -> &'static str {
        match (self, way) {
            (Self::Router, Way::Grpc) => "grpc.shop",
            (Self::Router, _) => "bench.shop",
            (_, Way::Grpc) => "grpc.test",
            _ => "bench.test",
        }
    }
}

impl Contestant {
    /// The program.
    ///
    /// # Errors
    /// If it is not there.
    pub fn program(&self, ground: &Ground) -> anyhow::Result<PathBuf> {
        let usual = match self.kind {
            Kind::Edge => ground.own.join("selvedge-ingress"),
            Kind::Router => ground.own.join("selvedge-router"),
            other => ground.cache.join("programs").join(other.name()),
        };
        let program = self.program.clone().unwrap_or(usual);
        let how = match self.kind.is_own() {
            true => "build it first: cargo build --release --locked --workspace --bins",
            false => "set it up first: sh tests/bench/setup.sh",
        };
        anyhow::ensure!(program.is_file(), "{}: not there; {how}", program.display());
        Ok(program)
    }

    /// What the program says that it is.
    ///
    /// # Errors
    /// If it cannot be run.
    pub fn version(&self, ground: &Ground) -> anyhow::Result<String> {
        let flag = match self.kind {
            // It has none; its name says enough.
            Kind::Pingora => return Ok("a small proxy made with Pingora".into()),
            Kind::Nginx | Kind::Haproxy => "-v",
            _ => "--version",
        };
        let mut command = Command::new(self.program(ground)?);
        self.find_libraries(&mut command, ground);
        let output = command.arg(flag).output().with_context(|| format!("{self} cannot be run"))?;
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        Ok(said.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or("says nothing").to_owned())
    }

    /// The path that is asked for: on the route in the middle.
    pub fn path(&self, way: Way, answer: &str) -> String {
        match way {
            Way::Grpc => "/bench.Echo/Say".into(),
            _ => format!("{}/{answer}", route(self.routes / 2)),
        }
    }

    /// Writes the configuration into a folder and gives the command that runs the proxy in the foreground.
    ///
    /// # Errors
    /// If the program is not there or the folder cannot be written to.
    pub fn command(&self, ground: &Ground, ports: Ports, folder: &Path) -> anyhow::Result<Command> {
        let mut command = Command::new(self.program(ground)?);
        let file = |name: &str, template: &str| {
            let path = folder.join(name);
            let text = fill(template, &self.values(ground, ports, folder))?;
            fs::write(&path, text).with_context(|| format!("{} cannot be written", path.display()))?;
            anyhow::Ok(path)
        };
        match self.kind {
            Kind::Nginx => {
                let path = file("nginx.conf", include_str!("../peers/nginx.conf"))?;
                command.arg("-p").arg(folder).arg("-e").arg("stderr").arg("-c").arg(path);
            }
            Kind::Haproxy => {
                file("routes.map", "@routes@")?;
                let path = file("haproxy.cfg", include_str!("../peers/haproxy.cfg"))?;
                command.arg("-db").arg("-f").arg(path);
            }
            Kind::Envoy => {
                let path = file("envoy.yaml", include_str!("../peers/envoy.yaml"))?;
                command.args(["--concurrency", "1", "--disable-hot-restart", "-l", "error", "-c"]).arg(path);
            }
            Kind::Pingora => {
                let values = self.values(ground, ports, folder);
                command.envs(values.into_iter().map(|(name, value)| (name.to_uppercase(), value)));
            }
            Kind::Edge | Kind::Router => {
                let path = file("objects.yaml", &self.objects())?;
                command.arg("run").arg("--manifests").arg(path);
                command.args(self.flags(ports));
            }
        }
        self.find_libraries(&mut command, ground);
        Ok(command)
    }

    /// The objects of our programs.
    fn objects(&self) -> String {
        let parts: &[&str] = match (self.kind, self.annotated) {
            (Kind::Edge, Annotated::Nobody) => &[EDGE, EDGE_PLAIN, SERVICES],
            (Kind::Edge, Annotated::Neighbour) => &[EDGE, EDGE_PLAIN, EDGE_ANNOTATED, SERVICES],
            (Kind::Edge, Annotated::Host) => &[EDGE, EDGE_ANNOTATED, SERVICES],
            _ => &[SERVICES, "@routes@"],
        };
        parts.concat()
    }

    /// What was set up brings its libraries along.
    fn find_libraries(&self, command: &mut Command, ground: &Ground) {
        if !self.kind.is_own() && self.program.is_none() && ground.libraries().is_dir() {
            command.env("LD_LIBRARY_PATH", ground.libraries());
        }
    }

    /// Flags of our programs: defaults, but for addresses, one worker, no access log and a quick end.
    fn flags(&self, ports: Ports) -> Vec<String> {
        let address = |port: u16| format!("127.0.0.1:{port}");
        let mut flags =
            vec!["--http".to_owned(), address(ports.plain), "--admin".into(), address(ports.admin)];
        if self.kind == Kind::Edge {
            flags.extend(["--https".into(), address(ports.tls)]);
        }
        if self.annotated != Annotated::Nobody {
            flags.push("--adopt-ingress-nginx".into());
        }
        let rest = "--workers 1 --access-log off --lameduck 0s --drain-deadline 0s";
        flags.extend(rest.split(' ').map(str::to_owned));
        flags
    }

    /// What the templates are filled with.
    fn values(&self, ground: &Ground, ports: Ports, folder: &Path) -> Vec<(&'static str, String)> {
        let address = |port: u16| format!("127.0.0.1:{port}");
        let in_quotes = |text: &str| text.replace('\n', "\\n");
        let backends = ground.backends;
        vec![
            ("plain", address(ports.plain)),
            ("plain_port", ports.plain.to_string()),
            ("tls", address(ports.tls)),
            ("tls_port", ports.tls.to_string()),
            ("grpc", address(ports.grpc)),
            ("grpc_port", ports.grpc.to_string()),
            ("backend", backends.http1.to_string()),
            ("backend_port", backends.http1.port().to_string()),
            ("grpc_backend", backends.http2.to_string()),
            ("grpc_backend_port", backends.http2.port().to_string()),
            ("certificate", ground.certificate().display().to_string()),
            ("key", ground.key().display().to_string()),
            ("both", ground.both().display().to_string()),
            ("certificate_text", in_quotes(&ground.certificate_text)),
            ("key_text", in_quotes(&ground.key_text)),
            ("folder", folder.display().to_string()),
            ("host", self.kind.host(Way::Plain).into()),
            ("grpc_host", self.kind.host(Way::Grpc).into()),
            ("annotated_host", self.annotated_host().into()),
            ("settings", self.nginx_settings().into()),
            ("routes", self.routes_text()),
        ]
    }

    fn annotated_host(&self) -> &'static str {
        match self.annotated {
            Annotated::Host => self.kind.host(Way::Plain),
            _ => "annotated.test",
        }
    }

    fn nginx_settings(&self) -> &'static str {
        match self.annotated {
            Annotated::Host => include_str!("../peers/nginx-annotated.conf"),
            _ => "        proxy_set_header Host $host;",
        }
    }

    fn routes_text(&self) -> String {
        let routes = (0..self.routes).map(route);
        match self.kind {
            Kind::Nginx if self.annotated == Annotated::Host => {
                include_str!("../peers/nginx-annotated-location.conf").to_owned()
            }
            Kind::Nginx => routes
                .map(|path| format!("        location {path} {{ proxy_pass http://plain; }}\n"))
                .collect(),
            Kind::Haproxy => routes.map(|path| format!("{path} plain\n")).collect(),
            Kind::Envoy => routes
                .map(|path| {
                    format!(
                        "              - match: {{ prefix: {path} }}\n                route: {{ cluster: plain, timeout: 0s }}\n"
                    )
                })
                .collect(),
            Kind::Pingora => self.routes.to_string(),
            Kind::Edge => routes
                .map(|path| {
                    let backend = "backend: { service: { name: bench, port: { number: 80 } } }";
                    format!("      - {{ path: {path}, pathType: Prefix, {backend} }}\n")
                })
                .collect(),
            Kind::Router => self.rules_text(),
        }
    }

    /// The one route of a Service needs no rule.
    fn rules_text(&self) -> String {
        if self.routes == 1 {
            return String::new();
        }
        let object = |first: usize| {
            let rules = (first..(first + RULES).min(self.routes)).map(|number| {
                format!(
                    "  - name: route-{number}\n    matches: [{{ path: {{ prefix: {} }} }}]\n    \
                     backends: [{{ service: bench, port: 80 }}]\n",
                    route(number)
                )
            });
            let rules: String = rules.collect();
            format!(
                "apiVersion: selvedge.dev/v1alpha1\nkind: RouteRule\n\
                 metadata: {{ name: routes-{first}, namespace: shop }}\n\
                 spec:\n  targets: [{{ service: bench }}]\n  rules:\n{rules}---\n"
            )
        };
        (0..self.routes).step_by(RULES).map(object).collect()
    }
}

/// The prefix of a route; all are of the same length.
fn route(number: usize) -> String {
    format!("/route-{number:05}")
}

impl FromStr for Contestant {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (text, program) = match text.split_once('@') {
            Some((text, program)) => (text, Some(PathBuf::from(program))),
            None => (text, None),
        };
        let (name, routes) = text.split_once(':').unwrap_or((text, "1"));
        let (name, annotated) = match name.split_once('+') {
            None => (name, Annotated::Nobody),
            Some((name, "neighbour")) => (name, Annotated::Neighbour),
            Some((name, "annotated")) => (name, Annotated::Host),
            Some((_, other)) => {
                return Err(format!("{other:?}: what a proxy can have is +neighbour or +annotated"));
            }
        };
        let names = Kind::ALL.map(Kind::name);
        let kind = Kind::ALL.into_iter().find(|kind| kind.name() == name);
        let kind = kind.ok_or_else(|| format!("no proxy {name:?}; there are: {}", names.join(", ")))?;
        let can = match annotated {
            Annotated::Nobody => true,
            Annotated::Neighbour => kind == Kind::Edge,
            Annotated::Host => matches!(kind, Kind::Edge | Kind::Nginx),
        };
        if !can {
            return Err(format!("{name} has no annotations"));
        }
        let routes = routes.parse().ok().filter(|routes| (1..=MOST_ROUTES).contains(routes));
        let routes = routes.ok_or_else(|| format!("routes of {name:?}: a number from 1 to {MOST_ROUTES}"))?;
        if annotated == Annotated::Host && routes > 1 {
            return Err(format!("{name}+annotated has one route"));
        }
        Ok(Self { kind, annotated, routes, program })
    }
}

impl fmt::Display for Contestant {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.kind.name())?;
        formatter.write_str(match self.annotated {
            Annotated::Nobody => "",
            Annotated::Neighbour => "+neighbour",
            Annotated::Host => "+annotated",
        })?;
        if self.routes > 1 {
            write!(formatter, ":{}", self.routes)?;
        }
        match &self.program {
            Some(program) => write!(formatter, "@{}", program.display()),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_contestant_is_read_as_it_is_printed() {
        for text in
            ["nginx", "edge:10000", "router@target/selvedge-router", "edge+neighbour:2@x", "edge+annotated"]
        {
            assert_eq!(text.parse::<Contestant>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_is_no_contestant_is_told() {
        let error = |text: &str| text.parse::<Contestant>().unwrap_err();
        assert_eq!(
            error("apache"),
            "no proxy \"apache\"; there are: nginx, haproxy, envoy, pingora, edge, router"
        );
        assert_eq!(error("edge:0"), "routes of \"edge\": a number from 1 to 100000");
        assert_eq!(error("router+annotated"), "router has no annotations");
        assert_eq!(error("nginx+annotated:2"), "nginx+annotated has one route");
        assert_eq!(error("edge+x"), "\"x\": what a proxy can have is +neighbour or +annotated");
        assert_eq!(error("edge:many"), "routes of \"edge\": a number from 1 to 100000");
    }

    #[test]
    fn the_route_in_the_middle_is_asked_for() {
        let path = |text: &str| text.parse::<Contestant>().unwrap().path(Way::Plain, "1k");
        assert_eq!(path("edge"), "/route-00000/1k");
        assert_eq!(path("edge:10000"), "/route-05000/1k");
    }

    #[test]
    fn every_route_of_the_router_is_in_a_rule() {
        let text = "router:25".parse::<Contestant>().unwrap().routes_text();
        assert_eq!(text.matches("kind: RouteRule").count(), 3);
        assert_eq!(text.matches("prefix: /route-").count(), 25);
        assert_eq!("router".parse::<Contestant>().unwrap().routes_text(), "");
    }
}
