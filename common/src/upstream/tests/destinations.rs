//! Facts about destinations: which addresses are used, who asks for them and how many are remembered.

use std::{io, net::IpAddr, sync::Mutex};

use super::*;
use crate::upstream::{Asking, Destination, Destinations, Looking, Lookup, NoDestination, Question};

/// A resolver that answers from a table; a name that is not in it fails.
#[derive(Default)]
struct Zone(Mutex<HashMap<&'static str, Vec<IpAddr>>>);

impl Zone {
    fn set(&self, name: &'static str, addresses: &[&str]) {
        let addresses = addresses.iter().map(|text| text.parse().unwrap()).collect();
        self.0.lock().unwrap().insert(name, addresses);
    }
}

impl Lookup for Zone {
    fn look_up(&self, name: Arc<str>, port: u16) -> Looking {
        let known = self.0.lock().unwrap().get(&*name).cloned();
        let addresses = known.ok_or_else(|| io::Error::other("no such name"));
        let addresses = addresses.map(|all| all.into_iter().map(|ip| SocketAddr::new(ip, port)).collect());
        Box::pin(async { addresses })
    }
}

struct Given {
    registry: Registry,
    zone: Arc<Zone>,
    all: Destinations,
}

fn given() -> Given {
    let (all, zone) = (Destinations::default(), Arc::new(Zone::default()));
    all.look_up_with(zone.clone());
    Given { registry: Registry::new(), zone, all }
}

impl Given {
    fn add(&self, host: &str, now: Instant) -> Arc<Destination> {
        self.all.add(&self.registry, (host, 80), &Backend::default(), now)
    }

    fn question(&self, destination: &Arc<Destination>, now: Instant) -> Question {
        match self.all.ask(destination, now) {
            Asking::Ask(question, _, _) => question,
            other => panic!("{other:?}"),
        }
    }

    /// Looks a host up; `192.0.2.66` is forbidden.
    async fn resolve(&self, host: &str) -> (Result<(), NoDestination>, Vec<String>) {
        let destination = self.add(host, Instant::now());
        let question = self.question(&destination, Instant::now());
        question.ask(|address| address.to_string() == "192.0.2.66").await;
        let endpoints = destination.upstream.endpoints();
        (destination.last(), endpoints.iter().map(|endpoint| endpoint.address.to_string()).collect())
    }
}

#[tokio::test]
async fn forbidden_addresses_are_never_used_in_whatever_form_they_come() {
    let given = given();
    let forbidden = [
        "127.0.0.1",
        "127.255.0.9",
        "0.0.0.0",
        "0.9.9.9",
        "169.254.169.254",
        "224.0.0.1",
        "255.255.255.255",
        "192.0.2.66",
        "::",
        "::1",
        "::127.0.0.1",
        "::ffff:127.0.0.1",
        "::ffff:169.254.169.254",
        "::ffff:192.0.2.66",
        "64:ff9b::7f00:1",
        "fe80::1",
        "ff02::1",
    ];
    for address in forbidden {
        assert_eq!(given.resolve(address).await, (Err(NoDestination::Forbidden), vec![]), "{address}");
        let named = self::given();
        named.zone.set("name.example", &[address]);
        let of_name = named.resolve("name.example").await;
        assert_eq!(of_name, (Err(NoDestination::Forbidden), vec![]), "name with {address}");
    }
    for (address, used) in [
        ("192.0.2.7", "192.0.2.7:80"),
        ("::ffff:192.0.2.7", "192.0.2.7:80"),
        ("2001:db8::7", "[2001:db8::7]:80"),
    ] {
        assert_eq!(given.resolve(address).await, (Ok(()), vec![used.to_owned()]), "{address}");
    }
    given.zone.set("mixed.example", &["127.0.0.1", "192.0.2.7", "192.0.2.66", "192.0.2.8"]);
    let wanted = ["192.0.2.7:80", "192.0.2.8:80"].map(str::to_owned).to_vec();
    assert_eq!(given.resolve("mixed.example").await, (Ok(()), wanted));
}

#[tokio::test]
async fn a_name_without_an_address_is_unresolved_and_asked_for_again_soon() {
    let given = given();
    given.zone.set("empty.example", &[]);
    for host in ["empty.example", "unknown.example"] {
        assert_eq!(given.resolve(host).await.0, Err(NoDestination::Unresolved), "{host}");
        let destination = given.add(host, Instant::now());
        let at_once = given.all.ask(&destination, Instant::now());
        assert!(matches!(at_once, Asking::Known(Err(NoDestination::Unresolved))), "{at_once:?}");
        given.question(&destination, Instant::now() + SECOND);
    }
}

#[tokio::test]
async fn one_asks_for_all_and_what_is_known_is_used_meanwhile() {
    let given = given();
    given.zone.set("a.example", &["192.0.2.1"]);
    let (now, destination) = (Instant::now(), given.add("a.example", Instant::now()));
    let question = given.question(&destination, now);
    assert!(matches!(given.all.ask(&destination, now), Asking::Wait(_)));
    question.ask(|_| false).await;
    let after = |seconds| Instant::now() + seconds * SECOND;
    assert!(matches!(given.all.ask(&destination, after(9)), Asking::Known(Ok(()))));
    let Asking::Ask(question, Some(Ok(())), _) = given.all.ask(&destination, after(11)) else {
        panic!("old addresses are used while new ones are asked for");
    };
    assert!(matches!(given.all.ask(&destination, after(11)), Asking::Known(Ok(()))));
    drop(question);
    assert!(matches!(given.all.ask(&destination, after(41)), Asking::Ask(_, None, _)), "too old");
    given.zone.0.lock().unwrap().clear();
    given.question(&destination, after(11)).ask(|_| false).await;
    assert!(
        matches!(given.all.ask(&destination, Instant::now()), Asking::Known(Ok(()))),
        "the last good ones stay"
    );
}

#[test]
fn only_so_many_names_are_looked_up_at_once() {
    let (given, now) = (given(), Instant::now());
    let ask = |number| given.all.ask(&given.add(&format!("{number}.example"), now), now);
    let mut asked: Vec<_> = (0..32).map(ask).collect();
    assert!(asked.iter().all(|asked| matches!(asked, Asking::Ask(..))));
    assert!(matches!(ask(32), Asking::Known(Err(NoDestination::Overload))));
    asked.pop();
    assert!(matches!(ask(32), Asking::Ask(..)));
}

#[tokio::test]
async fn only_so_many_hosts_are_remembered_and_those_that_go_lose_their_connections() {
    let given = given();
    given.zone.set("first.example", &["192.0.2.1"]);
    assert_eq!(given.resolve("first.example").await.0, Ok(()));
    let now = Instant::now();
    let first = given.add("first.example", now);
    assert!(Arc::ptr_eq(&first, &given.all.get(b"first.example:80").unwrap()));
    let peer = first.upstream.pick(now, 0, None).unwrap();
    for number in 0..3000 {
        given.add(&format!("{number}.example"), now + SECOND);
    }
    assert_eq!(given.all.len(), 1024);
    assert!(given.all.get(b"first.example:80").is_none() && peer.is_gone());
    given.add("last.example", now + 400 * SECOND);
    assert_eq!(given.all.len(), 1, "nobody has asked for the others for long");
}
