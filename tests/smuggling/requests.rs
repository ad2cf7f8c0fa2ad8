//! Requests through the proxy to origins that read leniently: what they read is what the proxy believes it sent.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    io::Write,
    net::{Shutdown, SocketAddr, TcpStream},
};

use selvedge_tests::{
    log::lines,
    proxy::{Proxy, Setup},
    waiting::PATIENCE,
};
use serde_json::Value;

use crate::{
    answers::{self, Answer},
    corpus::{self, Case, unescape},
    habits::{self, Habits, Request},
    origin::{Lenient, Log, SAW},
};

/// Well-formed requests that follow each case on its connection; the last one ends it.
pub const BEHIND: &str = "GET /behind/1 HTTP/1.1\r\nHost: a\r\n\r\n\
                      GET /behind/2 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

/// What a case says of itself.
struct Wanted {
    /// Status and what becomes of the connection, for each answer of the case.
    answers: Vec<(u16, End)>,
    /// Method, target and body of each request that a backend is to see of it.
    sees: Vec<(String, String, Vec<u8>)>,
    trailers: Vec<String>,
    /// Whether further requests follow on the connection.
    is_followed: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    GoesOn,
    Closes,
}

/// All cases.
pub fn cases() -> Vec<Case> {
    corpus::read("requests", &["rfc", "want", "sees", "trailers", "after"])
}

impl Wanted {
    fn of(case: &Case) -> Self {
        let answers = case.key("want").split(' ').filter(|word| *word != "0");
        let answers = answers.map(|word| {
            let status = word.trim_end_matches(['+', '-']).parse().unwrap();
            let goes_on = word.ends_with('+') || (status == 200 && !word.ends_with('-'));
            (status, if goes_on { End::GoesOn } else { End::Closes })
        });
        let sees = case.all("sees").map(|text| {
            let mut words = text.splitn(3, ' ');
            let mut word = || words.next().unwrap_or_default();
            (word().to_owned(), word().to_owned(), unescape(word()))
        });
        let trailers = case.key("trailers").split(',').map(str::trim).filter(|name| !name.is_empty());
        Self {
            answers: answers.collect(),
            sees: sees.collect(),
            trailers: trailers.map(str::to_owned).collect(),
            is_followed: case.key("after") != "none",
        }
    }

    fn goes_on(&self) -> bool {
        self.is_followed && self.answers.last().is_some_and(|(_, end)| *end == End::GoesOn)
    }

    /// All that a backend is to see on behalf of this connection.
    fn all_seen(&self) -> Vec<(String, String, Vec<u8>)> {
        let mut all = self.sees.clone();
        if self.goes_on() {
            all.extend([1, 2].map(|number| ("GET".into(), format!("/behind/{number}"), Vec::new())));
        }
        all
    }

    /// Statuses of all answers, and for those of a backend the request that they are for.
    fn all_answers(&self) -> Vec<(u16, Option<String>)> {
        let mut seen = self.all_seen().into_iter().map(|(method, target, _)| format!("{method} {target}"));
        let behind = if self.goes_on() { &[(200, End::GoesOn); 2][..] } else { &[] };
        let all = self.answers.iter().chain(behind);
        all.map(|(status, _)| (*status, if *status == 200 { seen.next() } else { None })).collect()
    }
}

/// How the bytes of a case reach the proxy.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Pieces {
    One,
    Bytes,
}

/// Sends a case and what follows it, and gives all that came back.
fn send(proxy: SocketAddr, case: &Case, is_followed: bool, pieces: Pieces) -> Vec<u8> {
    let mut stream = TcpStream::connect(proxy).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_nodelay(true).unwrap();
    let mut bytes = case.bytes.clone();
    if is_followed {
        bytes.extend_from_slice(BEHIND.as_bytes());
    }
    // The proxy may have enough of it before the end.
    match pieces {
        Pieces::One => drop(stream.write_all(&bytes)),
        Pieces::Bytes => drop(bytes.iter().try_for_each(|byte| stream.write_all(&[*byte]))),
    }
    if !is_followed {
        let _ = stream.shutdown(Shutdown::Write);
    }
    answers::receive(&mut stream).0
}

