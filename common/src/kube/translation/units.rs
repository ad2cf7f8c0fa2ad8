//! Translates one unit and puts the result where it belongs, if it differs.

use std::{collections::BTreeMap, sync::Arc};

use super::{Batch, HostTranslation, ObjectTranslation, Parts, Reconciler, Translate};
use crate::{
    id::{BackendId, ListenerName, RouteSetId},
    kube::{
        endpoints::endpoints,
        objects::ObjectKey,
        reader::{Reader, Unit},
    },
    model::{BackendTarget, Endpoints, HostMatch, Listener, Route, RouteSet, Snapshot, VirtualHost},
};

impl<T: Translate> Reconciler<T> {
    /// Translates a unit anew; one that nothing declares or needs any more comes out empty.
    pub(super) fn translate_unit(&mut self, unit: Unit, batch: &mut Batch) {
        let parts = match &unit {
            Unit::Object(key) => self.translate_object(&unit, key, batch),
            Unit::Base => self.translate_base(&unit, batch),
            Unit::Host(set, host) => self.translate_host(&unit, (set, host), batch),
            Unit::Attached(_) => Parts::default(),
            Unit::Endpoints(id) => self.translate_endpoints(&unit, id, batch),
        };
        self.hold(unit, parts, batch);
    }

    fn translate_object(&mut self, unit: &Unit, key: &ObjectKey, batch: &mut Batch) -> Parts {
        let reader = Reader::new(&self.objects, self.dependencies.known());
        let object = self.objects.get(key.kind, &key.namespace, &key.name);
        let translation = match object {
            Some(object) if self.dependencies.is_declared(unit) => {
                self.translate.translate_object(&reader, object)
            }
            _ => ObjectTranslation::default(),
        };
        self.dependencies.record(unit, reader.into_reads());
        self.set_ours(key, &translation, batch);
        Parts { problems: translation.problems, ..Parts::default() }
    }

    fn translate_base(&mut self, unit: &Unit, batch: &mut Batch) -> Parts {
        let reader = Reader::new(&self.objects, self.dependencies.known());
        let translation = self.translate.translate_base(&reader);
        self.dependencies.record(unit, reader.into_reads());
        self.set_listeners(translation.listeners, batch);
        self.set_fallback(translation.fallback, batch);
        if self.snapshot.tracing.as_deref() != translation.tracing.as_ref() {
            self.change(batch).tracing = translation.tracing.map(Arc::new);
        }
        translation.parts
    }

    fn translate_host(
        &mut self,
        unit: &Unit,
        (set, host): (&RouteSetId, &HostMatch),
        batch: &mut Batch,
    ) -> Parts {
        let reader = Reader::new(&self.objects, self.dependencies.known());
        let mut translation = HostTranslation::default();
        let is_led_to = self.inner_hosts.contains_key(&(set.clone(), host.clone()));
        if is_led_to || self.dependencies.is_declared(unit) {
            translation = self.translate.translate_host(&reader, set, host);
            batch.hosts_translated += 1;
        }
        self.dependencies.record(unit, reader.into_reads());
        batch.dirty.extend(self.dependencies.set_tls(host, translation.has_tls));
        translation.virtual_host.iter_mut().for_each(|made| self.share_ids(made));
        self.set_host((set, host), translation.virtual_host, batch);
        translation.parts
    }

    fn translate_endpoints(&mut self, unit: &Unit, id: &BackendId, batch: &mut Batch) -> Parts {
        let reader = Reader::new(&self.objects, self.dependencies.known());
        let used = self.backends.get(id).filter(|used| used.units > 0);
        let found = used.and_then(|used| used.source.as_ref()).map(|source| endpoints(&reader, source));
        self.dependencies.record(unit, reader.into_reads());
        let (endpoints, problems) = found.unzip();
        self.set_endpoints(id, endpoints, batch);
        Parts { problems: problems.unwrap_or_default(), ..Parts::default() }
    }

    fn set_ours(&mut self, key: &ObjectKey, translation: &ObjectTranslation, batch: &mut Batch) {
        let ours = translation.ours;
        let was = match ours {
            true => self.ours.insert(key.clone(), translation.targets.clone()).is_none(),
            false => self.ours.remove(key).is_some(),
        };
        let exists = self.objects.get(key.kind, &key.namespace, &key.name).is_some();
        // What was ours when another process had the say may still carry our entry, which has our name.
        if exists && (ours || was || key.kind.has_conditions()) {
            batch.statuses.insert(key.clone(), ours);
        } else {
            batch.statuses.remove(key);
        }
    }

    fn set_listeners(&mut self, listeners: BTreeMap<ListenerName, Listener>, batch: &mut Batch) {
        let current = &self.snapshot.listeners;
        let same = |(name, listener): (&ListenerName, &Listener)| {
            current.get(name).is_some_and(|current| **current == *listener)
        };
        if current.len() == listeners.len() && listeners.iter().all(same) {
            return;
        }
        let listeners = listeners.into_iter().map(|(name, listener)| (name, Arc::new(listener))).collect();
        self.change(batch).listeners = listeners;
    }

    fn set_fallback(&mut self, fallback: Option<Route>, batch: &mut Batch) {
        let set = self.translate.route_set();
        if self.routes(&set).fallback.as_deref() != fallback.as_ref() {
            self.change_routes(&set, batch).fallback = fallback.map(Arc::new);
        }
    }

    fn set_host(
        &mut self,
        (set, host): (&RouteSetId, &HostMatch),
        wanted: Option<VirtualHost>,
        batch: &mut Batch,
    ) {
        if self.routes(set).hosts.get(host).map(|current| &**current) == wanted.as_ref() {
            return;
        }
        let hosts = &mut self.change_routes(set, batch).hosts;
        match wanted {
            Some(wanted) => hosts.insert(host.clone(), Arc::new(wanted)),
            None => hosts.remove(host),
        };
    }

    /// Has the routes of a host name their backends by the texts that are kept already.
    fn share_ids(&self, host: &mut VirtualHost) {
        for route in &mut host.routes {
            for backend in &mut route.backends {
                if let BackendTarget::Backend(id) = &mut backend.target
                    && let Some(kept) = self.kept_id(id)
                {
                    *id = kept;
                }
            }
        }
    }

    fn set_endpoints(&mut self, id: &BackendId, wanted: Option<Endpoints>, batch: &mut Batch) {
        let Some(wanted) = wanted else {
            self.endpoints.remove(id);
            return;
        };
        if self.endpoints.get(id) != Some(&wanted) {
            self.endpoints.insert(id.clone(), wanted.clone());
            batch.endpoints.insert(id.clone(), wanted);
        }
    }

    fn routes(&self, set: &RouteSetId) -> &RouteSet {
        self.snapshot.route_sets.get(set).expect("every route set is made in new()")
    }

    /// The snapshot to write to; one that the engine still has is copied first.
    pub(super) fn change(&mut self, batch: &mut Batch) -> &mut Snapshot {
        batch.snapshot_changed = true;
        Arc::make_mut(&mut self.snapshot)
    }

    fn change_routes(&mut self, set: &RouteSetId, batch: &mut Batch) -> &mut RouteSet {
        Arc::make_mut(self.change(batch).route_sets.entry(set.clone()).or_default())
    }
}
