//! Tests of the list: every setting of ingress-nginx has a verdict, and what has none is told.

use std::collections::BTreeSet;

use selvedge_common::{
    id::ObjectRef,
    model::{Listener, ListenerProtocol, Severity, TcpRoute},
};

use super::*;

fn read(data: &[(&str, &str)]) -> (Globals, Vec<Problem>) {
    let data = data.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    let object = ObjectRef::new("ConfigMap", "ingress-nginx", "controller");
    Globals::read(Source::ConfigMap(&object), &data, true)
}

fn reasons(problems: &[Problem]) -> Vec<&str> {
    problems.iter().map(|problem| problem.reason.as_str()).collect()
}

/// The settings that ingress-nginx 1.15.1 documents.
const DOCUMENTED: &str = "access-log-params access-log-path add-headers allow-backend-server-header allow-cross-namespace-resources \
    allow-snippet-annotations annotation-value-word-blocklist annotations-risk-level bind-address block-cidrs \
    block-referers block-user-agents brotli-level brotli-min-length brotli-types client-body-buffer-size \
    client-body-timeout client-header-buffer-size client-header-timeout compute-full-forwarded-for \
    custom-http-errors debug-connections default-type denylist-source-range disable-access-log disable-ipv6 \
    disable-ipv6-dns enable-access-log-for-default-backend enable-aio-write enable-brotli enable-modsecurity \
    enable-multi-accept enable-ocsp enable-opentelemetry enable-owasp-modsecurity-crs enable-real-ip \
    enable-serial-reloads enable-syslog enable-underscores-in-headers error-log-level error-log-path \
    force-ssl-redirect forwarded-for-header forwarded-for-proxy-protocol-header generate-request-id \
    geoip2-autoreload-in-minutes global-allowed-response-headers global-auth-cache-duration \
    global-auth-cache-key global-auth-method global-auth-request-redirect global-auth-response-headers \
    global-auth-signin global-auth-signin-redirect-param global-auth-snippet global-auth-url \
    grpc-buffer-size-kb gzip-disable gzip-level gzip-min-length gzip-types hide-headers hsts \
    hsts-include-subdomains hsts-max-age hsts-preload http-access-log-path http-redirect-code http-snippet \
    http2-max-concurrent-streams http2-max-field-size http2-max-header-size http2-max-requests \
    ignore-invalid-headers jaeger-baggage-header jaeger-collector-host jaeger-collector-port \
    jaeger-debug-header jaeger-endpoint jaeger-propagation-format jaeger-sampler-host jaeger-sampler-param \
    jaeger-sampler-port jaeger-sampler-type jaeger-service-name jaeger-trace-baggage-header-prefix \
    jaeger-trace-context-header-name keep-alive keep-alive-requests large-client-header-buffers \
    limit-conn-status-code limit-conn-zone-variable limit-rate limit-rate-after limit-req-status-code \
    load-balance location-snippet log-format-escape-json log-format-escape-none log-format-stream \
    log-format-upstream lua-shared-dicts main-snippet map-hash-bucket-size max-worker-connections \
    max-worker-open-files modsecurity-snippet nginx-status-ipv4-whitelist nginx-status-ipv6-whitelist \
    no-auth-locations no-tls-redirect-locations opentelemetry-config opentelemetry-operation-name \
    opentelemetry-trust-incoming-span otel-max-export-batch-size otel-max-queuesize otel-sampler \
    otel-sampler-parent-based otel-sampler-ratio otel-schedule-delay-millis otel-service-name \
    otlp-collector-host otlp-collector-port proxy-add-original-uri-header proxy-body-size proxy-buffer-size \
    proxy-buffering proxy-buffers-number proxy-busy-buffers-size proxy-connect-timeout proxy-cookie-domain \
    proxy-cookie-path proxy-headers-hash-bucket-size proxy-headers-hash-max-size proxy-next-upstream \
    proxy-next-upstream-timeout proxy-next-upstream-tries proxy-protocol-header-timeout proxy-read-timeout \
    proxy-real-ip-cidr proxy-redirect-from proxy-request-buffering proxy-send-timeout proxy-set-headers \
    proxy-ssl-location-only proxy-stream-next-upstream proxy-stream-next-upstream-timeout \
    proxy-stream-next-upstream-tries proxy-stream-responses proxy-stream-timeout relative-redirects \
    retry-non-idempotent reuse-port server-name-hash-bucket-size server-name-hash-max-size server-snippet \
    server-tokens service-upstream skip-access-log-urls ssl-buffer-size ssl-ciphers ssl-dh-param \
    ssl-ecdh-curve ssl-protocols ssl-redirect ssl-reject-handshake ssl-session-cache ssl-session-cache-size \
    ssl-session-ticket-key ssl-session-tickets ssl-session-timeout stream-access-log-path stream-snippet \
    strict-validate-path-type syslog-host syslog-port upstream-keepalive-connections \
    upstream-keepalive-requests upstream-keepalive-time upstream-keepalive-timeout use-forwarded-headers \
    use-geoip use-geoip2 use-gzip use-http2 use-proxy-protocol variables-hash-bucket-size \
    variables-hash-max-size whitelist-source-range worker-cpu-affinity worker-processes \
    worker-shutdown-timeout";

