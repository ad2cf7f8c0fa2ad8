//! The program `selvedge-ingress` as a process: what it prints, serves and ends with.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Output, Stdio},
    sync::mpsc::{self, Receiver},
    thread,
    time::{Duration, Instant},
};

use clap::CommandFactory;
use rustix::process::{Pid, Signal, kill_process};
use selvedge_ingress::args::Arguments;
use serde_json::{Value, json};
use tempfile::TempDir;

/// Nothing that a test waits for takes this long.
const PATIENCE: Duration = Duration::from_secs(30);

const CLASS: &str = "
apiVersion: networking.k8s.io/v1
kind: IngressClass
metadata: {name: selvedge}
spec: {controller: selvedge.dev/ingress}
";

/// The program with these arguments, without what the environment of the tests says.
fn program(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_selvedge-ingress"));
    let ours = |name: &str| name.starts_with("SELVEDGE_") || name == "RUST_LOG";
    for (name, _) in std::env::vars().filter(|(name, _)| ours(name)) {
        command.env_remove(name);
    }
    command.args(arguments).stdin(Stdio::null());
    command
}

fn output(arguments: &[&str]) -> (Output, String, String) {
    let output = program(arguments).output().expect("the program is there");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (standard, error) = (text(&output.stdout), text(&output.stderr));
    (output, standard, error)
}

fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    for (name, text) in files {
        write(folder.path(), name, text);
    }
    folder
}

/// As an editor does: beside it, then renamed.
fn write(folder: &Path, name: &str, text: &str) {
    let beside = folder.join(format!(".{name}.new"));
    fs::write(&beside, text).expect("the folder can be written to");
    fs::rename(beside, folder.join(name)).expect("files can be renamed");
}

/// An Ingress that sends `shop.example` to this Service.
fn ingress(service: &str) -> String {
    let backend = json!({"service": {"name": service, "port": {"number": 80}}});
    let path = json!({"path": "/", "pathType": "Prefix", "backend": backend});
    json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": {"name": "shop"},
        "spec": {"ingressClassName": "selvedge", "rules": [{"host": "shop.example", "http": {"paths": [path]}}]},
    })
    .to_string()
}

/// A Service and where it is.
fn service(name: &str, address: SocketAddr) -> String {
    let service = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": name},
        "spec": {"ports": [{"name": "http", "port": 80}]},
    });
    let slice = json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
        "metadata": {"name": name, "labels": {"kubernetes.io/service-name": name}},
        "endpoints": [{"addresses": ["127.0.0.1"]}],
        "ports": [{"name": "http", "port": address.port()}],
    });
    json!({"apiVersion": "v1", "kind": "List", "items": [service, slice]}).to_string()
}

/// A server that says its name, to each request on a connection of its own.
fn origin(name: &'static str) -> SocketAddr {
    gated_origin(name, || {})
}

/// The same; it waits for the gate between a request and its answer.
fn gated_origin(name: &'static str, gate: impl Fn() + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has free ports");
    let address = listener.local_addr().expect("a bound socket has an address");
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut lines = BufReader::new(stream.try_clone().expect("sockets can be duplicated")).lines();
            while lines.next().is_some_and(|line| line.is_ok_and(|line| !line.is_empty())) {}
            gate();
            let length = name.len();
            let answer =
                format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{name}");
            // The client may have gone.
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    address
}

/// A running `selvedge-ingress run`; dropping it kills it.
struct Running {
    child: Child,
    log: Receiver<Value>,
    http: SocketAddr,
    admin: SocketAddr,
    /// What was logged before it was ready.
    before: Vec<String>,
}

