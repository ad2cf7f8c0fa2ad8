//! Answers of a hostile backend through the proxy: no client gets bytes that are for another one.
//!
//! Each gets one answer to each of its requests, a broken one is seen to be broken, and a connection in doubt is not used
//! again.

use std::{
    collections::BTreeMap,
    io::Write,
    net::{SocketAddr, TcpStream},
    sync::Arc,
};

use selvedge_tests::{
    origin::{After, Origin, Seen},
    proxy::Proxy,
    waiting::PATIENCE,
};

use crate::{
    answers::{self, Answer},
    corpus::{self, Case, unescape},
};

fn cases() -> Vec<Case> {
    corpus::read("responses", &["rfc", "want", "method", "then", "reuse"])
}

/// What the client of a case is to get.
struct Wanted {
    /// Statuses of interim answers before the final one.
    interim: Vec<u16>,
    /// Status and body; `None` is an answer that breaks off.
    answer: Option<(u16, Vec<u8>)>,
    /// Whether the connection to the backend may be used again.
    reuse: bool,
}

impl Wanted {
    fn of(case: &Case) -> Self {
        let (mut interim, mut rest) = (Vec::new(), case.key("want"));
        while rest.starts_with('1') {
            let (word, after) = rest.split_once(' ').unwrap();
            let (status, count) = word.split_once('*').unwrap_or((word, "1"));
            interim.extend(vec![status.parse::<u16>().unwrap(); count.parse().unwrap()]);
            rest = after;
        }
        let (status, body) = rest.split_once(' ').unwrap_or((rest, ""));
        let body = body.replace("@stolen", "HTTP/1.1 200 OK\\r\\nContent-Length: 6\\r\\n\\r\\nstolen");
        let answer = status.parse().ok().map(|status| (status, unescape(&body)));
        assert!(answer.is_some() || status == "broken", "{}", case.name);
        Self { interim, answer, reuse: case.key("reuse") == "yes" }
    }

    fn check(&self, case: &Case, received: &[u8]) -> Result<(), String> {
        let is_head = |index| index == 0 && case.key("method") == "HEAD";
        let all = answers::read(received, is_head)?;
        let (interim, finals): (Vec<_>, Vec<_>) = all.into_iter().partition(|answer| answer.status < 200);
        let statuses: Vec<_> = interim.iter().map(|answer| answer.status).collect();
        if statuses != self.interim {
            return Err(format!("interim answers {statuses:?}"));
        }
        match (&self.answer, &finals[..]) {
            // Broken off, or replaced by an answer of the proxy if nothing of it had been sent.
            (None, []) => Ok(()),
            (None, [answer]) if !answer.is_whole && answer.status == 200 => Ok(()),
            (Some((status, body)), [answer, next]) if answer.status == *status && is_for(next, "/next") => {
                let is_own = *status == 502 && answer.field("x-selvedge-reason").is_some();
                let is_same = answer.is_whole && answer.body.as_bytes() == body;
                if is_own || is_same { Ok(()) } else { Err(format!("{answer:?}")) }
            }
            (_, other) => Err(format!("answers {other:?}")),
        }
    }
}

/// An origin that answers `/case/N` with the bytes of that case, and everything else with its own target.
fn hostile(cases: &Arc<Vec<Case>>) -> Origin {
    let cases = cases.clone();
    Origin::scripted(move |seen, stream| {
        let target = target(seen);
        let Some(number) = target.strip_prefix("/case/") else {
            let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{target}", target.len());
            return if stream.write_all(answer.as_bytes()).is_ok() { After::KeepOpen } else { After::Close };
        };
        let case = &cases[number.parse::<usize>().unwrap()];
        // The proxy may have enough of it before the end.
        let written = stream.write_all(&case.bytes);
        if case.key("then") == "close" || written.is_err() { After::Close } else { After::KeepOpen }
    })
}

fn target(seen: &Seen) -> &str {
    seen.line.split(' ').nth(1).unwrap()
}

