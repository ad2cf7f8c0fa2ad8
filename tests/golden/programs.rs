//! Programs: which one a case is for, and what its flags set.

use clap::Parser;
use selvedge_common::{
    id::ListenerName,
    model::{Collector, ListenerProtocol, OtlpProtocol, Tracing},
};
use selvedge_ingress::{settings::Settings, translate::Edge};
use selvedge_router::{
    args::{Arguments, Command},
    translate::Tier,
};
use selvedge_tests::proxy::listener;

/// The program that a case is for, with its settings.
pub enum Program {
    /// `selvedge-ingress`.
    Edge(Box<Edge>),
    /// `selvedge-router`.
    Router(Box<Tier>),
}

/// Reads the comments of a case.
///
/// # Errors
/// A program or a flag that is not known.
pub fn read(text: &str) -> Result<Program, String> {
    let comment = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    let flags = comment("# flags: ").unwrap_or_default();
    match comment("# program: ") {
        None => Ok(Program::Edge(Box::new(Edge::new(edge(flags)?)))),
        Some("router") => Ok(Program::Router(Box::new(router(flags)?))),
        Some(other) => Err(format!("unknown program {other}")),
    }
}

fn router(flags: &str) -> Result<Tier, String> {
    let words = ["selvedge-router", "run"].into_iter().chain(flags.split_whitespace());
    match Arguments::try_parse_from(words).map_err(|error| error.to_string())?.command {
        Command::Run(args) => Ok(Tier::new(args.settings())),
        Command::Check(_) | Command::Graph(_) => Err("not the command run".into()),
    }
}

fn edge(flags: &str) -> Result<Settings, String> {
    let mut settings = Settings {
        listeners: [("http", ListenerProtocol::Http), ("https", ListenerProtocol::Https)]
            .map(|(name, protocol)| (ListenerName::new(name), listener(protocol)))
            .into(),
        ..Settings::default()
    };
    let mut words = flags.split_whitespace();
    while let Some(flag) = words.next() {
        let mut value = || words.next().ok_or_else(|| format!("{flag} needs a value")).map(str::to_owned);
        match flag {
            "--ingress-class" => settings.class_names.push(value()?),
            "--namespace" => settings.namespaces.push(value()?),
            "--default-certificate" => settings.default_certificate = Some(value()?.parse()?),
            "--router" => settings.router = value()?.parse()?,
            "--nginx-configmap" => settings.nginx_configmap = Some(value()?.parse()?),
            "--tcp-services-configmap" => settings.tcp_services = Some(value()?.parse()?),
            "--udp-services-configmap" => settings.udp_services = Some(value()?.parse()?),
            "--adopt-ingress-nginx" => settings.adopt_ingress_nginx = true,
            "--nginx-controller-class" => settings.nginx_controllers.push(value()?),
            "--otlp-endpoint" => {
                let collector = Collector::of_url(OtlpProtocol::Grpc, &value()?)?;
                settings.tracing = Some(Tracing::new(collector, "edge"));
            }
            "--watch-ingress-without-class" => settings.watch_ingress_without_class = true,
            other => return Err(format!("unknown flag {other}")),
        }
    }
    Ok(settings)
}
