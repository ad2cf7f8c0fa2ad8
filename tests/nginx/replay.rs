//! Replaying a case: its objects, its requests in order, and what differs from the record.

use std::{thread, time::Duration};

use selvedge_tests::client::Answer;

use crate::{
    backends::Backends,
    case::{Case, Exchange},
    client::{self, Answered},
    compare::{self, Mismatch},
    differences::Differences,
    edge::{self, Running},
    objects,
};

/// How long copies of requests that no client waits for may be under way.
const FOR_COPIES: Duration = Duration::from_secs(2);

/// Replays a case and tells what differs. Exchanges that are not to be sent are left out.
pub fn replay(case: &Case, backends: &Backends, differences: &Differences) -> Vec<Mismatch> {
    let unsent = differences.unsent(&case.case);
    let edge = edge::start(objects::of(case, backends), differences.ejects(&case.case));
    let mut mismatches = Vec::new();
    let mut answers: Vec<Option<Answer>> = Vec::new();
    for (number, exchange) in case.exchanges.iter().enumerate() {
        if unsent.contains(&number) {
            answers.push(None);
            continue;
        }
        let cookie = exchange.cookie_of.and_then(|of| answers[of].as_ref()).map(cookies);
        let before = backends.count();
        let given = ask(&edge, exchange, cookie.as_deref());
        await_copies(case, exchange, || backends.count() - before);
        let seen = backends.since(before);
        let at = format!("{number} {}", exchange.name());
        mismatches.extend(match exchange.statuses {
            Some(_) => compare::many(exchange, &given, &seen, &at),
            None => compare::one(exchange, &given[0], &seen, &at),
        });
        answers.push(given.into_iter().next_back().and_then(|last| last.answer.ok()));
    }
    mismatches
}

/// Sends the request of an exchange as often as it says.
fn ask(edge: &Running, exchange: &Exchange, cookie: Option<&str>) -> Vec<Answered> {
    if let Some(count) = exchange.at_once {
        return thread::scope(|scope| {
            let asking =
                (0..count).map(|number| scope.spawn(move || client::ask(edge, exchange, cookie, number)));
            let asking: Vec<_> = asking.collect();
            asking.into_iter().map(|thread| thread.join().expect("clients do not panic")).collect()
        });
    }
    let times = exchange.times.unwrap_or(1);
    (0..times).map(|number| client::ask(edge, exchange, cookie, number)).collect()
}

/// Waits for what a mirror sends on its own: as much as there should be, or until it is late.
fn await_copies(case: &Case, exchange: &Exchange, count: impl Fn() -> usize) {
    let wanted = exchange.reached.as_ref().map_or(0, Vec::len);
    let start = std::time::Instant::now();
    while case.case.starts_with("mirror-") && count() < wanted && start.elapsed() < FOR_COPIES {
        thread::yield_now();
    }
}

/// What a browser would send back of the cookies that an answer sets.
fn cookies(answer: &Answer) -> String {
    let set = answer.fields.iter().filter(|(name, _)| name.eq_ignore_ascii_case("set-cookie"));
    let pairs: Vec<_> = set.map(|(_, value)| value.split(';').next().unwrap_or_default()).collect();
    pairs.join("; ")
}
