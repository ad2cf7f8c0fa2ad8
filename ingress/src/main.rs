//! The program `selvedge-ingress`.

use std::process::ExitCode;

use selvedge_common::program::{Role, command};
use selvedge_ingress::{
    app,
    args::{Arguments, CheckArgs, Command, MigrateArgs},
    migrate,
    translate::Edge,
};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let arguments: Arguments = match command::parse(Edge::PROGRAM) {
        Ok(arguments) => arguments,
        Err(exit) => return exit,
    };
    command::execute(Edge::PROGRAM, async {
        match arguments.command {
            Command::Run(args) => command::serve::<Edge>(args).await,
            Command::Check(args) => check(&args).await,
            Command::Migrate(args) => Ok(report(&args).await),
        }
    })
}

async fn check(args: &CheckArgs) -> anyhow::Result<ExitCode> {
    let sound = app::check(args, &mut std::io::stdout().lock()).await?;
    Ok(if sound { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn report(args: &MigrateArgs) -> ExitCode {
    match migrate::run(args, &mut std::io::stdout().lock()).await {
        Ok(outcome) => outcome.into(),
        Err(error) => {
            command::tell(Edge::PROGRAM, &error);
            migrate::Outcome::Unread.into()
        }
    }
}
