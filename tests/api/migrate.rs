//! `migrate` against API servers: it reads what is there and writes nothing.

use clap::Parser;
use k8s_openapi::api::{core::v1 as core, networking::v1 as networking};
use kube::{Api, api::PostParams};
use selvedge_ingress::{
    args::{Arguments, Command, MigrateArgs},
    migrate::{self, Outcome, report::Move},
};
use serde_json::json;

use crate::servers::{create, ingress, on_each_with_kubeconfig};

fn arguments(flags: &[&str]) -> Box<MigrateArgs> {
    let all = ["selvedge-ingress", "migrate"].iter().chain(flags);
    match Arguments::try_parse_from(all).unwrap().command {
        Command::Migrate(args) => args,
        _ => unreachable!("the command is migrate"),
    }
}

#[tokio::test]
async fn ingresses_and_settings_of_a_cluster_are_reported() {
    on_each_with_kubeconfig(async |client, namespace, kubeconfig| {
        let class = format!("nginx-{namespace}");
        let made = json!({"metadata": {"name": class}, "spec": {"controller": "k8s.io/ingress-nginx"}});
        let made: networking::IngressClass = serde_json::from_value(made).unwrap();
        Api::all(client.clone()).create(&PostParams::default(), &made).await.unwrap();
        let map = json!({"metadata": {"name": "ingress-nginx-controller"}, "data": {"enable-ocsp": "true"}});
        let map: core::ConfigMap = serde_json::from_value(map).unwrap();
        Api::namespaced(client.clone(), &namespace).create(&PostParams::default(), &map).await.unwrap();
        for (name, annotation) in [("sound", "proxy-buffering"), ("code", "server-snippet")] {
            let mut wanted = ingress(name, &format!("{name}.test"));
            wanted.spec.as_mut().unwrap().ingress_class_name = Some(class.clone());
            let key = format!("nginx.ingress.kubernetes.io/{annotation}");
            wanted.metadata.annotations = Some([(key, "on".to_owned())].into());
            create(&client, &namespace, &wanted).await;
        }
        let args = arguments(&["--kubeconfig", &kubeconfig, "--namespace", &namespace]);
        let report = migrate::report(&args).await.unwrap();
        let moves: Vec<_> = report.ingresses.iter().map(|one| (one.name.as_str(), one.moves)).collect();
        assert_eq!(moves, [("code", Move::ChangeBefore), ("sound", Move::Unchanged)], "{report:#?}");
        assert_eq!((report.summary.hosts, report.summary.settings_change_before), (2, 1));
        let map = format!("--nginx-configmap={namespace}/ingress-nginx-controller");
        assert!(report.flags.contains(&map), "{:?}", report.flags);
        assert!(!report.is_unread(), "{:?}", report.notices);
        let mut page = Vec::new();
        assert_eq!(migrate::run(&args, &mut page).await.unwrap(), Outcome::ChangeBefore);
    })
    .await;
}
