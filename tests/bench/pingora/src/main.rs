//! A small proxy made with Pingora: routes by host and prefix, with the forwarded fields that the others set.
//!
//! Its settings come from the environment, as the benchmarks give them: addresses `PLAIN`, `TLS`, `GRPC`, `BACKEND` and
//! `GRPC_BACKEND`, files `CERTIFICATE` and `KEY`, `HOST`, and the number of `ROUTES`.

use std::{collections::HashMap, env, error::Error, sync::Arc};

use async_trait::async_trait;
use pingora::{
    apps::HttpServerOptions,
    http::RequestHeader,
    listeners::tls::TlsSettings,
    proxy::{ProxyHttp, Session, http_proxy_service},
    server::{
        Server,
        configuration::{Opt, ServerConf},
    },
    upstreams::peer::HttpPeer,
};

/// Idle connections to backends that are kept.
const KEPT: usize = 512;

/// One proxy: prefixes by host, each with its backend.
struct Routes {
    /// The host that is served; all of them without it.
    host: Option<String>,
    prefixes: HashMap<String, Arc<HttpPeer>>,
}

impl Routes {
    fn new(host: Option<String>, prefixes: impl Iterator<Item = String>, peer: HttpPeer) -> Self {
        let peer = Arc::new(peer);
        Self { host, prefixes: prefixes.map(|prefix| (prefix, peer.clone())).collect() }
    }

    /// The backend for a host and the first element of a path.
    fn find(&self, host: &str, path: &str) -> Option<&HttpPeer> {
        let name = host.split(':').next().unwrap_or(host);
        if self.host.as_deref().is_some_and(|served| served != name) {
            return None;
        }
        let end = path.get(1..).and_then(|rest| rest.find('/')).map_or(path.len(), |end| end + 1);
        self.prefixes.get(&path[..end]).or_else(|| self.prefixes.get("/")).map(|peer| &**peer)
    }
}

#[async_trait]
impl ProxyHttp for Routes {
    type CTX = ();

    fn new_ctx(&self) {}

    async fn upstream_peer(&self, session: &mut Session, _: &mut ()) -> pingora::Result<Box<HttpPeer>> {
        let head = session.req_header();
        let field = head.headers.get("host").and_then(|host| host.to_str().ok());
        let host = field.or(head.uri.host()).unwrap_or_default();
        let peer = self.find(host, head.uri.path());
        peer.map(|peer| Box::new(peer.clone()))
            .ok_or_else(|| pingora::Error::new(pingora::ErrorType::HTTPStatus(404)))
    }

    async fn upstream_request_filter(
        &self,
        session: &mut Session,
        request: &mut RequestHeader,
        _: &mut (),
    ) -> pingora::Result<()> {
        if let Some(client) = session.client_addr().and_then(|address| address.as_inet()) {
            request.insert_header("x-forwarded-for", client.ip().to_string())?;
        }
        request.insert_header("x-forwarded-proto", "http")
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let settings = ServerConf { threads: 1, upstream_keepalive_pool_size: KEPT, ..ServerConf::default() };
    let mut server = Server::new_with_opt_and_conf(Opt::default(), settings);
    server.bootstrap();

    let count: usize = env::var("ROUTES")?.parse()?;
    let prefixes = (0..count).map(|number| format!("/route-{number:05}"));
    let peer = HttpPeer::new(env::var("BACKEND")?, false, String::new());
    let routes = Routes::new(Some(env::var("HOST")?), prefixes, peer);
    let mut plain = http_proxy_service(&server.configuration, routes);
    plain.add_tcp(&env::var("PLAIN")?);
    let mut tls = TlsSettings::intermediate(&env::var("CERTIFICATE")?, &env::var("KEY")?)?;
    tls.enable_h2();
    plain.add_tls_with_settings(&env::var("TLS")?, None, tls);

    let mut peer = HttpPeer::new(env::var("GRPC_BACKEND")?, false, String::new());
    peer.options.set_http_version(2, 2);
    let all = Routes::new(None, std::iter::once("/".to_owned()), peer);
    let mut grpc = http_proxy_service(&server.configuration, all);
    let mut options = HttpServerOptions::default();
    options.h2c = true;
    if let Some(logic) = grpc.app_logic_mut() {
        logic.server_options = Some(options);
    }
    grpc.add_tcp(&env::var("GRPC")?);

    server.add_service(plain);
    server.add_service(grpc);
    server.run_forever()
}