/// Those that it has and does not document.
const UNDOCUMENTED: &str = "app-root bind-address-ipv4 bind-address-ipv6 disable-http-access-log disable-proxy-intercept-errors \
    disable-stream-access-log enable-auth-access-log forwarded-host-header global-auth-always-set-cookie \
    preserve-trailing-slash proxy-http-version proxy-max-temp-file-size proxy-redirect-to ssl-early-data \
    upstream-hash-by upstream-hash-by-subset upstream-hash-by-subset-size use-port-in-redirects";

#[test]
fn every_setting_of_ingress_nginx_is_declared_and_no_other() {
    let documented: BTreeSet<_> = DOCUMENTED.split_ascii_whitespace().collect();
    assert_eq!(documented.len(), 192);
    let known: BTreeSet<_> = documented.into_iter().chain(UNDOCUMENTED.split_ascii_whitespace()).collect();
    let declared: Vec<_> = all_settings().map(|setting| setting.name).collect();
    assert_eq!(declared.len(), known.len(), "one is declared twice");
    assert_eq!(declared.into_iter().collect::<BTreeSet<_>>(), known);
}

#[test]
fn every_setting_has_its_verdict_told_on_its_key() {
    for setting in all_settings() {
        let example = setting.example.trim_matches('`');
        let (globals, problems) = read(&[(setting.name, example)]);
        let wanted: Vec<_> = setting.reason().into_iter().collect();
        assert_eq!(reasons(&problems), wanted, "{}: {example}: {problems:?}", setting.name);
        assert!(problems.iter().all(|problem| problem.field == field(setting.name)), "{}", setting.name);
        assert!(!globals.unprotected, "{}", setting.name);
        if !setting.annotation.is_empty() {
            assert_eq!(globals.usual.get(setting.annotation), Some(example), "{}", setting.name);
        }
    }
}

#[test]
fn what_is_the_default_is_worth_no_word_and_changes_nothing() {
    for setting in all_settings().filter(|setting| !setting.default.is_empty()) {
        // Written out, it believes everybody.
        if setting.name == "proxy-real-ip-cidr" {
            continue;
        }
        let (mut globals, problems) = read(&[(setting.name, setting.default.trim_matches('`'))]);
        assert_eq!(problems, [], "{}", setting.name);
        (globals.usual, globals.listener, globals.custom_fields) = Default::default();
        globals.traces = TraceGlobals::default();
        assert_eq!(globals, Globals::of_class(true), "{}", setting.name);
    }
}

