//! Shutdown: signals, the time for running calls, and the last writes.

use std::time::Duration;

use tokio::sync::watch;

use super::machines::Machines;
use super::spill_file::SpillFile;
use super::{StartError, restore};
use crate::app::App;
use crate::config::Config;
use crate::relay::ledger_writer::spill::{self, Tally};
use crate::state::outbox;

/// After this long without success records are also kept in the data folder.
const SOON: Duration = Duration::from_secs(1);

/// Default of `SHUTDOWN_NOTICE` for a process with shared limits.
const NOTICE: Duration = Duration::from_secs(3);

/// How long it still accepts calls after the signal, so that a balancer sees `/health` first. Without shared limits
/// there is usually no other process to send calls to.
pub(super) fn notice(config: &Config, machines: &Machines) -> Duration {
    let own = match machines {
        Machines::Own(_) => Duration::ZERO,
        Machines::Shared(_) => NOTICE,
    };
    config.server.shutdown_notice.unwrap_or(own)
}

/// SIGTERM and SIGINT, counted.
pub(super) struct Signals(watch::Receiver<u32>);

impl Signals {
    /// Resolves at the signal with this number.
    pub(super) fn count(&self, number: u32) -> impl Future<Output = ()> + use<> {
        let mut counted = self.0.clone();
        async move {
            if counted.wait_for(|count| *count >= number).await.is_err() {
                let () = std::future::pending().await;
            }
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "it ends with the process")]
pub(super) fn signals() -> Signals {
    use tokio::signal::unix::{SignalKind, signal};
    let (count, counted) = watch::channel(0);
    if let (Ok(mut term), Ok(mut int)) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt())) {
        tokio::task::spawn(async move {
            loop {
                tokio::select! {
                    _ = term.recv() => {}
                    _ = int.recv() => {}
                }
                count.send_modify(|count| *count += 1);
            }
        });
    }
    Signals(counted)
}

/// Waits for the last writes, within a time limit. Records that the store does not accept at once are kept in the
/// reserved file, in time before the service manager kills the process.
pub(super) async fn last_words(
    app: &App,
    mut room: Option<SpillFile>,
    writes: impl Future<Output = ()>,
) -> Result<(), StartError> {
    let mut writes = std::pin::pin!(writes);
    let limit = app.config.ledger.last_writes;
    let soon = SOON.min(limit / 2);
    let limit = if app.ending.hurries() { soon * 2 } else { limit };
    if tokio::time::timeout(soon, &mut writes).await.is_ok() {
        return Ok(());
    }
    keep(app, room.as_mut());
    if tokio::time::timeout(limit.saturating_sub(soon), &mut writes)
        .await
        .is_ok()
    {
        // The ledger has these records by now, so this only forgets them. The file may also have the leftovers of an
        // earlier run.
        restore(app, room.as_mut()).await;
        return Ok(());
    }
    let unwritten = app.outbox.unwritten();
    let waited = Tally::of(unwritten.iter().map(outbox::SettledEvent::event));
    if waited.records == 0 {
        tracing::error!("the store did not take the last state of limits and accounts in time");
        return Ok(());
    }
    // More calls may have ended since.
    let unkept = keep(app, room.as_mut());
    if unkept.records == 0 {
        tracing::error!(
            records = waited.records,
            cost = %waited.cost,
            "the store did not take the last records of calls; they are kept in the data folder for the next start"
        );
        return Ok(());
    }
    // A sent write may still take effect: a store that hangs reads it when it continues.
    tracing::error!(
        records = unkept.records,
        cost = %unkept.cost,
        "records of calls may be missing from the ledger: the store did not confirm them in time, and they could not be kept in the data folder"
    );
    Err(StartError::RecordsUnconfirmed(format!(
        "{} records of calls, {} in all, may be missing from the ledger: the store did not confirm them in time, and the data folder has no room reserved for them. Writes that the store was sent may still arrive there",
        unkept.records, unkept.cost
    )))
}

/// Keeps unwritten records in the file. Returns the ones that could not be kept.
fn keep(app: &App, room: Option<&mut SpillFile>) -> Tally {
    let unwritten = app.outbox.unwritten();
    let all = Tally::of(unwritten.iter().map(outbox::SettledEvent::event));
    let keys: std::collections::HashSet<_> =
        unwritten.iter().map(outbox::SettledEvent::key).cloned().collect();
    let gates = keys.iter().flat_map(|key| app.ports.gates.kept(key)).collect();
    let Some(room) = room else {
        return all;
    };
    spill::put(room, unwritten, gates).unwrap_or_else(|error| {
        tracing::error!(%error, "records of calls cannot be kept in the data folder");
        all
    })
}

pub(super) fn tell_unwritten(app: &App) {
    let events = app.outbox.waiting().events;
    tracing::error!(events, "the store did not take the last writes in time");
}
