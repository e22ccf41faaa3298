//! Writes log lines to the console, which `wrangler tail` and Workers Logs read: one JSON object per line.

use std::io::{self, Write};
use std::sync::Once;

use tracing::level_filters::LevelFilter;
use tracing::{Level, Metadata};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::config;

static STARTED: Once = Once::new();

/// Starts logging according to the settings, once per isolate.
pub(super) fn start(log: &config::Log) {
    STARTED.call_once(|| {
        let filter = Targets::new()
            .with_default(LevelFilter::WARN)
            .with_target("crs_edge", log.level.parse().unwrap_or(Level::INFO))
            // Changes by admins are logged at every level but `off`.
            .with_target("audit", Level::INFO);
        let lines = tracing_subscriber::fmt::layer()
            .json()
            // The platform adds its own time to each line.
            .without_time()
            .with_writer(Console);
        let _ = tracing_subscriber::registry().with(filter).with(lines).try_init();
    });
}

struct Console;

impl<'a> MakeWriter<'a> for Console {
    type Writer = Line;

    fn make_writer(&'a self) -> Line {
        Line::of(Level::INFO)
    }

    fn make_writer_for(&'a self, meta: &Metadata<'_>) -> Line {
        Line::of(*meta.level())
    }
}

/// One line, written when it is complete, with the console method of its level.
struct Line {
    level: Level,
    text: Vec<u8>,
}

impl Line {
    fn of(level: Level) -> Self {
        Self {
            level,
            text: Vec::new(),
        }
    }
}

impl Write for Line {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.text.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        let line = String::from_utf8_lossy(&self.text);
        let line = line.trim_end();
        match self.level {
            Level::ERROR => worker::console_error!("{line}"),
            Level::WARN => worker::console_warn!("{line}"),
            _ => worker::console_log!("{line}"),
        }
    }
}
