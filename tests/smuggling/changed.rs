//! Changed cases: whatever comes of a case by chance, readers read what the proxy believes it sent.

use std::{io::Write, net::TcpStream, time::Duration};

use selvedge_tests::{
    log::lines,
    proxy::{Proxy, Setup},
    waiting::PATIENCE,
};

use crate::{
    answers, habits,
    numbers::repeat,
    origin::Lenient,
    requests::{BEHIND, by_case, cases, check_left, check_sent, other},
};

/// Pieces that readers differ about.
const WORDS: &[&[u8]] = &[
    b"\r\n",
    b"\r",
    b"\n",
    b"\0",
    b" ",
    b"\t",
    b":",
    b",",
    b";",
    b"0",
    b"+",
    b"0x",
    b"_",
    b"\r\n\r\n",
    b"0\r\n\r\n",
    b"23\r\n",
    b"Content-Length: 35\r\n",
    b"Content-Length: 0\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Transfer-Encoding: ",
    b"Connection: close\r\n",
    b"Connection: content-length, host\r\n",
    b"Expect: 100-continue\r\n",
    b"Upgrade: websocket\r\nConnection: upgrade\r\n",
    b"X-Forwarded-For: a, 192.0.2.1:80, [::1]\r\n",
    b"Cookie: a=b; ;c\r\n",
    b"Host: b\r\n",
    b"HTTP/1.0",
    b"GET ",
    b"HEAD ",
    b"POST /x HTTP/1.1\r\nHost: a\r\n",
];

/// Cases that go through one proxy, before what was read is looked at.
const BATCH: usize = 40;

#[test]
fn changed_cases_are_read_as_the_proxy_sent_them() {
    let corpus: Vec<_> =
        cases().into_iter().map(|case| case.bytes).filter(|bytes| bytes.len() < 2000).collect();
    repeat("smuggling", 3, |numbers| {
        let habits = habits::ALL[numbers.below(habits::ALL.len())];
        let batch: Vec<_> = (0..BATCH).map(|_| numbers.change(&corpus, WORDS)).collect();
        let origin = Lenient::start(habits);
        let (access_log, lines) = lines();
        let mut setup = Setup { access_log, ..Setup::default() };
        // What was made incomplete is not waited for.
        (setup.limits.head_time, setup.limits.body_idle) =
            (Duration::from_millis(50), Duration::from_millis(50));
        setup.listener = |listener| listener.trusted_cidrs = vec!["127.0.0.0/8".parse().unwrap()];
        let mut proxy = Proxy::start(setup);
        proxy.route_all(&[origin.address]);
        for (number, bytes) in batch.iter().enumerate() {
            let mut stream = TcpStream::connect(proxy.http()).unwrap();
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            // The proxy may have enough of it before the end.
            let _ = stream.write_all(&[bytes, BEHIND.as_bytes()].concat());
            answers::receive(&mut stream);
            let others = other(proxy.http(), number);
            assert_eq!(others, Ok(()), "{} behind {}", habits.name, bytes.escape_ascii());
        }
        drop(proxy);
        let log = lines.rest();
        let mut read = origin.finish();
        assert_eq!(check_left(&log, &read), Ok(()), "{}", habits.name);
        let requests = by_case(std::mem::take(&mut read.requests), |request| request.target.clone());
        let log = by_case(log, |line| line["target"].as_str().unwrap_or_default().to_owned());
        assert_eq!((log.len(), requests.len()), (BATCH, BATCH), "{}", habits.name);
        for ((bytes, log), requests) in batch.iter().zip(log).zip(requests) {
            let checked = check_sent(&log, &requests);
            assert_eq!(checked, Ok(()), "{} reads {}", habits.name, bytes.escape_ascii());
        }
    });
}
