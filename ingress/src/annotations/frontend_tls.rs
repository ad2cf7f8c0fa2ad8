//! Annotation group: TLS towards clients.

use super::{Effect, form::Text, key::key};

super::group! {
    /// TLS towards clients
    FrontendTls {
        /// Hand TLS through to the backend as it is.
        passthrough: bool = key("ssl-passthrough").default("`false`").example("`true`")
            .not_yet("TLS ends here, and requests are routed by host and path");
        /// Suites of ciphers.
        ciphers: Text = key("ssl-ciphers").example("`ECDHE-RSA-AES128-GCM-SHA256`")
            .no_effect("only suites of TLS 1.3 and those of 1.2 with AEAD and ECDHE are offered, to all hosts");
        /// Whether the server chooses among them.
        prefer_server_ciphers: bool = key("ssl-prefer-server-ciphers").default("`true`").example("`false`")
            .no_effect("all suites that are offered are good ones");
    }
}

impl Effect for FrontendTls {}
