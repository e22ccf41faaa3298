//! The command line: a thin client of the admin API, and the way to start the server.
//!
//! A command asks the server that runs on the same data folder; if none runs, it opens the store itself and
//! puts the same requests to the same router. Results go to standard output, everything else to standard
//! error. Secrets are read from files, pipes or a prompt, never from arguments: other users see those.
//!
//! | module | what it has |
//! | --- | --- |
//! | `account`, `key`, `limits` | accounts and keys, and the limits of keys |
//! | `ledger` | checks of the ledger, corrections |
//! | `admin` | the administrator's login |
//! | `backup` | `crs backup`, `verify`, `restore`, `move` |
//! | `import` | copies a claude-relay-service's data |
//! | `check` | the settings before a start, the server after it |
//! | `api` | the admin API, over a socket or in process |
//! | `input`, `output` | secrets, files and times that come in; results that go out |
//! | `failure` | why a command failed, and its exit code |

mod account;
mod admin;
mod api;
mod backup;
mod check;
mod failure;
#[cfg(feature = "redis")]
mod import;
mod input;
mod key;
mod ledger;
mod limits;
mod output;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use crs_edge::config::{self, Vars};
use crs_edge::host::native::log;

use self::failure::Failure;
use self::limits::MoneyOptions;
use self::output::Output;

const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  tried, and failed: refused by the server or by the provider
  2  a wrong argument, or a setting that must be changed; of a server that ended, that records of calls may be missing
  3  there is no such key or account
  4  neither the server nor its store can be reached

Settings come from variables: .env.example lists them, `crs check-config` checks them.
The data folder is DATA_DIR, or `data` in the working directory.";

#[derive(Debug, Parser)]
#[command(
    name = "crs",
    version,
    about = "A relay that pools provider accounts behind keys of your own"
)]
#[command(after_help = EXIT_CODES, disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    /// Print the result as JSON, for scripts.
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the relay until it is told to end (what happens without a command).
    Serve,
    /// Say what is wrong with the settings, one line each, without starting.
    CheckConfig,
    /// Ask the server whether it is well. Exits with 0 while it serves, degraded or not.
    Health,
    /// The administrator's login.
    #[command(subcommand)]
    Admin(AdminCommand),
    /// Keys for clients.
    #[command(subcommand)]
    Key(KeyCommand),
    /// Accounts at providers.
    #[command(subcommand)]
    Account(AccountCommand),
    /// Write everything in the store to a file, while the relay runs.
    Backup(BackupArgs),
    /// Read a backup through and say what is in it; needs no store.
    Verify(VerifyArgs),
    /// Make an empty store what a backup holds. No relay may run on it.
    Restore(RestoreArgs),
    /// Copy the store of the settings into another, empty one, and prove the copy equal. No relay may run on either.
    Move(MoveArgs),
    /// Seal everything under NEW_ENCRYPTION_KEY. No relay may run on the store; killed anywhere, run it again.
    Rekey,
    /// Usage and the ledger.
    #[command(subcommand)]
    Ledger(LedgerCommand),
    /// Take over the data of a claude-relay-service (CRS), which is only read: its keys keep working here.
    #[cfg(feature = "redis")]
    Import(Box<import::ImportArgs>),
}

