//! Settings group: what proxies in front of us say of clients, and how listeners serve.

use std::{sync::Arc, time::Duration};

use selvedge_common::{
    filter::{Field, Networks, RequestHeaders, SubjectPattern},
    model::{Listener, ListenerProtocol},
};

use super::{Effect, Globals, given::Given, setting::setting};
use crate::annotations::{
    Form,
    form::{Cidrs, FieldName, Text, Time},
};

/// Whom forwarded fields are believed from where nobody says it: addresses that no client of the Internet has.
const PRIVATE: &str =
    "10.0.0.0/8,172.16.0.0/12,192.168.0.0/16,100.64.0.0/10,127.0.0.0/8,::1/128,fc00::/7,fe80::/10";

/// ingress-nginx: the field with who opened a connection.
const PROXIED_CLIENT: &str = "X-Forwarded-For-Proxy-Protocol";

/// ingress-nginx: the field with the target as the client sent it.
const ORIGINAL_URI: &str = "X-Original-URI";

super::settings! {
    /// Proxies in front
    Forwarding {
        /// Believe what the proxies of `proxy-real-ip-cidr` say in `X-Forwarded-…`; otherwise the networks of the flag `--trusted-cidr` alone are believed.
        use_forwarded: bool = setting("use-forwarded-headers").default("`false`").example("`true`");
        /// The same for the address alone.
        real_ip: bool = setting("enable-real-ip").default("`false`").example("`true`")
            .approximated("it counts as use-forwarded-headers: who is believed for the address is believed for scheme and host, too");
        /// Networks of proxies that are believed.
        networks: Cidrs = setting("proxy-real-ip-cidr").default("`0.0.0.0/0`").example("`10.0.0.0/8`")
            .approximated("without it private addresses are believed, and not everybody; those of --trusted-cidr in any case")
            .instead("nobody is believed but the networks of --trusted-cidr");
        /// Field with the address of the client.
        field: FieldName = setting("forwarded-for-header").default("`X-Forwarded-For`").example("`CF-Connecting-IP`");
        /// Add the address of the proxy in front to `X-Forwarded-For` instead of naming the client alone.
        full: bool = setting("compute-full-forwarded-for").default("`false`").example("`true`");
        /// Each connection begins with a PROXY protocol header, on the listeners of HTTP and of HTTPS.
        proxy_protocol: bool = setting("use-proxy-protocol").default("`false`").example("`true`");
        /// Longest wait for that header.
        proxy_protocol_time: Time = setting("proxy-protocol-header-timeout").default("`5s`").example("`10s`")
            .no_effect("the header must come within the time for a TLS handshake, --handshake-timeout");
        /// Field that tells backends of classes of ingress-nginx who opened such a connection, or what a believed proxy says of the client; sent together with `use-forwarded-headers`.
        proxy_protocol_field: FieldName = setting("forwarded-for-proxy-protocol-header")
            .default("`X-Forwarded-For-Proxy-Protocol`").example("`X-Client`");
        /// Field whose value backends of classes of ingress-nginx find in `X-Original-Forwarded-Host`.
        host_field: FieldName = setting("forwarded-host-header").default("`X-Forwarded-Host`").example("`X-Host`");
        /// Tell backends the target as the client sent it in `X-Original-URI`.
        original_uri: bool = setting("proxy-add-original-uri-header").default("`false`").example("`true`");
        /// Give each request an `X-Request-ID` that has none.
        request_id: bool = setting("generate-request-id").default("`true`").example("`false`")
            .no_effect("each request has an id, by which it is found in the log");
        /// Addresses to listen on.
        bind: Text = setting("bind-address").example("`192.0.2.1`")
            .no_effect("the flags --http and --https say where clients connect");
        /// The same for IPv4.
        bind_v4: Text = setting("bind-address-ipv4").example("`192.0.2.1`")
            .no_effect("the flags --http and --https say where clients connect");
        /// The same for IPv6.
        bind_v6: Text = setting("bind-address-ipv6").example("`2001:db8::1`")
            .no_effect("the flags --http and --https say where clients connect");
        /// Do not listen on IPv6.
        no_ipv6: bool = setting("disable-ipv6").default("`false`").example("`true`")
            .no_effect("the flags --http and --https say where clients connect");
        /// Leave out IPv6 where names are resolved.
        no_ipv6_names: bool = setting("disable-ipv6-dns").default("`false`").example("`true`")
            .no_effect("addresses of either kind are used, and those that fail are left out for a while");
    }
}