fn is_for(answer: &Answer, target: &str) -> bool {
    (answer.status, answer.is_whole) == (200, true) && answer.body == target
}

/// Sends this and gives all that comes back.
fn exchange(proxy: SocketAddr, request: &str) -> Vec<u8> {
    let mut stream = TcpStream::connect(proxy).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    answers::receive(&mut stream).0
}

fn get(target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
}

/// The request of a case, and another one behind it on the same connection.
fn asking(case: &Case, number: usize) -> String {
    let (method, length) = match case.key("method") {
        // Nothing of a POST is sent again.
        "" => ("POST", "Content-Length: 0\r\n"),
        method => (method, ""),
    };
    format!("{method} /case/{number} HTTP/1.1\r\nHost: a\r\n{length}\r\n{}", get("/next"))
}

/// Whether the connection on which a case came was used for the requests that came next.
fn was_reused(seen: &[Seen], number: usize) -> bool {
    let at = seen.iter().position(|seen| target(seen) == format!("/case/{number}")).unwrap();
    seen[at + 1..].iter().any(|later| later.connection == seen[at].connection)
}

#[test]
fn clients_get_their_own_answers_whatever_a_backend_sends() {
    let cases = Arc::new(cases());
    let origin = hostile(&cases);
    let proxy = Proxy::to(&[origin.address]);
    let mut wrong = BTreeMap::new();
    for (number, case) in cases.iter().enumerate() {
        let wanted = Wanted::of(case);
        let received = exchange(proxy.http(), &asking(case, number));
        let other = format!("/other/{number}");
        let got = answers::read(&exchange(proxy.http(), &get(&other)), |_| false);
        let others = match got {
            Ok(got) if matches!(&got[..], [answer] if is_for(answer, &other)) => Ok(()),
            got => Err(format!("another client got {got:?}")),
        };
        if let Err(why) = wanted.check(case, &received).and(others) {
            wrong.insert(case.name.clone(), why);
        }
    }
    let seen = origin.seen();
    for (number, case) in cases.iter().enumerate() {
        let reused = was_reused(&seen, number);
        if reused != Wanted::of(case).reuse {
            wrong.entry(case.name.clone()).or_default().push_str(&format!("; used again: {reused}"));
        }
    }
    let once = (0..cases.len()).all(|number| {
        let name = format!("/case/{number}");
        seen.iter().filter(|seen| target(seen) == name).count() == 1
    });
    assert!(wrong.is_empty(), "{} of {} are wrong: {wrong:#?}", wrong.len(), cases.len());
    assert!(once, "nothing is sent twice");
    assert!(cases.len() >= 100, "{} cases", cases.len());
    eprintln!("{} cases", cases.len());
}

/// Bytes that a backend sends before it is asked, on a connection that waits for its next request.
#[test]
fn bytes_on_an_idle_connection_answer_nobody() {
    let (written, wait) = std::sync::mpsc::channel();
    let origin = Origin::raw(move |_, mut stream| {
        let mut reader = std::io::BufReader::new(stream.try_clone().unwrap());
        while let Some(seen) = selvedge_tests::origin::read_head(&mut reader) {
            let target = target(&seen);
            let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{target}", target.len());
            stream.write_all(answer.as_bytes()).unwrap();
            // In a packet of its own, when the answer may have been passed on already.
            let stolen = unescape("HTTP/1.1 200 OK\\r\\nContent-Length: 6\\r\\n\\r\\nstolen");
            let _the_proxy_may_have_closed = stream.write_all(&stolen);
            written.send(()).unwrap();
        }
    });
    let proxy = Proxy::to(&[origin.address]);
    for number in 0..50 {
        let name = format!("/{number}");
        let got = answers::read(&exchange(proxy.http(), &get(&name)), |_| false).unwrap();
        assert!(matches!(&got[..], [answer] if is_for(answer, &name)), "{got:?}");
        wait.recv_timeout(PATIENCE).unwrap();
    }
    assert_eq!(origin.connections(), 50, "none is used again");
}
