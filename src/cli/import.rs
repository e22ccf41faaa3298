//! Imports the data of a claude-relay-service: rehearsal, copy, proof.

mod shown;

use std::fs::File;
use std::io::{BufWriter, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{ArgGroup, Args};
use crs_edge::app::destinations;
use crs_edge::config::crs::variables;
use crs_edge::config::{self, Aimed, Config, CrsSettings, Vars};
use crs_edge::host::native::clock::NativeClock;
use crs_edge::host::native::crs_redis::CrsRedis;
use crs_edge::host::native::draft::Draft;
use crs_edge::host::native::first_run::{self, LayeredVars};
use crs_edge::host::native::{Native, Setup};
use crs_edge::import::copy::{Crs, ImportError, Logins, Mode, Progress, Run};
use crs_edge::import::export::ExportFile;
use crs_edge::import::report::{Report, VariableFate};
use crs_edge::import::source::{KeptValue, Source, SourceError};
use crs_edge::model::price::PriceBook;
use crs_edge::port::clock::Clock as _;

use super::api::unready;
use super::check::Generated;
use super::failure::Failure;
use super::output::Output;
use tokio::signal::unix::{SignalKind, signal};

/// Interval between progress lines without a terminal.
const LINE_EVERY: Duration = Duration::from_secs(10);

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("from").args(["redis", "file"]))]
pub(super) struct ImportArgs {
    /// The CRS's database, such as redis://:PASSWORD@HOST:PORT/DB; it is only read. Left out, the one that --env names. A password is better given by --env: other users see arguments.
    #[arg(long, value_name = "URL")]
    redis: Option<String>,
    /// An export file of the CRS instead: of its scripts, or of its address /admin/sync/export-accounts.
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// The CRS's .env: its ENCRYPTION_KEY opens its secrets, and says what to set here.
    #[arg(long, value_name = "FILE")]
    env: Option<PathBuf>,
    /// The CRS's data/init.json: the admin's login, for a relay that has none yet.
    #[arg(long, value_name = "FILE")]
    admin_file: Option<PathBuf>,
    /// Rehearse: report what would be imported and what cannot be, and write nothing.
    #[arg(long, conflicts_with_all = ["verify", "follow", "take_over"])]
    dry_run: bool,
    /// Compare what is here with the CRS, and write nothing. Ends with 1 if something differs.
    #[arg(long, conflicts_with_all = ["follow", "take_over"])]
    verify: bool,
    /// Import changes every N seconds, until it is stopped. Meanwhile the CRS refreshes the logins, and this
    /// relay uses its access tokens.
    #[arg(long, value_name = "N", conflicts_with = "file", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    follow: Option<u64>,
    /// The CRS is stopped (with --follow: will be, when this ends): from now on this relay uses its logins.
    #[arg(long)]
    take_over: bool,
    /// Where to: embedded, redis or upstash (with the addresses that are set), or redis://HOST:PORT/DB, with REDIS_PASSWORD set if it has one. Left out, the store that this relay is set to.
    #[arg(long, value_name = "WHERE")]
    to: Option<String>,
}

pub(super) async fn run(args: ImportArgs, environment: &dyn Vars, output: &Output) -> Result<(), Failure> {
    let crs = settings(&args)?;
    let aimed = Aimed::at(environment, args.to.as_deref())
        .map_err(|problems| Failure::Usage(problems.to_string()))?;
    let mut source = source(&args, &crs)?;
    let how = How {
        crs: Crs {
            keys: crs.keys.clone(),
            prefix: crs.prefix.clone(),
            utc_offset_minutes: crs.utc_offset_minutes,
            claude_fallback: crs.claude_fallback,
        },
        variables: fates(&crs),
        output,
    };
    if args.dry_run {
        let config = rehearsed(&aimed)?;
        let report = how.rehearse(&config, &mut *source).await?;
        how.tell(&report);
        return Ok(());
    }
    if let Some(file) = &args.admin_file {
        adopt_login(file, &PathBuf::from(config::data_dir(&aimed)), output)?;
    }
    let setup = Setup::prepare(&aimed).map_err(unready)?;
    let native = Native::open(&setup).await.map_err(unready)?;
    let done = how.with_store(&args, &native, &setup, &mut *source).await;
    native.close().await;
    done
}

/// The inputs shared by all rounds of a run.
struct How<'a> {
    crs: Crs,
    variables: Vec<VariableFate>,
    output: &'a Output,
}

