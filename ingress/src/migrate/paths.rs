//! Paths: which requests each path of an Ingress answers here, and who answers those that it does not get.

use std::collections::BTreeMap;

use selvedge_common::{
    id::{ObjectRef, RouteSetId},
    kube::{
        host,
        ingress::{Ingress, IngressPath},
    },
    model::{
        BackendTarget, HostMatch, InvalidBackend, PathMatch, Problem, Route, Severity, Shared, Snapshot,
    },
};

use super::{report::Path, shown};
use crate::translate::{ROUTE_SET, ingress_ref};

/// A path as Ingresses write it: host and path.
type Written = (String, String);

/// All paths of all Ingresses of ingress-nginx, to look at each of them.
pub(super) struct Paths<'a> {
    snapshot: &'a Snapshot,
    /// Whether there are Services at all; files often hold none.
    knows_services: bool,
    /// Ingresses that make the paths of a host regular expressions.
    regex: BTreeMap<String, Vec<ObjectRef>>,
    /// Ingresses whose path is answered by another one.
    losers: BTreeMap<Written, Vec<ObjectRef>>,
}

/// One path of an Ingress.
struct Declared<'a> {
    host: String,
    /// Where it stands: `spec.rules[0].http.paths[1]`, and the id of its route.
    field: String,
    id: String,
    path: &'a IngressPath,
}

