//! Background tasks: the ledger's writer, saves, reloads, removals, scheduled backups.

use std::time::Duration;

use tokio::task::JoinHandle;

use super::Native;
use crate::app::App;
use crate::relay::{ledger_writer, refusal_writer};

/// Interval of reloads of cached settings from a store that other processes write too; longer where each read is
/// billed.
const LOOK_AGAIN: Duration = Duration::from_millis(500);
const LOOK_AGAIN_BILLED: Duration = Duration::from_secs(10);

/// Interval of the removal of old records.
const DAY: Duration = Duration::from_hours(24);

/// Starts the background tasks: the ledger's writer, which ends when the outbox is closed, and others, which
/// do not end.
#[expect(
    clippy::disallowed_methods,
    reason = "their ends are waited for by name, not with the tasks of calls"
)]
pub(super) fn start(native: &Native) -> (JoinHandle<()>, JoinHandle<()>) {
    let ledger = tokio::task::spawn(ledger_writer::run(native.app.clone()));
    let (gates, app, backups) = (native.gates.clone(), native.app.clone(), native.backups.clone());
    let others = tokio::task::spawn(async move {
        tokio::join!(
            gates.keep(),
            write_refusals(app.clone()),
            look_again(app.clone()),
            tidy(app),
            backups.keep_schedule()
        );
    });
    (ledger, others)
}

async fn write_refusals(app: App) {
    loop {
        tokio::time::sleep(refusal_writer::WRITE_EVERY).await;
        refusal_writer::write_logged(&app).await;
    }
}

/// Removes records past their retention, once a day.
async fn tidy(app: App) {
    loop {
        if let Err(error) = app.ledger.forget(app.ports.clock.now()).await {
            tracing::warn!(%error, "old records of calls are still there");
        }
        tokio::time::sleep(DAY).await;
    }
}

/// Reloads cached settings, which another process on the same store may have changed.
async fn look_again(app: App) {
    let every = if app.ports.store.kind() == "upstash" {
        LOOK_AGAIN_BILLED
    } else {
        LOOK_AGAIN
    };
    let mut is_away = false;
    while app.ports.store.shared() {
        tokio::time::sleep(every).await;
        let was_away = is_away;
        is_away = match app.load().await {
            Ok(()) => false,
            Err(error) => {
                if !was_away {
                    tracing::warn!(%error, "the prices of the operator cannot be read again");
                }
                true
            }
        };
    }
}
