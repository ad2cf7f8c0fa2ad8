//! `selvedge-ingress migrate` as a process: its reports over a folder of manifests, what it exits with, and comparisons.
//!
//! `UPDATE_GOLDEN=1` writes the reports anew; read them before they are committed.

use std::{
    fs,
    io::Write,
    net::SocketAddr,
    path::Path,
    process::{Command, Stdio},
    sync::atomic::{AtomicUsize, Ordering},
};

use selvedge_tests::{
    origin::{After, Origin, Seen},
    tls,
};
use serde_json::Value;
use tempfile::TempDir;

/// Runs `migrate` with these arguments beside the folders of manifests: exit code, report, and what it complains of.
fn migrate(arguments: &[&str]) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_selvedge-ingress"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("SELVEDGE_") || name == "RUST_LOG")
    {
        command.env_remove(name);
    }
    command.current_dir(here()).arg("migrate").args(arguments).stdin(Stdio::null());
    let output = command.output().expect("the program is there");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().expect("it ends by itself"), text(&output.stdout), text(&output.stderr))
}

#[test]
fn whoever_has_read_enough_is_told_nothing_more() {
    let (reader, writer) = std::io::pipe().expect("there is room for one");
    drop(reader);
    let mut command = Command::new(env!("CARGO_BIN_EXE_selvedge-ingress"));
    command.current_dir(here()).args(["migrate", "shop"]).stdin(Stdio::null()).stdout(writer);
    let output = command.stderr(Stdio::piped()).output().expect("the program is there");
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(2) && !told.contains("pipe"), "{told}");
}

fn here() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/migrate")
}

fn folder(text: &str) -> TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    fs::write(folder.path().join("a.yaml"), text).expect("the folder can be written to");
    folder
}

/// An Ingress of `a.test`, with this annotation.
fn ingress(annotation: &str) -> String {
    format!(
        "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata:\n  name: a\n  annotations: {{{annotation}}}\nspec:\n  \
         ingressClassName: nginx\n  tls: [{{hosts: [a.test]}}]\n  rules:\n  - host: a.test\n    http:\n      paths:\n      \
         - {{path: /x, pathType: Prefix, backend: {{service: {{name: web, port: {{number: 80}}}}}}}}\n"
    )
}

#[track_caller]
fn check_written(name: &str, report: &str) {
    let written = here().join(name);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&written, report).expect("the checkout can be written to");
    }
    assert_eq!(fs::read_to_string(written).unwrap_or_default(), report, "{name} is not what is reported");
}

#[test]
fn the_report_over_a_folder_is_as_written() {
    let (code, report, error) = migrate(&["shop"]);
    assert_eq!((code, &*error), (1, ""));
    check_written("shop.txt", &report);
    assert!(!report.contains("c2VjcmV0") && !report.contains("bm90IHRvIGJlIHNob3du"), "{report}");
}

#[test]
fn the_same_as_json_is_as_written() {
    let (code, report, error) = migrate(&["--format=json", "shop"]);
    assert_eq!((code, &*error), (1, ""));
    let mut report: Value = serde_json::from_str(&report).expect("it is JSON");
    // These are a list of their own, which has its own tests.
    let behaviours = report["behaviours"].take();
    assert!(behaviours.as_array().is_some_and(|list| !list.is_empty()));
    check_written("shop.json", &format!("{report:#}\n"));
}

#[test]
fn the_page_names_every_object_and_runs_nothing() {
    let (code, page, _) = migrate(&["--format=html", "shop"]);
    assert_eq!(code, 1);
    for part in
        ["<!doctype html>", "shop/plain", "office/legacy", "(2 lines of code)", "ConfigMap ingress-nginx/"]
    {
        assert!(page.contains(part), "{part}");
    }
    assert!(!page.contains("<script") && !page.contains("c2VjcmV0"), "{page}");
}

#[test]
fn hostile_text_of_objects_is_text_of_the_page() {
    let hostile = "\"</code><script>alert(1)</script>\"";
    let manifests = folder(&ingress(&format!("nginx.ingress.kubernetes.io/app-root: '{hostile}'")));
    let path = manifests.path().to_str().expect("paths of tests are text");
    let (code, page, _) = migrate(&["--format=html", path]);
    assert!(code == 1 && !page.contains("<script") && page.contains("&lt;script&gt;"), "{page}");
}

