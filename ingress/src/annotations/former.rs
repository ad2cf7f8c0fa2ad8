//! Names that ingress-nginx had once or never had, and yet are found in objects: each with the right one.

/// A name that means nothing, with what is right instead.
#[derive(Clone, Copy, Debug)]
pub struct Former {
    /// The name without prefix; one that ends with `*` stands for all that begin so.
    pub name: &'static str,
    /// Whether ingress-nginx had it once; it may also never have had it.
    pub removed: bool,
    /// What to do instead.
    pub instead: &'static str,
}

/// All of them.
pub const FORMER: &[Former] = &[
    removed("global-rate-limit*", "use limit-rps or limit-rpm, which count in each replica"),
    removed("enable-opentracing", "use enable-opentelemetry"),
    removed("opentracing-trust-incoming-span", "use opentelemetry-trust-incoming-span"),
    removed("enable-influxdb*", "leave it out: metrics are at /metrics of the admin address"),
    removed("influxdb-*", "leave it out: metrics are at /metrics of the admin address"),
    removed("secure-backends", "use backend-protocol: HTTPS"),
    removed("secure-verify-ca-secret", "use proxy-ssl-secret with proxy-ssl-verify: on"),
    removed("grpc-backend", "use backend-protocol: GRPC"),
    removed("add-base-url", "let the application write its own URLs, and tell it by x-forwarded-prefix"),
    removed("base-url-scheme", "let the application write its own URLs, and tell it by x-forwarded-prefix"),
    removed("session-cookie-hash", "leave it out: the cookie names its endpoint by itself"),
    removed("lua-resty-waf*", "run a web application firewall as a Service of its own"),
    removed("limit-rate-by", "use limit-rps"),
    imagined("rate-limit", "use limit-rps or limit-rpm"),
    imagined("rate-limit-window", "use limit-rps for a second or limit-rpm for a minute"),
    imagined("rate-limit-burst", "use limit-burst-multiplier"),
    imagined("websocket", "leave it out: WebSockets pass by themselves"),
    imagined("websocket-services", "leave it out: WebSockets pass by themselves"),
    imagined("enable-websockets", "leave it out: WebSockets pass by themselves"),
    imagined("enable-websocket", "leave it out: WebSockets pass by themselves"),
    imagined("server-snippets", "it would be server-snippet, which is code and refused"),
    imagined("maintenance-annotation", "lead the path to a Service that answers for maintenance"),
    imagined("use-forwarded-headers", "it is a setting of the whole proxy: use the flag --trusted-cidr"),
    imagined("use-proxy-protocol", "it is a setting of the whole proxy: see the flags of listeners"),
    imagined("hsts", "it is a setting of the whole class"),
    imagined("client-max-body-size", "use proxy-body-size"),
    imagined("proxy-timeout", "use proxy-read-timeout"),
];

const fn removed(name: &'static str, instead: &'static str) -> Former {
    Former { name, removed: true, instead }
}

const fn imagined(name: &'static str, instead: &'static str) -> Former {
    Former { name, removed: false, instead }
}

/// What is known of a name without prefix.
pub(super) fn find(name: &str) -> Option<&'static Former> {
    FORMER.iter().find(|former| match former.name.strip_suffix('*') {
        Some(begin) => name.starts_with(begin),
        None => name == former.name,
    })
}

impl Former {
    /// What is wrong with the name, for its owner.
    pub fn message(&self) -> String {
        let fate = match self.removed {
            true => "ingress-nginx has it no more",
            false => "ingress-nginx never had it",
        };
        format!("{fate}; {}", self.instead)
    }
}
