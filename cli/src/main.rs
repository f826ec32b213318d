//! The one binary `tarefa`: a batch task market on a Tangle.

mod args;
mod command;
mod guests;
mod heap;
mod party;
mod session;
mod signals;
mod ui;

use clap::Parser;

fn main() -> std::process::ExitCode {
    // A worker of the sandbox is this binary again. Nothing else may run before its walls are up.
    if std::env::args_os().nth(1).is_some_and(|first| first == command::executor::WORKER) {
        tarefa_executor::sandbox::worker::main();
    }
    heap::limit();
    let args = args::Args::parse();
    ui::start_logging(args.verbose);
    match command::run(args) {
        Ok(status) => std::process::ExitCode::from(status),
        Err(error) => {
            eprintln!("error: {error:#}");
            std::process::ExitCode::from(command::FAILED)
        }
    }
}