impl Running {
    /// Starts it on free ports with a log of JSON, and waits until it is ready.
    fn start(manifests: &Path, flags: &[&str]) -> Self {
        let manifests = manifests.to_str().expect("paths of tests are text");
        let usual =
            ["run", "--http=127.0.0.1:0", "--https=127.0.0.1:0", "--admin=127.0.0.1:0", "--workers=1"];
        let more = ["--lameduck=0", "--log-format=json", "--manifests", manifests];
        let mut command = program(&[&usual[..], &more, flags].concat());
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let mut child = child.expect("the program is there");
        let lines = BufReader::new(child.stderr.take().expect("it is piped")).lines();
        let (sender, log) = mpsc::channel();
        thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let line = serde_json::from_str(&line).unwrap_or_else(|_| panic!("not JSON: {line}"));
                // The test may be over.
                let _ = sender.send(line);
            }
        });
        let unknown = SocketAddr::from(([0; 4], 0));
        let mut running = Self { child, log, http: unknown, admin: unknown, before: Vec::new() };
        loop {
            let line = running.log.recv_timeout(PATIENCE).expect("it becomes ready");
            running.before.push(line["message"].as_str().unwrap_or_default().to_owned());
            let address = || line["address"].as_str().and_then(|text| text.parse().ok());
            if line["listener"] == "http" {
                running.http = address().expect("it says the address");
            } else if line["listener"] == "admin" {
                running.admin = address().expect("it says the address");
            } else if line["message"] == "ready" {
                break;
            }
        }
        running
    }

    /// The next line of the log that is as wanted.
    fn logged(&self, wanted: impl Fn(&Value) -> bool) -> Value {
        loop {
            let line = self.log.recv_timeout(PATIENCE).expect("the line is logged");
            if wanted(&line) {
                return line;
            }
        }
    }

    /// Status and body of a GET.
    fn get(&self, host: &str, path: &str) -> (u16, String) {
        answer(self.send(host, path))
    }

    /// Waits until the metrics hold a line.
    fn until_counted(&self, wanted: &str) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let (_, metrics) = answer(send_to(self.admin, "admin", "/metrics"));
            if metrics.lines().any(|line| line == wanted) {
                return;
            }
            assert!(Instant::now() < deadline, "no {wanted} in {metrics}");
        }
    }

    fn send(&self, host: &str, path: &str) -> TcpStream {
        send_to(self.http, host, path)
    }

    /// Asks until the body is as wanted.
    fn until(&self, host: &str, body: &str) {
        let deadline = Instant::now() + PATIENCE;
        while self.get(host, "/").1 != body {
            assert!(Instant::now() < deadline, "{host} is not answered by {body}");
        }
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("it runs");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Most tests have ended it already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn send_to(address: SocketAddr, host: &str, path: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).expect("it listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("the limit is not zero");
    let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("it reads requests");
    stream
}

fn answer(mut stream: TcpStream) -> (u16, String) {
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it answers");
    let (head, body) = answer.split_once("\r\n\r\n").expect("an answer has a head");
    (head.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("and a status"), body.to_owned())
}

#[test]
fn check_prints_object_field_and_reason_and_exits_1() {
    let wrong = CLASS.to_owned() + "---\n" + &ingress("missing") + "\n---\nkind: [\n";
    let manifests = folder(&[("a.yaml", &wrong)]);
    let path = manifests.path().to_str().unwrap();
    let (output, said, _) = output(&["check", path]);
    assert_eq!(output.status.code(), Some(1), "{said}");
    for part in ["Ingress default/shop", "spec.rules[0].http.paths[0].backend", "missing", "a.yaml"] {
        assert!(said.contains(part), "no {part} in\n{said}");
    }
}

#[test]
fn check_as_json_parses_and_names_the_same() {
    let wrong = CLASS.to_owned() + "---\n" + &ingress("missing") + "\n---\nkind: [\n";
    let manifests = folder(&[("a.yaml", &wrong)]);
    let path = manifests.path().to_str().unwrap();
    let (output, said, _) = output(&["check", "--format=json", path]);
    assert_eq!(output.status.code(), Some(1), "{said}");
    let said: Value = serde_json::from_str(&said).expect("it is JSON");
    let problems = said["problems"].as_array().expect("there is a list");
    assert_eq!(problems.len(), 2, "{said:#}");
    assert!(problems.iter().any(|problem| problem["line"].is_number() && problem["file"].is_string()));
    let named =
        |problem: &Value| problem["object"].to_string().contains("shop") && problem["reason"].is_string();
    assert!(problems.iter().any(named), "{said:#}");
}

/// The Ingress with TLS, and its Secret, whose key belongs to another certificate.
fn mismatched_tls() -> String {
    let [one, other] = [(); 2].map(|()| selvedge_tests::tls::certificate(&["shop.example"]));
    let text = |pem: &[u8]| String::from_utf8(pem.to_vec()).expect("PEM is text");
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls", "metadata": {"name": "shop-tls"},
        "stringData": {"tls.crt": text(&one.chain_pem), "tls.key": text(&other.key_pem)},
    });
    let mut ingress: Value = serde_json::from_str(&ingress("shop")).expect("it is JSON");
    ingress["spec"]["tls"] = json!([{"hosts": ["shop.example"], "secretName": "shop-tls"}]);
    json!({"apiVersion": "v1", "kind": "List", "items": [ingress, secret]}).to_string()
}

#[test]
fn check_names_a_secret_whose_key_is_not_that_of_its_certificate() {
    let sound = service("shop", SocketAddr::from(([127, 0, 0, 1], 80)));
    let manifests = folder(&[("class.yaml", CLASS), ("shop.json", &mismatched_tls()), ("s.json", &sound)]);
    let (output, said, _) = output(&["check", manifests.path().to_str().unwrap()]);
    assert_eq!((output.status.code(), said.lines().count()), (Some(1), 1), "{said}");
    assert!(said.contains("Secret default/shop-tls"), "{said}");
}