#[test]
fn a_value_of_the_wrong_form_is_told_with_its_form_and_takes_no_other_away() {
    for setting in all_settings().filter(|setting| setting.form != "text") {
        let (globals, problems) = read(&[(setting.name, "~(\u{1}"), ("http-redirect-code", "301")]);
        if setting.name == "http-redirect-code" {
            continue;
        }
        assert_eq!(reasons(&problems), ["InvalidSetting"], "{}: {problems:?}", setting.name);
        assert!(problems[0].message.contains(setting.form), "{}", problems[0].message);
        assert_eq!(globals.redirect_status, 301);
        let closed = globals.unprotected || globals.usual.get(setting.annotation).is_some();
        assert_eq!(closed, setting.protects, "{}", setting.name);
    }
}

#[test]
fn unknown_keys_are_told_with_the_nearest_one() {
    let (globals, problems) = read(&[("use-forwarded-header", "true"), ("no-such-thing-at-all", "x")]);
    assert_eq!(globals, read(&[]).0);
    assert_eq!(reasons(&problems), ["UnknownSetting", "UnknownSetting"]);
    assert!(problems[1].message.contains("did you mean \"use-forwarded-headers\"?"), "{problems:?}");
    assert_eq!(problems[0].severity, Severity::Error);
}

#[test]
fn nobody_is_believed_whom_nobody_named() {
    let trusted = |data: &[_]| {
        let trusted = read(data).0.listener.trusted;
        trusted.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(trusted(&[("proxy-real-ip-cidr", "10.0.0.0/8")]), [""; 0]);
    let on = ("use-forwarded-headers", "true");
    assert_eq!(
        trusted(&[on, ("proxy-real-ip-cidr", "10.1.2.3/8, 192.0.2.1")]),
        ["10.1.2.3/8", "192.0.2.1/32"]
    );
    assert_eq!(trusted(&[on, ("proxy-real-ip-cidr", "10.0.0.0/8, nonsense")]), [""; 0]);
    let private = trusted(&[on]);
    assert!(private.contains(&"10.0.0.0/8".to_owned()) && !private.contains(&"0.0.0.0/0".to_owned()));
    let (_, problems) = read(&[on, ("proxy-real-ip-cidr", "0.0.0.0/0")]);
    assert_eq!(reasons(&problems), ["EverybodyTrusted"]);
}

#[test]
fn the_written_table_is_the_one_in_the_code() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/CONFIGMAP.md");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(path, markdown()).unwrap();
    }
    assert_eq!(std::fs::read_to_string(path).unwrap(), markdown());
}

#[test]
fn unknown_names_are_refused_on_listeners_where_the_setting_says_so() {
    let address = std::net::SocketAddr::from(([127, 0, 0, 1], 443));
    let refuses = |data: &[_]| {
        let mut listener = Listener::new(address, ListenerProtocol::Https, "edge".into());
        read(data).0.listener.apply(&mut listener);
        listener.refuse_unknown_names
    };
    assert!(refuses(&[("ssl-reject-handshake", "true")]));
    assert!(!refuses(&[]) && !refuses(&[("ssl-reject-handshake", "false")]));
}

#[test]
fn each_kind_of_listener_gets_what_concerns_it() {
    let address = std::net::SocketAddr::from(([127, 0, 0, 1], 443));
    let listener = |protocol, data: &[_]| {
        let mut listener = Listener::new(address, protocol, "edge".into());
        read(data).0.listener.apply(&mut listener);
        listener
    };
    let tcp = || ListenerProtocol::Tcp(TcpRoute { backends: Vec::new(), connect_retries: 1 });
    let rows: [(&[_], _); 4] = [
        (&[("disable-stream-access-log", "true")], (true, 3600)),
        (&[("disable-access-log", "true"), ("proxy-stream-timeout", "10m")], (true, 600)),
        (&[("disable-http-access-log", "true"), ("proxy-stream-timeout", "90")], (false, 90)),
        (&[("proxy-stream-timeout", "0"), ("skip-access-log-urls", "/a")], (false, 3600)),
    ];
    for (data, wanted) in rows {
        let of_tcp = listener(tcp(), data);
        assert_eq!((of_tcp.unlogged, of_tcp.limits.tunnel_idle.as_secs()), wanted, "{data:?}");
        let of_http = listener(ListenerProtocol::Http, data);
        assert_eq!((of_http.unlogged, of_http.limits.tunnel_idle.as_secs()), (false, 3600), "{data:?}");
    }
    let skips = listener(ListenerProtocol::Http, &[("skip-access-log-urls", "/healthz, ~^/(live|ready)")]);
    let targets = ["/healthz", "/HEALTHZ", "/healthz?a", "/a/healthz", "/live", "/readyz", "/a/live"];
    assert_eq!(
        targets.map(|target| !skips.is_logged(target.as_bytes())),
        [true, true, false, false, true, true, false]
    );
}

