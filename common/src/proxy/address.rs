//! Address: by which key of the table a request is looked up where services are called by name.

use super::respond::Failure;
use crate::{
    http1::RequestError,
    message::{
        Known, RequestHead,
        authority::{self, AuthorityError},
    },
    model::ServiceNames,
};

/// Room for the longest host, the namespace that completes it, and a port.
const KEY_BYTES: usize = 253 + 1 + 63 + 1 + 5;

/// The names of a listener that has none: a request is looked up by its host, with its port and without.
pub const NO_NAMES: ServiceNames = ServiceNames { suffixes: Vec::new(), field: false, fixed: None };

/// A key of the table: the name of a service, maybe with a port. It lies in place, so that looking it up allocates
/// nothing.
#[derive(Clone, Debug)]
pub struct ServiceKey {
    text: [u8; KEY_BYTES],
    /// Length of the name without its port.
    name: usize,
    length: usize,
}

impl ServiceKey {
    /// The name with its port: `orders.shop:8080`; without one, as [`name`](Self::name).
    pub fn with_port(&self) -> &[u8] {
        &self.text[..self.length]
    }

    /// The name alone: `orders.shop`.
    pub fn name(&self) -> &[u8] {
        &self.text[..self.name]
    }

    fn empty() -> Self {
        Self { text: [0; KEY_BYTES], name: 0, length: 0 }
    }

    /// This name, and the port if there is one.
    ///
    /// # Errors
    /// When it is longer than any host.
    pub fn of(name: &[u8], port: Option<u16>) -> Result<Self, AuthorityError> {
        let mut key = Self::empty();
        key.append(name)?;
        key.name = key.length;
        if let Some(port) = port {
            key.append(b":")?;
            key.append(itoa::Buffer::new().format(port).as_bytes())?;
        }
        Ok(key)
    }

    /// Reads a host with an optional port, in either case.
    fn parse(text: &[u8]) -> Result<Self, AuthorityError> {
        let mut lower = Self::empty();
        lower.append(text)?;
        lower.text[..lower.length].make_ascii_lowercase();
        let parsed = authority::parse(lower.with_port())?;
        Self::of(&parsed.host, parsed.port)
    }

    fn append(&mut self, bytes: &[u8]) -> Result<(), AuthorityError> {
        let end = self.length + bytes.len();
        self.text.get_mut(self.length..end).ok_or(AuthorityError::Label)?.copy_from_slice(bytes);
        self.length = end;
        Ok(())
    }
}

/// The key of a request: what is fixed, else what the field says, else the host without its suffix. A host of one label
/// is completed with `namespace`, that of the caller, if it is known.
///
/// # Errors
/// When the field holds no host with an optional port.
pub fn service_key(
    head: &RequestHead,
    names: &ServiceNames,
    namespace: Option<&str>,
) -> Result<ServiceKey, AuthorityError> {
    if let Some(fixed) = &names.fixed {
        return ServiceKey::parse(fixed.as_bytes());
    }
    if let Some(named) = head.fields.get(Known::XSelvedgeService).filter(|_| names.field) {
        let named = ServiceKey::parse(named.trim_ascii())?;
        return complete(strip(named.name(), names), port_of(named.with_port()), namespace);
    }
    complete(strip(head.host(), names), port_of(head.authority()), namespace)
}

/// The key of a request, from which fields that are only meant for us are taken away.
///
/// # Errors
/// As [`service_key`].
pub fn take_key(
    head: &mut RequestHead,
    names: &ServiceNames,
    namespace: Option<&str>,
) -> Result<ServiceKey, Failure> {
    let key = service_key(head, names, namespace);
    take_own_fields(head);
    key.map_err(|error| Failure::Refused(RequestError::BadHost(error)))
}

/// Takes away the fields that are only meant for us: the name of a service, and credentials for the next proxy, which
/// are we (RFC 9110 §11.7.2).
fn take_own_fields(head: &mut RequestHead) {
    head.fields.remove(Known::XSelvedgeService);
    head.fields.remove(Known::ProxyAuthorization);
}

/// Takes away the field that names a service.
pub fn take_service_field(head: &mut RequestHead) {
    head.fields.remove(Known::XSelvedgeService);
}

fn complete(name: &[u8], port: Option<u16>, namespace: Option<&str>) -> Result<ServiceKey, AuthorityError> {
    let Some(namespace) = namespace.filter(|_| !name.is_empty() && !name.contains(&b'.')) else {
        return ServiceKey::of(name, port);
    };
    let mut whole = ServiceKey::of(name, None)?;
    whole.append(b".")?;
    whole.append(namespace.as_bytes())?;
    ServiceKey::of(whole.with_port(), port)
}

/// A host without the longest suffix that fits.
fn strip<'h>(host: &'h [u8], names: &ServiceNames) -> &'h [u8] {
    let without = |suffix: &str| host.strip_suffix(suffix.as_bytes())?.strip_suffix(b".");
    let stripped = names.suffixes.iter().filter_map(|suffix| without(suffix));
    stripped.filter(|name| !name.is_empty()).min_by_key(|name| name.len()).unwrap_or(host)
}