#[test]
fn check_of_sound_manifests_prints_nothing_and_exits_0() {
    let sound = service("shop", SocketAddr::from(([127, 0, 0, 1], 80)));
    let manifests = folder(&[("class.yaml", CLASS), ("shop.json", &ingress("shop")), ("s.json", &sound)]);
    let (output, said, error) = output(&["check", manifests.path().to_str().unwrap()]);
    assert_eq!((output.status.code(), &*said, &*error), (Some(0), "", ""));
}

#[test]
fn check_warns_of_classes_that_nobody_has() {
    let sound = service("shop", SocketAddr::from(([127, 0, 0, 1], 80)));
    let without = ingress("shop").replace("\"ingressClassName\":\"selvedge\",", "");
    let manifests = folder(&[("class.yaml", CLASS), ("shop.json", &without), ("s.json", &sound)]);
    let path = manifests.path().to_str().unwrap();
    let (plain, said, _) = output(&["check", path]);
    assert_eq!((plain.status.code(), said.lines().count()), (Some(0), 1), "{said}");
    assert!(
        said.starts_with("warning: ") && said.contains(": Ingress default/shop: spec.ingressClassName"),
        "{said}"
    );
    let (_, said, _) = output(&["check", "--watch-ingress-without-class", path]);
    assert_eq!(said, "");
    let (_, said, _) = output(&["check", "--watch-ingress-without-class", "--ingress-class=selvege", path]);
    assert!(said.contains("--ingress-class selvege") && said.contains("\"selvedge\"?"), "{said}");
}

#[test]
fn wrong_flags_are_one_line_and_exit_2() {
    for flags in [&["run", "--http", "8080"][..], &["run", "--htp=x"], &["check"], &["rum"]] {
        let (output, said, error) = output(flags);
        assert_eq!((output.status.code(), &*said, error.lines().count()), (Some(2), "", 1), "{error}");
    }
    let (version, said, _) = output(&["--version"]);
    assert!(version.status.success() && said.starts_with("selvedge-ingress "), "{said}");
}

#[test]
fn run_says_what_has_no_effect() {
    let manifests = folder(&[("class.yaml", CLASS)]);
    let running = Running::start(manifests.path(), &["--read-only", "--ingress-class=selvege"]);
    for part in ["no effect with --manifests", "--ingress-class selvege"] {
        let lines: Vec<_> = running.before.iter().filter(|line| line.contains(part)).collect();
        assert_eq!(lines.len(), 1, "{part}: {:?}", running.before);
    }
}

#[test]
fn check_of_a_path_that_is_not_there_says_so_in_one_line() {
    let manifests = folder(&[]);
    let missing = manifests.path().join("missing");
    let (output, said, error) = output(&["check", missing.to_str().unwrap()]);
    assert_eq!((output.status.code(), &*said, error.lines().count()), (Some(1), "", 1), "{error}");
    assert!(error.contains("missing"), "{error}");
}

#[test]
fn run_serves_a_folder_and_follows_its_files() {
    let manifests = folder(&[("class.yaml", CLASS), ("shop.json", &ingress("one"))]);
    for name in ["one", "two"] {
        write(manifests.path(), &format!("{name}.json"), &service(name, origin(name)));
    }
    let running = Running::start(manifests.path(), &[]);
    assert_eq!(running.get("shop.example", "/"), (200, "one".into()));
    write(manifests.path(), "shop.json", &ingress("two"));
    running.until("shop.example", "two");
    // What turns invalid stays as it was.
    write(manifests.path(), "shop.json", "{");
    running.logged(|line| line["message"].as_str().is_some_and(|text| text.contains("shop.json")));
    assert_eq!(running.get("shop.example", "/"), (200, "two".into()));
    fs::remove_file(manifests.path().join("shop.json")).unwrap();
    let deadline = Instant::now() + PATIENCE;
    while running.get("shop.example", "/").0 != 404 {
        assert!(Instant::now() < deadline, "the route of a removed file is still there");
    }
}

#[test]
fn the_metric_counts_certificates_and_files_that_cannot_be_used() {
    let sound = service("shop", SocketAddr::from(([127, 0, 0, 1], 80)));
    let files =
        [("class.yaml", CLASS), ("shop.json", &mismatched_tls()), ("s.json", &sound), ("x.yaml", "[")];
    let manifests = folder(&files);
    let running = Running::start(manifests.path(), &[]);
    running.until_counted("selvedge_problems{severity=\"error\"} 2");
    fs::remove_file(manifests.path().join("x.yaml")).unwrap();
    running.until_counted("selvedge_problems{severity=\"error\"} 1");
    write(manifests.path(), "shop.json", &ingress("shop"));
    running.until_counted("selvedge_problems{severity=\"error\"} 0");
}

