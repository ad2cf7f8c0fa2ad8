//! A proxy at work: started, asked whether it answers, and ended by its number.

use std::{
    fs,
    net::SocketAddr,
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::Context;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::{
    contestant::{Contestant, Ports, Way},
    ground::Ground,
    load::{self, Shape, Speech, Target, trust_anyone},
    pause::until,
    ports, processors,
};

/// Bytes of a log that an error tells.
const TOLD: usize = 2000;
/// One request, to see whether it is answered.
const PROBE: Shape = Shape { speech: Speech::Http1, connections: 1, streams: 1, upload: 0, rate: None };

/// Under which conditions a proxy runs.
#[derive(Clone, Debug, Default)]
pub struct Conditions {
    /// A program that runs it, with its flags, such as valgrind.
    pub under: Vec<String>,
    /// The processor that it has to itself.
    pub processor: Option<usize>,
}

/// A running proxy; dropping it kills it.
pub struct Running {
    /// What it is.
    pub contestant: Contestant,
    child: Child,
    ports: Ports,
    folder: TempDir,
}

impl Running {
    /// Starts a proxy.
    ///
    /// # Errors
    /// If its program is not there or cannot be started.
    pub fn start(contestant: &Contestant, ground: &Ground, conditions: &Conditions) -> anyhow::Result<Self> {
        let folder = ground.new_folder()?;
        let [plain, tls, grpc, admin] = ports::free()?;
        let ports = Ports { plain, tls, grpc, admin };
        let own = contestant.command(ground, ports, folder.path())?;
        let mut command = under(own, &conditions.under);
        let log = fs::File::create(folder.path().join("log"))?;
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let spawn = || command.spawn().with_context(|| format!("{contestant} cannot be started"));
        let child = processors::on(conditions.processor, spawn)?;
        Ok(Self { contestant: contestant.clone(), child, ports, folder })
    }

    /// Its number.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits until it answers.
    ///
    /// # Errors
    /// If it ends, or does not answer in time.
    pub async fn until_ready(&mut self, patience: Duration) -> anyhow::Result<()> {
        let target = self.target(Way::Plain, "http/1.1", "1k")?;
        let mut last = None;
        let answered = until(patience, async || {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Some(Err(status));
            }
            last = load::requests(&target, PROBE, 1, patience).await.err();
            last.is_none().then_some(Ok(()))
        });
        let (contestant, answered) = (&self.contestant, answered.await);
        match answered {
            Some(Ok(())) => Ok(()),
            Some(Err(status)) => anyhow::bail!("{contestant} has ended with {status}: {}", self.log()),
            None => {
                let last = last.map_or_else(String::new, |error| format!("{error:#}"));
                anyhow::bail!("{contestant} does not answer within {patience:?}: {last}; {}", self.log())
            }
        }
    }

    /// Whom to ask, this way, for an answer of this size.
    ///
    /// # Errors
    /// If TLS cannot be had.
    pub fn target(&self, way: Way, protocol: &str, answer: &str) -> anyhow::Result<Target> {
        let port = match way {
            Way::Plain => self.ports.plain,
            Way::Tls => self.ports.tls,
            Way::Grpc => self.grpc_port(),
        };
        Ok(Target {
            address: SocketAddr::from(([127, 0, 0, 1], port)),
            host: self.contestant.kind.host(way).into(),
            path: self.contestant.path(way, answer),
            tls: (way == Way::Tls).then(|| trust_anyone(protocol)).transpose()?,
        })
    }

    /// Selvedge tells HTTP/2 from HTTP/1.1 on one port.
    fn grpc_port(&self) -> u16 {
        use crate::contestant::Kind::{Edge, Router};
        match self.contestant.kind {
            Edge | Router => self.ports.plain,
            _ => self.ports.grpc,
        }
    }

    /// Ends it as an operator would and waits for its end.
    ///
    /// # Errors
    /// If it does not end in time; then it is killed.
    pub async fn stop(mut self, patience: Duration) -> anyhow::Result<()> {
        kill_process(Pid::from_child(&self.child), Signal::TERM)?;
        let ended = until(patience, async || self.child.try_wait().ok().flatten()).await;
        ended.map(|_| ()).with_context(|| format!("{} does not end within {patience:?}", self.contestant))
    }

    /// The end of what it has said.
    fn log(&self) -> String {
        let text = fs::read(self.folder.path().join("log")).unwrap_or_default();
        let text = &text[text.len().saturating_sub(TOLD)..];
        match text {
            [] => "it has said nothing".into(),
            text => format!("it has said: {}", String::from_utf8_lossy(text).trim()),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // One that has ended already is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A command run by another program.
fn under(own: Command, under: &[String]) -> Command {
    let Some((program, flags)) = under.split_first() else { return own };
    let mut command = Command::new(program);
    command.args(flags).arg(own.get_program()).args(own.get_args());
    command.envs(own.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command
}