/// Whether a host has one of the suffixes that only names of services have.
pub fn is_of_service(host: &[u8], names: &ServiceNames) -> bool {
    strip(host, names).len() != host.len() || names.suffixes.iter().any(|suffix| suffix.as_bytes() == host)
}

/// The port of an authority that is known to be one.
pub fn port_of(authority: &[u8]) -> Option<u16> {
    let colon = memchr::memrchr(b':', authority)?;
    std::str::from_utf8(&authority[colon + 1..]).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(field: bool, fixed: Option<&str>) -> ServiceNames {
        let suffixes = ["svc", "svc.cluster.local", "router.local"].map(Into::into).to_vec();
        ServiceNames { suffixes, field, fixed: fixed.map(Into::into) }
    }

    fn head(authority: &str, field: Option<&str>) -> RequestHead {
        let mut head = RequestHead::default();
        head.set_host(authority.as_bytes()).unwrap();
        if let Some(field) = field {
            head.fields.push(b"X-Selvedge-Service", field.as_bytes());
        }
        head
    }

    fn keys(key: Result<ServiceKey, AuthorityError>) -> Result<(String, String), AuthorityError> {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        key.map(|key| (text(key.with_port()), text(key.name())))
    }

    fn found(with_port: &str, name: &str) -> Result<(String, String), AuthorityError> {
        Ok((with_port.into(), name.into()))
    }

    #[test]
    fn a_host_is_looked_up_without_its_suffix_and_with_its_port() {
        let rows = [
            ("orders.shop.svc.cluster.local", "orders.shop", "orders.shop"),
            ("orders.shop.svc.cluster.local.:8080", "orders.shop:8080", "orders.shop"),
            ("Orders.Shop.SVC:80", "orders.shop:80", "orders.shop"),
            ("orders.shop.router.local:00080", "orders.shop:80", "orders.shop"),
            ("orders.shop", "orders.shop", "orders.shop"),
            ("api.example.com:443", "api.example.com:443", "api.example.com"),
            ("orders", "orders", "orders"),
            ("svc.cluster.local", "svc.cluster.local", "svc.cluster.local"),
            ("shopsvc.cluster.local", "shopsvc.cluster.local", "shopsvc.cluster.local"),
            ("[::1]:80", "::1:80", "::1"),
            ("[2001:db8::7]", "2001:db8::7", "2001:db8::7"),
        ];
        for (authority, with_port, name) in rows {
            let key = service_key(&head(authority, None), &names(true, None), None);
            assert_eq!(keys(key), found(with_port, name), "{authority}");
        }
    }

    #[test]
    fn what_is_fixed_beats_the_field_and_the_field_beats_the_host() {
        let rows = [
            (false, None, None, found("a.b:1", "a.b")),
            (false, None, Some("c.d:2"), found("a.b:1", "a.b")),
            (true, None, Some("c.d:2"), found("c.d:2", "c.d")),
            (true, None, Some(" C.D.svc "), found("c.d", "c.d")),
            (true, Some("e.f:3"), Some("c.d:2"), found("e.f:3", "e.f")),
            (true, Some("e.f"), Some("no host"), found("e.f", "e.f")),
            (true, None, Some("no host"), Err(AuthorityError::Byte)),
            (true, None, Some(""), Err(AuthorityError::Empty)),
            (true, None, Some("c.d:x"), Err(AuthorityError::Port)),
        ];
        for (field, fixed, sent, wanted) in rows {
            let key = service_key(&head("a.b:1", sent), &names(field, fixed), None);
            assert_eq!(keys(key), wanted, "{field} {fixed:?} {sent:?}");
        }
    }

    #[test]
    fn a_name_of_one_label_is_completed_with_the_namespace_of_the_caller() {
        let rows = [
            ("orders", Some("shop"), "orders.shop", "orders.shop"),
            ("orders:8080", Some("shop"), "orders.shop:8080", "orders.shop"),
            ("orders.web", Some("shop"), "orders.web", "orders.web"),
            ("orders.router.local:8080", Some("shop"), "orders.shop:8080", "orders.shop"),
            ("orders", None, "orders", "orders"),
        ];
        for (authority, namespace, with_port, name) in rows {
            let key = service_key(&head(authority, None), &names(true, None), namespace);
            assert_eq!(keys(key), found(with_port, name), "{authority} {namespace:?}");
        }
    }

    #[test]
    fn a_request_without_host_has_an_empty_key() {
        let key = service_key(&RequestHead::default(), &names(true, None), Some("shop"));
        assert_eq!(keys(key), found("", ""));
    }

    #[test]
    fn a_field_longer_than_a_host_is_refused() {
        let long = "a".repeat(400);
        let key = service_key(&head("a", Some(&long)), &names(true, None), None);
        assert_eq!(keys(key), Err(AuthorityError::Label));
    }

    #[test]
    fn fields_that_are_only_meant_for_us_are_taken_away() {
        for field in [true, false] {
            let mut head = head("a.b", Some("c.d"));
            head.fields.push(b"Proxy-Authorization", b"Basic secret");
            head.fields.push(b"Authorization", b"for the backend");
            take_key(&mut head, &names(field, None), None).unwrap();
            let left: Vec<_> = head.fields.iter().map(|(name, _)| name.to_vec()).collect();
            assert_eq!(left, [b"Authorization".to_vec()]);
        }
    }
}
