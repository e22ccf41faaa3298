//! The command line: a thin client of the admin API, and the way to start the server.
//!
//! A command uses the server running on the same data folder. If none runs, it opens the store itself and sends
//! the same requests to the same router. Results go to standard output, everything else to standard error.
//! Secrets are read from files, pipes or a prompt, never from arguments, which other users can see.
//!
//! | module | content |
//! | --- | --- |
//! | `account`, `key`, `limits` | accounts and keys, and the limits of keys |
//! | `ledger` | checks of the ledger |
//! | `admin` | the administrator's login |
//! | `backup` | `crs backup`, `verify`, `restore`, `move` |
//! | `import` | imports a claude-relay-service's data |
//! | `check` | the settings before a start, the server after it |
//! | `api` | the admin API, over a socket or in process |
//! | `input`, `output` | input of secrets, files and times; output of results |
//! | `failure` | why a command failed, and its exit code |

mod access_keys;
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
mod prices;
mod route;

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
    /// Run the relay until it is stopped (the default without a command).
    Serve,
    /// Check the settings without starting; print one line per problem.
    CheckConfig,
    /// Check the health of the server. Exits with 0 while it serves, degraded or not.
    Health,
    /// The administrator's login.
    #[command(subcommand)]
    Admin(AdminCommand),
    /// Keys for clients.
    #[command(subcommand)]
    Key(KeyCommand),
    /// Accounts at providers.
    #[command(subcommand)]
    Account(Box<AccountCommand>),
    /// Back up the whole store to a file, while the relay runs.
    Backup(BackupArgs),
    /// Verify a backup and describe its content; needs no store.
    Verify(VerifyArgs),
    /// Restore a backup into an empty store. No relay may run on it.
    Restore(RestoreArgs),
    /// Copy the store of the settings into another, empty one, and prove the copy equal. No relay may run on either.
    Move(MoveArgs),
    /// Seal everything with NEW_ENCRYPTION_KEY. No relay may run on the store; if it is interrupted, run it again.
    Rekey,
    /// Model routes: who serves which models, for all keys or for one.
    #[command(subcommand)]
    Route(RouteCommand),
    /// Usage and the ledger.
    #[command(subcommand)]
    Ledger(LedgerCommand),
    /// How old the table of public prices is, and which models are charged a guessed price.
    Prices,
    /// Import the data of a claude-relay-service (CRS), which is only read: its keys keep working here.
    #[cfg(feature = "redis")]
    Import(Box<import::ImportArgs>),
}

