//! Questions: the requests that Ingresses are for.

use std::collections::{BTreeMap, BTreeSet};

use selvedge_common::kube::ingress::{Ingress, IngressRule};

use crate::translate::hosts_beside_rules;

/// What stands for anything: a label in place of `*`, and an element below a path.
const ANY: &str = "selvedge-compare";
/// The host of requests that any host may have; no Ingress names it.
const ANY_HOST: &str = "selvedge-compare.invalid";

/// A request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Question {
    pub host: String,
    pub path: String,
    pub is_tls: bool,
    pub method: String,
}

impl Question {
    /// Its URL.
    pub(super) fn url(&self) -> String {
        let scheme = if self.is_tls { "https" } else { "http" };
        format!("{scheme}://{}{}", self.host, self.path)
    }
}

/// Hosts and paths to ask for, each with whether it is written so.
type Paths = BTreeMap<(String, String), bool>;

/// The requests that tell whether what Ingresses say holds, each once. Those that say most come first: each path as it is
/// written, then its other forms, by the first method alone, then the other methods.
pub(super) fn questions(ingresses: &[&Ingress], methods: &[String]) -> Vec<Question> {
    let mut tls = BTreeSet::new();
    let mut paths = Paths::from([((ANY_HOST.to_owned(), "/".to_owned()), false)]);
    for ingress in ingresses {
        let Some(spec) = &ingress.spec else { continue };
        let listed = spec.tls.iter().flat_map(|tls| &tls.hosts);
        tls.extend(listed.map(|host| name(Some(&**host))));
        let beside: Vec<_> =
            hosts_beside_rules(ingress).iter().map(|host| name(Some(&host.to_string()))).collect();
        for rule in &spec.rules {
            for host in std::iter::once(name(rule.host.as_deref())).chain(beside.iter().cloned()) {
                add_paths(rule, &host, &mut paths);
                // ingress-nginx: any `spec.tls` concerns all hosts of its Ingress.
                if !spec.tls.is_empty() {
                    tls.insert(host);
                }
            }
        }
    }
    let mut questions = Vec::new();
    for ((host, path), is_written) in paths {
        let methods = if is_written { methods } else { &methods[..methods.len().min(1)] };
        for is_tls in [false, true].into_iter().filter(|is_tls| !is_tls || tls.contains(&host)) {
            questions.extend(methods.iter().enumerate().map(|(place, method)| {
                let (host, path, method) = (host.clone(), path.clone(), method.clone());
                ((place > 0, !is_written), Question { host, path, is_tls, method })
            }));
        }
    }
    // Sorting keeps the order by host and path where the rank is equal.
    questions.sort_by_key(|(rank, _)| *rank);
    questions.into_iter().map(|(_, question)| question).collect()
}

/// Adds the paths of a rule in all their forms, and those of the root.
fn add_paths(rule: &IngressRule, host: &str, paths: &mut Paths) {
    for path in rule.http.iter().flat_map(|http| &http.paths) {
        for (place, form) in forms(path.path.as_deref().unwrap_or("/")).into_iter().enumerate() {
            *paths.entry((host.to_owned(), form)).or_default() |= place == 0;
        }
    }
    for form in forms("/") {
        paths.entry((host.to_owned(), form)).or_default();
    }
}

/// A name that the host of a rule matches.
fn name(host: Option<&str>) -> String {
    match host.unwrap_or_default() {
        "" => ANY_HOST.to_owned(),
        host => host.replacen('*', ANY, 1).to_ascii_lowercase(),
    }
}

/// The requests for a path: itself, without and with a slash at its end, and one below it.
fn forms(path: &str) -> Vec<String> {
    let plain = escaped(literal(path));
    let bare = plain.trim_end_matches('/');
    let below = format!("{bare}/{ANY}");
    let itself = if plain.starts_with('/') { plain.clone() } else { format!("/{plain}") };
    let bare = if bare.is_empty() { "/".to_owned() } else { bare.to_owned() };
    let mut forms = vec![itself, bare.clone(), format!("{}/", bare.trim_end_matches('/')), below];
    forms.retain(|form| form.starts_with('/'));
    forms.dedup();
    forms
}

/// The begin of a path that holds no sign of a regular expression.
fn literal(path: &str) -> &str {
    let signs = ['(', '[', '*', '+', '?', '|', '^', '$', '\\', '{'];
    let Some(end) = path.find(signs) else { return path };
    // What may be there any number of times need not be there.
    let optional = path[end..].starts_with(['*', '?', '{']);
    let begin = &path[..end];
    match begin.char_indices().next_back() {
        Some((last, _)) if optional => &begin[..last],
        _ => begin,
    }
}

