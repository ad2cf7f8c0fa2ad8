//! The scenarios of the official conformance features for Ingress controllers, on real sockets from objects.
//!
//! Each test names its scenario by its number in the feature; requests and expectations are those of the suite
//! kubernetes-sigs/ingress-controller-conformance.

mod backends;
mod default_backend;
mod host_rules;
mod ingress_class;
mod load_balancing;
mod path_rules;
