//! A panic on a worker: it ends the task that it is in, is counted, and everything else goes on.

use std::sync::Arc;

use selvedge_common::{
    model::Caller,
    source::tokens::{Token, TokenVerifier, Verified, Verifying},
};
use selvedge_tests::{client::Client, origin::Origin, waiting::until};

use crate::callers::{identifying, send};

/// Knows every token but `panic`.
struct Panicking;

impl TokenVerifier for Panicking {
    fn verify(&self, token: Token) -> Verifying {
        Box::pin(async move {
            assert_ne!(token.reveal(), "panic", "the test wants a panic");
            Ok(Verified { caller: Arc::new(Caller::new("shop", token.reveal())), expires: None })
        })
    }
}

#[test]
fn a_panic_on_a_worker_is_counted_and_the_worker_serves_on() {
    let origin = Origin::named("ok");
    let proxy = identifying(&origin);
    proxy.engine.verify_tokens_with(Arc::new(Panicking));
    let mut other = Client::connect(proxy.http());
    assert_eq!(send(&mut other, &["good"]).0, 200);
    let mut client = Client::connect(proxy.http());
    for round in 1..=3 {
        // Nothing was found out of the token, so the address says who calls.
        assert_eq!(send(&mut client, &["panic"]), (200, None));
        let line = format!("selvedge_panics_total {round}\n");
        until(|| proxy.engine.metrics().encode().contains(&line).then_some(()));
        assert_eq!(send(&mut client, &["good"]).0, 200, "on the same connection");
        assert_eq!(other.get("a", "/").status, 200, "on others of the same worker");
        assert_eq!(Client::connect(proxy.http()).get("a", "/").status, 200, "and on new ones");
    }
}
