//! The program `shop`.

use std::{
    io::{self, Write},
    net::SocketAddr,
    path::PathBuf,
    process::ExitCode,
};

use anyhow::Context as _;
use clap::{Args, Parser, Subcommand};
use selvedge_examples::{
    demo::shown,
    shop::{
        mesh::{Addresses, MANIFESTS, Mesh},
        services::Server,
        smoke,
    },
};
use selvedge_ingress::{app, args};
use tokio::signal::unix::{SignalKind, signal};

/// A shop with a legacy monolith behind Selvedge's edge and router, all in this process, until Ctrl-C
#[derive(Parser, Debug)]
#[command(name = "shop", version, max_term_width = 110, args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    mesh: MeshArgs,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Be one server of the shop, as in a cluster
    Serve(ServeArgs),
}

#[derive(Args, Debug)]
struct ServeArgs {
    /// monolith, catalog, catalog-v2, orders, orders-next or payments
    name: String,
    /// Address to listen on
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8081")]
    listen: SocketAddr,
    /// Proxy that the monolith calls through, such as http://router:8080; without a port it is 80
    #[arg(long, env = "http_proxy", value_name = "URL")]
    http_proxy: Option<String>,
}

#[derive(Args, Debug)]
struct MeshArgs {
    /// Address of the edge
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8080")]
    edge: SocketAddr,
    /// Address of the router
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8180")]
    router: SocketAddr,
    /// Admin address of the router
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:9911")]
    admin: SocketAddr,
    /// Folder of YAML to serve instead of examples/shop
    #[arg(long, value_name = "DIR", default_value = MANIFESTS, hide_default_value = true)]
    manifests: PathBuf,
    /// Ask for pages on free ports, look at what became of the calls, and exit
    #[arg(long)]
    smoke: bool,
}

fn main() -> ExitCode {
    let Arguments { command, mesh } = Arguments::parse();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let done = runtime.map_err(Into::into).and_then(|runtime| match command {
        Some(Command::Serve(args)) => runtime.block_on(serve(args)),
        None if mesh.smoke => runtime.block_on(smoke::run(&mesh.manifests, &mut io::stdout())),
        None => runtime.block_on(run(&mesh)),
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("shop: {}", said(&error));
            ExitCode::FAILURE
        }
    }
}

/// The error, with the flags that help when an address is taken.
fn said(error: &anyhow::Error) -> String {
    let text = format!("{error:#}");
    match text.contains("cannot listen") {
        true => format!(
            "{text}\nOther addresses are chosen with --edge, --router and --admin, for example 127.0.0.1:0."
        ),
        false => text,
    }
}

async fn serve(args: ServeArgs) -> anyhow::Result<()> {
    let proxy = match &args.http_proxy {
        Some(proxy) => Some(resolve(proxy).await?),
        None => None,
    };
    let server = Server::of(&args.name, proxy).with_context(|| {
        format!("{:?} is no server of the shop, or the monolith without a proxy", args.name)
    })?;
    let address = server.start(args.listen).await?;
    eprintln!("{} listens on {address}", args.name);
    ended().await
}

/// Where a proxy is; the port is 80 where none is named.
async fn resolve(proxy: &str) -> anyhow::Result<SocketAddr> {
    let authority = proxy.trim_start_matches("http://").trim_end_matches('/');
    let authority = if authority.contains(':') { authority.to_owned() } else { format!("{authority}:80") };
    let mut found =
        tokio::net::lookup_host(&authority).await.with_context(|| format!("no proxy at {proxy}"))?;
    found.next().with_context(|| format!("no proxy at {proxy}"))
}

async fn run(args: &MeshArgs) -> anyhow::Result<()> {
    let log = args::LogArgs {
        access_log: args::AccessLogFormat::Off,
        log_format: args::Format::Text,
        log_filter: std::env::var("RUST_LOG").ok().or(Some("warn,notify=off".into())),
    };
    app::start_log(&log)?;
    let addresses = Addresses { edge: args.edge, router: args.router, router_admin: args.admin };
    let mesh = Mesh::start(addresses, &args.manifests, false).await?;
    // Whoever closed standard output does not want to read it.
    let _ = tell(mesh.addresses, args, &mut io::stdout().lock());
    mesh.run(async { drop(ended().await) }).await;
    Ok(())
}

async fn ended() -> anyhow::Result<()> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

/// Prints what to try.
fn tell(addresses: Addresses, args: &MeshArgs, output: &mut dyn Write) -> io::Result<()> {
    let Addresses { edge, router, router_admin } = addresses;
    let to = format!("--connect-to ::{edge}");
    let manifests = shown(&args.manifests);
    writeln!(output, "\nThe shop serves {}. Try in another terminal:\n", manifests.display())?;
    writeln!(output, "# a page of the monolith: edge, router, monolith, and its calls through the router")?;
    writeln!(output, "curl {to} http://shop.example/\n")?;
    writeln!(
        output,
        "# many pages: none fails, though orders is often busy and an endpoint of payments hangs up"
    )?;
    writeln!(output, "for i in $(seq 200); do curl -s {to} http://shop.example/; done | sort | uniq -c\n")?;
    writeln!(output, "# any service by its name, as a monolith would call it")?;
    writeln!(output, "http_proxy=http://{router} curl http://orders.shop/\n")?;
    writeln!(output, "# who calls whom")?;
    writeln!(output, "cargo run --bin selvedge-router -- graph --admin {router_admin}\n")?;
    writeln!(output, "# the endpoint that hangs up, and gets nothing any more")?;
    writeln!(output, "curl -s http://{router_admin}/metrics | grep ejections\n")?;
    let rules = manifests.join("rules.yaml");
    let rules = rules.display();
    writeln!(output, "# change the weights, and the next requests follow")?;
    writeln!(output, "sed -i 's/weight: 80/weight: 0/' {rules}\n\nCtrl-C ends it.\n")
}
