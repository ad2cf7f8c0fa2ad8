//! Tokens: asks the API server whose a projected service account token is (`authentication.k8s.io/v1` TokenReview).

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use futures_util::{StreamExt, stream::FuturesUnordered};
use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec, TokenReviewStatus};
use kube::{Api, Client, api::PostParams};
use serde::Deserialize;
use tokio::sync::{mpsc, oneshot};

use crate::{
    model::Caller,
    source::tokens::{Token, TokenError, TokenVerifier, Verified, Verifying},
};

/// Audience that tokens are made for, unless a flag says otherwise.
pub const AUDIENCE: &str = "selvedge";

/// Tokens that wait for their turn; more are not taken on.
const MOST_WAITING: usize = 64;
/// Tokens that the API server is asked for at once.
const MOST_AT_ONCE: usize = 16;
/// How the name of a user begins that is a ServiceAccount.
const SERVICE_ACCOUNT: &str = "system:serviceaccount:";

/// The side of who wants tokens verified; whichever runtime it is on.
pub struct TokenReviews {
    asks: mpsc::Sender<Ask>,
}

/// One token and where the answer goes.
struct Ask {
    token: Token,
    answer: oneshot::Sender<Result<Verified, TokenError>>,
}

impl TokenReviews {
    /// A verifier of tokens for an audience, and what does its work: to be spawned where the client may be used. It
    /// ends when the verifier is gone.
    pub fn new(client: Client, audience: String) -> (Self, impl Future<Output = ()> + Send) {
        let (asks, asked) = mpsc::channel(MOST_WAITING);
        (Self { asks }, run(Api::all(client), audience, asked))
    }
}

impl TokenVerifier for TokenReviews {
    fn verify(&self, token: Token) -> Verifying {
        let asks = self.asks.clone();
        Box::pin(async move {
            let (answer, answered) = oneshot::channel();
            let busy = |why: &str| TokenError::Unavailable(why.into());
            asks.try_send(Ask { token, answer }).map_err(|_| busy("too many tokens wait"))?;
            answered.await.unwrap_or_else(|_| Err(busy("nobody asks any more")))
        })
    }
}

async fn run(api: Api<TokenReview>, audience: String, mut asked: mpsc::Receiver<Ask>) {
    let mut reviews = FuturesUnordered::new();
    loop {
        tokio::select! {
            Some(()) = reviews.next() => {}
            ask = asked.recv(), if reviews.len() < MOST_AT_ONCE => match ask {
                Some(ask) => reviews.push(review(&api, &audience, ask)),
                None => return,
            },
        }
    }
}

async fn review(api: &Api<TokenReview>, audience: &str, ask: Ask) {
    let Ask { token, mut answer } = ask;
    let wanted = TokenReview {
        spec: TokenReviewSpec {
            token: token.reveal().to_owned(),
            audiences: Some(vec![audience.to_owned()]),
        },
        ..TokenReview::default()
    };
    let parameters = PostParams::default();
    let reviewed = tokio::select! {
        reviewed = api.create(&parameters, &wanted) => reviewed,
        // Who asked has waited long enough.
        () = answer.closed() => return,
    };
    let verified = match reviewed {
        Ok(review) => judge(review.status.unwrap_or_default(), audience, expiry(token.reveal())),
        Err(error) => Err(TokenError::Unavailable(error.to_string())),
    };
    // Nobody need be left to hear it.
    let _ = answer.send(verified);
}

/// What an answer of the API server means.
fn judge(
    status: TokenReviewStatus,
    audience: &str,
    expires: Option<SystemTime>,
) -> Result<Verified, TokenError> {
    let refused = |why: &str| Err(TokenError::Refused(why.to_owned()));
    if status.authenticated != Some(true) {
        return refused(status.error.as_deref().unwrap_or("the API server does not know it"));
    }
    // A server that knows nothing of audiences names none, and says nothing of for whom the token is.
    if !status.audiences.iter().flatten().any(|known| known == audience) {
        return refused("it is for another audience");
    }
    let name = status.user.and_then(|user| user.username).unwrap_or_default();
    match name.strip_prefix(SERVICE_ACCOUNT).and_then(|name| name.split_once(':')) {
        Some((namespace, account)) if !namespace.is_empty() && !account.is_empty() => {
            Ok(Verified { caller: Arc::new(Caller::new(namespace, account)), expires })
        }
        _ => refused("it is of a user who is no ServiceAccount"),
    }
}

/// When a token says that it ends (RFC 7519 §4.1.4). Nothing is believed by it: it only shortens how long an answer
/// is kept.
fn expiry(token: &str) -> Option<SystemTime> {
    #[derive(Deserialize)]
    struct Claims {
        exp: u64,
    }
    let payload = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
    let claims: Claims = serde_json::from_slice(&payload).ok()?;
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(claims.exp))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_a_service_account_with_a_token_for_us_is_known() {
        let user = |name: &str| json!({"authenticated": true, "audiences": ["selvedge"], "user": {"username": name}});
        let cases = [
            (user("system:serviceaccount:shop:web"), Ok("shop/web")),
            (user("alice"), Err("it is of a user who is no ServiceAccount")),
            (user("system:serviceaccount:shop"), Err("it is of a user who is no ServiceAccount")),
            (user("system:serviceaccount::web"), Err("it is of a user who is no ServiceAccount")),
            (json!({"authenticated": false, "error": "expired"}), Err("expired")),
            (json!({}), Err("the API server does not know it")),
            (
                json!({"authenticated": true, "audiences": ["other"], "user": {"username": "system:serviceaccount:a:b"}}),
                Err("it is for another audience"),
            ),
            (
                json!({"authenticated": true, "user": {"username": "system:serviceaccount:a:b"}}),
                Err("it is for another audience"),
            ),
        ];
        for (status, wanted) in cases {
            let judged = judge(serde_json::from_value(status.clone()).unwrap(), AUDIENCE, None);
            let judged = judged.map(|verified| verified.caller.to_string());
            let wanted = wanted.map(str::to_owned).map_err(|why| TokenError::Refused(why.to_owned()));
            assert_eq!(judged, wanted, "{status}");
        }
    }

    #[test]
    fn the_end_of_a_token_is_read_from_it() {
        let of = |claims: &str| format!("head.{}.signature", URL_SAFE_NO_PAD.encode(claims));
        let at = |seconds| Some(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds));
        assert_eq!(expiry(&of(r#"{"exp": 1700000000, "sub": "x"}"#)), at(1_700_000_000));
        for token in [of("{}"), of(r#"{"exp": "soon"}"#), of("no JSON"), "no.jwt!".into(), "opaque".into()] {
            assert_eq!(expiry(&token), None, "{token}");
        }
        assert_eq!(expiry(&of(&format!(r#"{{"exp": {}}}"#, u64::MAX))), None);
    }
}
