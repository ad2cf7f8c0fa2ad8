//! Files of `htpasswd` against a model that has each kind of hash as a regular expression.

use std::{collections::BTreeMap, sync::LazyLock};

use regex::Regex;
use selvedge_common::filter::Users;

/// The whole of a hash that can be used, but for limits of numbers.
static HASH: LazyLock<Regex> = LazyLock::new(|| {
    let base64 = "(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/][AQgw]==|[A-Za-z0-9+/]{2}[AEIMQUYcgkosw048]=)?";
    let digit = "[./A-Za-z0-9]";
    let salt = r"[[:ascii:]--\$]*";
    let kinds = [
        r"\{SHA\}[A-Za-z0-9+/]{26}[AEIMQUYcgkosw048]=".to_owned(),
        format!(r"\{{SSHA\}}(?P<salted>{base64})"),
        r"\{PLAIN\}.*".to_owned(),
        format!(r"\$(?:apr1|1)\${salt}\${digit}{{22}}"),
        format!(r"\$5\$(?:rounds=\+?(?P<few>[0-9]+)\$)?{salt}\${digit}{{43}}"),
        format!(r"\$6\$(?:rounds=\+?(?P<many>[0-9]+)\$)?{salt}\${digit}{{86}}"),
        format!(r"\$2[aby]\$\+?(?P<cost>[0-9]+)\${digit}*"),
    ];
    Regex::new(&format!("(?s)^(?:{})$", kinds.join("|"))).expect("it is one")
});

/// Reads a file and looks some passwords up.
pub fn check(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let (users, faults) = Users::parse(text);
    let (wanted, wrong) = model(text);
    let lines: Vec<_> = faults.iter().map(|fault| fault.line).collect();
    assert_eq!(lines, wrong, "{text:?}: {faults:?}");
    assert_eq!((users.len(), users.is_empty()), (wanted.len(), wanted.is_empty()), "{text:?}");
    for (name, hash) in &wanted {
        assert_eq!(users.hash_of(name.as_bytes()), Some(*hash), "{text:?}");
    }
    let shown = format!("{users:?}{}", serde_json::to_string(&users).expect("it can be written"));
    let told: String = faults.iter().map(ToString::to_string).collect();
    for hash in wanted.values().filter(|hash| hash.len() > 20) {
        assert!(!shown.contains(hash) && !told.contains(hash), "{text:?}");
    }
    // Other kinds are made to take long.
    let is_quick =
        |hash: &str| hash.starts_with('{') || hash.starts_with("$apr1$") || hash.starts_with("$1$");
    if wanted.values().all(|hash| is_quick(hash)) {
        look_up(&users, &wanted);
    }
}

fn look_up(users: &Users, wanted: &BTreeMap<&str, &str>) {
    assert!(!users.verify(b"nobody:", b"bar"), "no name holds a colon");
    for (name, hash) in wanted {
        let plain = hash.strip_prefix("{PLAIN}");
        for password in ["", "bar", "b\u{e9}r", "\0", &"x".repeat(512)] {
            let found = users.verify(name.as_bytes(), password.as_bytes());
            assert!(plain.is_none_or(|plain| found == (plain == password)), "{name:?} {password:?}");
        }
        assert!(plain.is_none_or(|plain| users.verify(name.as_bytes(), plain.as_bytes())), "{name:?}");
    }
}

/// The hashes by their users, and the numbers of lines that give none.
fn model(text: &str) -> (BTreeMap<&str, &str>, Vec<usize>) {
    let (mut users, mut wrong) = (BTreeMap::new(), Vec::new());
    for (number, line) in text.split('\n').enumerate() {
        let line = line.trim_end_matches('\r');
        if line.trim().is_empty() || line.starts_with('#') {
            continue;
        }
        let mut parts = line.split(':');
        let (name, hash) = (parts.next().unwrap_or_default(), parts.next());
        match hash.filter(|hash| !name.is_empty() && is_hash(hash) && !users.contains_key(name)) {
            Some(hash) => drop(users.insert(name, hash)),
            None => wrong.push(number + 1),
        }
    }
    (users, wrong)
}

fn is_hash(text: &str) -> bool {
    let Some(found) = HASH.captures(text) else { return false };
    let number = |name: &str| found.name(name).map(|found| found.as_str().parse::<u64>().unwrap_or(u64::MAX));
    let rounds = number("few").or(number("many")).unwrap_or(0);
    let is_costly = number("cost").is_some_and(|cost| !(4..=15).contains(&cost) || text.len() != 60);
    // 20 bytes, and at least one of salt.
    let is_salted = found.name("salted").is_none_or(|salted| {
        let text = salted.as_str();
        text.len() / 4 * 3 - text.matches('=').count() > 20
    });
    rounds <= 1_000_000 && !is_costly && is_salted
}
