//! Flags that every program has, each also an environment variable, in groups that a program puts together.

mod limits;
mod listen;
mod traces;
pub mod values;

use std::path::PathBuf;

use clap::{Args, ValueEnum};

pub use limits::{BackendArgs, ClientArgs, DrainArgs};
pub use listen::ServeArgs;
pub use traces::TraceArgs;

/// Where objects come from: files, or else a Kubernetes API server.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Source")]
pub struct SourceArgs {
    /// Folder or file of YAML to serve instead of a cluster's objects; repeatable
    #[arg(
        long,
        env = "SELVEDGE_MANIFESTS",
        value_name = "PATH",
        value_delimiter = ',',
        conflicts_with = "kubeconfig"
    )]
    pub manifests: Vec<PathBuf>,
    /// How to reach the API server; without it as a pod, or as kubectl would
    #[arg(long, env = "SELVEDGE_KUBECONFIG", value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// Namespace whose objects count, all without it; repeatable
    #[arg(long, env = "SELVEDGE_NAMESPACE", value_name = "NS", value_delimiter = ',')]
    pub namespace: Vec<String>,
}

/// Who writes to the cluster. The program gives the argument `lease` a default of its own, by `mut_arg`.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Status")]
pub struct LeaseArgs {
    /// Lease by which instances agree on who writes status and events; its namespace is the own one
    #[arg(
        id = "lease",
        long = "lease",
        env = "SELVEDGE_LEASE",
        value_name = "NAME",
        default_value = "selvedge"
    )]
    pub name: String,
    /// Namespace of the lease; without it the pod's own, else default
    #[arg(
        id = "lease_namespace",
        long = "lease-namespace",
        env = "SELVEDGE_LEASE_NAMESPACE",
        value_name = "NS"
    )]
    pub namespace: Option<String>,
    /// Name of this instance in the lease; without it the host name and a number
    #[arg(long, env = "SELVEDGE_IDENTITY", value_name = "NAME")]
    pub identity: Option<String>,
    /// Write no status and no events, and take no part in the lease
    #[arg(long, env = "SELVEDGE_READ_ONLY")]
    pub read_only: bool,
}

/// What is logged.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Logs")]
pub struct LogArgs {
    /// One line for each request on standard output
    #[arg(long, env = "SELVEDGE_ACCESS_LOG", value_name = "FORMAT", value_enum, default_value = "text")]
    pub access_log: AccessLogFormat,
    /// Form of the program's own log on standard error
    #[arg(long, env = "SELVEDGE_LOG_FORMAT", value_name = "FORMAT", value_enum, default_value = "text")]
    pub log_format: Format,
    /// What is logged, like RUST_LOG, for example info,selvedge_common=debug; default info
    #[arg(long, env = "SELVEDGE_LOG_FILTER", value_name = "FILTER")]
    pub log_filter: Option<String>,
}

/// What `check` looks at.
#[derive(Args, Clone, Debug)]
pub struct CheckedArgs {
    /// Folders and files of YAML to check
    #[arg(value_name = "PATH", required_unless_present = "cluster", conflicts_with = "cluster")]
    pub paths: Vec<PathBuf>,
    /// Check the objects of a cluster
    #[arg(long, env = "SELVEDGE_CLUSTER")]
    pub cluster: bool,
    /// How to reach the API server; without it as a pod, or as kubectl would
    #[arg(long, env = "SELVEDGE_KUBECONFIG", value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// Namespace whose objects count, all without it; repeatable
    #[arg(long, env = "SELVEDGE_NAMESPACE", value_name = "NS", value_delimiter = ',')]
    pub namespace: Vec<String>,
}

/// Form of output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    Text,
    /// For machines.
    Json,
}

/// Form of the access log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum AccessLogFormat {
    /// None.
    Off,
    /// For people.
    Text,
    /// For machines.
    Json,
}

impl LeaseArgs {
    /// Flags that were given and mean something only to an API server; `usual` is the default name of the lease.
    pub fn given(&self, usual: &str) -> Vec<&'static str> {
        let flags = [
            ("--lease", self.name != usual),
            ("--lease-namespace", self.namespace.is_some()),
            ("--identity", self.identity.is_some()),
            ("--read-only", self.read_only),
        ];
        flags.into_iter().filter(|(_, given)| *given).map(|(flag, _)| flag).collect()
    }
}
