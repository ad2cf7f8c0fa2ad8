//! Tests of the list: every annotation of ingress-nginx has a verdict, and what has none is told.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::{api::networking::v1 as networking, apimachinery::pkg::apis::meta::v1::ObjectMeta};
use selvedge_common::model::{Problem, Severity};

use super::*;

fn ingress(annotations: &[(&str, &str)]) -> Ingress {
    let annotations: BTreeMap<_, _> =
        annotations.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    let name = Some("shop".to_owned());
    let metadata = ObjectMeta { name, annotations: Some(annotations), ..ObjectMeta::default() };
    networking::Ingress { metadata, ..networking::Ingress::default() }.into()
}

fn read(annotations: &[(&str, &str)]) -> (Annotations, Vec<Problem>) {
    Annotations::read(&ingress(annotations), true)
}

fn reasons(problems: &[Problem]) -> Vec<&str> {
    problems.iter().map(|problem| problem.reason.as_str()).collect()
}

/// The annotations of ingress-nginx 1.15.1, some of the same kind in a line.
const NGINX: &str = "rewrite-target use-regex app-root ssl-redirect force-ssl-redirect preserve-trailing-slash \
    permanent-redirect permanent-redirect-code temporal-redirect temporal-redirect-code from-to-www-redirect \
    relative-redirects use-port-in-redirects proxy-redirect-from proxy-redirect-to x-forwarded-prefix server-alias \
    upstream-vhost proxy-connect-timeout proxy-send-timeout proxy-read-timeout proxy-next-upstream \
    proxy-next-upstream-timeout proxy-next-upstream-tries proxy-body-size proxy-request-buffering proxy-buffering \
    client-body-buffer-size proxy-buffer-size proxy-buffers-number proxy-busy-buffers-size proxy-max-temp-file-size \
    proxy-http-version connection-proxy-header http2-push-preload backend-protocol service-upstream load-balance \
    upstream-hash-by upstream-hash-by-subset upstream-hash-by-subset-size default-backend custom-http-errors \
    disable-proxy-intercept-errors fastcgi-index fastcgi-params-configmap affinity affinity-mode \
    affinity-canary-behavior session-cookie-name session-cookie-path session-cookie-domain session-cookie-samesite \
    session-cookie-conditional-samesite-none session-cookie-secure session-cookie-max-age session-cookie-expires \
    session-cookie-change-on-failure canary canary-weight canary-weight-total canary-by-header canary-by-header-value \
    canary-by-header-pattern canary-by-cookie auth-type auth-secret auth-secret-type auth-realm auth-url auth-method \
    auth-signin auth-signin-redirect-param auth-response-headers auth-request-redirect auth-proxy-set-headers \
    auth-cache-key auth-cache-duration auth-always-set-cookie auth-keepalive auth-keepalive-share-vars \
    auth-keepalive-requests auth-keepalive-timeout auth-snippet enable-global-auth satisfy auth-tls-secret \
    auth-tls-verify-client auth-tls-verify-depth auth-tls-error-page auth-tls-pass-certificate-to-upstream \
    auth-tls-match-cn ssl-passthrough ssl-ciphers ssl-prefer-server-ciphers proxy-ssl-secret proxy-ssl-verify \
    proxy-ssl-verify-depth proxy-ssl-name proxy-ssl-server-name proxy-ssl-protocols proxy-ssl-ciphers enable-cors \
    cors-allow-origin cors-allow-methods cors-allow-headers cors-expose-headers cors-allow-credentials cors-max-age \
    allowlist-source-range denylist-source-range limit-rps limit-rpm limit-connections limit-burst-multiplier \
    limit-rate limit-rate-after limit-allowlist custom-headers proxy-cookie-domain proxy-cookie-path mirror-target \
    mirror-request-body mirror-host enable-access-log enable-rewrite-log enable-opentelemetry \
    opentelemetry-trust-incoming-span opentelemetry-operation-name enable-modsecurity enable-owasp-core-rules \
    modsecurity-transaction-id modsecurity-snippet configuration-snippet server-snippet stream-snippet";

