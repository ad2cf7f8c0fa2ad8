//! The edge: Kubernetes Ingress objects configure an L7 proxy.
