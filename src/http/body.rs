//! The client's request body, read once, bounded in size, memory and time.

use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http_body::Body as _;
use http_body_util::BodyExt as _;

use crate::error::{Code, Failure};
use crate::port::clock::{Clock, within};
use crate::state::body_memory::Reservation;

/// How long a client may take to send its body.
pub(super) const PATIENCE: Duration = Duration::from_mins(2);

/// And how long when the memory for bodies is full. In between, as the second half of it fills.
const LEAST_PATIENCE: Duration = Duration::from_secs(5);

/// How often a body that is waited for is looked at again: how full the memory is may have changed.
const LOOK: Duration = Duration::from_secs(1);

/// A body that takes longer than this must come at [`RATE`] from then on.
const SLOW_AFTER: Duration = Duration::from_secs(15);

/// Bytes per second, what the worst of networks does.
const RATE: u64 = 4 << 10;

/// How much of a refused body is still read, bytes: at least this,
const LEAST_SWALLOWED: usize = 64 << 10;
/// and at most this, which is what is read of a model call's.
pub(super) const MOST_SWALLOWED: usize = 32 << 20;

/// How long a refused client may go on sending.
const SWALLOW_FOR: Duration = Duration::from_secs(2);

/// The same for a model call, whose client may have megabytes to send.
const SWALLOW_LARGE_FOR: Duration = Duration::from_secs(5);

/// The initial capacity; most bodies are shorter.
const FIRST_ROOM: usize = 64 << 10;

/// Reads a body of at most `limit` bytes. Room is made as the bytes come: a client that announces much and sends
/// little holds little. One frame, the common case, is not copied. Of a refused body the rest is read and dropped,
/// within reason.
pub(super) async fn read(
    body: Body,
    limit: usize,
    memory: &mut Reservation,
    clock: &dyn Clock,
) -> Result<Bytes, Failure> {
    let announced = body.size_hint().exact().map(|length| length as usize);
    let most = limit.saturating_mul(2).clamp(LEAST_SWALLOWED, MOST_SWALLOWED);
    if announced.is_some_and(|length| length > limit) {
        swallow(body, most, clock).await;
        return Err(too_large(limit));
    }
    let mut arriving = Arriving {
        body,
        announced,
        began: clock.ticks(),
        read: 0,
        clock,
    };
    match arriving.collect(limit, memory).await {
        Err(failure) if matches!(failure.code, Code::BodyTooLarge | Code::BodyMemoryFull) => {
            memory.shrink_to(0);
            swallow(arriving.body, most, clock).await;
            Err(failure)
        }
        read => read,
    }
}

/// A body that is being read.
struct Arriving<'a> {
    body: Body,
    announced: Option<usize>,
    /// `Clock::ticks`.
    began: u64,
    /// Bytes so far.
    read: u64,
    clock: &'a dyn Clock,
}

impl Arriving<'_> {
    async fn collect(&mut self, limit: usize, memory: &mut Reservation) -> Result<Bytes, Failure> {
        let Some(first) = self.next(memory).await? else {
            return Ok(Bytes::new());
        };
        if first.len() <= limit && Some(first.len()) == self.announced {
            memory.grow_to(first.len(), self.clock).await?;
            return Ok(first);
        }
        let mut all = Vec::new();
        let mut data = Some(first);
        while let Some(more) = data {
            let length = all.len() + more.len();
            if length > limit {
                return Err(too_large(limit));
            }
            if length > all.capacity() {
                let room = self.room(all.capacity(), length).min(limit);
                memory.grow_to(room, self.clock).await?;
                all.reserve_exact(room - all.len());
            }
            all.extend_from_slice(&more);
            drop(more);
            data = self.next(memory).await?;
        }
        all.shrink_to_fit();
        memory.shrink_to(all.len());
        Ok(all.into())
    }

    /// The next frame, if it arrives in time.
    async fn next(&mut self, memory: &Reservation) -> Result<Option<Bytes>, Failure> {
        loop {
            if let Some(came) = within(self.clock, LOOK, next(&mut self.body)).await {
                if let Ok(Some(data)) = &came {
                    self.read += data.len() as u64;
                }
                return came;
            }
            let elapsed = Duration::from_micros(self.clock.ticks().saturating_sub(self.began));
            let owed = elapsed.saturating_sub(SLOW_AFTER).as_secs() * RATE;
            if elapsed >= patience(memory.memory().permille()) || self.read < owed {
                return Err(too_slow());
            }
        }
    }

    /// Room for `length` bytes, and for what will come: all that was announced if that is little, or else
    /// twice as much as before.
    fn room(&self, before: usize, length: usize) -> usize {
        let twice = (before * 2).max(FIRST_ROOM).max(length);
        self.announced
            .map_or(twice, |announced| twice.min(announced.max(length)))
    }
}

/// How long a client may take, by the share of the memory for bodies that is in use (thousandths).
fn patience(permille: usize) -> Duration {
    let over = u32::try_from(permille.clamp(500, 1000) - 500).unwrap_or(500);
    PATIENCE.saturating_sub(PATIENCE.saturating_sub(LEAST_PATIENCE) * over / 500)
}

/// Reads and drops the rest of a refused body, `most` bytes of it: a client that is still sending when the
/// answer comes sees a broken connection instead of the answer. Beyond that, and after a few seconds, a client
/// is not worth the time.
pub(super) async fn swallow(mut body: Body, most: usize, clock: &dyn Clock) {
    let time = if most < MOST_SWALLOWED {
        SWALLOW_FOR
    } else {
        SWALLOW_LARGE_FOR
    };
    let reads = async {
        let mut swallowed = 0;
        while swallowed <= most
            && let Ok(Some(data)) = next(&mut body).await
        {
            swallowed += data.len();
        }
    };
    let _ = within(clock, time, reads).await;
}

async fn next(body: &mut Body) -> Result<Option<Bytes>, Failure> {
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Failure::new(Code::InvalidBody, "The request's body broke off."))?;
        if let Ok(data) = frame.into_data() {
            return Ok(Some(data));
        }
    }
    Ok(None)
}

fn too_slow() -> Failure {
    Failure::new(
        Code::BodyTooSlow,
        "The request's body did not arrive in time. Please try again.",
    )
}

fn too_large(limit: usize) -> Failure {
    Failure::new(
        Code::BodyTooLarge,
        format!(
            "The request's body is larger than the {} MB this relay accepts. Shorten the conversation, or ask the operator to raise REQUEST_MAX_SIZE_MB.",
            limit >> 20
        ),
    )
}

#[cfg(test)]
mod tests;
