//! Client verification: whether clients of a host show who they are by a certificate, and whose are believed.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Clients of a host are asked for a certificate. What becomes of those who show none, or one that is not believed, is
/// for the filters of its routes to say.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClientVerification {
    /// Authorities whose certificates are believed, as PEM; not a secret.
    pub authorities: Arc<str>,
    /// Most certificates between that of the client and that of an authority.
    pub depth: u8,
}
