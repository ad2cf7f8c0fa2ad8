//! Takes the steps of switched Services against the API server, as the leader.

use std::{collections::BTreeMap, time::Duration};

use futures_util::{StreamExt, stream};
use k8s_openapi::api::{core::v1 as core, discovery::v1 as discovery};
use kube::{
    Api, Client,
    api::{DeleteParams, Patch, PatchParams, Preconditions},
};
use serde_json::{Value, json};
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, sleep_until},
};

use super::{Action, VIA_LABEL, VIA_ROUTER, is_of_router};
use crate::{
    id::ObjectRef,
    kube::{backoff::Backoff, events::ProblemInput, objects::Kind, store::ServiceName},
    model::Problem,
};

/// Services whose steps are taken at once.
const CONCURRENCY: usize = 8;

/// Steps of Services, each in place of those that were said before of the same Service.
pub type Steps = Vec<(ServiceName, Vec<Action>)>;

/// Takes the steps that come in while `leader` is true, until the sender of `inputs` is gone. `manager` is the name under
/// which the API server keeps what fields are ours. Of a step that fails the owner of the Service is told by `problems`.
pub async fn run(
    client: Client,
    manager: &'static str,
    mut leader: watch::Receiver<bool>,
    (mut inputs, problems): (mpsc::UnboundedReceiver<Steps>, mpsc::UnboundedSender<Vec<ProblemInput>>),
) {
    let mut executor = Executor {
        writer: Writer { client, manager },
        due: BTreeMap::new(),
        failed: BTreeMap::new(),
        told: BTreeMap::new(),
        problems,
        backoff: Backoff::new(Duration::from_millis(200), Duration::from_secs(30)),
        retry_at: None,
    };
    loop {
        let retry_at = executor.retry_at;
        tokio::select! {
            steps = inputs.recv() => match steps {
                Some(steps) => executor.take(steps),
                None => return,
            },
            Ok(()) = leader.changed() => executor.try_again(),
            () = sleep_until(retry_at.unwrap_or_else(Instant::now)), if retry_at.is_some() => executor.try_again(),
        }
        while let Ok(steps) = inputs.try_recv() {
            executor.take(steps);
        }
        if *leader.borrow_and_update() {
            executor.execute(&leader).await;
        }
    }
}

struct Executor {
    writer: Writer,
    /// Steps to take as soon as this instance leads.
    due: BTreeMap<ServiceName, Vec<Action>>,
    /// Steps that could not be taken and wait for another try.
    failed: BTreeMap<ServiceName, Vec<Action>>,
    /// What was told of Services whose steps fail.
    told: BTreeMap<ServiceName, Problem>,
    problems: mpsc::UnboundedSender<Vec<ProblemInput>>,
    backoff: Backoff,
    retry_at: Option<Instant>,
}

struct Writer {
    client: Client,
    manager: &'static str,
}

impl Executor {
    fn take(&mut self, steps: Steps) {
        for (service, actions) in steps {
            self.failed.remove(&service);
            match actions.is_empty() {
                true => {
                    self.withdraw(&service);
                    self.due.remove(&service);
                }
                false => drop(self.due.insert(service, actions)),
            }
        }
    }

    fn try_again(&mut self) {
        self.retry_at = None;
        self.due.append(&mut self.failed);
    }

    async fn execute(&mut self, leader: &watch::Receiver<bool>) {
        let writer = &self.writer;
        let results = stream::iter(std::mem::take(&mut self.due)).map(|(service, actions)| async move {
            for (index, action) in actions.iter().enumerate() {
                // Leadership may be lost while others are written.
                if !*leader.borrow() {
                    return (service, actions[index..].to_vec(), None);
                }
                if let Err(error) = writer.act(&service, action).await {
                    return (service, actions[index..].to_vec(), Some(error));
                }
            }
            (service, Vec::new(), None)
        });
        let mut outcomes = Vec::new();
        let mut results = Box::pin(results.buffer_unordered(CONCURRENCY));
        while let Some((service, left, error)) = results.next().await {
            if let Some(error) = &error {
                let service = format!("{}/{}", service.namespace, service.name);
                match self.failed.is_empty() {
                    true => tracing::warn!(service, %error, "cannot be switched; trying again"),
                    false => tracing::debug!(service, %error, "cannot be switched; trying again"),
                }
            }
            outcomes.push((service.clone(), error.filter(|error| !is_outdated(left.first(), error))));
            if !left.is_empty() {
                self.failed.insert(service, left);
            }
        }
        drop(results);
        for (service, error) in outcomes {
            match error {
                Some(error) => self.tell(service, &error).await,
                None if self.failed.contains_key(&service) => {}
                None => self.withdraw(&service),
            }
        }
        match self.failed.is_empty() {
            true => self.backoff.reset(),
            false => {
                self.retry_at = Some(self.retry_at.unwrap_or_else(|| Instant::now() + self.backoff.next()))
            }
        }
    }
}

