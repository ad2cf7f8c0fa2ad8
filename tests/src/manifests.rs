//! Manifests of many small shops: an Ingress, its Service and its EndpointSlice, each with a host of its own.

use std::{fs, io, net::SocketAddr, path::Path};

/// The class that the Ingresses below name.
pub const CLASS: &str = "apiVersion: networking.k8s.io/v1\nkind: IngressClass\nmetadata: {name: edge}\n\
    spec: {controller: selvedge.dev/ingress}\n---\n";

/// The host of a shop.
pub fn host(number: usize) -> String {
    format!("shop-{number}.test")
}

/// An Ingress with one host and one path that leads to port 80 of a Service, as a document.
pub fn ingress(name: &str, host: &str, path: &str, service: &str) -> String {
    format!(
        "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {{name: {name}, namespace: default}}\n\
         spec:\n  ingressClassName: edge\n  rules:\n  - host: {host}\n    http:\n      paths:\n      \
         - path: {path}\n        pathType: Prefix\n        backend:\n          service:\n            \
         name: {service}\n            port:\n              number: 80\n---\n"
    )
}

/// A Service with one port, as a document.
pub fn service(name: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{name: {name}, namespace: default}}\n\
         spec: {{ports: [{{port: 80}}]}}\n---\n"
    )
}

/// A slice for each endpoint of a Service, as documents. An endpoint that drains is terminating, yet serving.
pub fn slices(service: &str, ready: &[SocketAddr], draining: &[SocketAddr]) -> String {
    let all =
        ready.iter().map(|address| (address, true)).chain(draining.iter().map(|address| (address, false)));
    let slice = |(address, ready): (&SocketAddr, bool)| {
        format!(
            "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata:\n  name: {service}-{}\n  \
             namespace: default\n  labels: {{kubernetes.io/service-name: {service}}}\naddressType: IPv4\n\
             ports: [{{name: \"\", port: {}, protocol: TCP}}]\nendpoints:\n- addresses: [{}]\n  \
             conditions: {{ready: {ready}, serving: true, terminating: {}}}\n---\n",
            address.port(),
            address.port(),
            address.ip(),
            !ready
        )
    };
    all.map(slice).collect()
}

/// A shop with everything that it needs; requests end at `endpoint`.
pub fn shop(number: usize, path: &str, endpoint: SocketAddr) -> String {
    let name = format!("shop-{number}");
    ingress(&name, &host(number), path, &name) + &service(&name) + &slices(&name, &[endpoint], &[])
}

/// Writes shops `0..count` into this many files `shops-N.yaml`, and the class into one more.
///
/// # Errors
/// When the folder cannot be written to.
pub fn write_shops(folder: &Path, count: usize, files: usize, endpoint: SocketAddr) -> io::Result<()> {
    write(folder, "class.yaml", CLASS)?;
    let each = count.div_ceil(files.max(1));
    for file in 0..files {
        let shops = file * each..((file + 1) * each).min(count);
        let text: String = shops.map(|number| shop(number, "/", endpoint)).collect();
        fs::write(folder.join(format!("shops-{file}.yaml")), text)?;
    }
    Ok(())
}

/// Replaces a file at once, as careful writers do.
///
/// # Errors
/// When the folder cannot be written to.
pub fn write(folder: &Path, name: &str, text: &str) -> io::Result<()> {
    let temporary = folder.join(format!(".{name}.new"));
    fs::write(&temporary, text)?;
    fs::rename(temporary, folder.join(name))
}
