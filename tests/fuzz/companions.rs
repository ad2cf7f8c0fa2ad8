//! Companions: what an annotation needs beside itself, so that its own effect can be seen.

use selvedge_ingress::annotations::{GROUPS, Key};

use crate::scene::{self, Pairs, Scene, whole};

/// Beginnings of names, with what belongs to them.
type Together = [(&'static str, &'static [(&'static str, &'static str)])];

/// Annotations, by the beginning of their names, that say something only together with others. The first that fits
/// counts.
const TOGETHER: &Together = &[
    ("affinity-canary-behavior", &[("affinity", "cookie")]),
    ("affinity-mode", &[("affinity", "cookie")]),
    ("session-cookie-", &[("affinity", "cookie")]),
    ("canary-by-header-", &[("canary", "true"), ("canary-by-header", "X-Canary")]),
    ("canary-weight-total", &[("canary", "true"), ("canary-weight", "10")]),
    ("canary-", &[("canary", "true")]),
    ("permanent-redirect-code", &[("permanent-redirect", "https://x.test/")]),
    ("temporal-redirect-code", &[("temporal-redirect", "https://x.test/")]),
    ("relative-redirects", &[("permanent-redirect", "/x")]),
    ("use-port-in-redirects", &[("permanent-redirect", "/x")]),
    ("proxy-redirect-from", &[("proxy-redirect-to", "https://x.test/")]),
    ("proxy-redirect-to", &[("proxy-redirect-from", "http://shop.internal/")]),
    ("force-ssl-redirect", &[("ssl-redirect", "false")]),
    ("preserve-trailing-slash", &[("force-ssl-redirect", "true")]),
    ("auth-tls-secret", &[]),
    ("auth-tls-", &[("auth-tls-secret", "default/ca")]),
    ("auth-type", &[("auth-secret", "users")]),
    ("auth-secret-type", &[("auth-type", "basic"), ("auth-secret", "users")]),
    ("auth-secret", &[("auth-type", "basic")]),
    ("auth-realm", &[("auth-type", "basic"), ("auth-secret", "users")]),
    (
        "satisfy",
        &[("auth-type", "basic"), ("auth-secret", "users"), ("allowlist-source-range", "10.0.0.0/8")],
    ),
    ("auth-url", &[]),
    ("auth-cache-duration", &[("auth-url", AUTH), ("auth-cache-key", "$remote_addr")]),
    ("auth-signin-redirect-param", &[("auth-url", AUTH), ("auth-signin", "https://x.test/in")]),
    ("auth-", &[("auth-url", AUTH)]),
    ("proxy-ssl-secret", &[("backend-protocol", "HTTPS")]),
    (
        "proxy-ssl-name",
        &[("backend-protocol", "HTTPS"), ("proxy-ssl-secret", "default/ca"), ("proxy-ssl-server-name", "on")],
    ),
    (
        "proxy-ssl-server-name",
        &[("backend-protocol", "HTTPS"), ("proxy-ssl-secret", "default/ca"), ("proxy-ssl-name", "x.test")],
    ),
    ("proxy-ssl-", &[("backend-protocol", "HTTPS"), ("proxy-ssl-secret", "default/ca")]),
    ("enable-cors", &[]),
    ("cors-", &[("enable-cors", "true")]),
    ("limit-burst-multiplier", &[("limit-rps", "10")]),
    ("limit-allowlist", &[("limit-rps", "10")]),
    ("limit-rate-after", &[("limit-rate", "10")]),
    ("custom-http-errors", &[("default-backend", "errors")]),
    ("disable-proxy-intercept-errors", &[("default-backend", "errors"), ("custom-http-errors", "503")]),
    ("upstream-hash-by-", &[("upstream-hash-by", "$request_uri")]),
    ("mirror-request-body", &[("mirror-target", "https://x.test")]),
    ("mirror-host", &[("mirror-target", "https://x.test")]),
];

/// Annotations that change what a global setting says.
const GLOBALS: &Together = &[("enable-global-auth", &[("global-auth-url", AUTH)])];

/// A service that is asked.
const AUTH: &str = "http://auth.default.svc.cluster.local/check";

/// Every annotation that is declared.
pub fn keys() -> Vec<&'static Key> {
    GROUPS.iter().flat_map(|group| group.keys).collect()
}

/// A scene with all that an annotation needs, but without it, in a class of ours, unless that has no such thing, or in an
/// adopted one.
pub fn scene(key: &Key, is_ours: bool) -> Scene {
    let settings = of(GLOBALS, key);
    let annotations = of(TOGETHER, key).into_iter().map(|(name, value)| (whole(&name, is_ours), value));
    let is_ours = is_ours && settings.is_empty();
    let mut annotations: Pairs = annotations.collect();
    let (open, value) = scene::open();
    // What is said of it beside the annotation counts, and what it does by itself can be seen.
    if !is_ours && key.name != "ssl-redirect" && !annotations.iter().any(|(name, _)| *name == open) {
        annotations.push((open, value));
    }
    Scene { annotations, settings, is_ours, ..Scene::default() }
}

fn of(list: &Together, key: &Key) -> Pairs {
    let found = list.iter().find(|(begin, _)| key.name.starts_with(begin));
    let pairs = found.map(|(_, pairs)| *pairs).unwrap_or_default();
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// The same with an annotation.
pub fn with(scene: &Scene, whole: String, value: &str) -> Scene {
    let mut scene = scene.clone();
    scene.annotations.push((whole, value.to_owned()));
    scene
}
