//! Settings groups: HTTPS for clients, and the certificates for it.

use selvedge_common::filter::StrictTransport;

use super::{
    Effect, Globals, HSTS_SECONDS,
    form::{Paths, TlsVersions},
    given::Given,
    setting::{setting, usual},
};
use crate::annotations::form::{Forgiving, RedirectCode, Seconds, Size, Text, Time};

/// Why nothing has to be set.
const RESUMED: &str = "sessions are resumed by tickets whose keys change by themselves";

super::settings! {
    /// HTTPS
    Https {
        /// Tell browsers in answers over HTTPS to come over HTTPS from now on.
        hsts: bool = setting("hsts").default("`true`").example("`false`");
        /// For how many seconds.
        hsts_max_age: Seconds = setting("hsts-max-age").default("`31536000`").example("`3600`");
        /// Whether that holds for hosts below, too.
        hsts_subdomains: bool = setting("hsts-include-subdomains").default("`true`").example("`false`");
        /// Whether browsers may know it without having come.
        hsts_preload: bool = setting("hsts-preload").default("`false`").example("`true`");
        /// Redirect plain requests for hosts with TLS.
        ssl_redirect: bool = usual("ssl-redirect").default("`true`").example("`false`");
        /// Redirect all plain requests.
        force_ssl_redirect: bool = usual("force-ssl-redirect").default("`false`").example("`true`");
        /// Status of that redirect, and of those of the annotation `from-to-www-redirect`.
        code: RedirectCode = setting("http-redirect-code").default("`308`").example("`301`");
        /// Paths of Ingresses that begin so are not redirected.
        unredirected: Paths = setting("no-tls-redirect-locations").default("`/.well-known/acme-challenge`").example("`/public`");
        /// Leave a slash at the end where it is redirected to HTTPS.
        trailing_slash: bool = setting("preserve-trailing-slash").default("`false`").example("`true`")
            .no_effect("a redirect to HTTPS always leaves path and query as they are");
        /// Offer HTTP/2 to clients.
        http2: bool = setting("use-http2").default("`true`").example("`false`")
            .approximated("HTTP/2 is always offered; clients choose");
    }
}

super::settings! {
    /// TLS
    Certificates {
        /// Versions that are spoken.
        versions: TlsVersions = setting("ssl-protocols").default("`TLSv1.2 TLSv1.3`").example("`TLSv1.3`")
            .approximated("TLS 1.2 and 1.3 are spoken, and none that is older");
        /// Cipher suites of TLS 1.2.
        ciphers: Text = setting("ssl-ciphers").example("`ECDHE-RSA-AES128-GCM-SHA256`")
            .approximated("only suites with forward secrecy and authenticated encryption are spoken, all of them");
        /// Curves for the exchange of keys.
        curve: Text = setting("ssl-ecdh-curve").default("`auto`").example("`X25519`")
            .approximated("X25519, P-256 and P-384 are offered, the client chooses");
        /// Secret with parameters for Diffie-Hellman.
        dh: Text = setting("ssl-dh-param").example("`default/dh`").no_effect("keys are exchanged over elliptic curves alone");
        /// Keep sessions.
        session_cache: bool = setting("ssl-session-cache").default("`true`").example("`false`").no_effect(RESUMED);
        /// How much is kept of them.
        session_cache_size: Size = setting("ssl-session-cache-size").default("`10m`").example("`20m`").no_effect(RESUMED);
        /// Hand out tickets for them.
        tickets: bool = setting("ssl-session-tickets").default("`false`").example("`true`").no_effect(RESUMED);
        /// Key of the tickets.
        ticket_key: Forgiving = setting("ssl-session-ticket-key").example("`c2VjcmV0`")
            .refused("a key that lies in a ConfigMap protects no session; keys of tickets are made by each process");
        /// How long sessions are kept.
        session_time: Time = setting("ssl-session-timeout").default("`10m`").example("`1h`").no_effect(RESUMED);
        /// How much is encrypted at once.
        buffer: Size = setting("ssl-buffer-size").default("`4k`").example("`16k`")
            .no_effect("records are as large as what there is to send");
        /// Take data in the first flight of TLS 1.3.
        early_data: bool = setting("ssl-early-data").default("`false`").example("`true`")
            .refused("early data can be played back by others; clients send their requests after the handshake");
        /// Refuse the handshake of clients that name no host of an Ingress, or none at all. Rules without host do not make a name known.
        reject_handshake: bool = setting("ssl-reject-handshake").default("`false`").example("`true`");
        /// Staple what the authority says of the certificate.
        ocsp: bool = setting("enable-ocsp").default("`false`").example("`true`")
            .refused("nothing is stapled; certificates that are good for days need no such word, and large authorities give none any more");
        /// Set up TLS to backends for paths and not for hosts.
        location_only: bool = setting("proxy-ssl-location-only").default("`false`").example("`true`")
            .no_effect("TLS to backends is set up for each path in any case");
    }
}

impl Effect for Https {
    fn apply(&self, globals: &mut Globals, _: &mut Given<'_>) {
        let max_age_seconds = self.hsts_max_age.map_or(HSTS_SECONDS, |age| age.0.as_secs());
        let strict = StrictTransport {
            max_age_seconds,
            include_subdomains: self.hsts_subdomains.unwrap_or(true),
            preload: self.hsts_preload.unwrap_or(false),
        };
        let usual = globals.strict_transport.is_some();
        globals.strict_transport = self.hsts.unwrap_or(usual).then_some(strict);
        globals.redirect_status = self.code.map_or(globals.redirect_status, |code| code.0);
        if let Some(paths) = &self.unredirected {
            globals.unredirected = paths.0.to_vec();
        }
    }
}

impl Effect for Certificates {
    fn apply(&self, globals: &mut Globals, _: &mut Given<'_>) {
        globals.listener.refuse_unknown_names = self.reject_handshake == Some(true);
    }
}
