//! The native binary `crs`: the environment, and over to the command line.

use std::process::ExitCode;

use crs_edge::{Setup, StartError, Vars, allocator, log, run, serve};

/// The process's environment.
struct Environment;

impl Vars for Environment {
    #[expect(clippy::disallowed_methods, reason = "this is where variables are read")]
    fn get(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }
}

fn main() -> ExitCode {
    run(std::env::args_os(), &Environment, || match start() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            for line in error.to_string().lines() {
                say(&format!("crs: {line}"));
            }
            ExitCode::from(2)
        }
    })
}

#[expect(clippy::print_stderr, reason = "there is no log yet when settings are bad")]
fn say(line: &str) {
    eprintln!("{line}");
}

fn start() -> Result<(), StartError> {
    allocator::fix_sizes(&Environment, std::env::args_os());
    let setup = Setup::prepare(&Environment)?;
    log::start(&setup.config.log);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| StartError::Other(error.to_string()))?;
    runtime.block_on(serve(setup))
}
