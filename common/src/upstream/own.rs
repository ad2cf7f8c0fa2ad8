//! Own addresses: endpoints that are listeners of this very process, which would send requests round in a circle.

use std::net::SocketAddr;

use super::resolve::is_local;
use crate::model::Endpoints;

/// The addresses on which this process listens.
#[derive(Debug, Default)]
pub struct OwnAddresses(Vec<SocketAddr>);

impl OwnAddresses {
    /// These addresses; one that is unspecified stands for every address of this machine.
    pub fn new(bound: impl IntoIterator<Item = SocketAddr>) -> Self {
        Self(bound.into_iter().collect())
    }

    /// The endpoints that are somebody else's, if some are ours; `None` if none is.
    pub fn refuse(&self, endpoints: &Endpoints) -> Option<Endpoints> {
        self.refuse_with(endpoints, is_local)
    }

    fn refuse_with(
        &self,
        endpoints: &Endpoints,
        is_local: impl Fn(std::net::IpAddr) -> bool,
    ) -> Option<Endpoints> {
        let is_own = |address: SocketAddr| {
            let ip = address.ip().to_canonical();
            self.0
                .iter()
                .filter(|own| own.port() == address.port())
                .any(|own| own.ip().to_canonical() == ip || (own.ip().is_unspecified() && is_local(ip)))
        };
        if !endpoints.iter().any(|endpoint| is_own(endpoint.address)) {
            return None;
        }
        Some(endpoints.iter().filter(|endpoint| !is_own(endpoint.address)).cloned().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Endpoint, EndpointState};

    #[test]
    fn only_listeners_of_this_process_are_refused() {
        let own = OwnAddresses::new(["10.0.0.1:80", "[::]:8443"].map(|text| text.parse().unwrap()));
        let rows = [
            ("10.0.0.1:80", true),
            ("[::ffff:10.0.0.1]:80", true),
            ("10.0.0.1:81", false),
            ("10.0.0.2:80", false),
            ("10.0.0.9:8443", true),
            ("10.0.0.8:8443", false),
        ];
        let endpoint = |text: &str| Endpoint::new(text.parse().unwrap(), EndpointState::Ready);
        let is_local = |ip: std::net::IpAddr| ip.to_string() == "10.0.0.9";
        for (text, refused) in rows {
            let all: Endpoints = [endpoint("192.0.2.1:80"), endpoint(text)].into_iter().collect();
            let left = own.refuse_with(&all, is_local);
            assert_eq!(left.is_some_and(|left| left.len() == 1), refused, "{text}");
        }
    }
}
