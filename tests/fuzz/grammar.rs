//! The grammar of values: valid ones of each declared form, nearly valid ones, and what nobody should write.

use selvedge_ingress::annotations::Key;

use crate::numbers::Numbers;

/// What nobody should write: ends of lines and texts, code of several languages, ways out of folders, separators.
pub const HOSTILE: [&str; 27] = [
    "\r\nX-Injected: 1",
    "\nX-Injected: 1",
    "\rX-Injected: 1",
    "\r\n\r\nGET /x HTTP/1.1\r\nX-Injected: 1\r\n\r\n",
    "\0",
    "\u{1b}[2J",
    "\u{7f}",
    "\u{85}X-Injected: 1",
    "\u{2028}X-Injected: 1",
    "\u{2029}X-Injected: 1",
    "\u{feff}",
    "\u{202e}",
    "\t",
    "\"; }",
    "\"}\n{\"injected\":1",
    "'; return 200 x; #",
    "${jndi:ldap://x.test/a}",
    "$(id)",
    "`id`",
    "{{.Env}}",
    "../../../etc/passwd",
    "/../..%2f..%2f",
    "%0d%0aX-Injected:%201",
    "%00",
    "\\r\\nX-Injected: 1",
    ";X-Injected=1",
    ", X-Injected: 1",
];

/// Numbers at the edges of types and limits, and what is nearly one.
const COUNTS: [&str; 28] = [
    "0",
    "1",
    "-1",
    "+1",
    "00",
    "007",
    "1.5",
    "1e9",
    "0x10",
    " 5 ",
    "5 5",
    "100",
    "101",
    "255",
    "256",
    "299",
    "308",
    "309",
    "400",
    "599",
    "600",
    "65535",
    "65536",
    "2147483648",
    "4294967295",
    "4294967296",
    "18446744073709551615",
    "99999999999999999999999999",
];

/// Units of times and sizes, and what is nearly one.
const UNITS: [&str; 17] =
    ["", "s", "ms", "m", "h", "d", "w", "y", "M", "S", "k", "K", "g", "G", "b", "%", "\u{b5}s"];

/// Regular expressions: groups, those that take exponential time elsewhere, huge ones and none.
const PATTERNS: [&str; 16] = [
    "(a+)+$",
    "(a|aa)+$",
    "(.*)*x",
    "^(([a-z])+.)+[A-Z]([a-z])+$",
    "((a{100}){100}){100}",
    "[a-z]{60000}",
    "(?i)x",
    "(?=x)",
    "(a)\\1",
    "(?P<n>a)",
    "(",
    ")|(",
    "[^",
    "\\",
    "*",
    "/(.*)/(.*)/(.*)/(.*)/(.*)/(.*)/(.*)/(.*)/(.*)/(.*)",
];

/// Texts with variables, URLs, names and lists.
const TEXTS: [&str; 54] = [
    "$host",
    "$request_uri",
    "$scheme://$host$request_uri",
    "${host}",
    "${",
    "$",
    "$$",
    "$1",
    "$9$10",
    "$arg_x",
    "$http_x_asked",
    "$cookie_a",
    "$uri$is_args$args",
    "$escaped_request_uri",
    "$no_such_thing",
    "$namespace",
    "$service_name",
    "$binary_remote_addr",
    "/",
    "//",
    "/$1",
    "/$2",
    "/x/$1/$2",
    "/a b",
    "/\u{e9}",
    "/%zz",
    "/a?b=c#d",
    "http://auth.default.svc.cluster.local/check?x=$arg_x",
    "http://web.default.svc/$request_uri",
    "https://x.test:8443/a?b",
    "http://[::1]:80/",
    "http://127.0.0.1/",
    "http://169.254.169.254/latest",
    "http://x.test:99999/",
    "http://user:pass@x.test/",
    "javascript:alert(1)",
    "*",
    "*.a.test",
    "a.test, *.b.test",
    "~^www\\d+\\.a\\.test$",
    "xn--nxasmq6b.test",
    "\u{fc}.test",
    "A.TEST.",
    "10.0.0.0/8, 192.0.2.1,2001:db8::/32",
    "0.0.0.0/0",
    "10.0.0.0/33",
    "X-A,X-B , X_C",
    "X A",
    "GET, POST",
    "200 202 401 5m, any 1s",
    "error timeout http_503 non_idempotent off",
    "web",
    "other/web",
    "../web",
];