/// The same as a target of requests may hold it.
fn escaped(path: &str) -> String {
    let mut escaped = String::with_capacity(path.len());
    for byte in path.bytes() {
        match byte {
            b'!' | b'$'..=b'>' | b'@'..=b'Z' | b'_' | b'a'..=b'z' | b'~' => escaped.push(char::from(byte)),
            other => escaped.push_str(&format!("%{other:02X}")),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::networking::v1 as networking;
    use serde_json::json;

    use super::*;

    #[test]
    fn forms_of_paths() {
        let table: [(&str, &[&str]); 7] = [
            ("/", &["/", "/selvedge-compare"]),
            ("/a", &["/a", "/a/", "/a/selvedge-compare"]),
            ("/a/", &["/a/", "/a", "/a/selvedge-compare"]),
            ("/api(/|$)(.*)", &["/api", "/api/", "/api/selvedge-compare"]),
            ("/ab*c", &["/a", "/a/", "/a/selvedge-compare"]),
            ("/é b", &["/%C3%A9%20b", "/%C3%A9%20b/", "/%C3%A9%20b/selvedge-compare"]),
            ("", &["/", "/selvedge-compare"]),
        ];
        for (path, want) in table {
            let got: BTreeSet<_> = forms(path).into_iter().collect();
            assert_eq!(got, want.iter().map(|form| (*form).to_owned()).collect(), "{path:?}");
        }
    }

    #[test]
    fn each_request_is_asked_once_and_over_tls_where_the_host_has_it() {
        let rule = |host: &str, path: &str| {
            let backend = json!({"service": {"name": "a", "port": {"number": 80}}});
            json!({"host": host, "http": {"paths": [{"path": path, "pathType": "Prefix", "backend": backend}]}})
        };
        let spec =
            json!({"rules": [rule("A.test", "/"), rule("*.b.test", "/x")], "tls": [{"hosts": ["c.test"]}]});
        let one: networking::Ingress = serde_json::from_value(json!({"metadata": {}, "spec": spec})).unwrap();
        let one = Ingress::from(one);
        let spec = json!({"rules": [rule("a.test", "/")]});
        let other: networking::Ingress =
            serde_json::from_value(json!({"metadata": {}, "spec": spec})).unwrap();
        let other = Ingress::from(other);
        let asked = questions(&[&one, &other], &["GET".to_owned()]);
        let urls: Vec<_> = asked.iter().map(Question::url).collect();
        let distinct: BTreeSet<_> = urls.iter().collect();
        assert_eq!(distinct.len(), urls.len());
        let has = |url: &str| urls.iter().any(|asked| asked == url);
        assert!(has("http://a.test/") && has("https://a.test/selvedge-compare"), "{urls:?}");
        assert!(has("https://selvedge-compare.b.test/x/") && !has("https://c.test/"), "{urls:?}");
        assert_eq!(urls.len(), 2 * (2 + 5) + 1, "{urls:?}");
        let written: BTreeSet<_> = urls.iter().take(4).map(String::as_str).collect();
        let want = [
            "http://a.test/",
            "https://a.test/",
            "http://selvedge-compare.b.test/x",
            "https://selvedge-compare.b.test/x",
        ];
        assert_eq!(written, BTreeSet::from(want));
        let both = questions(&[&one, &other], &["GET".to_owned(), "HEAD".to_owned()]);
        let last = &both[urls.len()..];
        assert!(last.len() == 4 && last.iter().all(|question| question.method == "HEAD"), "{both:?}");
    }
    #[test]
    fn other_names_of_a_host_are_asked_for_as_well() {
        let nginx = "nginx.ingress.kubernetes.io";
        let annotations = json!({
            format!("{nginx}/server-alias"): "b.test, *.c.test",
            format!("{nginx}/from-to-www-redirect"): "true",
        });
        let backend = json!({"service": {"name": "a", "port": {"number": 80}}});
        let rule = json!({"host": "a.test", "http": {"paths": [{"pathType": "Prefix", "backend": backend}]}});
        let spec = json!({"tls": [{"secretName": "s"}], "rules": [rule]});
        let ingress: networking::Ingress =
            serde_json::from_value(json!({"metadata": {"annotations": annotations}, "spec": spec})).unwrap();
        let asked = questions(&[&Ingress::from(ingress)], &["GET".to_owned()]);
        let hosts: BTreeSet<_> = asked
            .iter()
            .filter(|question| question.is_tls)
            .map(|question| (question.host.as_str(), question.path.as_str()))
            .collect();
        for host in ["a.test", "www.a.test", "b.test", "selvedge-compare.c.test"] {
            assert!(hosts.contains(&(host, "/")), "{host}: {hosts:?}");
        }
    }
}
