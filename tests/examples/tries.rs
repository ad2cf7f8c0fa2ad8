//! The lines at the top of an example that say what a request is answered.

use std::collections::BTreeSet;

use selvedge_tests::{client::Answer, edge::eventually};

use crate::origins::PROTOCOL;

/// One line `# try: METHOD URL -> EXPECTED`.
#[derive(Debug, PartialEq, Eq)]
pub struct Try<'a> {
    /// The line.
    pub line: &'a str,
    /// Method of the request.
    pub method: &'a str,
    /// Whether it goes over TLS.
    pub tls: bool,
    /// Host of the URL.
    pub host: &'a str,
    /// Path and query of the URL.
    pub path: &'a str,
    /// What is expected.
    pub expected: Expected<'a>,
}

/// What a request is answered.
#[derive(Debug, PartialEq, Eq)]
pub enum Expected<'a> {
    /// This status, by the proxy itself.
    Status(u16),
    /// 200 from these origins, each of them in turn.
    Origins {
        /// Their names.
        names: Vec<&'a str>,
        /// The version of HTTP that they saw, if it matters.
        protocol: Option<&'a str>,
    },
}

impl Try<'_> {
    /// The request over HTTP/1.1.
    pub fn request(&self) -> String {
        let Try { method, host, path, .. } = self;
        format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\n\r\n")
    }

    /// Whether it is answered as it says; fails with what was seen instead.
    pub fn check(&self, ask: impl Fn() -> Answer) -> Result<(), String> {
        let (names, protocol) = match &self.expected {
            Expected::Status(status) => {
                let answer = ask();
                // Else an origin could have said it.
                let by_proxy = answer.field(PROTOCOL).is_none();
                return if answer.status == *status && by_proxy {
                    Ok(())
                } else {
                    Err(format!("{answer:?}"))
                };
            }
            Expected::Origins { names, protocol } => (names, protocol),
        };
        let mut missing: BTreeSet<_> = names.iter().copied().collect();
        eventually(self.line, || {
            let answer = ask();
            let seen = answer.text();
            let fits = answer.status == 200 && names.contains(&&*seen);
            if !fits || protocol.is_some_and(|wanted| answer.field(PROTOCOL) != Some(wanted)) {
                return Some(Err(format!("{answer:?}")));
            }
            missing.remove(&*seen);
            missing.is_empty().then_some(Ok(()))
        })
    }
}

/// The lines of a file; the error names one that is not understood.
pub fn read(text: &str) -> Result<Vec<Try<'_>>, String> {
    let top = text.lines().take_while(|line| line.starts_with('#'));
    let lines = top.filter_map(|line| line.strip_prefix("# try:"));
    lines.map(|line| parse(line.trim()).ok_or_else(|| format!("not understood: {line}"))).collect()
}

fn parse(line: &str) -> Option<Try<'_>> {
    let (request, expected) = line.split_once(" -> ")?;
    let (method, url) = request.split_once(' ')?;
    let (scheme, rest) = url.split_once("://")?;
    let (host, path) = rest.split_at(rest.find('/')?);
    let tls = match scheme {
        "http" => false,
        "https" => true,
        _ => return None,
    };
    let expected = match expected.parse() {
        Ok(status) => Expected::Status(status),
        Err(_) => {
            let (names, protocol) =
                expected.split_once(" over ").map_or((expected, None), |(n, p)| (n, Some(p)));
            Expected::Origins { names: names.split(" or ").collect(), protocol }
        }
    };
    Some(Try { line, method, tls, host, path, expected })
}

#[test]
fn lines_say_request_and_answer() {
    let text = "# Why.\n# try: GET http://a.example/b?c -> 404\n# try: PUT https://a.example/ -> x or y over HTTP/2\na: 1\n# try: late";
    let tries = read(text).unwrap();
    let seen: Vec<_> = tries.iter().map(|one| (one.method, one.tls, one.host, one.path)).collect();
    assert_eq!(seen, [("GET", false, "a.example", "/b?c"), ("PUT", true, "a.example", "/")]);
    assert_eq!(tries[0].expected, Expected::Status(404));
    assert_eq!(tries[1].expected, Expected::Origins { names: vec!["x", "y"], protocol: Some("HTTP/2") });
    for wrong in ["GET http://a.example/", "GET a.example/ -> b", "GET ftp://a/ -> b", "http://a/ -> b"] {
        assert!(read(&format!("# try: {wrong}")).is_err(), "{wrong}");
    }
}