#[test]
fn the_exit_code_says_whether_to_change_something() {
    let sound = folder(&ingress(""));
    let refused = folder(&ingress("nginx.ingress.kubernetes.io/server-snippet: 'a b;'"));
    let broken = folder(&(ingress("") + "---\nkind: [\n"));
    let text = |folder: &TempDir| folder.path().to_str().expect("paths of tests are text").to_owned();
    let cases: [(&[&str], i32); 6] = [
        (&[&text(&sound)], 0),
        (&[&text(&refused)], 1),
        (&[&text(&broken)], 2),
        (&["no-such-folder"], 2),
        (&[&text(&sound), "--nginx-configmap=a/b"], 2),
        (&[&text(&sound), "--ingress-class=other"], 0),
    ];
    for (arguments, want) in cases {
        let (code, report, error) = migrate(arguments);
        assert_eq!(code, want, "{arguments:?}: {report}{error}");
        assert!(error.lines().count() <= 1, "{error}");
    }
}

/// Answers with this status below `/x` and with 200 elsewhere, each time with another id.
fn origin(status: &'static str, cookie: &'static str) -> Origin {
    let count = AtomicUsize::new(0);
    Origin::scripted(move |seen: &Seen, stream| {
        let below = seen.line.contains("/x/selvedge-compare ");
        let line = if below { status } else { "200 OK" };
        let body = if seen.line.starts_with("HEAD ") { "" } else { "hello" };
        let id = count.fetch_add(1, Ordering::Relaxed);
        let answer = format!(
            "HTTP/1.1 {line}\r\ncontent-type: text/plain\r\nset-cookie: id=secret; {cookie}\r\nx-trace: {status}{id}\r\n\
             server: {cookie}\r\ncontent-length: 5\r\nconnection: close\r\n\r\n{body}"
        );
        // The client may have gone.
        let _ = stream.write_all(answer.as_bytes());
        After::Close
    })
}

/// Answers with what it was asked, and says that it is this host.
fn echo(host: &'static str) -> Origin {
    Origin::scripted(move |seen: &Seen, stream| {
        let asked = seen.line.split(' ').nth(1).unwrap_or_default();
        let body =
            serde_json::json!({"path": asked, "headers": {"host": host, "x-request-id": host}}).to_string();
        let (length, body) = (body.len(), if seen.line.starts_with("HEAD ") { "" } else { body.as_str() });
        let answer = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
        );
        // The client may have gone.
        let _ = stream.write_all(answer.as_bytes());
        After::Close
    })
}

/// What was compared.
fn compare(a: SocketAddr, b: SocketAddr, more: &[&str]) -> (i32, Value) {
    let manifests = folder(&ingress(""));
    let (a, b) = (format!("http://{a}"), format!("http://{b}"));
    let usual = [manifests.path().to_str().expect("paths of tests are text"), "--format=json"];
    let (code, report, error) = migrate(&[&usual[..], more, &["--compare", &a, &b]].concat());
    assert_eq!(error, "");
    let mut report: Value = serde_json::from_str(&report).expect("it is JSON");
    (code, report["comparison"].take())
}

#[test]
fn answers_that_differ_are_told_and_nothing_else() {
    let (a, b) = (origin("200 OK", "Path=/"), origin("404 Not Found", "Path=/"));
    let (code, compared) = compare(a.address, b.address, &[]);
    // Three forms of the path, the root with what is below it and a host that nobody has by GET; the path itself by HEAD and
    // OPTIONS, too.
    assert_eq!((code, compared["asked"].as_u64()), (1, Some(8)), "{compared:#}");
    let different = compared["different"].as_array().expect("there is a list");
    let [pair] = different.as_slice() else { panic!("{compared:#}") };
    assert_eq!((&pair["method"], &pair["url"]), (&"GET".into(), &"http://a.test/x/selvedge-compare".into()));
    assert_eq!(pair["differences"], serde_json::json!([{"what": "status", "a": "200", "b": "404"}]));
    assert!(!compared.to_string().contains("secret"));
    for seen in [a.seen(), b.seen()] {
        assert!(
            seen.iter().all(|seen| matches!(seen.field("host"), Some("a.test" | "selvedge-compare.invalid")))
        );
        assert!(
            seen.iter()
                .all(|seen| ["GET ", "HEAD ", "OPTIONS "].iter().any(|read| seen.line.starts_with(read)))
        );
        let secrets = ["authorization", "cookie", "proxy-authorization"];
        assert!(seen.iter().all(|seen| secrets.iter().all(|name| seen.field(name).is_none())));
        // Every request differs in `x-trace`, which two answers of the same one tell.
        assert_eq!(seen.len(), 2 * 8);
    }
    let notes = compared["notes"].to_string();
    assert!(notes.contains("7 requests over https were not sent"), "{notes}");
}

