//! Gates and pools as seen from a request: messages to Durable Objects.
//!
//! Commands are idempotent, so a command without an answer is sent once more, except for settlements. A call that
//! has to wait (for its slot, or for a token's renewal) sends a second command whose answer the object holds
//! back, so nobody polls.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use crs_durable::pool::shards::Shards;
use crs_durable::{gate, pool};
use serde::Serialize;
use serde::de::DeserializeOwned;
use worker::send::SendFuture;
use worker::{Method, ObjectNamespace, RequestInit};

use super::billed::Billed;
use super::clock::EdgeClock;
use super::messages::{COMMANDS, ROWS_WRITTEN, WAIT};
use crate::model::account::Platform;
use crate::port::clock::{Clock as _, within};
use crate::port::gates::{Gates, GatesError, HomeFigures, KeyHash, shard_name, through_shards};

/// Timeout for an object, which normally answers within milliseconds unless it is being moved.
const PATIENCE: Duration = Duration::from_secs(5);

/// Pause before a command is repeated.
const PAUSE: Duration = Duration::from_millis(50);

/// The runtime does not promise to deliver two messages to one object in order: the last `Admit` of a call whose
/// client has left may still be on its way for this long.
const LATE: Duration = Duration::from_secs(1);

pub(super) struct EdgeGates {
    pub(super) gates: ObjectNamespace,
    pub(super) pools: ObjectNamespace,
    /// Of each pool.
    pub(super) shards: Shards,
    pub(super) billed: Arc<Billed>,
    pub(super) clock: EdgeClock,
}

#[async_trait]
impl Gates for EdgeGates {
    async fn gate(&self, key: &KeyHash, command: gate::Command) -> Result<gate::Reply, GatesError> {
        let key = key.hex();
        let mut command = command;
        let mut how = How {
            // The sender of a settlement repeats it itself.
            again: !matches!(command, gate::Command::Settle { .. }),
            ..How::default()
        };
        if matches!(command, gate::Command::Cancel { .. }) {
            self.tell::<_, gate::Reply>("gate", &self.gates, &key, &command, &how)
                .await?;
            self.clock.sleep(LATE).await;
        }
        loop {
            let reply = self.tell("gate", &self.gates, &key, &command, &how).await?;
            let (gate::Command::Admit(admit), gate::Reply::Queued { until, wait_ms, .. }) =
                (&mut command, &reply)
            else {
                return Ok(reply);
            };
            // From now on the object holds its answer back until there is a slot, or until the wait times out.
            admit.queued_until = Some(*until);
            how.wait = Some(Duration::from_millis(*wait_ms));
        }
    }

    async fn pool(&self, platform: Platform, command: pool::Command) -> Result<pool::Reply, GatesError> {
        let ask = |shard, command| self.shard(platform, shard, command);
        through_shards(self.shards, command, ask).await
    }

    fn in_process(&self) -> bool {
        false
    }

    fn home(&self) -> HomeFigures {
        HomeFigures::of("durable_object")
    }
}

/// Options for sending a command.
#[derive(Default)]
struct How {
    /// The command may be repeated.
    again: bool,
    /// The object may hold its answer back for this long.
    wait: Option<Duration>,
}

impl EdgeGates {
    /// Asks one shard of a pool.
    async fn shard(
        &self,
        platform: Platform,
        shard: usize,
        mut command: pool::Command,
    ) -> Result<pool::Reply, GatesError> {
        let name = shard_name(platform, shard);
        let mut how = How {
            again: true,
            ..How::default()
        };
        loop {
            let reply = self.tell("pool", &self.pools, &name, &command, &how).await?;
            let (
                pool::Command::BeginRefresh {
                    ttl_ms,
                    waits: true,
                    waited_for,
                    ..
                },
                pool::Reply::RefreshBusy { round, .. },
            ) = (&mut command, &reply)
            else {
                return Ok(reply);
            };
            // From now on the object holds its answer back until the renewal ends. An election ends after its
            // time to live at the latest, even if the clocks differ.
            *waited_for = Some(*round);
            how.wait = Some(Duration::from_millis(*ttl_ms));
        }
    }

    async fn tell<C: Serialize, R: DeserializeOwned>(
        &self,
        machine: &'static str,
        objects: &ObjectNamespace,
        name: &str,
        command: &C,
        how: &How,
    ) -> Result<R, GatesError> {
        let away = |reason: String| GatesError { machine, reason };
        let command = serde_json::to_string(command).map_err(|error| away(error.to_string()))?;
        let patience = PATIENCE + how.wait.unwrap_or_default();
        let mut tries = 1 + u32::from(how.again);
        loop {
            let answer = SendFuture::new(self.tell_once(objects, name, &command, how));
            let error = match within(&self.clock, patience, answer).await {
                Some(Ok(reply)) => match serde_json::from_slice(reply.as_bytes()) {
                    Ok(reply) => return Ok(reply),
                    Err(error) => return Err(away(format!("its answer cannot be read: {error}"))),
                },
                Some(Err(error)) => error.to_string(),
                None => format!("no answer within {} s", patience.as_secs()),
            };
            tries -= 1;
            if tries == 0 {
                return Err(away(error));
            }
            self.clock.sleep(PAUSE).await;
        }
    }

    /// A stub belongs to the request that created it.
    async fn tell_once(
        &self,
        objects: &ObjectNamespace,
        name: &str,
        command: &str,
        how: &How,
    ) -> worker::Result<String> {
        self.billed.object_call();
        let mut init = RequestInit::new();
        init.with_method(Method::Post).with_body(Some(command.into()));
        if how.wait.is_some() {
            init.headers.set(WAIT, "1")?;
        }
        let request = worker::Request::new_with_init("https://object/", &init)?;
        let mut answer = objects.get_by_name(name)?.fetch_with_request(request).await?;
        let text = answer.text().await?;
        if answer.status_code() != 200 {
            return Err(worker::Error::RustError(text));
        }
        let figure = |name: &str| answer.headers().get(name).ok().flatten()?.parse().ok();
        self.billed
            .by_object(figure(ROWS_WRITTEN).unwrap_or(0), figure(COMMANDS).unwrap_or(0));
        Ok(text)
    }
}
