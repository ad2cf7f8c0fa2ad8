//! Drain: how an engine stops without breaking requests.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use tokio::sync::watch;

/// What an engine does about new work. Later phases never go back to earlier ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Serving.
    Serving,
    /// Serving, but not ready any more, so that balancers stop sending.
    Lameduck,
    /// No new connections; each connection closes after the request it serves.
    Draining,
    /// Whatever is left is cut off.
    Stopped,
}

/// The phase of an engine, seen by all of its parts.
#[derive(Clone, Debug)]
pub struct Drain {
    phase: Arc<watch::Sender<Phase>>,
    draining: Arc<AtomicBool>,
}

impl Default for Drain {
    fn default() -> Self {
        Self { phase: Arc::new(watch::Sender::new(Phase::Serving)), draining: Arc::default() }
    }
}

impl Drain {
    /// Goes on to a phase; an earlier one than the present is ignored.
    pub fn enter(&self, phase: Phase) {
        if phase >= Phase::Draining {
            self.draining.store(true, Ordering::Release);
        }
        self.phase.send_if_modified(|now| {
            let later = phase > *now;
            if later {
                *now = phase;
            }
            later
        });
    }

    /// The present phase.
    pub fn phase(&self) -> Phase {
        *self.phase.borrow()
    }

    /// Whether connections shall close after the request they serve; costs one atomic load.
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }

    /// Waits for a phase or a later one.
    pub async fn reached(&self, phase: Phase) {
        let mut receiver = self.phase.subscribe();
        // The sender lives in `self`, so it cannot be gone.
        let _ = receiver.wait_for(|now| *now >= phase).await;
    }
}
