//! What the admin address shows of the running program.

use std::sync::Arc;

use tokio::sync::watch;

use crate::runtime::{admin::AdminState, drain::Phase, engine::Engine};

/// The running program as the admin address sees it.
pub struct Admin {
    engine: Arc<Engine>,
    synced: watch::Receiver<bool>,
}

impl Admin {
    /// Ready once `synced` is true and as long as the engine serves.
    pub fn new(engine: Arc<Engine>, synced: watch::Receiver<bool>) -> Self {
        Self { engine, synced }
    }
}

impl AdminState for Admin {
    fn ready(&self) -> Result<(), String> {
        match self.engine.phase() {
            Phase::Serving if *self.synced.borrow() => Ok(()),
            Phase::Serving => Err("waiting for the first full list of every kind of object".into()),
            _ => Err("stopping".into()),
        }
    }

    fn metrics(&self) -> String {
        self.engine.metrics().encode()
    }

    fn snapshot(&self) -> serde_json::Value {
        let (generation, snapshot) = self.engine.snapshot();
        let endpoints = self.engine.endpoints();
        serde_json::json!({"generation": generation, "snapshot": &*snapshot, "endpoints": endpoints})
    }

    fn graph(&self) -> Option<serde_json::Value> {
        let graph = self.engine.graph()?;
        Some(serde_json::to_value(graph).expect("a graph has the form of JSON"))
    }
}