#[test]
fn every_annotation_of_ingress_nginx_is_declared_and_no_other() {
    let known: BTreeSet<_> = NGINX.split_ascii_whitespace().collect();
    assert_eq!(known.len(), 136);
    let declared: BTreeSet<_> = all_keys().filter(|key| !key.own).map(|key| key.name).collect();
    assert_eq!(declared, known);
}

#[test]
fn every_annotation_has_its_verdict_under_both_prefixes_and_all_of_its_names() {
    for key in all_keys() {
        let example = key.example.trim_matches('`');
        let wanted: Vec<_> = key.reason().into_iter().collect();
        for prefix in [PREFIX, NGINX_PREFIX].into_iter().take(if key.own { 1 } else { 2 }) {
            for name in key.names() {
                // What it is about must be there, or there is more to say.
                let others: &[(&str, &str)] = match key.name {
                    "proxy-ssl-verify" => &[("selvedge.dev/proxy-ssl-secret", "shop")],
                    "auth-type" => &[("selvedge.dev/auth-secret", "users")],
                    "auth-secret" => &[("selvedge.dev/auth-type", "basic")],
                    "custom-http-errors" => &[("selvedge.dev/default-backend", "errors")],
                    "x-forwarded-prefix" => &[("selvedge.dev/rewrite-target", "/$1")],
                    _ => &[],
                };
                let whole = format!("{prefix}{name}");
                let all: Vec<_> = std::iter::once((&*whole, example)).chain(others.iter().copied()).collect();
                let (_, problems) = read(&all);
                assert_eq!(reasons(&problems), wanted, "{whole}: {example}: {problems:?}");
                let told = problems.iter().all(|problem| problem.field.contains(&*whole));
                assert!(told, "{whole}: {problems:?}");
            }
        }
    }
}

#[test]
fn what_nobody_wants_of_an_annotation_is_worth_no_word() {
    for key in all_keys().filter(|key| !key.default.is_empty() && key.name != "proxy-ssl-protocols") {
        let whole = format!("{PREFIX}{}", key.name);
        let default = key.default.trim_matches('`');
        let (annotations, problems) = read(&[(&whole, default)]);
        assert!(problems.is_empty() && !annotations.unprotected, "{whole}: {default}: {problems:?}");
    }
}

#[test]
fn a_value_of_the_wrong_form_is_told_and_closes_what_it_should_protect() {
    for key in all_keys() {
        let whole = format!("{NGINX_PREFIX}{}", key.name);
        let (annotations, problems) = read(&[(&whole, "\u{1}; (")]);
        if key.own || key.form == "text" {
            continue;
        }
        assert_eq!(problems.first().map(|problem| &*problem.reason), Some("InvalidAnnotation"), "{whole}");
        assert!(
            problems[0].message.contains(key.form) || key.name == "server-alias",
            "{}",
            problems[0].message
        );
        assert_eq!(annotations.unprotected, key.protects, "{whole}");
    }
}

#[test]
fn what_was_removed_or_never_there_leads_to_the_right_one() {
    for former in FORMER {
        let whole = format!("{NGINX_PREFIX}{}", former.name.replace('*', "-zone"));
        let (_, problems) = read(&[(&whole, "true")]);
        assert_eq!(reasons(&problems), ["UnknownAnnotation"], "{whole}");
        assert!(problems[0].message.contains(former.instead), "{}", problems[0].message);
        assert!(all_keys().flat_map(Key::names).all(|name| name != former.name), "{whole} is declared");
    }
}

#[test]
fn unknown_names_are_told_with_the_nearest_one() {
    for (whole, wanted) in [
        ("nginx.ingress.kubernetes.io/rewrite-taget", "did you mean \"rewrite-target\"?"),
        ("nginx.ingress.kubernetes.io/Rewrite-Target", "did you mean \"rewrite-target\"?"),
        ("nginx.ingress.kubernetes.io/whitelist-source-rang", "did you mean \"whitelist-source-range\"?"),
        ("selvedge.dev/ssl-redirekt", "did you mean \"ssl-redirect\"?"),
        ("nginx.ingress.kubernetes.io/via", "use selvedge.dev/via"),
        ("nginx.ingress.kubernetes.io/no-such-thing-at-all", "there is no such annotation;"),
    ] {
        let (_, problems) = read(&[(whole, "x")]);
        assert_eq!(reasons(&problems), ["UnknownAnnotation"], "{whole}");
        assert!(problems[0].message.contains(wanted), "{}", problems[0].message);
    }
    assert_eq!(read(&[("ingress.kubernetes.io/rewrite-target", "/")]).1, []);
}

