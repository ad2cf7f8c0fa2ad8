//! A whole program on loopback within the test's own process, through the program's own code, to sockets.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    thread::{self, JoinHandle},
    time::Duration,
};

use selvedge_common::{
    id::ListenerName,
    program::{Plan, Program, Role},
};
use tokio::sync::oneshot;

use crate::{client::Client, waiting::until};

/// No program takes this long to start.
const PATIENCE: Duration = Duration::from_secs(30);

/// Flags that let many of them run at once; those of the test come after them.
pub const USUAL: [&str; 6] = [
    "--http=127.0.0.1:0",
    "--admin=127.0.0.1:0",
    "--workers=1",
    "--access-log=off",
    "--lameduck=0",
    "--drain-deadline=0",
];

/// A running program; dropping it stops it.
pub struct InProcess {
    /// Address of each listener.
    pub addresses: BTreeMap<ListenerName, SocketAddr>,
    /// The admin address.
    pub admin: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl InProcess {
    /// Starts it as its command `run` does, and waits until it is ready.
    ///
    /// # Panics
    /// If it does not start.
    pub fn start<T: Role>(plan: impl Into<Plan<T>> + Send + 'static) -> Self {
        let (stop, stopped) = oneshot::channel();
        let (tell, told) = std::sync::mpsc::channel();
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime starts").block_on(async {
                let program = Program::start(plan).await.expect("it starts on free ports");
                let admin = program.admin_address().expect("a bound socket has an address");
                tell.send((program.addresses().clone(), admin)).expect("the test waits for it");
                program.run(async { drop(stopped.await) }).await;
            });
        });
        let (addresses, admin) = told.recv_timeout(PATIENCE).expect("it starts");
        let program = Self { addresses, admin, stop: Some(stop), thread: Some(thread) };
        until(|| (Client::connect(admin).get("admin", "/readyz").status == 200).then_some(()));
        program
    }
}

impl Drop for InProcess {
    fn drop(&mut self) {
        // Gone already if its thread has panicked.
        let _ = self.stop.take().map(|stop| stop.send(()));
        let ended = self.thread.take().map(JoinHandle::join);
        assert!(thread::panicking() || ended.is_none_or(|ended| ended.is_ok()), "it panicked");
    }
}