impl How<'_> {
    async fn rehearse(&self, config: &Config, source: &mut dyn Source) -> Result<Report, Failure> {
        let clock = NativeClock::default();
        let shown = ProgressLine::new(self.output);
        let mut run = Run {
            mode: Mode::Rehearse,
            logins: Logins::Idle,
            crs: &self.crs,
            config,
            destinations: &destinations(config),
            clock: &clock,
            prices: &PriceBook::default(),
            target: None,
            progress: &|progress| shown.tell(&progress),
            keep: &mut |_| Ok(()),
        };
        let mut report = run.run(source).await.map_err(failed)?;
        shown.end();
        report.variables.clone_from(&self.variables);
        Ok(report)
    }

    async fn with_store(
        &self,
        args: &ImportArgs,
        native: &Native,
        setup: &Setup,
        source: &mut dyn Source,
    ) -> Result<(), Failure> {
        if args.verify {
            let report = self
                .round(native, setup, source, Mode::Verify, Logins::Idle)
                .await?;
            self.tell(&report);
            return if report.agrees() {
                Ok(())
            } else {
                Err(Failure::Negative(
                    "what is here is not what the CRS has".to_owned(),
                ))
            };
        }
        native
            .app
            .audit
            .event("import.crs", source.shown(), "claude-relay-service")
            .await
            .map_err(|error| Failure::Away(error.to_string()))?;
        let last = if args.take_over {
            Logins::TakenOver
        } else {
            Logins::Idle
        };
        if let Some(seconds) = args.follow {
            self.follow(native, setup, source, Duration::from_secs(seconds))
                .await?;
        }
        let report = self.round(native, setup, source, Mode::Copy, last).await?;
        self.tell(&report);
        Ok(())
    }

    /// Copies repeatedly until it is stopped. Outages of either side do not end it.
    async fn follow(
        &self,
        native: &Native,
        setup: &Setup,
        source: &mut dyn Source,
        every: Duration,
    ) -> Result<(), Failure> {
        let ended = |error: std::io::Error| Failure::Failed(format!("no signal can be waited for: {error}"));
        let mut interrupt = signal(SignalKind::interrupt()).map_err(ended)?;
        let mut terminate = signal(SignalKind::terminate()).map_err(ended)?;
        // A round may be dropped at any point: the next run finishes it.
        let told_to_end = async {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
        };
        let rounds = async {
            loop {
                let round = self.round(native, setup, source, Mode::Copy, Logins::Followed);
                match round.await {
                    Ok(report) => self.output.note(&shown::round(&report)),
                    Err(Failure::Away(why)) => self
                        .output
                        .note(&format!("{why}; it is tried again in {} s", every.as_secs())),
                    Err(error) => return error,
                }
                tokio::time::sleep(every).await;
            }
        };
        tokio::select! {
            () = told_to_end => Ok(()),
            error = rounds => Err(error),
        }
    }

    async fn round(
        &self,
        native: &Native,
        setup: &Setup,
        source: &mut dyn Source,
        mode: Mode,
        logins: Logins,
    ) -> Result<Report, Failure> {
        let app = &native.app;
        let mut kept = LeftOverFile::new(&setup.data_dir);
        let shown = ProgressLine::new(self.output);
        let mut run = Run {
            mode,
            logins,
            crs: &self.crs,
            config: &setup.config,
            destinations: &app.destinations,
            clock: &*app.ports.clock,
            prices: &app.prices(),
            target: Some(native.import_target()),
            progress: &|progress| shown.tell(&progress),
            keep: &mut |value| kept.write(value),
        };
        let mut report = run.run(source).await.map_err(failed)?;
        shown.end();
        app.ports.store.kind().clone_into(&mut report.target);
        report.kept_in = kept.end().map_err(Failure::Failed)?;
        report.variables.clone_from(&self.variables);
        Ok(report)
    }

    fn tell(&self, report: &Report) {
        let value = serde_json::to_value(report).unwrap_or_default();
        self.output.result(&value, || shown::report(report));
    }
}

fn settings(args: &ImportArgs) -> Result<CrsSettings, Failure> {
    let text = match &args.env {
        Some(file) => std::fs::read_to_string(file)
            .map_err(|error| Failure::Usage(format!("{} cannot be read: {error}", file.display())))?,
        None => String::new(),
    };
    Ok(CrsSettings::read(&text))
}

fn source(args: &ImportArgs, crs: &CrsSettings) -> Result<Box<dyn Source>, Failure> {
    if let Some(file) = &args.file {
        return Ok(Box::new(ExportFile::new(file)));
    }
    let (url, shown) = match (&args.redis, &crs.redis) {
        (Some(url), _) => {
            let shown = url.rsplit_once('@').map_or_else(
                || url.split_once("://").map_or(url.as_str(), |(_, rest)| rest),
                |(_, rest)| rest,
            );
            (url.clone(), shown.to_owned())
        }
        (None, Some(redis)) => (redis.url.reveal().to_owned(), redis.shown.clone()),
        (None, None) => {
            return Err(Failure::Usage(
                "where is the CRS? --redis URL names its database, --file FILE an export; or --env FILE names its \
                 database by REDIS_HOST"
                    .to_owned(),
            ));
        }
    };
    let source = CrsRedis::new(&url, shown).map_err(|error| failed(ImportError::Source(error)))?;
    Ok(Box::new(source))
}

