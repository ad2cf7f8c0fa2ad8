//! Annotation group: TLS towards backends.

use std::sync::Arc;

use selvedge_common::quote::quote;

use super::{
    Effect,
    form::{Count, ObjectName, Switch, Text, is_host},
    given::Given,
    key::key,
};
use crate::translate::RouteDraft;

super::group! {
    /// TLS towards backends
    BackendTlsKeys {
        /// Secret of type `kubernetes.io/tls` in the namespace of the Ingress: the certificate that endpoints are shown, and in `ca.crt` the authorities that theirs must be signed by.
        secret: ObjectName = key("proxy-ssl-secret").example("`default/shop-client`");
        /// Whether certificates of endpoints must be signed by those authorities.
        verify: Switch = key("proxy-ssl-verify").default("`off`").example("`on`").fallback("on")
            .limits("Without authorities nobody is believed, and requests fail.");
        /// Name that certificates of endpoints must be for, and that is sent in SNI; without it `SERVICE.NAMESPACE.svc` is what certificates must be for.
        name: Text = key("proxy-ssl-name").example("`shop.internal`");
        /// Whether a name is sent in SNI. One is sent in any case where it is verified.
        server_name: Switch = key("proxy-ssl-server-name").default("`off`").example("`on`").limits("Also without `proxy-ssl-secret`, where ingress-nginx leaves out this whole group.");
        /// How many authorities may be between.
        depth: Count = key("proxy-ssl-verify-depth").default("`1`").example("`2`")
            .no_effect("chains of every sensible length are believed");
        /// Versions of TLS.
        protocols: Text = key("proxy-ssl-protocols").default("`TLSv1.2`").example("`TLSv1.2 TLSv1.3`")
            .no_effect("TLS 1.2 and 1.3 are spoken");
        /// Suites of ciphers.
        ciphers: Text = key("proxy-ssl-ciphers").default("`DEFAULT`").example("`HIGH`")
            .no_effect("only suites of TLS 1.3 and those of 1.2 with AEAD and ECDHE are spoken");
    }
}

impl BackendTlsKeys {
    fn sound_name(&self) -> Option<&Arc<str>> {
        self.name.as_ref().map(|name| &name.0).filter(|name| is_host(name))
    }
}

impl Effect for BackendTlsKeys {
    fn apply(&self, route: &mut RouteDraft<'_>) {
        let tls = &mut route.upstream.tls;
        tls.secret.clone_from(&self.secret);
        tls.verify = self.verify.is_some_and(Switch::is_on);
        tls.name = self.sound_name().cloned();
        tls.sends_name = self.server_name.is_some_and(Switch::is_on);
    }

    fn judge(&self, given: &mut Given<'_>) {
        if self.name.is_some() && self.sound_name().is_none() {
            let name = self.name.as_ref().map_or("", |name| &name.0);
            let message = format!("{} is no name of a host; it has no effect", quote(name));
            given.tell("proxy-ssl-name", "InvalidAnnotation", message);
        }
        if self.verify.is_some_and(Switch::is_on) && self.secret.is_none() {
            let message =
                "proxy-ssl-secret names no authorities, so no endpoint is believed and requests fail"
                    .to_owned();
            given.tell("proxy-ssl-verify", "CertificateNotFound", message);
        }
    }
}
