//! Annotation group: web application firewalls.

use super::{
    Effect,
    form::{Forgiving, Text},
    key::key,
};

/// Why it is not taken.
const WHY: &str =
    "there is no ModSecurity here; run a firewall as a Service of its own in front of the backend";

super::group! {
    /// Web application firewall
    Firewall {
        /// Look at requests with ModSecurity.
        enable: bool = key("enable-modsecurity").default("`false`").example("`true`").refused(WHY);
        /// Use the OWASP core rules.
        core_rules: bool = key("enable-owasp-core-rules").default("`false`").example("`true`").refused(WHY);
        /// Id of a transaction in its log.
        transaction_id: Text = key("modsecurity-transaction-id").example("`$request_id`").refused(WHY);
        /// Rules of ModSecurity.
        snippet: Forgiving = key("modsecurity-snippet").example("`SecRuleEngine On`").refused(WHY);
    }
}

impl Effect for Firewall {}
