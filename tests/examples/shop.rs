//! `examples/shop`: the pages of the monolith, and what the router makes of the calls behind them.

use std::path::Path;

use selvedge_examples::shop::{mesh::MANIFESTS, smoke};
use selvedge_tests::edge::folder;

#[tokio::test]
async fn split_retries_mirror_ejection_and_graph_are_to_be_seen_in_the_shop() {
    let mut output = Vec::new();
    let done = smoke::run(Path::new(MANIFESTS), &mut output).await;
    let output = String::from_utf8(output).expect("it writes text");
    done.unwrap_or_else(|error| panic!("{error:#}\nafter\n{output}"));
    assert_eq!(output.lines().filter(|line| line.starts_with("ok  ")).count(), 6, "{output}");
}

#[tokio::test]
async fn a_shop_without_its_rules_is_found() {
    let folder = folder();
    for name in ["ingress.yaml", "services.yaml"] {
        std::fs::copy(Path::new(MANIFESTS).join(name), folder.path().join(name)).expect("it can be copied");
    }
    let error =
        smoke::run(folder.path(), &mut Vec::new()).await.expect_err("nothing is retried without rules");
    assert!(error.to_string().contains("a page is 502"), "{error:#}");
}