#[test]
fn what_the_backend_was_asked_is_compared_where_it_tells() {
    let (a, b) = (echo("a.test"), echo("b.test"));
    let (code, compared) = compare(a.address, b.address, &["--methods=GET"]);
    assert_eq!((code, compared["different"].as_array().map(Vec::len)), (1, Some(6)), "{compared:#}");
    let want = serde_json::json!([{"what": "body headers.host", "a": "a.test", "b": "b.test"}]);
    assert_eq!(compared["different"][0]["differences"], want);
    let manifests = folder(&ingress(""));
    let path = manifests.path().to_str().expect("paths of tests are text");
    let urls = [format!("http://{}", a.address), format!("http://{}", b.address)];
    let (_, report, _) = migrate(&[path, "--methods=GET", "--compare", &urls[0], &urls[1]]);
    // What differs in the same way is told once.
    assert_eq!(report.matches("body headers.host: A a.test, B b.test").count(), 1, "{report}");
}

#[test]
fn fields_and_methods_are_compared_within_the_limits() {
    let (a, b) = (origin("200 OK", "Path=/"), origin("200 OK", "Path=/; Secure"));
    let (code, compared) = compare(a.address, b.address, &["--methods=OPTIONS", "--most-requests=3"]);
    assert_eq!(code, 1);
    assert_eq!((&compared["asked"], &compared["leftOut"]), (&Value::from(3), &Value::from(3)));
    let want = serde_json::json!([{"what": "set-cookie", "a": "id; path=/", "b": "id; path=/; secure"}]);
    assert_eq!(compared["different"][0]["differences"], want);
    assert!(a.seen().iter().all(|seen| seen.line.starts_with("OPTIONS ") && seen.field("origin").is_some()));
    let (same, compared) = compare(a.address, a.address, &[]);
    assert_eq!((same, compared["different"].as_array().map(Vec::len)), (0, Some(0)));
    let (over, compared) = compare(a.address, b.address, &["--compare-timeout=0"]);
    assert_eq!((over, &compared["asked"], &compared["leftOut"]), (2, &Value::from(0), &Value::from(8)));
}

#[test]
fn over_tls_the_host_is_the_name_that_is_asked_for() {
    let settings = || tls::server_settings(&["http/1.1"]);
    let one = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    let other =
        "HTTP/1.1 200 OK\r\ncontent-length: 0\r\ncache-control: no-store\r\nconnection: close\r\n\r\n";
    let (a, b) = (tls::TlsOrigin::with(settings(), one), tls::TlsOrigin::with(settings(), other));
    let manifests = folder(&ingress(""));
    let path = manifests.path().to_str().expect("paths of tests are text");
    let (a_url, b_url) = (format!("https://{}", a.address), format!("https://{}", b.address));
    let (code, report, _) = migrate(&[path, "--most-requests=1", "--compare", &a_url, &b_url]);
    assert_eq!(code, 1, "{report}");
    assert!(report.contains("cache-control: A (none), B no-store"), "{report}");
    assert!(a.seen().iter().all(|shaken| shaken.name.as_deref() == Some("a.test")), "{:?}", a.seen());
}

#[test]
fn a_controller_that_cannot_be_reached_is_told_in_one_line() {
    let a = origin("200 OK", "Path=/");
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("loopback has free ports");
    let nobody = free.local_addr().expect("it is bound");
    drop(free);
    let manifests = folder(&ingress(""));
    let path = manifests.path().to_str().expect("paths of tests are text");
    let urls = [format!("http://{}", a.address), format!("http://{nobody}")];
    let (code, report, error) = migrate(&[path, "--compare", &urls[0], &urls[1]]);
    assert_eq!((code, &*report, error.lines().count()), (2, "", 1), "{error}");
    assert!(error.contains(&urls[1]) && error.contains("--compare"), "{error}");
}
