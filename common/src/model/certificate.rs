//! Certificates: a chain and its private key, which never reaches a log or a dump.

use std::{fmt, sync::Arc};

use serde::{Deserialize, Serialize, Serializer};

/// A certificate chain with its private key, as PEM. `Debug` and `Serialize` show neither, only a fingerprint.
#[derive(Clone, PartialEq, Eq, Deserialize)]
pub struct Certificate {
    /// PEM of the chain, leaf first (`tls.crt`).
    pub chain_pem: Arc<[u8]>,
    /// PEM of the private key (`tls.key`).
    pub key_pem: Arc<[u8]>,
}

impl Certificate {
    /// A short value that changes when chain or key change; says nothing about the key.
    fn fingerprint(&self) -> String {
        use std::hash::{Hash, Hasher};
        let mut hasher = std::collections::hash_map::DefaultHasher::new();
        self.chain_pem.hash(&mut hasher);
        format!("{:016x}", hasher.finish())
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Certificate(chain {}, key redacted)", self.fingerprint())
    }
}

impl Serialize for Certificate {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("chain {}, key redacted", self.fingerprint()))
    }
}
