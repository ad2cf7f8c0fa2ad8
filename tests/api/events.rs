//! Events that tell owners what is wrong.

use k8s_openapi::api::events::v1::Event;
use kube::{Api, Client, api::ListParams};
use selvedge_common::{
    id::ObjectRef,
    kube::events::{self, ProblemInput, Reporter},
    model::{Problem, Severity},
};
use tokio::sync::{mpsc, watch};

use crate::servers::{create, ingress, on_each};
use selvedge_tests::waiting::eventually;

fn problem(namespace: &str, name: &str, message: &str) -> Problem {
    Problem {
        object: ObjectRef::new("Ingress", namespace, name),
        field: "spec.rules[0].http.paths[0].backend.service.name".into(),
        severity: Severity::Error,
        reason: "ServiceNotFound".into(),
        message: message.into(),
    }
}

fn start(client: &Client, leads: bool) -> (watch::Sender<bool>, mpsc::UnboundedSender<Vec<ProblemInput>>) {
    let (leader, leads) = watch::channel(leads);
    let (inputs, inbox) = mpsc::unbounded_channel();
    let reporter = Reporter { controller: "selvedge.dev/ingress", instance: "edge-0".into() };
    tokio::spawn(events::run(client.clone(), reporter, leads, inbox));
    (leader, inputs)
}

fn added(problem: &Problem, uid: Option<String>) -> ProblemInput {
    ProblemInput::Added { problem: problem.clone(), uid }
}

async fn notes(client: &Client, namespace: &str) -> Vec<String> {
    let api: Api<Event> = Api::namespaced(client.clone(), namespace);
    let events = api.list(&ListParams::default()).await.unwrap().items;
    let mut notes: Vec<_> = events.into_iter().filter_map(|event| event.note).collect();
    notes.sort();
    notes
}

async fn until(client: &Client, namespace: &str, count: usize) -> Vec<String> {
    eventually(async || Some(notes(client, namespace).await).filter(|notes| notes.len() >= count)).await
}

#[tokio::test]
async fn each_problem_is_told_once_and_names_its_field() {
    on_each(async |client, namespace| {
        let owner = create(&client, &namespace, &ingress("a", "a.test")).await;
        let (one, two) = (problem(&namespace, "a", "no shop"), problem(&namespace, "a", "no cart"));
        let (_leader, inputs) = start(&client, true);
        inputs.send(vec![added(&one, owner.metadata.uid.clone())]).unwrap();
        until(&client, &namespace, 1).await;
        // It comes and goes, and another instance sees it as well.
        inputs.send(vec![ProblemInput::Removed(one.clone()), added(&one, None)]).unwrap();
        let (_another_leader, another) = start(&client, true);
        another.send(vec![added(&one, None), added(&two, None)]).unwrap();
        let notes = until(&client, &namespace, 2).await;
        let field = &one.field;
        assert_eq!(notes, [format!("{field}: no cart"), format!("{field}: no shop")]);
        let api: Api<Event> = Api::namespaced(client.clone(), &namespace);
        let events = api.list(&ListParams::default()).await.unwrap().items;
        let event = events.iter().find(|event| event.note.as_deref().unwrap().ends_with("shop")).unwrap();
        let regarding = event.regarding.clone().unwrap();
        assert_eq!(regarding.uid, owner.metadata.uid);
        assert_eq!(regarding.api_version.as_deref(), Some("networking.k8s.io/v1"));
        assert_eq!(
            (event.type_.as_deref(), event.reason.as_deref()),
            (Some("Warning"), Some("ServiceNotFound"))
        );
    })
    .await;
}

#[tokio::test]
async fn only_the_leader_tells_and_not_what_has_been_mended_meanwhile() {
    on_each(async |client, namespace| {
        let (mended, lasting) = (problem(&namespace, "a", "mended"), problem(&namespace, "a", "lasting"));
        let (leader, inputs) = start(&client, false);
        inputs.send(vec![added(&mended, None), added(&lasting, None)]).unwrap();
        inputs.send(vec![ProblemInput::Removed(mended)]).unwrap();
        assert_eq!(notes(&client, &namespace).await, [""; 0]);
        leader.send(true).unwrap();
        let notes = until(&client, &namespace, 1).await;
        assert!(notes.len() == 1 && notes[0].ends_with("lasting"), "{notes:?}");
    })
    .await;
}
