//! Via: whether requests go to a Service's endpoints or through the router, and how the router is told whom they are for.

use k8s_openapi::api::core::v1 as core;
use selvedge_common::{
    filter::{Field, FieldChanges, Filter, RequestHeaders, check_value},
    id::{BackendId, ObjectRef},
    kube::{
        objects::Kind,
        rules::{self, BackendName, Way},
        service::{self, PortRef, ServiceFault},
        switch::VIA_LABEL,
    },
    model::{BackendProtocol, InvalidBackend, Problem},
    quote::quote,
};

use super::{Context, RouteDraft, backend::BackendFault, ingress_ref};

/// The field by which the router is told which Service is meant; it takes it off.
const SERVICE_FIELD: &str = "X-Selvedge-Service";

/// Which way requests go to a Service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Via {
    /// To its endpoints.
    Direct,
    /// To the router, which applies the rules of the Service.
    Router,
}

impl Via {
    /// Reads it as labels and annotations write it.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "direct" => Some(Self::Direct),
            "router" => Some(Self::Router),
            _ => None,
        }
    }
}

/// Which way the requests of a route go: as its Ingress says, else as the Service does.
pub(super) fn choose(cx: &mut Context<'_, '_>, draft: &RouteDraft<'_>, name: BackendName<'_>) -> Via {
    if let Some(via) = draft.via {
        return via;
    }
    let Some(service) = cx.reader.service(name.namespace, name.service) else { return Via::Direct };
    let Some((part, text)) = said_by(service) else { return Via::Direct };
    Via::parse(text).unwrap_or_else(|| {
        let object = ObjectRef::new(Kind::Service.name(), name.namespace, name.service);
        let message = format!("{} is neither `router` nor `direct`; it has no effect", quote(text));
        let field = format!("metadata.{part}[{VIA_LABEL}]");
        cx.parts.problems.push(Problem::error(&object, field, "InvalidVia", message));
        Via::Direct
    })
}

/// What a Service says, and whether in a label or an annotation. A label goes first, as it has a say inside the
/// Kubernetes cluster, too.
fn said_by(service: &core::Service) -> Option<(&'static str, &str)> {
    let metadata = &service.metadata;
    let parts = [("labels", &metadata.labels), ("annotations", &metadata.annotations)];
    parts.into_iter().find_map(|(part, said)| Some((part, said.as_ref()?.get(VIA_LABEL)?.as_str())))
}

/// The backend that is the router, and what its own policies say of it; `protocol` is what the Service speaks. `None` if
/// the router is not there and only the Service asks for it: then its endpoints are better than nothing.
///
/// # Errors
/// The router is not where the settings say, and the Ingress itself asks for it.
pub(super) fn router(
    cx: &mut Context<'_, '_>,
    draft: &RouteDraft<'_>,
    protocol: BackendProtocol,
) -> Result<Option<(BackendId, rules::Policy)>, BackendFault> {
    let router = &cx.settings.router;
    let (namespace, name) = (&*router.namespace, &*router.service);
    let found = match service::find(cx.reader, namespace, name, PortRef::Number(router.port.into())) {
        Ok(found) => found,
        Err(fault) if draft.via.is_some() => return Err(not_found(fault)),
        Err(fault) => {
            let message = format!(
                "the Service asks for the router by {VIA_LABEL}, and {}; run the router, or name its Service by \
                 --router; until then requests go to the endpoints of the Service",
                fault.message
            );
            let field = format!("{}.service.name", draft.field);
            let problem = Problem::warning(&ingress_ref(draft.ingress), field, "RouterNotFound", message);
            cx.parts.problems.push(problem);
            return Ok(None);
        }
    };
    let name = BackendName { namespace, service: name, port: Some(router.port) };
    // A call of gRPC cannot go on as HTTP/1.1; all else the router takes as its port says.
    let protocol = Some(protocol).filter(|protocol| *protocol == BackendProtocol::Http2);
    Ok(Some(rules::make(&mut cx.rules(), (name, found), Way { protocol, ..Way::default() })))
}

fn not_found(fault: ServiceFault) -> BackendFault {
    BackendFault {
        field: format!("metadata.annotations[{VIA_LABEL}]"),
        reason: "RouterNotFound",
        invalid: fault.invalid,
        message: format!(
            "requests go through the router, and {}; run the router, name its Service by --router, or say \
             {VIA_LABEL}: direct",
            fault.message
        ),
    }
}

/// The filter that tells the router which Service is meant, whatever the client or another filter says.
///
/// # Errors
/// Its name is none that a header field can hold; manifests may have such a one.
pub(super) fn tell(draft: &RouteDraft<'_>, name: BackendName<'_>) -> Result<Filter, BackendFault> {
    let value = format!("{}.{}:{}", name.service, name.namespace, name.port.unwrap_or_default());
    check_value(&value).map_err(|why| BackendFault {
        field: format!("{}.service.name", draft.field),
        reason: service::reason(InvalidBackend::Malformed),
        invalid: InvalidBackend::Malformed,
        message: format!("the router cannot be told the name {value:?}: {why}"),
    })?;
    let set = vec![Field { name: SERVICE_FIELD.into(), value: value.into() }];
    Ok(Filter::RequestHeaders(RequestHeaders { changes: FieldChanges { set, ..FieldChanges::default() } }))
}
