//! The client's request body, read once, bounded in size and time.

use std::time::Duration;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http_body::Body as _;
use http_body_util::BodyExt as _;

use crate::error::{Code, Failure};
use crate::port::clock::{Clock, within};

/// How long a client may take to send its body.
const PATIENCE: Duration = Duration::from_mins(2);

/// How much of a body that is too large is still taken in, so that the client comes to reading the answer.
const SWALLOW: usize = 256 << 20;

/// Reads a body of at most `limit` bytes. One frame, the common case, is not copied.
pub async fn read(body: Body, limit: usize, clock: &dyn Clock) -> Result<Bytes, Failure> {
    match within(clock, PATIENCE, collect(body, limit)).await {
        Some(read) => read,
        None => Err(Failure::new(
            Code::BodyTooSlow,
            "The request's body did not arrive in time. Please try again.",
        )),
    }
}

async fn collect(mut body: Body, limit: usize) -> Result<Bytes, Failure> {
    let announced = body.size_hint().exact().map_or(0, |length| length as usize);
    if announced > limit {
        return too_large(body, limit).await;
    }
    let Some(first) = next(&mut body).await? else {
        return Ok(Bytes::new());
    };
    if first.len() == announced {
        return Ok(first);
    }
    let mut all = BytesMut::with_capacity(announced.max(first.len()));
    all.extend_from_slice(&first);
    while let Some(data) = next(&mut body).await? {
        if all.len() + data.len() > limit {
            drop(all);
            return too_large(body, limit).await;
        }
        all.extend_from_slice(&data);
    }
    Ok(all.freeze())
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

/// A client that is still sending when the answer comes sees a broken connection instead of the answer.
/// So the rest is read and thrown away first, within reason.
async fn too_large(mut body: Body, limit: usize) -> Result<Bytes, Failure> {
    let mut swallowed = 0;
    while let Ok(Some(data)) = next(&mut body).await {
        swallowed += data.len();
        if swallowed > SWALLOW {
            break;
        }
    }
    Err(Failure::new(
        Code::BodyTooLarge,
        format!(
            "The request's body is larger than the {} MB this relay accepts. Shorten the conversation, or ask the operator to raise REQUEST_MAX_SIZE_MB.",
            limit >> 20
        ),
    ))
}
