//! The program `quickstart`.

use std::{
    io::{self, Write},
    net::SocketAddr,
    path::PathBuf,
    process::ExitCode,
};

use clap::Parser;
use selvedge_examples::{
    demo::{Addresses, Demo, MANIFESTS, shown},
    smoke,
    tries::{EDIT, line, tries},
};
use selvedge_ingress::{app, args};
use tokio::signal::unix::{SignalKind, signal};

/// Selvedge before a few small services, all in this process, until Ctrl-C
#[derive(Parser, Debug)]
#[command(name = "quickstart", version, max_term_width = 110)]
struct Arguments {
    /// Address for HTTP; port 0 lets the system choose
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8080")]
    http: SocketAddr,
    /// Address for HTTPS
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8443")]
    https: SocketAddr,
    /// Address for health and metrics
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:9911")]
    admin: SocketAddr,
    /// Folder of YAML to serve instead of examples/quickstart
    #[arg(long, value_name = "DIR", default_value = MANIFESTS, hide_default_value = true)]
    manifests: PathBuf,
    /// Try all that would be proposed, on free ports with a copy of the folder, and exit
    #[arg(long)]
    smoke: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let done = runtime.map_err(Into::into).and_then(|runtime| match arguments.smoke {
        true => runtime.block_on(smoke::run(&arguments.manifests, &mut io::stdout())),
        false => runtime.block_on(serve(&arguments)),
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("quickstart: {}", said(&error));
            ExitCode::FAILURE
        }
    }
}

/// The error, with the flag that helps when an address is taken.
fn said(error: &anyhow::Error) -> String {
    let text = format!("{error:#}");
    let taken = ["http", "https", "admin"].into_iter().find(|name| text.contains(&format!("({name})")));
    match taken {
        Some(name) => {
            format!("{text}\nAnother address is chosen with --{name} ADDR, for example 127.0.0.1:0.")
        }
        None => text,
    }
}

async fn serve(arguments: &Arguments) -> anyhow::Result<()> {
    let Arguments { http, https, admin, manifests, .. } = arguments;
    let log = args::LogArgs {
        access_log: args::AccessLogFormat::Text,
        log_format: args::Format::Text,
        log_filter: std::env::var("RUST_LOG")
            .ok()
            .or(Some("warn,notify=off,selvedge_common::program=info".into())),
    };
    app::start_log(&log)?;
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let addresses = Addresses { http: *http, https: *https, admin: *admin };
    let demo = Demo::start(addresses, manifests, true).await?;
    let addresses = demo.addresses;
    let shutdown = async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    let telling = async {
        smoke::ready(addresses.admin).await?;
        // Whoever closed standard output does not want to read it.
        let _ = tell(addresses, arguments, &mut io::stdout().lock());
        anyhow::Ok(())
    };
    let (told, ()) = tokio::join!(telling, demo.run(shutdown));
    told
}

/// Prints what to try.
fn tell(addresses: Addresses, arguments: &Arguments, output: &mut dyn Write) -> io::Result<()> {
    let manifests = shown(&arguments.manifests);
    writeln!(output, "\nSelvedge serves {}. Try in another terminal:\n", manifests.display())?;
    for one in tries(addresses) {
        writeln!(output, "# {}\n{}\n  -> {}\n", one.about, one.line, one.expected)?;
    }
    let file = manifests.join(EDIT.file);
    let (file, from, to) = (file.display(), EDIT.from, EDIT.to);
    writeln!(output, "# change a file: {from} becomes {to} in {file}, and the next request goes there")?;
    writeln!(output, "sed -i s/{from}/{to}/ {file}\n{}", line(addresses, EDIT.request))?;
    writeln!(output, "  -> {}\n", EDIT.expected)?;
    writeln!(output, "# undo it\nsed -i s/{to}/{from}/ {file}\n")?;
    writeln!(output, "Ctrl-C ends it. Requests are shown below.\n")
}
