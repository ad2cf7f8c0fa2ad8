//! `examples/ingress`: every request at the top of a file is answered as the file says.

use std::path::Path;

use rustls_pki_types::CertificateDer;
use selvedge_tests::{
    client::{Answer, Client},
    edge::{self, Edge},
};

use clap::Parser;
use selvedge_ingress::{
    app,
    args::{Arguments, Command},
};

use crate::{
    files, origins,
    tries::{self, Try},
};

#[test]
fn every_example_answers_as_it_says() {
    let mut wrong = Vec::new();
    for (path, text) in files("examples/ingress") {
        let name = path.file_name().and_then(|name| name.to_str()).expect("names are text").to_owned();
        let tries = tries::read(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(!tries.is_empty(), "{name}: no line `# try: METHOD URL -> EXPECTED` at its top");
        let mut objects = edge::objects(&text);
        let certificates = origins::supply(&mut objects);
        let manifests = edge::folder();
        edge::write(manifests.path(), "objects.json", &objects);
        let said = checked(manifests.path());
        let wanted: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("# check: ")).collect();
        let fits = said.lines().count() == wanted.len() && wanted.iter().all(|wanted| said.contains(wanted));
        wrong.extend((!fits).then(|| format!("{name}: `check` says\n{said}instead of {wanted:?}")));
        let edge = Edge::with_manifests(manifests.path());
        wrong.extend(tries.iter().filter_map(|one| {
            one.check(|| ask(&edge, &certificates, one))
                .err()
                .map(|seen| format!("{name}: {}: but {seen}", one.line))
        }));
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// What `selvedge-ingress check` prints of a folder.
fn checked(folder: &Path) -> String {
    let words = ["selvedge-ingress", "check", folder.to_str().expect("paths of tests are text")];
    let Command::Check(args) = Arguments::parse_from(words).command else { panic!("not the command check") };
    let mut output = Vec::new();
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime starts");
    runtime.block_on(app::check(&args, &mut output)).expect("the folder is readable");
    String::from_utf8(output).expect("it prints text")
}

fn ask(edge: &Edge, certificates: &[CertificateDer<'static>], one: &Try<'_>) -> Answer {
    let request = one.request();
    if !one.tls {
        let mut client = Client::connect(edge.http);
        client.send(request);
        return client.answer();
    }
    let clients = certificates.iter().map(|certificate| edge::tls_client(edge.https, one.host, certificate));
    let mut client = clients.flatten().next().expect("one of the Secrets is for this host");
    client.send(request);
    client.answer()
}
