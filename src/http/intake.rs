//! Reads, decompresses and scans a call's body.
//!
//! Work of more than a millisecond runs outside of the event loops, so that streams continue.

use axum::body::Body;
use axum::http::{HeaderMap, header};
use bytes::Bytes;

use super::body;
use crate::app::App;
use crate::dialect::body::coding::{Coding, UnpackError, Unpacker};
use crate::dialect::call::PackedBody;
use crate::error::{Code, Failure};
use crate::port::tasks::computed;
use crate::state::body_memory::Reservation;

/// Bodies above this size are costly: the slot is reserved first, and they are scanned outside of the event
/// loops. Bytes.
pub(super) const LARGE: usize = 1 << 20;

/// Whether the body is costly enough to ask the gate first: large, compressed, or of unknown length.
pub(super) fn is_costly(headers: &HeaderMap, coding: Option<Coding>) -> bool {
    let length = headers.get(header::CONTENT_LENGTH);
    let length = length.and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    coding.is_some() || length.is_none_or(|length| length > LARGE)
}

/// The compression of the body.
pub(super) fn coding(headers: &HeaderMap) -> Result<Option<Coding>, Failure> {
    Coding::of(headers).map_err(closed)
}

/// Returns the body to parse, and the original one if it was compressed.
pub(super) async fn take(
    app: &App,
    body: Body,
    coding: Option<Coding>,
    memory: &mut Reservation,
) -> Result<(Bytes, Option<PackedBody>), Failure> {
    let limit = app.config.relay.max_body;
    let came = body::read(body, limit, memory, &*app.ports.clock).await?;
    let Some(coding) = coding else {
        return Ok((came, None));
    };
    let text = Box::pin(unpack(app, coding, came.clone(), limit, memory)).await?;
    let packed = PackedBody {
        bytes: came,
        coding: coding.header(),
    };
    Ok((text, Some(packed)))
}

async fn unpack(
    app: &App,
    coding: Coding,
    came: Bytes,
    limit: usize,
    memory: &mut Reservation,
) -> Result<Bytes, Failure> {
    let beside = came.len();
    let mut unpacker = Unpacker::new(coding, came, limit).map_err(closed)?;
    let mut first = true;
    loop {
        memory
            .grow_to(beside + unpacker.needs(), &*app.ports.clock)
            .await?;
        let before = unpacker.text_length();
        // Nearly all bodies are small and complete after one turn.
        let whole = if std::mem::take(&mut first) && beside <= LARGE {
            unpacker.turn()
        } else {
            let (unpacking, whole) = apart(app, move || {
                let whole = unpacker.turn();
                (unpacker, whole)
            })
            .await?;
            unpacker = unpacking;
            whole
        };
        app.body_memory.unpacked(unpacker.text_length() - before);
        if whole.map_err(closed)? {
            let text = unpacker.text();
            memory.shrink_to(beside + text.len());
            return Ok(text);
        }
    }
}

/// Runs `job` where it blocks no stream.
pub(super) async fn apart<T: Send + 'static>(
    app: &App,
    job: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Failure> {
    let value = computed(&*app.ports.tasks, job).await;
    value.ok_or_else(|| Failure::new(Code::Internal, "The relay could not read the request's body."))
}

fn closed(closed: UnpackError) -> Failure {
    let code = match closed {
        UnpackError::TooLarge | UnpackError::TooDense => Code::BodyTooLarge,
        UnpackError::Unknown | UnpackError::Broken | UnpackError::Window => Code::InvalidBody,
    };
    Failure::new(code, closed.to_string())
}