#[derive(Debug, Args)]
struct BackupArgs {
    /// Where to write it; must not be there yet.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Seal it with a passphrase, asked for at the terminal. BACKUP_PASSPHRASE does so without asking.
    #[arg(long)]
    seal: bool,
    /// The file that holds the passphrase, in its first line; `-` is standard input.
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct VerifyArgs {
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The file that holds the passphrase; left out, BACKUP_PASSPHRASE, or what is asked for at the terminal.
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct RestoreArgs {
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The file that holds the passphrase; left out, BACKUP_PASSPHRASE, or what is asked for at the terminal.
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
    /// embedded, redis, upstash or redis://HOST:PORT/DB; left out, the store of the settings.
    #[arg(long, value_name = "WHERE")]
    to: Option<String>,
}

#[derive(Debug, Args)]
struct MoveArgs {
    /// embedded, redis, upstash (with their variables), or redis://HOST:PORT/DB with REDIS_PASSWORD.
    #[arg(long, value_name = "WHERE")]
    to: String,
}

#[derive(Debug, Subcommand)]
enum LedgerCommand {
    /// Compare sums with the calls they are of, for days that are over; ends with 1 if they differ.
    Verify(LedgerVerify),
}

#[derive(Debug, Args)]
struct LedgerVerify {
    /// How many days, today the first; no more than calls are kept (REQUEST_LOG_DAYS).
    #[arg(long, value_name = "N", default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..=100))]
    days: u32,
}

#[derive(Debug, Subcommand)]
enum AdminCommand {
    /// Give the administrator a new password, shown once, and end all sessions.
    ResetPassword(ResetPassword),
    /// Make a link that logs its first user in as the administrator, once, for ten minutes: when the password is
    /// forgotten, or refused after too many attempts. For a Worker, set its JWT_SECRET and name its address.
    LoginLink(LoginLink),
}

#[derive(Debug, Args)]
struct LoginLink {
    /// The relay's address as a browser reaches it; left out, its address on this machine.
    #[arg(long, value_name = "URL")]
    url: Option<String>,
}

#[derive(Debug, Args)]
struct ResetPassword {
    /// Change the login name too.
    #[arg(long, value_name = "NAME")]
    username: Option<String>,
    /// Read the password from standard input instead of making one up.
    #[arg(long)]
    password_stdin: bool,
}

#[derive(Debug, Subcommand)]
enum KeyCommand {
    /// Make a key and show it, once.
    Create(Box<KeyCreate>),
    /// List keys, newest first.
    List(KeyList),
    /// Show one key: its limits and state, never the key itself.
    Show(RecordName),
    /// Refuse a key from now on; running calls go on.
    Disable(RecordName),
    /// Let a disabled key in again.
    Enable(RecordName),
    /// Forgive what a key has spent, so that a limit begins at 0. The ledger keeps what was spent.
    Reset(KeyReset),
}

#[derive(Debug, Args)]
struct KeyReset {
    #[command(flatten)]
    key: RecordName,
    /// Of which limit; `window`: the next call begins a new one.
    #[arg(value_name = "WHAT", value_parser = limits::resettable())]
    what: String,
}

#[derive(Debug, Args)]
struct KeyCreate {
    /// Its name.
    #[arg(long)]
    name: String,
    #[arg(long, default_value = "", hide_default_value = true)]
    description: String,
    /// How many calls may run at once; 0: unlimited.
    #[arg(long, value_name = "N")]
    concurrency: Option<u32>,
    #[command(flatten)]
    money: MoneyOptions,
    /// Minutes over which the limits of a window are counted.
    #[arg(long, value_name = "MINUTES")]
    window: Option<u64>,
    /// How many calls it may make in a window.
    #[arg(long, value_name = "N", requires = "window")]
    window_requests: Option<u64>,
    /// How many tokens it may use in a window.
    #[arg(long, value_name = "N", requires = "window")]
    window_tokens: Option<u64>,
    /// The most that its calls may cost in a window, in USD.
    #[arg(long, value_name = "USD", requires = "window")]
    window_cost: Option<f64>,
    /// When it ends: 12h, 30d, 2027-01-31, or a moment such as 2027-01-31T09:30:00Z.
    #[arg(long, value_name = "WHEN")]
    expires: Option<String>,
    /// A service it may use: claude, openai or gemini; repeat for more. All, if left out.
    #[arg(long, value_name = "SERVICE")]
    service: Vec<String>,
    /// A model it may not use; repeat for more.
    #[arg(long, value_name = "MODEL")]
    block_model: Vec<String>,
    /// A tag to find it by; repeat for more.
    #[arg(long)]
    tag: Vec<String>,
}

#[derive(Debug, Args)]
struct KeyList {
    /// Only those whose name or description holds this.
    #[arg(long, value_name = "TEXT")]
    search: Option<String>,
    /// The deleted ones instead.
    #[arg(long)]
    deleted: bool,
}

/// A record, by id or by its exact name.
#[derive(Debug, Args)]
struct RecordName {
    /// Its id, or its exact name.
    #[arg(value_name = "ID-OR-NAME")]
    which: String,
}

#[derive(Debug, Subcommand)]
enum AccountCommand {
    /// Add an account, with an official API key or with OAuth tokens.
    Add(AccountAdd),
    /// Add an account by signing in at the provider: shows the page to open, and asks for what comes of it.
    Login(AccountLogin),
    /// List accounts.
    List,
    /// Make one real call of one token and show what the provider says.
    Test(AccountTest),
}

#[derive(Debug, Args)]
struct AccountAdd {
    /// Its name.
    #[arg(long)]
    name: String,
    /// claude, openai, gemini or antigravity; left out, the one a credential file is of, and claude for an API key.
    #[arg(long)]
    platform: Option<String>,
    /// The file that holds the API key; `-` reads standard input, or asks at a terminal (as does nothing).
    #[arg(long, value_name = "FILE", conflicts_with = "oauth_file")]
    api_key_file: Option<PathBuf>,
    /// The file that holds OAuth tokens: .credentials.json of Claude Code, auth.json of Codex, oauth_creds.json
    /// of Gemini CLI; `-` is standard input.
    #[arg(long, value_name = "FILE")]
    oauth_file: Option<PathBuf>,
    /// The provider's address, if it is another than usual.
    #[arg(long, value_name = "URL", conflicts_with = "oauth_file")]
    base_url: Option<String>,
    #[command(flatten)]
    options: AccountOptions,
}

#[derive(Debug, Args)]
struct AccountLogin {
    /// claude, openai, gemini or antigravity. Its OAuth client must be set: CLAUDE_OAUTH_CLIENT_ID and so on.
    #[arg(long, default_value = "claude")]
    platform: String,
    /// Its name; the e-mail address that the provider reports, if left out.
    #[arg(long)]
    name: Option<String>,
    /// Ask Claude for one token that lasts a year and may do nothing but call models.
    #[arg(long)]
    setup_token: bool,
    #[command(flatten)]
    options: AccountOptions,
}

/// Settings of any new account.
#[derive(Debug, Args)]
struct AccountOptions {
    #[arg(long, default_value = "", hide_default_value = true)]
    description: String,
    /// Who is asked first: lower goes first.
    #[arg(long, value_name = "N")]
    priority: Option<u32>,
    /// How many calls it serves at once; 0: unlimited.
    #[arg(long, value_name = "N")]
    max_concurrency: Option<u32>,
    /// The file that holds the proxy's address: http://, https:// or socks5://, then HOST:PORT or
    /// USER:PASSWORD@HOST:PORT.
    #[arg(long, value_name = "FILE")]
    proxy_file: Option<PathBuf>,
    /// Ask the provider for TO when a client names FROM; repeat for more.
    #[arg(long, value_name = "FROM=TO")]
    map_model: Vec<String>,
}

#[derive(Debug, Args)]
struct AccountTest {
    #[command(flatten)]
    named: RecordName,
    /// The model to ask for.
    #[arg(long)]
    model: Option<String>,
}

/// Runs the command that `arguments` (the program's name first) ask for; `serve` starts the server.
pub fn run(
    arguments: impl IntoIterator<Item = OsString>,
    environment: &dyn Vars,
    serve: impl FnOnce() -> ExitCode,
) -> ExitCode {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are no errors; clap prints each where it belongs.
            let _ = error.print();
            return if error.use_stderr() {
                ExitCode::from(failure::USAGE)
            } else {
                ExitCode::SUCCESS
            };
        }
    };
    let output = Output::new(cli.json);
    let done = match cli.command {
        None | Some(Command::Serve) => return serve(),
        Some(Command::CheckConfig) => check::settings(environment, &output),
        Some(command) => {
            // What goes wrong below the surface; the rest is the command's own to say.
            log::start(&config::Log {
                level: "warn".to_owned(),
                json: false,
            });
            wait(ask(command, environment, &output))
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            output.failure(&failure);
            ExitCode::from(failure.code())
        }
    }
}

fn wait(work: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::Failed(format!("this machine gives no event loop: {error}")))?
        .block_on(work)
}

async fn ask(command: Command, environment: &dyn Vars, output: &Output) -> Result<(), Failure> {
    match command {
        // Handled before there is an event loop.
        Command::Serve | Command::CheckConfig => Ok(()),
        Command::Health => check::health(environment, output).await,
        Command::Admin(AdminCommand::ResetPassword(args)) => {
            admin::reset_password(args, environment, output).await
        }
        Command::Admin(AdminCommand::LoginLink(args)) => admin::login_link(args, environment, output).await,
        Command::Key(command) => key::run(command, environment, output).await,
        Command::Backup(args) => backup::backup(args, environment, output).await,
        Command::Verify(args) => backup::verify(args, environment, output).await,
        Command::Restore(args) => backup::restore(args, environment, output).await,
        Command::Move(args) => backup::move_to(args, environment, output).await,
        Command::Rekey => backup::rekey(environment, output).await,
        Command::Ledger(LedgerCommand::Verify(args)) => ledger::verify(args, environment, output).await,
        Command::Account(command) => account::run(command, environment, output).await,
        #[cfg(feature = "redis")]
        Command::Import(args) => import::run(*args, environment, output).await,
    }
}
