//! Zones: endpoints near the proxy come first.

use selvedge_common::{
    model::{Backend, Endpoint, EndpointState},
    source::{Sink, Update},
};
use selvedge_tests::{client::Client, origin::Origin};

use crate::balance::proxy;

#[test]
fn requests_stay_in_the_zone_of_the_proxy_once_that_is_known() {
    let origins = ["near", "far"].map(Origin::named);
    let backend = Backend { prefer_zone: true, ..Backend::default() };
    let proxy = proxy(2, backend, &origins);
    let mut endpoints: Vec<_> = (origins.iter().zip(["a", "b"]))
        .map(|(origin, zone)| {
            let zone = Some(zone.into());
            Endpoint { zone, ..Endpoint::new(origin.address, EndpointState::Ready) }
        })
        .collect();
    endpoints.sort();
    proxy.engine.apply(Update::Endpoints(vec![("test/origin:80".into(), endpoints.into())]));
    let texts = || {
        let mut client = Client::connect(proxy.http());
        let mut texts: Vec<_> = (0..10).map(|_| client.get("a", "/").text()).collect();
        texts.sort();
        texts.dedup();
        texts
    };
    assert_eq!(texts(), ["far", "near"]);
    proxy.engine.set_zone(Some("a".into()));
    assert_eq!(texts(), ["near"]);
    proxy.engine.set_zone(Some("c".into()));
    assert_eq!(texts(), ["far", "near"]);
}
