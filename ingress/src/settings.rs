//! Settings of the edge that translation depends on.

use std::{collections::BTreeMap, fmt, str::FromStr};

use selvedge_common::{
    id::ListenerName,
    model::{Backend, Listener, Retry, Timeouts, Tracing},
};

use crate::globals::ConfigMapName;

/// What translation must know beside the objects.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Settings {
    /// Names of the classes to serve (`--ingress-class`); empty serves every class whose controller is ours.
    pub class_names: Vec<String>,
    /// Serve the classes of ingress-nginx, in its ways (`--adopt-ingress-nginx`).
    pub adopt_ingress_nginx: bool,
    /// Controllers of these classes (`--nginx-controller-class`); empty is the usual one.
    pub nginx_controllers: Vec<String>,
    /// ConfigMap with what counts for all Ingresses of these classes (`--nginx-configmap`).
    pub nginx_configmap: Option<ConfigMapName>,
    /// ConfigMap with ports for Services over TCP (`--tcp-services-configmap`).
    pub tcp_services: Option<ConfigMapName>,
    /// ConfigMap with ports for Services over UDP, which are refused (`--udp-services-configmap`).
    pub udp_services: Option<ConfigMapName>,
    /// Serve Ingresses that name no class (`--watch-ingress-without-class`).
    pub watch_ingress_without_class: bool,
    /// Secret with the certificate for clients whose SNI matches no host (`--default-certificate`).
    pub default_certificate: Option<SecretName>,
    /// Namespaces whose Ingresses are served (`--namespace`); empty serves all.
    pub namespaces: Vec<String>,
    /// How long requests may take where annotations say nothing else.
    pub timeouts: Timeouts,
    /// How often requests are tried again.
    pub retry: Retry,
    /// How backends are spoken to where their Service says nothing else.
    pub backend: Backend,
    /// Where the router is, for routes that go through it (`--router`).
    pub router: RouterName,
    /// Which requests are traced (`--otlp-endpoint`), where the ConfigMap does not say it.
    pub tracing: Option<Tracing>,
    /// Where clients connect. Translation fills in the set of routes and the default certificate.
    pub listeners: BTreeMap<ListenerName, Listener>,
}

/// A Secret by namespace and name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretName {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// The Service of the router, with the port that its clients use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouterName {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub service: String,
    /// The number of its port.
    pub port: u16,
}

impl Default for RouterName {
    fn default() -> Self {
        Self { namespace: "selvedge-system".into(), service: "selvedge-router".into(), port: 80 }
    }
}

impl fmt::Display for RouterName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}:{}", self.namespace, self.service, self.port)
    }
}

impl FromStr for RouterName {
    type Err = String;

    /// Reads `namespace/service:port`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || format!("{text:?} is not of the form NAMESPACE/SERVICE:PORT");
        let (name, port) = text.rsplit_once(':').ok_or_else(wrong)?;
        let SecretName { namespace, name: service } = name.parse().map_err(|_| wrong())?;
        let port = port.parse().ok().filter(|port| *port != 0).ok_or_else(wrong)?;
        Ok(Self { namespace, service, port })
    }
}

impl Settings {
    /// Whether Ingresses of this namespace are served.
    pub fn serves_namespace(&self, namespace: &str) -> bool {
        self.namespaces.is_empty() || self.namespaces.iter().any(|served| served == namespace)
    }

    /// Whether classes of this name are served, if their controller is ours.
    pub fn serves_class(&self, name: &str) -> bool {
        self.class_names.is_empty() || self.class_names.iter().any(|served| served == name)
    }
}

impl FromStr for SecretName {
    type Err = String;

    /// Reads `namespace/name`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once('/') {
            Some((namespace, name)) if !namespace.is_empty() && !name.is_empty() && !name.contains('/') => {
                Ok(Self { namespace: namespace.into(), name: name.into() })
            }
            _ => Err(format!("{text:?} is not of the form NAMESPACE/NAME")),
        }
    }
}