#[test]
fn an_empty_folder_is_said_and_answered_404_until_there_is_something() {
    let manifests = folder(&[]);
    let running = Running::start(manifests.path(), &[]);
    assert!(running.before.iter().any(|line| line.contains("no manifests")), "{:?}", running.before);
    assert_eq!(running.get("shop.example", "/").0, 404);
    write(manifests.path(), "class.yaml", CLASS);
    write(manifests.path(), "one.json", &service("one", origin("one")));
    write(manifests.path(), "shop.json", &ingress("one"));
    running.until("shop.example", "one");
}

#[test]
fn sigterm_lets_a_request_in_flight_finish_and_exits_0() {
    let (asked, was_asked) = mpsc::channel();
    let (open, gate) = mpsc::channel::<()>();
    let slow = gated_origin("slow", move || {
        asked.send(()).expect("the test waits");
        gate.recv().expect("the test opens the gate");
    });
    let manifests = folder(&[
        ("class.yaml", CLASS),
        ("shop.json", &ingress("slow")),
        ("slow.json", &service("slow", slow)),
    ]);
    let mut running = Running::start(manifests.path(), &[]);
    let waiting = running.send("shop.example", "/");
    was_asked.recv_timeout(PATIENCE).expect("the request reaches its backend");
    running.signal(Signal::TERM);
    running.logged(|line| line["message"] == "stopping");
    open.send(()).expect("the backend waits");
    assert_eq!(answer(waiting), (200, "slow".into()));
    running.logged(|line| line["message"] == "stopped");
    assert_eq!(running.child.wait().expect("it ends").code(), Some(0));
}

#[test]
fn a_port_in_use_is_one_clear_line() {
    let manifests = folder(&[]);
    let running = Running::start(manifests.path(), &[]);
    let foreign = TcpListener::bind("127.0.0.1:0").expect("loopback has free ports");
    // Another program's, and one of an edge, whose workers share theirs.
    for taken in [foreign.local_addr().unwrap(), running.http].map(|address| address.to_string()) {
        for flag in ["--http", "--https", "--admin"] {
            let mut flags = vec!["run", "--manifests", manifests.path().to_str().unwrap(), flag, &taken];
            for other in ["--http", "--https", "--admin"].into_iter().filter(|other| *other != flag) {
                flags.extend([other, "127.0.0.1:0"]);
            }
            let (output, said, error) = output(&flags);
            assert_eq!((output.status.code(), &*said), (Some(1), ""), "{flag} {taken}");
            assert_eq!(error.lines().count(), 1, "{error}");
            assert!(error.contains(&taken) && error.contains("another address"), "{error}");
            assert_eq!(error.matches("in use").count(), 1, "{error}");
        }
    }
}

#[test]
fn help_lists_every_flag() {
    for command in Arguments::command().get_subcommands() {
        let (output, said, _) = output(&[command.get_name(), "--help"]);
        assert!(output.status.success());
        // A command may have no use for a flag that it shares with others.
        let shown = command.get_arguments().filter(|argument| !argument.is_hide_set());
        for flag in shown.filter_map(|argument| argument.get_long()) {
            assert!(said.contains(&format!("--{flag}")), "{} --{flag}", command.get_name());
        }
    }
}

#[test]
fn each_request_is_a_line_on_standard_output() {
    let manifests = folder(&[("class.yaml", CLASS), ("shop.json", &ingress("one"))]);
    write(manifests.path(), "one.json", &service("one", origin("one")));
    let mut running = Running::start(manifests.path(), &["--access-log=json"]);
    running.get("shop.example", "/found");
    running.get("other.example", "/lost");
    running.signal(Signal::TERM);
    let mut said = String::new();
    running.child.stdout.take().expect("it is piped").read_to_string(&mut said).expect("it is text");
    let lines: Vec<Value> = said.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let seen: Vec<_> = lines.iter().map(|line| (line["status"].as_u64(), line["host"].as_str())).collect();
    assert_eq!(seen, [(Some(200), Some("shop.example")), (Some(404), Some("other.example"))], "{said}");
}

#[test]
fn a_closed_standard_output_does_not_stop_it_from_serving() {
    let manifests = folder(&[("class.yaml", CLASS), ("shop.json", &ingress("one"))]);
    write(manifests.path(), "one.json", &service("one", origin("one")));
    let mut running = Running::start(manifests.path(), &[]);
    drop(running.child.stdout.take());
    for _ in 0..50 {
        assert_eq!(running.get("shop.example", "/"), (200, "one".into()));
    }
    running.signal(Signal::TERM);
    assert_eq!(running.child.wait().expect("it ends").code(), Some(0));
}
