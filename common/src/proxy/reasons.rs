//! Reasons: every word by which `x-selvedge-reason`, the access log and metrics say why a backend did not answer.

/// Each reason of the proxy with what it means, in alphabetical order. Those of filters stand beside the filters, and
/// those of malformed requests beside the parsers of heads and bodies.
pub const REASONS: &[(&str, &str)] = &[
    ("bad_token", "the token by which the caller says who it is is not valid"),
    ("body_too_large", "the client's body is larger than the route allows"),
    ("client_body", "the client's body broke off or is malformed"),
    ("client_body_timeout", "the client's body came too slowly"),
    ("client_closed", "the client went away"),
    ("client_stalled", "the client took the answer too slowly"),
    ("connect", "no endpoint could be connected to"),
    ("connect_timeout", "no endpoint accepted a connection in time"),
    ("deadline", "the time that a client of gRPC gave is over"),
    ("forbidden_backend", "the route leads to a target that is not allowed"),
    ("forbidden_destination", "the host to pass the request on to has only addresses that are not allowed"),
    ("head_timeout", "the head of the request came too slowly"),
    ("loop", "the request went in a circle through the proxy"),
    ("malformed_backend", "the route's reference to a backend is malformed"),
    ("misdirected", "SNI and Host belong to different certificates"),
    ("no_endpoint", "the backend has no endpoint"),
    ("no_route", "no rule matches"),
    ("no_weight", "all backends of the route have weight 0"),
    ("not_proxied", "the method is one that no backend is asked for"),
    ("overload", "as much is going on, towards the backend or in all, as the limits allow"),
    ("own_address", "the backend's endpoints are the proxy itself"),
    ("port_not_found", "the Service has no such port"),
    ("replaced", "the answer was an error, and who has pages for errors did not answer"),
    ("service_not_found", "there is no such Service"),
    ("shortage", "the system had nothing left for a connection to an endpoint"),
    ("status", "the answer was worth another try that could not be made"),
    ("timeout", "the backend did not answer in time"),
    ("unreadable_protection", "what shall protect the route cannot be kept up"),
    ("unresolved", "the host to pass the request on to has no known address"),
    ("unsupported_resource", "the route leads to a resource, which is not supported"),
    ("upstream_broken", "the backend's answer broke off"),
    ("upstream_closed", "the backend closed the connection before an answer"),
    ("upstream_idle", "the backend's answer came too slowly"),
    ("upstream_protocol", "the backend's answer is malformed"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        message::ResponseHead,
        model::InvalidBackend,
        proxy::{grpc, respond::Failure, send_http1::broken_answer},
    };

    fn failures() -> Vec<Failure> {
        use Failure::{
            BadToken, BodyTooLarge, ClientBody, ClientBodyTimeout, ClientClosed, Connect, ConnectTimeout,
            Deadline, ForbiddenDestination, HeadTimeout, Loop, Misdirected, NoEndpoint, NoRoute, NoWeight,
            NotProxied, Overload, OwnAddress, Replaced, RequestTimeout, Shortage, Status, Unresolved,
            UpstreamClosed, UpstreamProtocol,
        };
        let invalid = [
            InvalidBackend::ServiceNotFound,
            InvalidBackend::PortNotFound,
            InvalidBackend::UnsupportedResource,
            InvalidBackend::Forbidden,
            InvalidBackend::Malformed,
            InvalidBackend::Unprotected,
        ];
        let routing =
            [HeadTimeout, BadToken, NotProxied, Misdirected, NoRoute, NoWeight, NoEndpoint, Loop, OwnAddress];
        let upstream =
            [Connect, Shortage, Overload, ConnectTimeout, UpstreamClosed, UpstreamProtocol, RequestTimeout];
        let passing = [ForbiddenDestination, Unresolved];
        let client =
            [Deadline, Status(503), Replaced(503), ClientClosed, ClientBody, ClientBodyTimeout, BodyTooLarge];
        let invalid = invalid.into_iter().map(Failure::InvalidBackend);
        routing.into_iter().chain(upstream).chain(passing).chain(client).chain(invalid).collect()
    }

    #[test]
    fn every_failure_has_a_reason_of_its_own_that_is_listed() {
        assert!(REASONS.is_sorted_by(|one, two| one.0 < two.0));
        let mut reasons: Vec<_> = failures().into_iter().map(Failure::reason).collect();
        let broken =
            [crate::proxy::body::PumpError::ReadTimeout, crate::proxy::body::PumpError::WriteTimeout];
        reasons.extend(broken.iter().map(|error| broken_answer(error).1));
        reasons.push("upstream_broken");
        reasons.sort_unstable();
        let listed: Vec<_> = REASONS.iter().map(|(reason, _)| *reason).collect();
        assert_eq!(reasons, listed);
    }

    #[test]
    fn clients_of_grpc_are_told_more_than_that_something_went_wrong() {
        for failure in failures().into_iter().filter(|failure| *failure != Failure::ClientClosed) {
            let mut head = ResponseHead::default();
            grpc::write_failure((failure.status(), None), failure.reason(), &mut head);
            let status = head.fields.get_by_name("grpc-status").unwrap();
            assert!(!matches!(status, b"0" | b"2"), "{failure:?}");
            assert!(head.fields.get_by_name("grpc-message").is_some_and(|message| !message.is_empty()));
        }
    }
}
