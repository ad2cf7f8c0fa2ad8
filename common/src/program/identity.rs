//! Identity: who verifies the tokens of callers, where listeners tell callers apart.

use kube::Client;

use crate::{
    kube::tokens::TokenReviews,
    runtime::{engine::Engine, spawn::spawn},
};

/// Says how callers are known, and has tokens for this audience verified by the API server, if there is one. To be
/// called where the client may be used, and only if a listener identifies.
pub fn identify(engine: &Engine, client: Option<Client>, audience: &str) {
    tracing::info!(
        "callers are known by the addresses of pods; that is weak: pods on the network of their node and clients \
         behind address translation stay unknown, and whoever can send from a pod's address passes for it"
    );
    match client {
        Some(client) => {
            let (verifier, reviewing) = TokenReviews::new(client, audience.to_owned());
            engine.verify_tokens_with(std::sync::Arc::new(verifier));
            // It ends with the engine.
            spawn("tokens", engine.metrics(), reviewing);
            tracing::info!(audience, "callers may say who they are by X-Selvedge-Token");
        }
        None => {
            tracing::info!("there is no cluster that could verify tokens of callers; they are not looked at")
        }
    }
}
