//! Annotation group: what is spoken to backends, and where they are.

use selvedge_common::model::BackendProtocol;

use super::{
    Effect,
    form::{ObjectName, Protocol, Text},
    given::Given,
    key::key,
};
use crate::translate::RouteDraft;

super::group! {
    /// Backends
    Backends {
        /// What is spoken to endpoints: HTTP/1.1, HTTP/2 for gRPC, each with TLS or without; `AUTO_HTTP` is HTTP/1.1. It comes before `appProtocol` of the Service.
        protocol: Protocol = key("backend-protocol").default("`HTTP`").example("`GRPC`")
            .limits("`FCGI` is refused; its paths answer 503.");
        /// Send requests to the cluster IP of the Service instead of to its endpoints.
        service_upstream: bool = key("service-upstream").default("`false`").example("`true`")
            .limits("Not for Services without a cluster IP.");
        /// Index file of a FastCGI server.
        fastcgi_index: Text = key("fastcgi-index").example("`index.php`")
            .refused("FastCGI is not spoken; run a server of HTTP in front of it");
        /// Parameters for a FastCGI server.
        fastcgi_params: ObjectName = key("fastcgi-params-configmap").example("`fastcgi`")
            .refused("FastCGI is not spoken; run a server of HTTP in front of it");
    }
}

impl Effect for Backends {
    fn apply(&self, route: &mut RouteDraft<'_>) {
        route.upstream.protocol = self.protocol.and_then(|protocol| match protocol {
            Protocol::Http | Protocol::AutoHttp => Some((BackendProtocol::Http1, false)),
            Protocol::Https => Some((BackendProtocol::Http1, true)),
            Protocol::Grpc => Some((BackendProtocol::Http2, false)),
            Protocol::Grpcs => Some((BackendProtocol::Http2, true)),
            Protocol::FastCgi => None,
        });
        route.unprotected |= self.protocol == Some(Protocol::FastCgi);
        route.upstream.service_address = self.service_upstream == Some(true);
    }

    fn judge(&self, given: &mut Given<'_>) {
        match self.protocol {
            Some(Protocol::FastCgi) => {
                let message =
                    "FastCGI is not spoken; run a server of HTTP in front of it; its paths answer 503"
                        .to_owned();
                given.tell("backend-protocol", "AnnotationRefused", message);
            }
            Some(Protocol::AutoHttp) => {
                let message =
                    "endpoints are spoken to without TLS, also where the client uses it; name HTTP or HTTPS"
                        .to_owned();
                given.warn("backend-protocol", "AnnotationApproximated", message);
            }
            _ => {}
        }
    }
}
