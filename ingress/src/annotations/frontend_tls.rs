//! Annotation group: TLS towards clients.

use super::{Effect, form::Text, key::key};

super::group! {
    /// TLS towards clients
    FrontendTls {
        /// Hand TLS of clients that name a host of this Ingress through as it is, to the Service of its path `/` or its default backend. Other paths and annotations count for plain HTTP alone, but lists of addresses count for TLS, too.
        passthrough: bool = key("ssl-passthrough").default("`false`").example("`true`")
            .limits("It needs no flag, so it also counts where ingress-nginx runs without `--enable-ssl-passthrough`. The oldest Ingress of a host decides. Where passwords, `auth-url` or `auth-tls-secret` protect the host, or a path of the same namespace there has a list of addresses of its own, TLS ends here all the same, as nobody could be asked: ingress-nginx lets everybody pass. No name, no passthrough: rules without host have none. TLS 1.2 and 1.3, and a ClientHello of at most 16 KiB.");
        /// Suites of ciphers.
        ciphers: Text = key("ssl-ciphers").example("`ECDHE-RSA-AES128-GCM-SHA256`")
            .no_effect("only suites of TLS 1.3 and those of 1.2 with AEAD and ECDHE are offered, to all hosts");
        /// Whether the server chooses among them.
        prefer_server_ciphers: bool = key("ssl-prefer-server-ciphers").default("`true`").example("`false`")
            .no_effect("all suites that are offered are good ones");
    }
}

impl Effect for FrontendTls {}
