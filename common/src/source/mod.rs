//! Sources and sinks: how configuration reaches an engine, whoever translated it.

pub mod file;
pub mod tokens;

use std::{net::IpAddr, sync::Arc};

use crate::{
    id::{BackendId, CertificateId, ListenerName},
    model::{Endpoints, Snapshot, Source},
};

/// One change of what an engine shall do.
#[derive(Clone, Debug, PartialEq)]
pub enum Update {
    /// A new snapshot. The endpoints of backends that are new in it come along and take effect before it does.
    Snapshot {
        /// The whole wanted state.
        snapshot: Arc<Snapshot>,
        /// Endpoints that changed or belong to new backends.
        endpoints: Vec<(BackendId, Endpoints)>,
    },
    /// Endpoints that changed; nothing else did.
    Endpoints(Vec<(BackendId, Endpoints)>),
    /// Who is behind an address, where that changed; `None` is nobody known any more.
    Callers(Vec<(IpAddr, Option<Arc<Source>>)>),
}

/// What an update did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// Generation of the snapshot now in effect; grows by one with each one that differs.
    pub generation: u64,
    /// Whether anything differed.
    pub changed: bool,
    /// What the engine could not use, for example a certificate whose key does not fit or a listener
    /// whose address is in use. The last good state of just these things stays.
    pub rejected: Vec<Rejected>,
}

/// A part of a snapshot that the engine could not use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejected {
    /// Which part.
    pub part: RejectedPart,
    /// Why, in a sentence for people.
    pub message: String,
}

/// Which part of a snapshot an engine could not use.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RejectedPart {
    /// A certificate that is unusable; the last good one of that id stays.
    Certificate(CertificateId),
    /// A listener that cannot be bound; tried again with each snapshot that is applied.
    Listener(ListenerName),
}

/// Whatever takes updates: the engine, or a connection to one.
pub trait Sink: Send + Sync {
    /// Applies an update; on return new requests see it.
    fn apply(&self, update: Update) -> Applied;
}
