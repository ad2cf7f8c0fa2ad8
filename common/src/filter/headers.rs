//! Filters: change header fields of requests and of answers.

use serde::{Deserialize, Serialize};

use super::{FieldChanges, FilterContext, Flow, field_changes};
use crate::message::{Known, RequestHead, ResponseHead};

/// Changes header fields of the request before it goes to a backend.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RequestHeaders {
    /// The changes.
    pub changes: FieldChanges,
}

/// Changes header fields of the answer: of a backend's, and of one that the route itself describes (a redirect or
/// a direct response). Failures and refusals stay as they are: they are the proxy's words, not the service's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ResponseHeaders {
    /// The changes.
    pub changes: FieldChanges,
}

impl RequestHeaders {
    /// Checks the name of a field that shall be changed.
    ///
    /// # Errors
    /// When it must not or could not: why, and what to do instead.
    pub fn check_name(name: &str) -> Result<(), String> {
        field_changes::check_name(name)?;
        match Known::of(name.as_bytes()) {
            Known::XForwardedFor
            | Known::XForwardedHost
            | Known::XForwardedPort
            | Known::XForwardedProto
            | Known::Forwarded
            | Known::XRealIp
            | Known::XRequestId
            | Known::Proxy => {
                Err(format!("{name} is set or taken away by the proxy itself; choose another name"))
            }
            _ => Ok(()),
        }
    }

    pub(super) fn request(&self, _: &FilterContext<'_>, head: &mut RequestHead) -> Flow {
        self.changes.apply(&mut head.fields);
        Flow::Next
    }

    pub(super) fn response(&self, _: &FilterContext<'_>, _: &mut ResponseHead) {}
}

impl ResponseHeaders {
    /// Checks the name of a field that shall be changed.
    ///
    /// # Errors
    /// When it must not: why, and what to do instead.
    pub fn check_name(name: &str) -> Result<(), String> {
        field_changes::check_name(name)
    }

    pub(super) fn request(&self, _: &FilterContext<'_>, _: &mut RequestHead) -> Flow {
        Flow::Next
    }

    pub(super) fn response(&self, _: &FilterContext<'_>, head: &mut ResponseHead) {
        self.changes.apply(&mut head.fields);
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{Field, tests::Given},
        *,
    };

    #[test]
    fn each_changes_its_own_direction() {
        let set = vec![Field { name: "x-a".into(), value: "1".into() }];
        let changes = FieldChanges { set, ..FieldChanges::default() };
        let given = Given::default();
        let (mut request, mut response) = (RequestHead::default(), ResponseHead::default());
        let (ours, theirs) = (RequestHeaders { changes: changes.clone() }, ResponseHeaders { changes });
        assert_eq!(theirs.request(&given.cx(), &mut request), Flow::Next);
        ours.response(&given.cx(), &mut response);
        assert!(request.fields.is_empty() && response.fields.is_empty());
        assert_eq!(ours.request(&given.cx(), &mut request), Flow::Next);
        theirs.response(&given.cx(), &mut response);
        assert_eq!(request.fields.get_by_name("x-a"), Some(&b"1"[..]));
        assert_eq!(response.fields.get_by_name("x-a"), Some(&b"1"[..]));
    }

    #[test]
    fn what_the_proxy_tells_backends_of_the_client_is_not_changed_in_requests() {
        for name in ["X-Forwarded-For", "x-forwarded-proto", "forwarded", "x-real-ip", "X-Request-ID"] {
            assert!(RequestHeaders::check_name(name).is_err(), "{name}");
            assert_eq!(ResponseHeaders::check_name(name), Ok(()), "{name}");
        }
        assert_eq!(RequestHeaders::check_name("x-selvedge-service"), Ok(()));
    }
}