impl<'a> Paths<'a> {
    /// Over these Ingresses, each with whether it asks for regular expressions and its problems.
    pub(super) fn new(
        (snapshot, knows_services): (&'a Snapshot, bool),
        ingresses: &[(&Ingress, bool, &[&Problem])],
    ) -> Self {
        let mut paths = Self { snapshot, knows_services, regex: BTreeMap::new(), losers: BTreeMap::new() };
        for (ingress, asks, problems) in ingresses {
            let object = ingress_ref(ingress);
            let is_lost = |field: &str| {
                problems.iter().any(|problem| problem.field == field && problem.reason == "PathConflict")
            };
            for declared in declared(ingress) {
                let hosts = paths.regex.entry(declared.host.clone()).or_default();
                if *asks && !hosts.contains(&object) {
                    hosts.push(object.clone());
                }
                if is_lost(&declared.field) {
                    paths.losers.entry(written(&declared)).or_default().push(object.clone());
                }
            }
        }
        paths
    }

    /// What becomes of each path of an Ingress. `problems` are those of the Ingress.
    pub(super) fn of(&self, ingress: &Ingress, problems: &[&Problem]) -> Vec<Path> {
        let object = ingress_ref(ingress);
        let reports = declared(ingress).into_iter().map(|declared| {
            let problem = problems.iter().find(|problem| problem.field.starts_with(&declared.field));
            let routes = self.routes(&declared);
            let route = routes.iter().find(|route| route.id.as_str() == declared.id);
            let answers = match (route, problem) {
                (Some(route), _) => answers(&route.path),
                (None, Some(problem)) => format!("nothing: {}", shown::message(&problem.message)),
                (None, None) => "a share of what the same path of another Ingress gets (canary)".to_owned(),
            };
            let mut notes = Vec::new();
            if let Some(route) = route {
                self.note(&declared, (&object, route, routes), &mut notes);
                notes.extend(self.unanswered(route, problems));
            }
            let (host, path) = written(&declared);
            let path_type = shown::plain(&declared.path.path_type);
            Path { host: shown::plain(&host), path: shown::plain(&path), path_type, answers, notes }
        });
        reports.collect()
    }

    /// The routes of the host of a path.
    fn routes(&self, declared: &Declared<'_>) -> &'a [Shared<Route>] {
        let host = match declared.host.as_str() {
            "*" => Some(HostMatch::Any),
            name => host::parse(name).ok(),
        };
        let set = self.snapshot.route_sets.get(&RouteSetId::new(ROUTE_SET));
        let found = set.zip(host).and_then(|(set, host)| set.hosts.get(&host));
        found.map(|host| host.routes.as_slice()).unwrap_or_default()
    }

    fn note(
        &self,
        declared: &Declared<'_>,
        (object, route, routes): (&ObjectRef, &Route, &[Shared<Route>]),
        notes: &mut Vec<String>,
    ) {
        let asking = self.regex.get(&declared.host).map(Vec::as_slice).unwrap_or_default();
        if matches!(route.path, PathMatch::RegexBegin(_)) && !asking.contains(object) {
            let by = names(asking);
            notes.push(format!(
                "every path of the host is a regular expression, whatever its type, because {by} asks for it"
            ));
        } else if matches!(route.path, PathMatch::RegexBegin(_)) && &*declared.path.path_type == "Exact" {
            notes.push(
                "Exact means nothing here: the path is a regular expression and need only begin so".into(),
            );
        }
        let slash = format!("{}/slash", declared.id);
        if let Some(bare) = routes.iter().find(|route| route.id.as_str() == slash) {
            notes.push(format!("{} is redirected to it (301)", shown::plain(bare.path.text())));
        }
        if let Some(losers) = self.losers.get(&written(declared)) {
            notes.push(format!("{} has the same path; this one comes first and answers", names(losers)));
        }
    }

    /// Why a path answers 503, if it does and that is known: what files do not hold may be there all the same.
    fn unanswered(&self, route: &Route, problems: &[&Problem]) -> Option<String> {
        let is_told = |problem: &&Problem| {
            problem.severity == Severity::Error && problem.field.starts_with("metadata.annotations[")
        };
        let mut invalid = route.backends.iter().filter_map(|backend| match &backend.target {
            BackendTarget::Invalid(invalid) => Some(invalid),
            _ => None,
        });
        let why = match invalid.next()? {
            InvalidBackend::Unprotected if problems.iter().any(is_told) => {
                "what protects it cannot be kept up: see the annotations"
            }
            InvalidBackend::Unprotected => return None,
            _ if self.knows_services => "its backend cannot be found",
            _ => return None,
        };
        Some(format!("it answers 503, because {why}"))
    }
}

/// The paths of an Ingress in order.
fn declared(ingress: &Ingress) -> Vec<Declared<'_>> {
    let object = ingress_ref(ingress);
    let rules = ingress.spec.iter().flat_map(|spec| &spec.rules).enumerate();
    let paths = rules.flat_map(|(index, rule)| {
        let host = rule.host.as_deref().filter(|host| !host.is_empty()).unwrap_or("*").to_ascii_lowercase();
        let paths = rule.http.iter().flat_map(|http| &http.paths).enumerate();
        let id = format!("{}/{}/{index}", object.namespace, object.name);
        paths.map(move |(at, path)| Declared {
            host: host.clone(),
            field: format!("spec.rules[{index}].http.paths[{at}]"),
            id: format!("{id}/{at}"),
            path,
        })
    });
    paths.collect()
}

fn written(declared: &Declared<'_>) -> Written {
    let path = declared.path.path.as_deref().filter(|path| !path.is_empty()).unwrap_or("/");
    (declared.host.clone(), path.to_owned())
}

fn answers(path: &PathMatch) -> String {
    let text = shown::plain(path.text());
    match path {
        PathMatch::Exact(_) => format!("{text} alone"),
        PathMatch::Prefix(prefix) if &**prefix == "/" => "everything".into(),
        PathMatch::Prefix(_) => format!("{} and everything below", text.trim_end_matches('/')),
        PathMatch::Regex(_) => format!("what is {text} as a regular expression"),
        PathMatch::RegexBegin(_) => {
            format!("what begins with {text} as a regular expression, in small letters or capitals")
        }
    }
}

fn names(objects: &[ObjectRef]) -> String {
    let names: Vec<_> = objects.iter().map(|object| shown::plain(&object.to_string())).collect();
    names.join(", ")
}
