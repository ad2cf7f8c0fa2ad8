//! Basic authentication: who comes in, what the backend sees, and that looking passwords up is no burden for others.

use std::sync::Arc;

use selvedge_common::filter::{BasicAuth, Filter, Networks, Users};
use selvedge_tests::{
    client::{Answer, Client},
    origin::Origin,
    proxy::Proxy,
    waiting::until,
};

/// A proxy that asks for passwords of this file.
fn asking(origin: &Origin, file: &str) -> Proxy {
    let mut proxy = Proxy::to(&[origin.address]);
    set_users(&mut proxy, file);
    proxy
}

fn set_users(proxy: &mut Proxy, file: &str) {
    let (users, faults) = Users::parse(file);
    assert_eq!(faults, []);
    let filter = Filter::BasicAuth(BasicAuth {
        realm: "Who goes there".into(),
        users: Arc::new(users),
        spared: Networks::default(),
    });
    proxy.edit_host("*", |host| host.routes[0].filters = vec![filter]);
    proxy.apply(&[]);
}

/// Asks with this `Authorization`.
fn get(client: &mut Client, authorization: Option<&str>) -> Answer {
    let field = authorization.map(|value| format!("Authorization: {value}\r\n")).unwrap_or_default();
    client.send(format!("GET / HTTP/1.1\r\nHost: a\r\n{field}\r\n"));
    client.answer()
}

#[test]
fn only_who_has_the_password_reaches_the_backend_which_does_not_see_it() {
    let origin = Origin::named("ok");
    let file = "foo:$apr1$abcdefgh$bGLO42WqKpmLoPH9uGWTg1\nsha:{SHA}Ys23Ag/5IOWqZCw9QGaVDdHwH00=";
    let proxy = asking(&origin, file);
    let mut client = Client::connect(proxy.http());
    // foo:bar, again and in lower case, sha:bar.
    for right in ["Basic Zm9vOmJhcg==", "Basic Zm9vOmJhcg==", "basic Zm9vOmJhcg==", "Basic c2hhOmJhcg=="] {
        assert_eq!(get(&mut client, Some(right)).text(), "ok", "{right}");
    }
    // None, foo:no, nobody:bar, none that can be read, another scheme.
    let wrong =
        [None, Some("Basic Zm9vOm5v"), Some("Basic bm9ib2R5OmJhcg=="), Some("Basic !!!"), Some("Bearer x")];
    for wrong in wrong {
        let answer = get(&mut client, wrong);
        assert_eq!(answer.status, 401, "{wrong:?}");
        assert_eq!(answer.field("www-authenticate"), Some("Basic realm=\"Who goes there\""));
    }
    let seen = origin.seen();
    assert_eq!(seen.len(), 4);
    assert!(seen.iter().all(|seen| seen.field("authorization").is_none()));
}

#[test]
fn a_changed_password_counts_at_once() {
    let origin = Origin::named("ok");
    let mut proxy = asking(&origin, "foo:{PLAIN}bar");
    let mut client = Client::connect(proxy.http());
    assert_eq!(get(&mut client, Some("Basic Zm9vOmJhcg==")).status, 200);
    set_users(&mut proxy, "foo:{PLAIN}no");
    assert_eq!(get(&mut client, Some("Basic Zm9vOmJhcg==")).status, 401);
    assert_eq!(get(&mut client, Some("Basic Zm9vOm5v")).status, 200);
    set_users(&mut proxy, "");
    assert_eq!(get(&mut client, Some("Basic Zm9vOm5v")).status, 401, "nobody may come in");
}

#[test]
fn costly_hashes_hold_up_nobody_else() {
    let origin = Origin::named("ok");
    let hash = "$2y$12$abcdefghijklmnopqrstuuUq7qXkDOZJ5Q8HA9wCOH0FErWp6q0b6";
    let mut proxy = asking(&origin, &format!("foo:{hash}"));
    proxy.backend("test/open:80", Default::default());
    proxy.route("open", selvedge_common::model::PathMatch::Prefix("/".into()), "test/open:80");
    proxy.apply(&[("test/open:80", &[origin.address])]);
    let mut guessing: Vec<_> = (0..100).map(|_| Client::connect(proxy.http())).collect();
    for (number, client) in guessing.iter_mut().enumerate() {
        let guess = format!("GET /{number} HTTP/1.1\r\nHost: a\r\nAuthorization: Basic Zm9vOm5v\r\n\r\n");
        client.send(guess);
    }
    // The one worker serves others while the guesses are looked up or wait.
    assert_eq!(Client::connect(proxy.http()).get("open", "/").text(), "ok");
    // Of a hundred only so many are looked up or wait; the others are told at once.
    until(|| proxy.engine.metrics().encode().contains("reason=\"password_busy\"}").then_some(()));
}
