//! `migrate`: what becomes of the objects of ingress-nginx, and how the answers of two controllers differ.

mod building;
pub mod compare;
mod html;
mod json;
mod maps;
mod paths;
pub mod report;
mod settings;
mod shown;
mod subjects;
mod text;
mod verdicts;

use std::{collections::BTreeSet, io::Write, net::SocketAddr, process::ExitCode};

use k8s_openapi::{api::networking::v1 as networking, apimachinery::pkg::apis::meta::v1::ObjectMeta};
use selvedge_common::{
    id::RouteSetId,
    kube::objects::{Object, ObjectEvent},
    model::{Listener, ListenerProtocol},
    program::gathering::{self, Unread},
};

pub use compare::Place;
use report::Report;

use crate::{
    args::{CheckedArgs, MigrateArgs, ReportFormat},
    class,
    settings::Settings,
    translate::{Edge, ROUTE_SET},
};

/// How `migrate` ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing must be changed before.
    Ready,
    /// Something must be.
    ChangeBefore,
    /// Something could not be read, so nobody knows.
    Unread,
}

impl From<Outcome> for ExitCode {
    fn from(outcome: Outcome) -> Self {
        ExitCode::from(match outcome {
            Outcome::Ready => 0,
            Outcome::ChangeBefore => 1,
            Outcome::Unread => 2,
        })
    }
}

/// Prints the report that the flags ask for.
///
/// # Errors
/// The objects cannot be read, or one of two controllers to compare cannot be reached.
pub async fn run(args: &MigrateArgs, output: &mut dyn Write) -> anyhow::Result<Outcome> {
    let report = report(args).await?;
    match args.format {
        ReportFormat::Text => text::print(&report, output)?,
        ReportFormat::Json => json::print(&report, output)?,
        ReportFormat::Html => output.write_all(html::page(&report).as_bytes())?,
    }
    Ok(match (report.is_unread(), report.needs_change()) {
        (true, _) => Outcome::Unread,
        (_, true) => Outcome::ChangeBefore,
        _ => Outcome::Ready,
    })
}

/// The same as data.
///
/// # Errors
/// As for [`run`].
pub async fn report(args: &MigrateArgs) -> anyhow::Result<Report> {
    let CheckedArgs { paths, cluster, .. } = &args.checked;
    let checked = CheckedArgs { cluster: *cluster || paths.is_empty(), ..args.checked.clone() };
    let mut settings = Settings {
        adopt_ingress_nginx: true,
        listeners: [("http".into(), listener())].into(),
        ..args.class.settings(&checked.namespace)
    };
    let mut read = gathering::read(&Edge::new(settings.clone()), &checked, args.class.secrets()).await?;
    if !checked.cluster {
        suppose_classes(&settings, &mut read);
    }
    maps::find(&mut settings, &mut read);
    let gathered = gathering::translate(Edge::new(settings), read);
    let mut report = building::build(&gathered);
    if let [a, b] = args.compare.compare.as_slice() {
        let ingresses = building::adopted(&gathered);
        let comparison = compare::compare((a, b), &ingresses, &args.compare).await?;
        report.summary.result += &format!(" {}", comparison.result());
        report.comparison = Some(comparison);
    }
    Ok(report)
}

/// What ports of TCP are made after; it is not listened at.
fn listener() -> Listener {
    let address = SocketAddr::from(([0, 0, 0, 0], 8080));
    Listener::new(address, ListenerProtocol::Http, RouteSetId::new(ROUTE_SET))
}

/// Files often hold Ingresses without their class. One that is named there, or is `nginx`, is taken for one of
/// ingress-nginx.
fn suppose_classes(settings: &Settings, read: &mut gathering::Read) {
    let named = &settings.class_names;
    let (mut there, mut wanted) = (BTreeSet::new(), BTreeSet::new());
    for event in &read.events {
        match event {
            ObjectEvent::Applied(Object::IngressClass(class)) => {
                there.extend(class.metadata.name.clone());
            }
            ObjectEvent::Applied(Object::Ingress(ingress)) => {
                wanted.extend(class::named(ingress).map(str::to_owned));
            }
            _ => {}
        }
    }
    let is_supposed = |name: &String| match named.is_empty() {
        true => name == class::NGINX_CLASS,
        false => named.contains(name),
    };
    for name in wanted.difference(&there).filter(|name| is_supposed(name)) {
        let usual = class::NGINX_CONTROLLER.to_owned();
        let controller = Some(settings.nginx_controllers.first().cloned().unwrap_or(usual));
        let spec = networking::IngressClassSpec { controller, ..Default::default() };
        let metadata = ObjectMeta { name: Some(name.clone()), ..ObjectMeta::default() };
        let class = networking::IngressClass { metadata, spec: Some(spec) };
        read.events.push(ObjectEvent::Applied(Object::from(class)));
        let message =
            format!("IngressClass {name} is not in the files; it is taken for one of ingress-nginx");
        read.unread.push(Unread::Notice(message));
    }
}
