//! A program as a process of its own: started, asked, measured and stopped as an operator would.

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};

use crate::{
    client::Client,
    waiting::{until, until_within},
};

/// Settings that let several of them run at once and be told apart; flags say otherwise where they are given.
const USUAL: [(&str, &str); 5] = [
    ("SELVEDGE_HTTP", "127.0.0.1:0"),
    ("SELVEDGE_HTTPS", "127.0.0.1:0"),
    ("SELVEDGE_ADMIN", "127.0.0.1:0"),
    ("SELVEDGE_LOG_FORMAT", "json"),
    ("SELVEDGE_LAMEDUCK", "0"),
];

/// The edge as a process.
pub type EdgeProcess = Process;

/// A running program, the edge or the router; dropping it kills it.
pub struct Process {
    child: Child,
    log: Arc<Mutex<Vec<serde_json::Value>>>,
    log_closed: Arc<AtomicBool>,
    addresses: BTreeMap<String, SocketAddr>,
}

impl Process {
    /// Starts the program with these flags, without an access log.
    ///
    /// # Panics
    /// If it does not start.
    pub fn start(program: &Path, flags: &[&str]) -> Self {
        let mut command = Self::command(program, flags);
        command.args(["--access-log", "off"]).stdout(Stdio::null());
        Self::spawn(command)
    }

    /// A command that runs the program with these flags and our usual settings, for [`Process::spawn`].
    pub fn command(program: &Path, flags: &[&str]) -> Command {
        let mut command = Command::new(program);
        command.arg("run").args(flags).envs(USUAL);
        command
    }

    /// The same under a shell that first runs `before`, for example to set a limit.
    pub fn command_after(before: &str, program: &Path, flags: &[&str]) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", &format!("{before}; exec \"$@\""), "sh"]).arg(program).arg("run").args(flags);
        command.envs(USUAL);
        command
    }

    /// Runs a command line and waits until all addresses are bound.
    ///
    /// # Panics
    /// If that does not come to pass.
    pub fn spawn(mut command: Command) -> Self {
        let mut child = command.stderr(Stdio::piped()).spawn().expect("the program is there");
        let lines = BufReader::new(child.stderr.take().expect("it is piped")).lines();
        let log = Arc::<Mutex<Vec<serde_json::Value>>>::default();
        let log_closed = Arc::<AtomicBool>::default();
        let (kept, closed) = (log.clone(), log_closed.clone());
        thread::spawn(move || {
            for line in lines.map_while(Result::ok).take_while(|_| !closed.load(Ordering::SeqCst)) {
                // What is no JSON is an error that ends the program.
                let line = serde_json::from_str(&line).unwrap_or(serde_json::Value::String(line));
                kept.lock().unwrap_or_else(PoisonError::into_inner).push(line);
            }
        });
        let mut process = Self { child, log, log_closed, addresses: BTreeMap::new() };
        process.addresses = until(|| {
            let bound = process.bound();
            let ended = process.child.try_wait().expect("a child can be waited for");
            // The last one that it tells of.
            let is_last = bound.contains_key("admin");
            assert!(is_last || ended.is_none(), "it ended at once: {:?}", process.log());
            is_last.then_some(bound)
        });
        process
    }

    fn bound(&self) -> BTreeMap<String, SocketAddr> {
        let listening = self.log().into_iter().filter(|line| line["message"] == "listening");
        let bound = listening.filter_map(|line| {
            Some((line["listener"].as_str()?.to_owned(), line["address"].as_str()?.parse().ok()?))
        });
        bound.collect()
    }

    /// Lines of its log so far.
    pub fn log(&self) -> Vec<serde_json::Value> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Closes the reading end of its standard error once it has written one line more.
    pub fn close_log(&self) {
        self.log_closed.store(true, Ordering::SeqCst);
    }

    /// Address of the plain listener.
    pub fn http(&self) -> SocketAddr {
        self.addresses["http"]
    }

    /// Address of the TLS listener.
    pub fn https(&self) -> SocketAddr {
        self.addresses["https"]
    }

    /// Admin address.
    pub fn admin(&self) -> SocketAddr {
        self.addresses["admin"]
    }

    /// Waits until it says that it is ready.
    pub fn until_ready(&self) {
        until(|| self.is_ready().then_some(()));
    }

    /// Whether it says that it is ready.
    pub fn is_ready(&self) -> bool {
        Client::connect(self.admin()).get("admin", "/readyz").status == 200
    }

    /// The status that a host gets on a connection of its own; 0 if it gets no answer.
    pub fn status(&self, host: &str, path: &str) -> u16 {
        let mut client = Client::connect(self.http());
        let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        let answer = client.try_send(request).and_then(|()| client.try_answer());
        answer.map_or(0, |answer| answer.status)
    }

    /// Waits until a host gets this status.
    pub fn until_status(&self, host: &str, path: &str, status: u16) {
        until(|| (self.status(host, path) == status).then_some(()));
    }

    /// Waits until a path of a host answers 200 with this body.
    pub fn until_body(&self, host: &str, path: &str, body: &str) {
        until(|| {
            let answer = Client::connect(self.http()).get(host, path);
            (answer.status == 200 && answer.body == body.as_bytes()).then_some(())
        });
    }

    /// A page of the admin address.
    pub fn admin_page(&self, path: &str) -> String {
        Client::connect(self.admin()).get("admin", path).text()
    }

    /// The sum of the series that begin with this text, for example `selvedge_hosts_translated_total`.
    pub fn metric(&self, series: &str) -> f64 {
        let page = self.admin_page("/metrics");
        let values = page.lines().filter(|line| line.starts_with(series));
        values.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    }

    /// Memory that it really uses, in bytes, with what it shares with nobody else.
    pub fn memory_bytes(&self) -> u64 {
        self.memory_of("VmRSS:")
    }

    /// One sort of the memory in its status (proc_pid_status(5)), in bytes: `RssAnon:` is its own, `RssFile:` that of
    /// its program and libraries.
    pub fn memory_of(&self, kind: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap_or_default();
        let resident = status.lines().find_map(|line| line.strip_prefix(kind));
        let kib = resident.and_then(|text| text.split_whitespace().next()?.parse::<u64>().ok());
        kib.unwrap_or(0) * 1024
    }

    /// Descriptors that it has open.
    pub fn descriptors(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.child.id())).map_or(0, Iterator::count)
    }

    /// Time of processors that it has used so far, its own and the system's for it, to a few milliseconds.
    pub fn processor_time(&self) -> Duration {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap_or_default();
        // After the name in brackets, which may hold anything; user and system time are fields 14 and 15.
        let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace().skip(11).take(2);
        let ticks: u64 = fields.filter_map(|field| field.parse::<u64>().ok()).sum();
        Duration::from_secs(ticks) / rustix::param::clock_ticks_per_second().max(1) as u32
    }

    /// Asks it to stop, as Kubernetes does.
    pub fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// Ends it at once, as `kill -9` does.
    pub fn kill(&mut self) {
        self.signal(Signal::KILL);
        let _ = self.child.wait();
    }

    /// Its standard output, if that is piped.
    pub fn take_output(&mut self) -> Option<std::process::ChildStdout> {
        self.child.stdout.take()
    }

    /// Waits for its end, for longer than a drain may last.
    pub fn ended(&mut self) -> ExitStatus {
        until_within(Duration::from_secs(180), || self.child.try_wait().expect("a child can be waited for"))
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, signal).expect("the process has not been waited for");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // One that has ended already is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
