//! Error service: who answers when the backend of a route cannot.

use std::sync::Arc;

use selvedge_common::{
    kube::{
        rules::{self, BackendName},
        service,
    },
    model::{BackendTarget, ErrorPages},
};

use super::{Context, RouteDraft, name, namespace, upstream::tell};
use crate::annotations::form::ObjectName;

/// Who answers instead of a backend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErrorDraft {
    /// The Service.
    pub service: ObjectName,
    /// Statuses in whose place it answers.
    pub statuses: Vec<u16>,
}

/// The pages of a route. That their Service is not there is told; errors are then as they are.
pub(super) fn pages(cx: &mut Context<'_, '_>, draft: &RouteDraft<'_>) -> Option<Arc<ErrorPages>> {
    const KEY: &str = "default-backend";
    let said = draft.errors.as_ref()?;
    let own = namespace(draft.speaker);
    let place = said.service.namespace.as_deref().unwrap_or(own);
    let found = match place == own {
        true => cx.reader.service(place, &said.service.name),
        false => None,
    };
    let port = found.and_then(|found| service::tcp_ports(found).next());
    let resolved = port.map(|port| {
        let name = BackendName { namespace: place, service: &said.service.name, port: Some(port) };
        rules::resolve(&mut cx.rules(), name, None)
    });
    let id = match resolved {
        Some(Ok((id, _))) => id,
        fault => {
            let why = match fault {
                Some(Err(fault)) => fault.message,
                _ => format!(
                    "there is no Service {place}/{} with a port in the namespace of the Ingress",
                    said.service.name
                ),
            };
            tell(cx, draft, KEY, "ServiceNotFound", format!("{why}; errors are answered as without it"));
            return None;
        }
    };
    let [service, ..] = draft.names();
    Some(Arc::new(ErrorPages {
        target: BackendTarget::Backend(id),
        statuses: said.statuses.clone(),
        takes_empty: true,
        namespace: own.into(),
        ingress: name(draft.speaker).into(),
        service: service.into(),
        port: draft.port().into(),
    }))
}