#[test]
fn ours_counts_where_both_prefixes_say_something() {
    let both = [
        ("nginx.ingress.kubernetes.io/force-ssl-redirect", "true"),
        ("selvedge.dev/force-ssl-redirect", "false"),
    ];
    let (annotations, problems) = read(&both);
    assert_eq!(annotations.redirect.force_ssl_redirect, Some(false));
    assert_eq!(reasons(&problems), ["DuplicateAnnotation"]);
    assert_eq!(problems[0].field, "metadata.annotations[nginx.ingress.kubernetes.io/force-ssl-redirect]");
    // In a class of ours the other one is nothing but told.
    let (annotations, problems) = Annotations::read(&ingress(&both), false);
    assert_eq!(annotations.redirect.force_ssl_redirect, Some(false));
    assert_eq!(reasons(&problems), ["AnnotationNotSupported"]);
}

#[test]
fn the_newer_name_comes_before_the_older_one() {
    let (annotations, problems) = read(&[
        ("nginx.ingress.kubernetes.io/whitelist-source-range", "192.0.2.0/24"),
        ("nginx.ingress.kubernetes.io/allowlist-source-range", "10.0.0.0/8"),
    ]);
    let allowed = annotations.access.allow.unwrap();
    assert_eq!(allowed.0.iter().map(ToString::to_string).collect::<Vec<_>>(), ["10.0.0.0/8"]);
    assert!(reasons(&problems).contains(&"DuplicateAnnotation"));
}

#[test]
fn an_empty_value_is_as_none_and_told() {
    let (annotations, problems) = read(&[("nginx.ingress.kubernetes.io/whitelist-source-range", "")]);
    assert_eq!(reasons(&problems), ["EmptyAnnotation"]);
    assert_eq!(problems[0].severity, Severity::Warning);
    assert!(!annotations.unprotected && annotations.access.allow.is_none());
}

#[test]
fn a_secret_is_without_its_type_only_where_there_is_none() {
    for (kind, reason, closed) in [
        (Some("Bearer"), "InvalidAnnotation", true),
        (Some("basic"), "", false),
        (None, "IncompleteAnnotations", false),
    ] {
        let secret = ("nginx.ingress.kubernetes.io/auth-secret", "users");
        let kind = kind.map(|kind| ("nginx.ingress.kubernetes.io/auth-type", kind));
        let all: Vec<_> = kind.into_iter().chain([secret]).collect();
        let (annotations, problems) = read(&all);
        assert_eq!(reasons(&problems).join(" "), reason, "{kind:?}");
        assert_eq!(annotations.unprotected, closed, "{kind:?}");
    }
}

#[test]
fn a_snippet_that_keeps_somebody_out_closes_its_paths() {
    for (text, closed) in
        [("add_header X-A b;", false), ("deny all;", true), ("if ($x) { return 403; }", true)]
    {
        let (annotations, problems) = read(&[("nginx.ingress.kubernetes.io/configuration-snippet", text)]);
        assert_eq!(annotations.unprotected, closed, "{text}");
        assert!(reasons(&problems).contains(&"AnnotationRefused"), "{text}");
    }
}

#[test]
fn the_written_table_is_the_one_in_the_code() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/ANNOTATIONS.md");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(path, markdown()).unwrap();
    }
    assert_eq!(std::fs::read_to_string(path).unwrap(), markdown());
}

#[test]
fn no_annotation_is_declared_twice() {
    let mut keys: Vec<_> = all_keys().flat_map(Key::names).collect();
    keys.sort();
    let count = keys.len();
    keys.dedup();
    assert_eq!(keys.len(), count);
}

#[test]
fn every_behaviour_is_listed() {
    assert_eq!(BEHAVIOURS.len(), 39);
}
