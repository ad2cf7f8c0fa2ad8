//! Weight: what annotations of an Ingress come to, as each of its paths has all of them.

use selvedge_common::{id::ObjectRef, kube::ingress::Ingress, model::Problem};

use super::without_prefix;

/// Most bytes of annotations, counted once for each path under each name of its host. An object may hold 256 KiB of
/// annotations and ten thousand paths, and lists in annotations become part of each of these.
pub(crate) const MOST_BYTES: usize = 64 << 20;

/// Bytes of annotations of ours or of ingress-nginx, once for each path of the Ingress.
pub(crate) fn weight(ingress: &Ingress) -> usize {
    let (bytes, paths) = sides(ingress);
    bytes.saturating_mul(paths)
}

/// What is wrong with an Ingress whose annotations and paths are together more than can be held. Which of its
/// annotations protect it cannot be told apart then, so its paths answer 503.
pub(super) fn problem(ingress: &Ingress, object: &ObjectRef) -> Option<Problem> {
    let (bytes, paths) = sides(ingress);
    (bytes.saturating_mul(paths) > MOST_BYTES).then(|| {
        let message = format!(
            "{bytes} bytes of annotations for each of {paths} paths are more than can be held; shorten lists or spread \
             the paths over several Ingresses; the paths answer 503"
        );
        Problem::error(object, "metadata.annotations", "AnnotationsTooLarge", message)
    })
}

/// Bytes of annotations, and how many paths have them.
fn sides(ingress: &Ingress) -> (usize, usize) {
    // Further names of the host become part of no path.
    let counts = |key: &str| without_prefix(key).is_some_and(|name| name != "server-alias");
    let annotations = ingress.metadata.annotations.iter();
    let bytes = annotations.filter(|(key, _)| counts(key)).map(|(_, value)| value.len()).sum();
    let rules = ingress.spec.as_ref().map(|spec| &*spec.rules).unwrap_or_default();
    let paths = rules.iter().map(|rule| rule.http.as_ref().map_or(1, |http| http.paths.len())).sum::<usize>();
    (bytes, paths.max(1))
}

#[cfg(test)]
mod tests {
    use k8s_openapi::{
        api::networking::v1::{
            self as networking, HTTPIngressPath, HTTPIngressRuleValue, IngressRule, IngressSpec,
        },
        apimachinery::pkg::apis::meta::v1::ObjectMeta,
    };

    use super::*;
    use crate::annotations::Annotations;

    fn ingress(paths: usize, annotations: &[(&str, String)]) -> Ingress {
        let annotations = annotations.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect();
        let paths = vec![HTTPIngressPath::default(); paths];
        let rule = IngressRule { host: None, http: Some(HTTPIngressRuleValue { paths }) };
        let spec = Some(IngressSpec { rules: Some(vec![rule]), ..IngressSpec::default() });
        let metadata = ObjectMeta { annotations: Some(annotations), ..ObjectMeta::default() };
        networking::Ingress { metadata, spec, ..networking::Ingress::default() }.into()
    }

    fn is_closed(ingress: &Ingress) -> bool {
        let (read, problems) = Annotations::read(ingress, true);
        let told = problems.iter().any(|problem| problem.reason == "AnnotationsTooLarge");
        assert_eq!(read.unprotected, told);
        told
    }

    #[test]
    fn a_long_list_for_many_paths_is_not_held_for_each_of_them() {
        let list = ("selvedge.dev/allowlist-source-range", vec!["10.0.0.0/8"; 10_000].join(","));
        assert!(!is_closed(&ingress(500, std::slice::from_ref(&list))));
        assert!(is_closed(&ingress(1000, &[list])));
        let other = ("example.com/notes", "x".repeat(200_000));
        assert!(!is_closed(&ingress(10_000, &[other])), "what is nothing to us weighs nothing");
        let names = ("selvedge.dev/server-alias", "a.test,".repeat(20_000));
        assert!(!is_closed(&ingress(1000, &[names])), "names of a host become part of no path");
    }
}
