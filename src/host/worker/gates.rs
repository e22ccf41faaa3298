//! The machines from a request's side: messages to Durable Objects.
//!
//! Commands may be repeated without harm, so one that got no answer is sent once more, but for a settlement. A
//! call that has to wait (for its slot, or for a token's renewal) asks a second time, and the object holds that
//! answer back: nobody polls.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use crs_durable::{CallId, gate, pool};
use serde::Serialize;
use serde::de::DeserializeOwned;
use worker::send::SendFuture;
use worker::{Method, ObjectNamespace, RequestInit};

use super::billed::Billed;
use super::clock::EdgeClock;
use super::messages::{COMMANDS, ROWS_WRITTEN, WAIT};
use crate::model::account::Platform;
use crate::port::clock::{Clock as _, within};
use crate::port::gates::{Gates, GatesError, KeepsEvents, KeyHash};

/// An object answers within milliseconds, or it is being moved and will not.
const PATIENCE: Duration = Duration::from_secs(5);

/// Before a command is sent once more.
const PAUSE: Duration = Duration::from_millis(50);

pub(super) struct EdgeGates {
    pub(super) gates: ObjectNamespace,
    pub(super) pools: ObjectNamespace,
    pub(super) keeps: KeepsEvents,
    pub(super) billed: Arc<Billed>,
    pub(super) clock: EdgeClock,
}

#[async_trait]
impl Gates for EdgeGates {
    async fn gate(&self, key: &KeyHash, command: gate::Command) -> Result<gate::Reply, GatesError> {
        let key = key.hex();
        let mut command = command;
        let mut how = How {
            // A settlement's sender has its own way of saying something twice.
            again: !matches!(command, gate::Command::Settle { .. }),
            ..How::default()
        };
        loop {
            let reply = self.tell("gate", &self.gates, &key, &command, &how).await?;
            let (gate::Command::Admit(admit), gate::Reply::Queued { until, wait_ms, .. }) =
                (&mut command, &reply)
            else {
                return Ok(reply);
            };
            // From now on the object holds its answer back until there is a slot, or none in time.
            admit.queued_until = Some(*until);
            how.wait = Some((admit.call, Duration::from_millis(*wait_ms)));
        }
    }

    async fn pool(&self, platform: Platform, command: pool::Command) -> Result<pool::Reply, GatesError> {
        let mut command = command;
        let mut how = How {
            again: true,
            ..How::default()
        };
        loop {
            let reply = self
                .tell("pool", &self.pools, platform.name(), &command, &how)
                .await?;
            let (
                pool::Command::BeginRefresh {
                    call,
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
            // From now on the object holds its answer back until the renewal is over. An election lasts no
            // longer than its time to live, whatever the clocks of the two say.
            *waited_for = Some(*round);
            how.wait = Some((*call, Duration::from_millis(*ttl_ms)));
        }
    }

    fn in_process(&self) -> bool {
        false
    }

    fn keeps_events(&self) -> Option<KeepsEvents> {
        Some(self.keeps)
    }
}

/// How a command is sent.
#[derive(Default)]
struct How {
    /// It may be sent once more.
    again: bool,
    /// The call may be made to wait for so long.
    wait: Option<(CallId, Duration)>,
}

impl EdgeGates {
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
        let patience = PATIENCE + how.wait.map_or(Duration::ZERO, |(_, wait)| wait);
        let mut tries = 1 + u32::from(how.again);
        loop {
            let told = SendFuture::new(self.tell_once(objects, name, &command, how));
            let error = match within(&self.clock, patience, told).await {
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

    /// A stub belongs to the request that made it.
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
        if let Some((call, _)) = how.wait {
            init.headers.set(WAIT, &format!("{:x}", call.0))?;
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
