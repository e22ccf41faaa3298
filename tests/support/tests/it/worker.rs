//! The launcher of the Worker: however it ends, workerd ends with it.

use std::path::PathBuf;

use crs_support::eventually;
use crs_support::relay::Relay;
use rustix::process::{Pid, Signal, kill_process};

async fn worker() -> Relay {
    let checkout = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..");
    Relay::worker(checkout.canonicalize().unwrap()).start().await
}

/// Waits until the process runs no more; one that nobody has waited for yet counts as ended.
async fn ended(id: u32) {
    eventually("the end of workerd", async || {
        let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
        let state = stat.rsplit(')').next()?.trim_start().chars().next();
        matches!(state, None | Some('Z' | 'X')).then_some(())
    })
    .await;
}

#[tokio::test]
async fn asked_to_end_it_ends_workerd() {
    let mut relay = worker().await;
    let workerd = relay.pid();
    assert_ne!(workerd, relay.process().id());
    assert_eq!(relay.terminate().await, Some(0));
    ended(workerd).await;
    // On the same data it is the same relay: the session of before is good.
    relay.start_again().await;
    relay.admin().get("/web/auth/user").await.good();
}

#[tokio::test]
async fn killed_it_takes_workerd_along() {
    let mut relay = worker().await;
    let workerd = relay.pid();
    let launcher = i32::try_from(relay.process().id()).unwrap();
    // It alone, and not the group that it leads.
    kill_process(Pid::from_raw(launcher).unwrap(), Signal::KILL).unwrap();
    ended(workerd).await;
}

#[tokio::test]
async fn dropped_it_leaves_nothing() {
    let relay = worker().await;
    let (workerd, data) = (relay.pid(), relay.data().to_owned());
    drop(relay);
    ended(workerd).await;
    assert!(!data.exists());
}