/// The settings as at a start, without generating anything.
fn rehearsed(vars: &dyn Vars) -> Result<Config, Failure> {
    let data_dir = PathBuf::from(config::data_dir(vars));
    let layered = LayeredVars::read(vars, &data_dir).map_err(Failure::Usage)?;
    let missing = layered.missing();
    Config::read(&Generated {
        vars: &layered,
        missing: &missing,
    })
    .map_err(|problems| Failure::Usage(problems.to_string()))
}

/// Stores the login in CRS's file format, from which a first start reads it.
fn adopt_login(file: &Path, data_dir: &Path, output: &Output) -> Result<(), Failure> {
    let text = std::fs::read(file)
        .map_err(|error| Failure::Usage(format!("{} cannot be read: {error}", file.display())))?;
    let login: serde_json::Value = serde_json::from_slice(&text).map_err(|error| {
        Failure::Usage(format!(
            "{} is not an init.json of a CRS: {error}",
            file.display()
        ))
    })?;
    let part = |name: &str| {
        login
            .get(name)
            .and_then(serde_json::Value::as_str)
            .is_some_and(|part| !part.is_empty())
    };
    if !part("adminUsername") || !part("adminPassword") {
        return Err(Failure::Usage(format!(
            "{} holds no login of an admin",
            file.display()
        )));
    }
    if first_run::login_file(data_dir).is_some() {
        output.note("This relay has an admin login already; --admin-file is left out.");
        return Ok(());
    }
    first_run::create_data_dir(data_dir).map_err(Failure::Failed)?;
    first_run::write_private(&data_dir.join("init.json"), &text).map_err(Failure::Failed)
}

fn fates(crs: &CrsSettings) -> Vec<VariableFate> {
    let fate = |(name, value): &(String, String)| {
        Some(VariableFate {
            name: name.clone(),
            fate: variables::fate(name, value)?,
        })
    };
    crs.variables
        .iter()
        .filter(|(_, value)| !value.is_empty())
        .filter_map(fate)
        .collect()
}

fn failed(error: ImportError) -> Failure {
    let text = error.to_string();
    match error {
        ImportError::Source(SourceError::Unusable(_)) | ImportError::Refused(_) => Failure::Usage(text),
        ImportError::Source(SourceError::Away(_)) | ImportError::Store(_) => Failure::Away(text),
        ImportError::Keep(_) => Failure::Failed(text),
    }
}

/// The file for data that this relay does not support, beside its own data.
struct LeftOverFile {
    file: PathBuf,
    out: Option<(Draft, BufWriter<File>)>,
}

impl LeftOverFile {
    fn new(data_dir: &Path) -> Self {
        Self {
            file: data_dir.join("crs-import-kept.jsonl"),
            out: None,
        }
    }

    fn write(&mut self, value: &KeptValue) -> std::io::Result<()> {
        let (_, out) = match &mut self.out {
            Some(out) => out,
            None => {
                let draft = Draft::at(self.file.with_extension(format!("{}.new", std::process::id())))?;
                let out = BufWriter::new(draft.file().try_clone()?);
                self.out.insert((draft, out))
            }
        };
        serde_json::to_writer(&mut *out, value)?;
        out.write_all(b"\n")
    }

    /// Replaces an earlier file when it is complete.
    fn end(self) -> Result<Option<String>, String> {
        let Some((draft, mut out)) = self.out else {
            return Ok(None);
        };
        let shown = self.file.display().to_string();
        out.flush()
            .and_then(|()| draft.keep(&self.file))
            .map_err(|error| format!("{shown} cannot be written: {error}"))?;
        Ok(Some(shown))
    }
}

/// Progress on standard error: in one line on a terminal, in occasional lines elsewhere.
struct ProgressLine<'a> {
    output: &'a Output,
    clock: NativeClock,
    began: u64,
    reported: std::sync::atomic::AtomicU64,
    terminal: bool,
}

impl<'a> ProgressLine<'a> {
    fn new(output: &'a Output) -> Self {
        let clock = NativeClock::default();
        let began = clock.now();
        Self {
            output,
            clock,
            began,
            reported: began.into(),
            terminal: std::io::stderr().is_terminal(),
        }
    }

    fn tell(&self, progress: &Progress) {
        use std::sync::atomic::Ordering;
        if self.output.is_json() {
            return;
        }
        let now = self.clock.now();
        let since = now.saturating_sub(self.reported.load(Ordering::Relaxed));
        let every = if self.terminal {
            200
        } else {
            LINE_EVERY.as_millis() as u64
        };
        if since < every {
            return;
        }
        self.reported.store(now, Ordering::Relaxed);
        let line = shown::progress(progress, now.saturating_sub(self.began));
        let mut err = std::io::stderr().lock();
        let _ = if self.terminal {
            write!(err, "\r\x1b[K{line}").and_then(|()| err.flush())
        } else {
            writeln!(err, "{line}")
        };
    }

    fn end(&self) {
        if self.terminal && !self.output.is_json() {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}