/// Words that some form or other knows.
const WORDS: [&str; 34] = [
    "true",
    "false",
    "TRUE",
    "1",
    "on",
    "off",
    "yes",
    "any",
    "all",
    "cookie",
    "sticky",
    "legacy",
    "Lax",
    "none",
    "None",
    "basic",
    "digest",
    "auth-map",
    "optional",
    "optional_no_ca",
    "HTTPS",
    "GRPC",
    "GRPCS",
    "FCGI",
    "AUTO_HTTP",
    "ewma",
    "round_robin",
    "least-requests",
    "router",
    "direct",
    "always",
    "never",
    "users",
    "shop-headers",
];

/// A value for an annotation: sound, nearly sound, or far from it.
pub fn value(numbers: &mut Numbers, key: &Key, corpus: &[Vec<u8>]) -> String {
    let example = key.example.trim_matches('`');
    match numbers.below(24) {
        0..6 => example.to_owned(),
        6..9 => text(numbers, example),
        9..12 => hostile(numbers, example),
        12..15 => of_form(numbers, key.form),
        15..20 => String::from_utf8_lossy(&numbers.change(corpus, &pieces())).into_owned(),
        20 => long(numbers),
        _ => (0..=numbers.below(3)).map(|_| atom(numbers)).collect(),
    }
}

/// An example with something hostile somewhere in it.
pub fn hostile(numbers: &mut Numbers, example: &str) -> String {
    let places: Vec<_> = (0..=example.len()).filter(|at| example.is_char_boundary(*at)).collect();
    let (before, after) = example.split_at(places[numbers.below(places.len())]);
    format!("{before}{}{after}", HOSTILE[numbers.below(HOSTILE.len())])
}

/// An example with a few of its letters doubled, dropped or changed.
fn text(numbers: &mut Numbers, example: &str) -> String {
    String::from_utf8_lossy(&numbers.change(&[example.as_bytes().to_vec()], &pieces())).into_owned()
}

/// What is nearly of a form, by words of its description.
fn of_form(numbers: &mut Numbers, form: &str) -> String {
    let count = |numbers: &mut Numbers| COUNTS[numbers.below(COUNTS.len())].to_owned();
    if form.contains("number") || form.contains("status") {
        return count(numbers);
    }
    if form.contains("time") || form.contains("size") {
        let pair = |numbers: &mut Numbers| count(numbers) + UNITS[numbers.below(UNITS.len())];
        return (0..=numbers.below(3)).map(|_| pair(numbers)).collect();
    }
    if form.contains("expression") {
        return PATTERNS[numbers.below(PATTERNS.len())].to_owned();
    }
    atom(numbers)
}

fn atom(numbers: &mut Numbers) -> String {
    let all: [&[&str]; 6] = [&HOSTILE, &COUNTS, &UNITS, &PATTERNS, &TEXTS, &WORDS];
    let list = all[numbers.below(all.len())];
    list[numbers.below(list.len())].to_owned()
}

/// A text of 64 KiB, or a list of 10,000 entries.
fn long(numbers: &mut Numbers) -> String {
    let item = atom(numbers);
    let list = |entry: &dyn Fn(usize) -> String| (0..10_000).map(entry).collect::<Vec<_>>().join(",");
    match numbers.below(6) {
        0 => list(&|number| format!("10.{}.{}.0/24", number >> 8, number & 255)),
        1 => list(&|number| format!("h{number}.test")),
        2 => list(&|_| "503".to_owned()),
        3 => list(&|number| format!("X-{number}")),
        4 => "$uri".repeat(16 << 10),
        _ => item.repeat((64 << 10) / item.len().max(1)),
    }
}

/// All of them, to change texts with.
pub fn pieces() -> Vec<&'static [u8]> {
    let all = HOSTILE.iter().chain(&COUNTS).chain(&UNITS).chain(&PATTERNS).chain(&TEXTS).chain(&WORDS);
    all.map(|text| text.as_bytes()).collect()
}