#[test]
fn fields_of_proxies_have_the_names_that_settings_give() {
    let names = |data: &[_]| {
        let (globals, problems) = read(data);
        let name = |name: Option<Arc<str>>| name.as_deref().unwrap_or_default().to_owned();
        let listener = globals.listener;
        ([name(listener.forwarded_host), name(listener.proxied_client)], problems.len())
    };
    let owned = |names: [&str; 2]| names.map(str::to_owned);
    let (believe, header) = (("use-forwarded-headers", "true"), ("use-proxy-protocol", "true"));
    let usual = "X-Forwarded-For-Proxy-Protocol";
    let field = |name| ("forwarded-for-proxy-protocol-header", name);
    let rows: [(&[_], _, _); 7] = [
        (&[], ["", ""], 0),
        (&[believe], ["", ""], 0),
        (&[header], ["", ""], 0),
        (&[believe, header], ["", usual], 0),
        (
            &[believe, header, field("X-Client"), ("forwarded-host-header", "X-Host")],
            ["X-Host", "X-Client"],
            0,
        ),
        (&[believe, header, field("Content-Length")], ["", ""], 1),
        (&[("forwarded-host-header", "x-forwarded-host")], ["", ""], 0),
    ];
    for (data, wanted, problems) in rows {
        assert_eq!(names(data), (owned(wanted), problems), "{data:?}");
    }
}

#[test]
fn limits_count_by_what_the_setting_names() {
    let key =
        |text| read(&[("limit-conn-zone-variable", text)]).0.limit_key.map(|key| key.text().to_string());
    let rows = [
        ("$binary_remote_addr", None),
        ("${remote_addr}", None),
        ("$http_x_user", Some("$http_x_user")),
        ("$binary_remote_addr$host", Some("$remote_addr$host")),
        ("$no_such_thing", None),
    ];
    for (text, wanted) in rows {
        assert_eq!(key(text).as_deref(), wanted, "{text}");
    }
    let (_, problems) = read(&[("limit-conn-zone-variable", "$no_such_thing")]);
    assert_eq!(reasons(&problems), ["InvalidSetting"]);
    assert!(problems[0].message.contains("there is no variable $no_such_thing"), "{problems:?}");
}

#[test]
fn answers_are_compressed_as_settings_say() {
    let made = |data: &[_]| read(data).0.compression;
    assert_eq!(made(&[("gzip-level", "5"), ("use-gzip", "false")]), None);
    let usual = made(&[("use-gzip", "true"), ("enable-brotli", "true")]).unwrap();
    let (gzip, brotli) = (usual.gzip.as_ref().unwrap(), usual.brotli.as_ref().unwrap());
    assert_eq!((gzip.level, gzip.min_bytes, gzip.types.len()), (1, 256, 18));
    assert_eq!((brotli.level, brotli.min_bytes, brotli.types.len()), (4, 20, 19));
    let set = made(&[("use-gzip", "true"), ("gzip-types", "text/CSS"), ("gzip-disable", "msie6")]).unwrap();
    let types: Vec<&str> = set.gzip.as_ref().unwrap().types.iter().map(|one| &**one).collect();
    assert_eq!((types, &set.brotli), (vec!["text/css", "text/html"], &None));
    let old = set.no_gzip_for.as_ref().unwrap();
    let agents = ["Mozilla/4.0 (compatible; MSIE 6.0; Windows NT 5.1)", "Mozilla/5.0 (MSIE 10.0)"];
    assert_eq!(agents.map(|agent| old.regex().is_match(agent.as_bytes())), [true, false]);
}
