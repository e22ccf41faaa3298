//! Log lines on stderr.

use tracing::Level;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::config;

/// Starts logging by the settings. Libraries log from `warn` up, unless everything is wanted.
pub fn start(log: &config::Log) {
    let level = log.level.parse().unwrap_or(Level::INFO);
    let others = if level == Level::TRACE {
        LevelFilter::TRACE
    } else {
        LevelFilter::WARN
    };
    let filter = Targets::new()
        .with_default(others)
        .with_target("crs_edge", level)
        // Changes by admins are logged at every level except `off`.
        .with_target("audit", Level::INFO);
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let registry = tracing_subscriber::registry().with(filter);
    // A second start in one process (tests) keeps the first.
    let _ = if log.json {
        registry.with(lines.json()).try_init()
    } else {
        registry
            .with(
                lines
                    .with_target(false)
                    .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())),
            )
            .try_init()
    };
}
