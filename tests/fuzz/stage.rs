//! The stage: a real engine on loopback, whose every backend is one origin that reads strictly, and whose log is read.

use std::{
    collections::BTreeMap,
    io::{self, Read as _, Write},
    net::{SocketAddr, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use selvedge_common::{
    id::ListenerName,
    model::{Discovery, Listener, ListenerProtocol, Snapshot},
    proxy::ProxySettings,
    runtime::{
        access_log::{AccessLog, AccessLogFormat},
        engine::{Engine, EngineSettings},
        metrics::{AccessLogCounts, Metrics},
    },
    source::{Sink, Update},
};
use selvedge_tests::{
    origin::Origin,
    proxy::{listener, ready},
    tls,
};
use serde_json::Value;

use crate::{
    scene::{HOST, World},
    strict::{self, Read},
};

/// An answer that takes longer does not come.
const PATIENCE: Duration = Duration::from_secs(60);

/// What is wrong with anything that was seen so far; the first one counts.
#[derive(Clone, Default)]
struct Findings(Arc<Mutex<Option<String>>>);

impl Findings {
    fn note(&self, found: Result<(), String>) {
        if let Err(what) = found {
            self.0.lock().unwrap().get_or_insert(what);
        }
    }
}

/// An engine with its origin and its log.
pub struct Stage {
    /// What is translated for it.
    pub world: World,
    engine: Engine,
    metrics: Arc<Metrics>,
    origin: Origin,
    findings: Findings,
    lines: Arc<AtomicUsize>,
    /// How many requests the origin saw.
    reached: Arc<AtomicUsize>,
    asked: usize,
}

/// A request.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    /// Method.
    pub method: &'a str,
    /// Target.
    pub target: &'a str,
    /// Further fields, each with the end of its line.
    pub fields: &'a str,
    /// Whether it comes over TLS.
    pub over_tls: bool,
}

impl Stage {
    /// Starts it with one worker and nothing to serve.
    pub fn start() -> Self {
        let (findings, lines) = (Findings::default(), Arc::default());
        let output =
            Box::new(Log { findings: findings.clone(), lines: Arc::clone(&lines), text: Vec::new() });
        let access_log = AccessLog::start(AccessLogFormat::Json, output, AccessLogCounts::default()).unwrap();
        let metrics = Metrics::new();
        let proxy = ProxySettings {
            upstream_idle: Duration::from_secs(60),
            connections: 1000,
            requests: 0,
            spread_every: Duration::ZERO,
            reason_field: true,
        };
        let settings =
            EngineSettings { workers: 1, proxy, metrics: metrics.clone(), access_log, share_ports: false };
        let listeners: BTreeMap<ListenerName, Arc<Listener>> =
            [("http", ListenerProtocol::Http), ("https", ListenerProtocol::Https)]
                .map(|(name, protocol)| (name.into(), Arc::new(listener(protocol))))
                .into();
        let engine = Engine::start(settings, &listeners).unwrap();
        let reached = Arc::default();
        let origin = origin(findings.clone(), Arc::clone(&reached));
        Self { world: World::new(), engine, metrics, origin, findings, lines, reached, asked: 0 }
    }

    /// Serves a snapshot. All of its backends are the origin, so that nobody else is asked.
    pub fn serve(&mut self, snapshot: &Snapshot) {
        let mut snapshot = snapshot.clone();
        let ids: Vec<_> = snapshot.backends.keys().cloned().collect();
        let endpoints = ready(&[self.origin.address]);
        for id in &ids {
            let mut backend = (**snapshot.backends.get(id).unwrap()).clone();
            backend.discovery = Discovery::Endpoints;
            snapshot.backends.insert(id.clone(), Arc::new(backend));
        }
        let endpoints = ids.into_iter().map(|id| (id, endpoints.clone())).collect();
        self.engine.apply(Update::Snapshot { snapshot: Arc::new(snapshot), endpoints });
    }

    /// Sends a request on a connection of its own, and checks what comes back: one answer and nothing more.
    pub fn ask(&mut self, request: Request<'_>) -> Result<(), String> {
        let Request { method, target, fields, over_tls } = request;
        let text = format!(
            "{method} {target} HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\nX-Asked: 1\r\n{fields}\r\n"
        );
        self.asked += 1;
        let answer = self.exchange(text.as_bytes(), over_tls).map_err(|error| format!("{text}: {error}"))?;
        strict::answer(&answer, method).map_err(|why| format!("{text} -> {}: {why}", answer.escape_ascii()))
    }

    fn exchange(&self, request: &[u8], over_tls: bool) -> io::Result<Vec<u8>> {
        let connect = |name: &str| {
            let tcp = TcpStream::connect(self.address(name))?;
            tcp.set_read_timeout(Some(PATIENCE))?;
            tcp.set_nodelay(true)?;
            io::Result::Ok(tcp)
        };
        match over_tls {
            true => talk(tls::shake(connect("https")?, tls::usual(&["http/1.1"]), HOST)?, request),
            false => talk(connect("http")?, request),
        }
    }

    fn address(&self, name: &str) -> SocketAddr {
        self.engine.addresses()[&ListenerName::new(name)]
    }

    /// What is wrong with what the origin and the log have seen so far, if anything.
    pub fn findings(&self) -> Result<(), String> {
        if self.metrics.panics.get() > 0 {
            return Err("the engine panicked".to_owned());
        }
        match &*self.findings.0.lock().unwrap() {
            Some(found) => Err(found.clone()),
            None => Ok(()),
        }
    }

    /// Ends it, and checks the rest of the log: no more lines than requests, and some, unless none was wanted; and that
    /// what was asked got to the origin often enough to tell something.
    pub fn finish(self) {
        let Self { engine, findings, lines, reached, asked, .. } = self;
        drop(engine);
        assert_eq!(*findings.0.lock().unwrap(), None);
        let lines = lines.load(Ordering::SeqCst);
        assert!(lines <= asked, "{lines} lines of {asked} requests");
        assert!(lines * 2 > asked, "only {lines} lines of {asked} requests");
        let reached = reached.load(Ordering::SeqCst);
        eprintln!("{reached} of {asked} requests got to the origin");
        assert!(reached * 4 > asked, "only {reached} of {asked} requests got to the origin");
    }
}

fn talk(mut stream: impl io::Read + Write, request: &[u8]) -> io::Result<Vec<u8>> {
    stream.write_all(request)?;
    stream.flush()?;
    let mut answer = Vec::new();
    match stream.read_to_end(&mut answer) {
        // A TLS session may end without its last word.
        Err(error) if error.kind() != io::ErrorKind::UnexpectedEof => Err(error),
        _ => Ok(answer),
    }
}

/// An origin that reads every request strictly and answers as its field `X-Want` says.
fn origin(findings: Findings, reached: Arc<AtomicUsize>) -> Origin {
    Origin::raw(move |_, mut stream| {
        let mut seen = Vec::new();
        let mut piece = [0; 16 << 10];
        loop {
            match strict::request(&seen) {
                Ok(Read::Request(length, want)) => {
                    seen.drain(..length);
                    reached.fetch_add(1, Ordering::SeqCst);
                    if stream.write_all(answer(&want).as_bytes()).is_err() {
                        return;
                    }
                    continue;
                }
                Ok(Read::Begun) => {}
                Ok(Read::Foreign) => return,
                Err(why) => {
                    return findings.note(Err(format!("a backend saw {}: {why}", seen.escape_ascii())));
                }
            }
            match stream.read(&mut piece) {
                Ok(count) if count > 0 => seen.extend_from_slice(&piece[..count]),
                _ => return,
            }
        }
    })
}

/// Answers without a body, as a rate may be one byte in a second.
fn answer(want: &str) -> String {
    let (status, fields) = match want {
        "moved" => ("302 Found", "Location: http://shop.internal/x?y=1\r\n"),
        "broken" => ("503 Service Unavailable", "Retry-After: 0\r\n"),
        "commands" => ("200 OK", "X-Accel-Redirect: /x\r\nX-Accel-Buffering: no\r\n"),
        _ => (
            "200 OK",
            "X-Auth-User: ann\r\nRefresh: 0; url=http://shop.internal/\r\n\
             Set-Cookie: a=b; Path=/internal; Domain=shop.internal\r\n",
        ),
    };
    format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n{fields}\r\n")
}

/// The access log: each line is looked at as it is written.
struct Log {
    findings: Findings,
    lines: Arc<AtomicUsize>,
    text: Vec<u8>,
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.text.extend_from_slice(bytes);
        while let Some(end) = self.text.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.text.drain(..=end).collect();
            self.findings.note(check_line(&line));
            self.lines.fetch_add(1, Ordering::SeqCst);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A line is an object of JSON with just the members that lines have.
fn check_line(line: &[u8]) -> Result<(), String> {
    const MEMBERS: usize = 20;
    let wrong = |why: String| format!("the log has {}: {why}", line.escape_ascii());
    let value: Value = serde_json::from_slice(line).map_err(|error| wrong(error.to_string()))?;
    let members = value.as_object().map_or(0, serde_json::Map::len);
    // What is refused before it is read whole has no host.
    let is_asked = (value["host"] == HOST || value["host"].is_null()) && value["client"] == "127.0.0.1";
    match (members == MEMBERS, is_asked) {
        (true, true) => Ok(()),
        (false, _) => Err(wrong(format!("{members} members"))),
        (_, false) => Err(wrong("nobody asked for it".to_owned())),
    }
}
