//! The program `selvedge-router`.

use std::process::ExitCode;

use selvedge_common::program::{Role, command};
use selvedge_router::{
    app,
    args::{Arguments, CheckArgs, Command},
    graph,
    translate::Tier,
};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let arguments: Arguments = match command::parse(Tier::PROGRAM) {
        Ok(arguments) => arguments,
        Err(exit) => return exit,
    };
    command::execute(Tier::PROGRAM, async {
        match arguments.command {
            Command::Run(args) => command::serve::<Tier>(args).await,
            Command::Check(args) => check(args).await,
            Command::Graph(args) => {
                graph::print(&args, &mut std::io::stdout().lock()).await?;
                Ok(ExitCode::SUCCESS)
            }
        }
    })
}

async fn check(args: CheckArgs) -> anyhow::Result<ExitCode> {
    let sound = app::check(&args, &mut std::io::stdout().lock()).await?;
    Ok(if sound { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