#[derive(Debug, Args)]
struct BackupArgs {
    /// Where to write it; must not exist yet.
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
enum RouteCommand {
    /// List them, in the order in which they are tried.
    List(RouteList),
    /// Replace all of them.
    Set(RouteSet),
}

#[derive(Debug, Args)]
struct RouteList {
    /// Those of this key (its id, or its exact name), and not those for all.
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
}

#[derive(Debug, Args)]
struct RouteSet {
    /// Those of this key (its id, or its exact name), and not those for all.
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
    /// MODELS=PLATFORM/MODEL (@GROUP behind the platform: that group only), further steps behind commas:
    /// claude-sonnet-*=openai/gpt-5.4,claude. Before it chat:, messages: or responses: for calls of that protocol only.
    /// None: the model's name decides again.
    #[arg(value_name = "RULE")]
    rules: Vec<String>,
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
    /// Disable a key. Its running streams end with an error.
    Disable(RecordName),
    /// Enable a disabled key.
    Enable(RecordName),
    /// Reset a key's spending, so that a limit starts at 0. The ledger keeps the sums.
    Reset(KeyReset),
}

#[derive(Debug, Args)]
struct KeyReset {
    #[command(flatten)]
    key: RecordName,
    /// The limit; `window`: the next call begins a new one.
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
    /// Maximum number of concurrent calls; 0: unlimited.
    #[arg(long, value_name = "N")]
    concurrency: Option<u32>,
    #[command(flatten)]
    money: MoneyOptions,
    /// Length of the window for the next limits, in minutes.
    #[arg(long, value_name = "MINUTES")]
    window: Option<u64>,
    /// Maximum number of calls per window.
    #[arg(long, value_name = "N", requires = "window")]
    window_requests: Option<u64>,
    /// Maximum number of tokens per window.
    #[arg(long, value_name = "N", requires = "window")]
    window_tokens: Option<u64>,
    /// Maximum cost of its calls per window, in USD.
    #[arg(long, value_name = "USD", requires = "window")]
    window_cost: Option<f64>,
    /// When it ends: 12h, 30d, 2027-01-31, or a moment such as 2027-01-31T09:30:00Z.
    #[arg(long, value_name = "WHEN")]
    expires: Option<String>,
    /// A service it may use: claude, openai or gemini; repeat for more. All, if left out.
    #[arg(long, value_name = "SERVICE")]
    service: Vec<String>,
    /// A model route: MODELS=PLATFORM/MODEL, see `crs route set`; repeat for more.
    #[arg(long, value_name = "RULE")]
    route: Vec<String>,
    /// A model it may not use; repeat for more.
    #[arg(long, value_name = "MODEL")]
    block_model: Vec<String>,
    /// A tag to find it by; repeat for more.
    #[arg(long)]
    tag: Vec<String>,
}

#[derive(Debug, Args)]
struct KeyList {
    /// Only keys whose name or description contains this.
    #[arg(long, value_name = "TEXT")]
    search: Option<String>,
    /// Only deleted keys.
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
    /// Add an account, with an API key, Amazon's access keys, a Google service account, an Entra application, or OAuth tokens.
    Add(Box<AccountAdd>),
    /// Add an account by signing in at the provider: shows the page to open, and asks for what comes of it.
    Login(AccountLogin),
    /// List accounts.
    List,
    /// Make a minimal real call and show the provider's answer.
    Test(AccountTest),
}

#[derive(Debug, Args)]
struct AccountAdd {
    /// Its name.
    #[arg(long)]
    name: String,
    /// claude, openai, gemini or antigravity; left out, the one a credential file is of, openai for an Entra application,
    /// and claude for an API key.
    #[arg(long)]
    platform: Option<String>,
    /// The file that holds the API key; `-` reads standard input, or asks at a terminal (as does nothing).
    #[arg(long, value_name = "FILE", conflicts_with = "oauth_file")]
    api_key_file: Option<PathBuf>,
    /// The file that holds OAuth tokens: .credentials.json of Claude Code, auth.json of Codex, oauth_creds.json
    /// of Gemini CLI; `-` is standard input.
    #[arg(long, value_name = "FILE")]
    oauth_file: Option<PathBuf>,
    /// The file with Amazon's access keys, for Claude at Amazon Bedrock: the JSON of `aws configure
    /// export-credentials`, lines with AWS_ACCESS_KEY_ID=..., an AWS credentials file, or the CSV of Amazon's console;
    /// `-` is standard input.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["oauth_file", "api_key_file"], requires = "region")]
    access_keys_file: Option<PathBuf>,
    /// The key file of a Google service account, for Claude, or Gemini with --platform gemini, at Google Vertex AI; `-` is
    /// standard input.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["oauth_file", "api_key_file", "access_keys_file"], requires = "region")]
    service_account_file: Option<PathBuf>,
    /// The Google Cloud project that is billed. Left out, it is that of the service account.
    #[arg(long, requires = "service_account_file")]
    project: Option<String>,
    /// The tenant of an application of Microsoft Entra, for Azure OpenAI: a GUID, or a domain.
    #[arg(long, value_name = "ID", requires = "client_id")]
    tenant_id: Option<String>,
    /// The id of the application, which has a role such as "Cognitive Services OpenAI User" for the resource at --base-url.
    #[arg(long, value_name = "ID", requires_all = ["tenant_id", "base_url"], conflicts_with_all = ["oauth_file", "api_key_file", "access_keys_file", "service_account_file"])]
    client_id: Option<String>,
    /// The file that holds a secret of the application; `-` reads standard input, or asks at a terminal (as does nothing).
    #[arg(long, value_name = "FILE", requires = "client_id")]
    client_secret_file: Option<PathBuf>,
    /// The region: of access keys such as us-east-1, of a service account global, us, eu or such as us-east5.
    #[arg(long, conflicts_with_all = ["oauth_file", "api_key_file", "client_id"])]
    region: Option<String>,
    /// The provider's address, if it is not the official one.
    #[arg(long, value_name = "URL", conflicts_with = "oauth_file")]
    base_url: Option<String>,
    /// The header for the API key: x-api-key, authorization (as a bearer token), or api-key (Azure). Left out, it is
    /// guessed by the address and the key.
    #[arg(long, value_name = "HEADER", conflicts_with_all = ["oauth_file", "access_keys_file", "service_account_file", "client_id"], value_parser = ["x-api-key", "authorization", "api-key"])]
    key_header: Option<String>,
    /// The user agent sent to the host in place of the client's own, if the host requires one.
    #[arg(long, value_name = "TEXT", conflicts_with = "oauth_file")]
    user_agent: Option<String>,
    /// The host supports only OpenAI's Chat Completions, so calls of other protocols are converted: true or false. If
    /// left out, it is guessed from the address.
    #[arg(long, value_name = "BOOL", conflicts_with_all = ["oauth_file", "access_keys_file", "service_account_file"])]
    chat_only: Option<bool>,
    /// The api-version of Azure OpenAI, such as 2025-04-01-preview, if its dated API is called. A --base-url may also
    /// end with ?api-version=...
    #[arg(long, value_name = "VERSION", requires = "base_url", conflicts_with_all = ["oauth_file", "access_keys_file", "service_account_file"])]
    api_version: Option<String>,
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

/// Settings of every new account.
#[derive(Debug, Args)]
struct AccountOptions {
    #[arg(long, default_value = "", hide_default_value = true)]
    description: String,
    /// Priority: accounts with lower values are picked first.
    #[arg(long, value_name = "N")]
    priority: Option<u32>,
    /// Maximum number of concurrent calls; 0: unlimited.
    #[arg(long, value_name = "N")]
    max_concurrency: Option<u32>,
    /// The file that holds the proxy's address: http://, https:// or socks5://, then HOST:PORT or
    /// USER:PASSWORD@HOST:PORT.
    #[arg(long, value_name = "FILE")]
    proxy_file: Option<PathBuf>,
    /// Request the model TO when a client names FROM; repeat for more.
    #[arg(long, value_name = "FROM=TO")]
    map_model: Vec<String>,
}

#[derive(Debug, Args)]
struct AccountTest {
    #[command(flatten)]
    named: RecordName,
    /// The model to request.
    #[arg(long)]
    model: Option<String>,
}

/// Runs the command in `arguments` (the program's name first); `serve` starts the server.
pub fn run(
    arguments: impl IntoIterator<Item = OsString>,
    environment: &dyn Vars,
    serve: impl FnOnce() -> ExitCode,
) -> ExitCode {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version count as errors in clap, which prints them to the right place.
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
            // The log shows problems below the command, which reports its own.
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
        Command::Route(command) => route::run(command, environment, output).await,
        Command::Ledger(LedgerCommand::Verify(args)) => ledger::verify(args, environment, output).await,
        Command::Prices => prices::show(environment, output).await,
        Command::Account(command) => account::run(*command, environment, output).await,
        #[cfg(feature = "redis")]
        Command::Import(args) => import::run(*args, environment, output).await,
    }
}