/// What changes in listeners. They serve all classes alike.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ListenerGlobals {
    /// Proxies that are believed beside those of flags.
    pub trusted: Networks,
    /// Field with the address of the client, if it is not `X-Forwarded-For`.
    pub forwarded_for: Option<Arc<str>>,
    /// Whether the address of the proxy in front is added to `X-Forwarded-For`.
    pub full_forwarded_for: bool,
    /// Whether connections begin with a PROXY protocol header.
    pub proxy_protocol: bool,
    /// Longest time between two requests of a connection.
    pub keep_alive: Option<Duration>,
    /// Longest time for the head of a request.
    pub head_time: Option<Duration>,
    /// Longest silence within the body of a request.
    pub body_idle: Option<Duration>,
    /// Largest head of a request.
    pub head_bytes: Option<u32>,
    /// Most streams of a connection of HTTP/2.
    pub streams: Option<u32>,
    /// Whether fields with an underscore in their name pass.
    pub underscores: bool,
    /// Whether handshakes are refused of clients that name no known host.
    pub refuse_unknown_names: bool,
    /// Targets of requests that are not in the access log.
    pub unlogged_targets: Vec<SubjectPattern>,
    /// Whether connections over TCP are not in it.
    pub tcp_unlogged: bool,
    /// Longest silence of connections over TCP.
    pub tcp_idle: Option<Duration>,
    /// Field with the host that the client named, if it is not `X-Forwarded-Host`.
    pub forwarded_host: Option<Arc<str>>,
    /// Field that tells backends who opened a connection with a PROXY protocol header.
    pub proxied_client: Option<Arc<str>>,
}

impl ListenerGlobals {
    /// Changes a listener; what nobody says stays as flags have it.
    pub fn apply(&self, listener: &mut Listener) {
        if matches!(listener.protocol, ListenerProtocol::Tcp(_)) {
            listener.unlogged |= self.tcp_unlogged;
            listener.limits.tunnel_idle = self.tcp_idle.unwrap_or(listener.limits.tunnel_idle);
            return;
        }
        listener.unlogged_targets.clone_from(&self.unlogged_targets);
        listener.forwarded_host.clone_from(&self.forwarded_host);
        listener.proxied_client.clone_from(&self.proxied_client);
        listener.trusted_cidrs.extend(self.trusted.iter());
        listener.trusted_cidrs.sort();
        listener.trusted_cidrs.dedup();
        listener.forwarded_for.clone_from(&self.forwarded_for);
        listener.full_forwarded_for |= self.full_forwarded_for;
        listener.proxy_protocol |= self.proxy_protocol;
        listener.refuse_unknown_names |= self.refuse_unknown_names;
        let limits = &mut listener.limits;
        limits.keep_alive_idle = self.keep_alive.unwrap_or(limits.keep_alive_idle);
        limits.head_time = self.head_time.unwrap_or(limits.head_time);
        limits.body_idle = self.body_idle.unwrap_or(limits.body_idle);
        limits.head_bytes = self.head_bytes.unwrap_or(limits.head_bytes);
        limits.http2.streams = self.streams.unwrap_or(limits.http2.streams);
        limits.drop_underscore_fields &= !self.underscores;
    }
}

impl Forwarding {
    /// The field that tells backends who opened a connection, if it is none that a request depends on.
    fn proxied_client(&self, given: &mut Given<'_>) -> Option<Arc<str>> {
        let name = self.proxy_protocol_field.as_ref().map_or(PROXIED_CLIENT.into(), |field| field.0.clone());
        match RequestHeaders::check_name(&name) {
            Ok(()) => Some(name),
            Err(why) => {
                let message = format!("{why}; no such field is sent");
                given.tell("forwarded-for-proxy-protocol-header", "InvalidSetting", message);
                None
            }
        }
    }
}

impl Effect for Forwarding {
    fn apply(&self, globals: &mut Globals, given: &mut Given<'_>) {
        let listener = &mut globals.listener;
        let believes = self.use_forwarded == Some(true) || self.real_ip == Some(true);
        listener.proxy_protocol = self.proxy_protocol == Some(true);
        let host = self.host_field.as_ref().map(|field| field.0.clone());
        listener.forwarded_host = host.filter(|field| !field.eq_ignore_ascii_case("x-forwarded-host"));
        // ingress-nginx: such a field is sent with both settings.
        if listener.proxy_protocol && self.use_forwarded == Some(true) {
            listener.proxied_client = self.proxied_client(given);
        }
        if self.original_uri == Some(true) {
            let (name, value) = (ORIGINAL_URI.into(), "$request_uri".into());
            globals.request_templates.push(Field { name, value });
        }
        if !believes {
            return;
        }
        let trusted = match &self.networks {
            // What cannot be read names nobody.
            None if given.has("proxy-real-ip-cidr") => None,
            None => Cidrs::parse(PRIVATE),
            networks => networks.clone(),
        };
        let trusted = trusted.map(|networks| networks.0).unwrap_or_default();
        if trusted.iter().any(|network| network.prefix_len() == 0) {
            let message =
                "every client may say who it is, whoever it is; name the networks of the proxies".to_owned();
            given.warn("proxy-real-ip-cidr", "EverybodyTrusted", message);
        }
        listener.trusted = trusted;
        listener.full_forwarded_for = self.full == Some(true);
        let field = self.field.as_ref().map(|field| field.0.clone());
        listener.forwarded_for = field.filter(|field| !field.eq_ignore_ascii_case("x-forwarded-for"));
    }
}