/// A request of another client, which must have its own answer.
pub fn other(proxy: SocketAddr, number: usize) -> Result<(), String> {
    let mut stream = TcpStream::connect(proxy).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let target = format!("/other/{number}");
    write!(stream, "GET {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
    let (received, _) = answers::receive(&mut stream);
    let wanted = format!("GET {target}");
    match &answers::read(&received, |_| false)?[..] {
        [answer] if answer.field(SAW) == Some(wanted.as_str()) => Ok(()),
        other => Err(format!("another client got {other:?}")),
    }
}

fn check_answers(wanted: &Wanted, received: &[u8]) -> Result<(), String> {
    let all = wanted.all_answers();
    let is_head = |index: usize| all.get(index).is_some_and(|(_, saw)| is_for_head(saw.as_deref()));
    let finals: Vec<Answer> =
        answers::read(received, is_head)?.into_iter().filter(|answer| answer.status >= 200).collect();
    let told = |answer: &Answer| (answer.status, answer.field(SAW).map(str::to_owned));
    let got: Vec<_> = finals.iter().map(told).collect();
    if got != all { Err(format!("answers {got:?}, not {all:?}")) } else { Ok(()) }
}

fn is_for_head(saw: Option<&str>) -> bool {
    saw.is_some_and(|saw| saw.starts_with("HEAD "))
}

/// Splits what came in the order of the cases at the requests of other clients.
pub fn by_case<T>(all: Vec<T>, target: impl Fn(&T) -> String) -> Vec<Vec<T>> {
    let mut groups = vec![Vec::new()];
    for one in all {
        match target(&one).starts_with("/other/") {
            true => groups.push(Vec::new()),
            false => groups.last_mut().unwrap().push(one),
        }
    }
    groups.pop();
    groups
}

/// What the proxy says in its log that it sent to a backend.
struct Believed {
    id: String,
    method: String,
    host: String,
    received: u64,
    /// Whether all of it was sent; the connection to the backend is cut off otherwise.
    is_whole: bool,
}

fn believed(line: &Value) -> Option<Believed> {
    let text = |name: &str| line[name].as_str().unwrap_or_default().to_owned();
    line["endpoint"].as_str()?;
    Some(Believed {
        id: text("request_id"),
        method: text("method"),
        host: text("host"),
        received: line["received_bytes"].as_u64().unwrap(),
        is_whole: line["reason"].is_null(),
    })
}

/// Compares what an origin read with what the proxy believes.
pub fn check_sent(log: &[Value], read: &[Request]) -> Result<(), String> {
    let mut rest = read.iter().peekable();
    for sent in log.iter().filter_map(believed) {
        let Some(request) = rest.next_if(|request| request.id == sent.id) else {
            match sent.is_whole {
                true => return Err(format!("{} {} did not arrive", sent.method, sent.id)),
                false => continue,
            }
        };
        let length = request.body.as_ref().map_or(sent.received, |body| body.len() as u64);
        let hosts_agree = sent.host.is_empty() || request.host == sent.host;
        let agrees = request.method == sent.method && hosts_agree && length == sent.received;
        if !agrees {
            return Err(format!("sent as {} of {} bytes: {request:?}", sent.method, sent.received));
        }
    }
    match rest.next() {
        Some(more) => Err(format!("nobody sent {more:?}")),
        None => Ok(()),
    }
}

/// Compares what an origin read with what the case wants.
fn check_wanted(wanted: &Wanted, log: &[Value], read: &[Request]) -> Result<(), String> {
    // What was broken off may have been read by an origin that does not look for its body.
    let broken: BTreeSet<_> = broken(log).map(|sent| sent.id).collect();
    let read: Vec<_> = read.iter().filter(|request| !broken.contains(&request.id)).collect();
    let all = wanted.all_seen();
    for (request, (method, target, body)) in read.iter().zip(&all) {
        let has_body = request.body.as_ref().is_none_or(|read| read == body);
        if (&request.method, &request.target, has_body) != (method, target, true) {
            return Err(format!("read {request:?}, not {method} {target} {}", body.escape_ascii()));
        }
    }
    let trailers: Vec<_> = read.iter().flat_map(|request| &request.trailers).cloned().collect();
    match (read.len() == all.len(), trailers == wanted.trailers) {
        (true, true) => Ok(()),
        (false, _) => Err(format!("{} requests were read: {read:?}", read.len())),
        (_, false) => Err(format!("trailers {trailers:?}")),
    }
}

fn broken(log: &[Value]) -> impl Iterator<Item = Believed> {
    log.iter().filter_map(believed).filter(|sent| !sent.is_whole)
}

/// What is left at an origin was broken off by the proxy, and is the begin of a request that it tells of.
pub fn check_left(log: &[Value], left: &Log) -> Result<(), String> {
    let broken: Vec<_> = broken(log).collect();
    for (bytes, why) in &left.left {
        let text = String::from_utf8_lossy(bytes);
        let is_known = broken.iter().any(|sent| text.contains(&sent.id));
        if !is_known || why.is_some() {
            return Err(format!("left over at the origin ({why:?}): {}", bytes.escape_ascii()));
        }
    }
    Ok(())
}

/// Sends all cases through a proxy to an origin with these habits: `send` sends one and judges what came back, `check`
/// compares the proxy's log of a case and what the origin read of it with what the case wants.
pub fn replay_to(
    name: &str,
    cases: &[Case],
    send: impl Fn(SocketAddr, &Case) -> Result<(), String>,
    check: impl Fn(&Case, &[Value], &[Request]) -> Result<(), String>,
) {
    let habits = *habits::ALL.iter().find(|habits| habits.name == name).unwrap();
    let origin = Lenient::start(habits);
    let (access_log, lines) = lines();
    let mut proxy = Proxy::start(Setup { access_log, ..Setup::default() });
    proxy.route_all(&[origin.address]);
    let mut wrong: BTreeMap<String, String> = BTreeMap::new();
    for (number, case) in cases.iter().enumerate() {
        let sent = send(proxy.http(), case);
        let others = other(proxy.http(), number);
        if let Err(why) = sent.and(others) {
            wrong.insert(case.name.clone(), why);
        }
    }
    drop(proxy);
    let log = lines.rest();
    let mut read = origin.finish();
    if let Err(why) = check_left(&log, &read) {
        wrong.insert("all".into(), why);
    }
    let requests = by_case(std::mem::take(&mut read.requests), |request| request.target.clone());
    let log = by_case(log, |line| line["target"].as_str().unwrap_or_default().to_owned());
    assert_eq!((log.len(), requests.len()), (cases.len(), cases.len()), "{wrong:#?}");
    for ((case, log), requests) in cases.iter().zip(log).zip(requests) {
        if let Err(why) = check_sent(&log, &requests).and(check(case, &log, &requests)) {
            wrong.entry(case.name.clone()).or_default().write_fmt(format_args!("; {why}")).unwrap();
        }
    }
    assert!(wrong.is_empty(), "{} of {} differ with {name}: {wrong:#?}", wrong.len(), cases.len());
}

/// The same for the cases of HTTP/1.1.
fn replay(name: &str, pieces: Pieces) {
    let mut cases = cases();
    if pieces == Pieces::Bytes {
        // Whether something is HTTP at all is seen by the first piece.
        cases.retain(|case| case.key("want") != "0" || case.key("after") == "none");
        // An answer of our own does not wait for a body: whether the connection goes on depends on how much has come.
        cases.retain(|case| {
            let (wanted, head) = (Wanted::of(case), case.bytes.windows(4).position(|end| end == b"\r\n\r\n"));
            let has_body = head.is_some_and(|at| at + 4 < case.bytes.len());
            let goes_on = wanted.answers.iter().any(|(_, end)| *end == End::GoesOn);
            !(wanted.sees.is_empty() && goes_on && has_body)
        });
    }
    let send = |proxy: SocketAddr, case: &Case| {
        let wanted = Wanted::of(case);
        check_answers(&wanted, &send(proxy, case, wanted.is_followed, pieces))
    };
    replay_to(name, &cases, send, |case, log, read| check_wanted(&Wanted::of(case), log, read));
}

macro_rules! replays {
    ($($test:ident: $name:literal;)*) => {
        $(
            #[test]
            fn $test() {
                replay($name, Pieces::One);
            }
        )*
        #[test]
        fn every_reader_is_replayed() {
            let names: Vec<_> = habits::ALL.iter().map(|habits| habits.name).collect();
            assert_eq!(names, [$($name),*]);
        }
    };
}

replays! {
    a_strict_reader_reads_what_the_proxy_sent: "strict";
    a_reader_like_node_reads_what_the_proxy_sent: "node";
    a_reader_like_python_reads_what_the_proxy_sent: "python";
    a_reader_like_nginx_reads_what_the_proxy_sent: "nginx";
    a_reader_like_hyper_reads_what_the_proxy_sent: "hyper";
    a_reader_that_prefers_lengths_reads_what_the_proxy_sent: "length first";
    a_reader_that_makes_variables_reads_what_the_proxy_sent: "variables";
    a_reader_of_old_reads_what_the_proxy_sent: "old";
}

#[test]
fn requests_that_come_byte_by_byte_are_the_same() {
    replay("variables", Pieces::Bytes);
}

/// What a reader would make of a case if its bytes were passed on as they are.
fn passed_through(habits: &Habits, case: &Case) -> Vec<(String, String, Option<Vec<u8>>)> {
    let bytes = [&case.bytes, BEHIND.as_bytes()].concat();
    let all = habits.all(&bytes).into_iter();
    all.map(|request| (request.method, request.target, request.body)).collect()
}

/// The corpus is worth something only if it shows what it is about.
#[test]
fn without_the_proxy_the_readers_disagree_on_most_cases() {
    let cases = cases();
    assert!(cases.len() >= 200, "{} cases", cases.len());
    let mut disagree = 0;
    let mut smuggled: BTreeMap<&str, usize> = BTreeMap::new();
    for case in &cases {
        let wanted = Wanted::of(case).all_seen();
        let readings: Vec<_> = habits::ALL.iter().map(|habits| passed_through(habits, case)).collect();
        // Readers that refuse a case do no harm.
        let different: BTreeSet<_> = readings.iter().filter(|reading| !reading.is_empty()).collect();
        disagree += usize::from(different.len() > 1);
        let is_wanted = wanted.iter().any(|(_, target, _)| target == "/smuggled");
        for (habits, reading) in habits::ALL.iter().zip(&readings) {
            let has_it = reading.iter().any(|(_, target, _)| target == "/smuggled");
            *smuggled.entry(habits.name).or_default() += usize::from(has_it && !is_wanted);
        }
    }
    eprintln!("{} cases; readers disagree on {disagree}; requests smuggled: {smuggled:?}", cases.len());
    assert!(disagree >= cases.len() / 2, "only on {disagree} of {}", cases.len());
    let lenient = smuggled.iter().filter(|(name, _)| **name != "strict");
    assert!(lenient.clone().all(|(_, count)| *count >= 20), "{smuggled:?}");
}
