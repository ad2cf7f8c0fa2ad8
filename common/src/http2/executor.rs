//! Executor: runs hyper's tasks on the worker that owns the connection.

use hyper::rt::Executor;

/// Spawns on the present thread.
#[derive(Clone, Copy, Debug, Default)]
pub struct LocalExecutor;

impl<F> Executor<F> for LocalExecutor
where
    F: Future + 'static,
    F::Output: 'static,
{
    fn execute(&self, future: F) {
        tokio::task::spawn_local(future);
    }
}
