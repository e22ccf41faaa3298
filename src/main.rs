//! The native binary `crs`: reads the environment and `.env`, and runs the command line.

use std::collections::HashMap;
use std::process::ExitCode;

use crs_edge::dotenv::{self, Comment};
use crs_edge::{Setup, StartError, Vars, allocator, log, run, serve};

/// The process's environment, with `.env` in the working directory as a fallback.
struct Environment {
    file: HashMap<String, String>,
}

impl Environment {
    /// Fails if the file exists but cannot be read, because a start without its settings would be a surprise.
    fn read() -> Result<Self, String> {
        let text = match std::fs::read_to_string(FILE) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(format!("{FILE} in the working directory cannot be read: {error}")),
        };
        Ok(Self {
            file: dotenv::parse(&text, Comment::AfterBlank).into_iter().collect(),
        })
    }
}

const FILE: &str = ".env";

impl Vars for Environment {
    #[expect(clippy::disallowed_methods, reason = "this is where variables are read")]
    fn get(&self, name: &str) -> Option<String> {
        // A variable that is set but empty overrides the file.
        std::env::var(name).ok().or_else(|| self.file.get(name).cloned())
    }
}

fn main() -> ExitCode {
    let environment = match Environment::read() {
        Ok(environment) => environment,
        Err(error) => return refuse(&error),
    };
    run(std::env::args_os(), &environment, || match start(&environment) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => refuse(&error.to_string()),
    })
}

fn refuse(error: &str) -> ExitCode {
    for line in error.lines() {
        say(&format!("crs: {line}"));
    }
    ExitCode::from(2)
}

#[expect(clippy::print_stderr, reason = "there is no log yet when settings are bad")]
fn say(line: &str) {
    eprintln!("{line}");
}

fn start(environment: &Environment) -> Result<(), StartError> {
    allocator::fix_sizes(environment, std::env::args_os());
    let setup = Setup::prepare(environment)?;
    log::start(&setup.config.log);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| StartError::Other(error.to_string()))?;
    runtime.block_on(serve(setup))
}
