//! Ten thousand Ingresses in files.

use selvedge_tests::{
    manifests::{host, shop, write, write_shops},
    pod::{Manners, Pod},
    process::EdgeProcess,
};

use crate::{SHOPS, hosts_translated, is_count, program};

fn serves_them_and_follows_one(files: usize) {
    let pod = Pod::start("pod", Manners::Good);
    let folder = tempfile::tempdir().unwrap();
    write_shops(folder.path(), SHOPS, files, pod.address).unwrap();
    let edge = EdgeProcess::start(program(), &["--manifests", folder.path().to_str().unwrap()]);
    edge.until_ready();
    let last = host(SHOPS - 1);
    edge.until_body(&last, "/", "pod");
    assert!(is_count(hosts_translated(&edge), SHOPS), "each host once: {}", hosts_translated(&edge));
    // Its file holds all shops of that file, of which this one alone differs.
    let each = SHOPS / files;
    let text: String = (SHOPS - each..SHOPS - 1).map(|number| shop(number, "/", pod.address)).collect();
    let changed = text + &shop(SHOPS - 1, "/new", pod.address);
    write(folder.path(), &format!("shops-{}.yaml", files - 1), &changed).unwrap();
    edge.until_status(&last, "/", 404);
    edge.until_body(&last, "/new", "pod");
    assert!(is_count(hosts_translated(&edge), SHOPS + 1), "that host alone: {}", hosts_translated(&edge));
    assert_eq!(edge.status(&host(0), "/"), 200);
}

#[test]
fn ten_thousand_ingresses_in_a_hundred_files_are_served_and_followed() {
    serves_them_and_follows_one(100);
}

#[test]
fn ten_thousand_ingresses_in_as_many_files_are_served_and_followed() {
    serves_them_and_follows_one(SHOPS);
}
