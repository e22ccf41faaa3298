//! Reads the client's request body once, with limits on size, memory and time.

use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http_body::Body as _;
use http_body_util::BodyExt as _;

use crate::error::{Code, Failure};
use crate::port::clock::{Clock, within};
use crate::state::body_memory::Reservation;

/// Maximum time for a client to send its body.
pub(super) const PATIENCE: Duration = Duration::from_mins(2);

/// The same when the body memory is full. In between, while its second half fills, the limit decreases.
const LEAST_PATIENCE: Duration = Duration::from_secs(5);

/// Interval at which the memory's fill level is checked again while waiting.
const LOOK: Duration = Duration::from_secs(1);

/// Bodies that take longer than this must arrive at [`RATE`] from then on.
const SLOW_AFTER: Duration = Duration::from_secs(15);

/// Minimum rate, bytes per second, as even very bad networks achieve.
const RATE: u64 = 4 << 10;

/// Part of a refused body that is still read, bytes: at least this,
const LEAST_SWALLOWED: usize = 64 << 10;
/// and at most this, which applies to model calls.
pub(super) const MOST_SWALLOWED: usize = 32 << 20;

/// Time limit for reading the rest of a refused body.
const SWALLOW_FOR: Duration = Duration::from_secs(2);

/// The same for a model call, whose client may have megabytes to send.
const SWALLOW_LARGE_FOR: Duration = Duration::from_secs(5);

/// The initial capacity; most bodies are shorter.
const FIRST_ROOM: usize = 64 << 10;

/// Reads a body of at most `limit` bytes. Memory is reserved as the bytes arrive: a client that announces much
/// and sends little occupies little. A body of one frame, the common case, is not copied. The rest of a refused
/// body is read and dropped within limits.
pub(super) async fn read(
    body: Body,
    limit: usize,
    memory: &mut Reservation,
    clock: &dyn Clock,
) -> Result<Bytes, Failure> {
    let announced = body.size_hint().exact().map(|length| length as usize);
    let most = limit.saturating_mul(2).clamp(LEAST_SWALLOWED, MOST_SWALLOWED);
    if announced.is_some_and(|length| length > limit) {
        Box::pin(swallow(body, most, clock)).await;
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
            Box::pin(swallow(arriving.body, most, clock)).await;
            Err(failure)
        }
        read => read,
    }
}

/// A body being read.
struct Arriving<'a> {
    body: Body,
    announced: Option<usize>,
    /// `Clock::ticks`.
    began: u64,
    /// Bytes received so far.
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

    /// The capacity for `length` bytes and later ones: all that was announced if that is little, otherwise double
    /// the previous capacity.
    fn room(&self, before: usize, length: usize) -> usize {
        let twice = (before * 2).max(FIRST_ROOM).max(length);
        self.announced
            .map_or(twice, |announced| twice.min(announced.max(length)))
    }
}

/// Time limit for a client, by the share of body memory in use (permille).
fn patience(permille: usize) -> Duration {
    let over = u32::try_from(permille.clamp(500, 1000) - 500).unwrap_or(500);
    PATIENCE.saturating_sub(PATIENCE.saturating_sub(LEAST_PATIENCE) * over / 500)
}

/// Reads and drops up to `most` bytes of a refused body: a client that is still sending when the answer arrives
/// would see a broken connection in place of the answer. Gives up after the time limit.
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