impl Executor {
    /// Tells the owner of a Service that a step fails, once until it is taken.
    async fn tell(&mut self, service: ServiceName, error: &kube::Error) {
        if self.told.contains_key(&service) {
            return;
        }
        let message = format!(
            "the next step of its way to the router or back cannot be taken: {error}; it is tried again; see that the \
             router may write Services and EndpointSlices here, and that nobody else has objects of these names"
        );
        let object = ObjectRef::new(Kind::Service.name(), &service.namespace, &service.name);
        let problem =
            Problem::error(&object, format!("metadata.labels[{VIA_LABEL}]"), "SwitchFailed", message);
        let services: Api<core::Service> = Api::namespaced(self.writer.client.clone(), &service.namespace);
        let found = services.get_opt(&service.name).await.ok().flatten();
        let uid = found.and_then(|found| found.metadata.uid);
        // The writers only end with the process.
        let _ = self.problems.send(vec![ProblemInput::Added { problem: problem.clone(), uid }]);
        self.told.insert(service, problem);
    }

    /// Takes back what was told of a Service.
    fn withdraw(&mut self, service: &ServiceName) {
        if let Some(problem) = self.told.remove(service) {
            let _ = self.problems.send(vec![ProblemInput::Removed(problem)]);
        }
    }
}

/// Whether a step failed as the Service has changed meanwhile: it is looked at anew, so nobody needs to know.
fn is_outdated(action: Option<&Action>, error: &kube::Error) -> bool {
    let is_conflict = matches!(error, kube::Error::Api(status) if status.code == 409);
    is_conflict && matches!(action, Some(Action::SetSelector { .. }))
}

impl Writer {
    async fn act(&self, service: &ServiceName, action: &Action) -> Result<(), kube::Error> {
        let services: Api<core::Service> = Api::namespaced(self.client.clone(), &service.namespace);
        let slices: Api<discovery::EndpointSlice> = Api::namespaced(self.client.clone(), &service.namespace);
        let apply = PatchParams::apply(self.manager);
        let step = match action {
            Action::ApplyTwin { twin, ours } => {
                let name = twin.metadata.name.as_deref().unwrap_or_default();
                let parameters = if *ours { apply.force() } else { apply };
                services.patch(name, &parameters, &Patch::Apply(twin)).await?;
                format!("twin {name} written")
            }
            Action::DeleteTwin { name, uid } => {
                gone(services.delete(name, &only(uid.as_ref())).await)?;
                format!("twin {name} removed")
            }
            Action::ApplySlice(slice) => {
                let name = slice.metadata.name.as_deref().unwrap_or_default();
                // One that leads elsewhere names another Service, so it is not observed.
                let parameters = match slices.get_opt(name).await? {
                    None => apply,
                    Some(found) if is_of_router(&found) => apply.force(),
                    Some(_) => {
                        let why = format!("there is an EndpointSlice {name:?} that the router did not make");
                        return Err(kube::Error::Service(why.into()));
                    }
                };
                slices.patch(name, &parameters, &Patch::Apply(slice)).await?;
                format!("slice {name} with the router written")
            }
            Action::DeleteSlice { name, uid } => {
                gone(slices.delete(name, &only(uid.as_ref())).await)?;
                format!("slice {name} with the router removed")
            }
            Action::SetSelector { switched, version } => {
                let patch = selector(*switched, version.as_deref());
                let parameters =
                    PatchParams { field_manager: Some(self.manager.into()), ..PatchParams::default() };
                services.patch(&service.name, &parameters, &Patch::Merge(patch)).await?;
                if *switched {
                    "traffic goes through the router".into()
                } else {
                    "traffic goes to its pods".into()
                }
            }
        };
        tracing::info!(service = format!("{}/{}", service.namespace, service.name), "{step}");
        Ok(())
    }
}

/// One key of the selector and nothing else, if the Service is as it was observed.
fn selector(switched: bool, version: Option<&str>) -> Value {
    let value = switched.then_some(VIA_ROUTER);
    let mut patch = json!({"spec": {"selector": {VIA_LABEL: value}}});
    if let Some(version) = version {
        patch["metadata"] = json!({"resourceVersion": version});
    }
    patch
}

/// Deletes only the object that was seen.
fn only(uid: Option<&String>) -> DeleteParams {
    let preconditions = uid.map(|uid| Preconditions { uid: Some(uid.clone()), resource_version: None });
    DeleteParams { preconditions, ..DeleteParams::default() }
}

/// What is gone already need not be removed.
fn gone<T>(deleted: Result<T, kube::Error>) -> Result<(), kube::Error> {
    match deleted {
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        deleted => deleted.map(drop),
    }
}
