//! One HTTP exchange, on either host. Without a time limit: dropping the future cancels it.

#[cfg(target_arch = "wasm32")]
mod fetch;
#[cfg(not(target_arch = "wasm32"))]
mod native;

use std::error::Error as _;
use std::time::Duration;

use bytes::Bytes;
use reqwest::Response;
use reqwest::header::{CONTENT_LENGTH, HeaderMap, RETRY_AFTER};

#[cfg(target_arch = "wasm32")]
pub(super) use fetch::Wire;
#[cfg(not(target_arch = "wasm32"))]
pub(super) use native::Wire;

/// Maximum size of an answer, bytes.
const LARGEST: usize = 32 << 20;

/// Maximum length of a reported reason, characters.
const SHOWN: usize = 200;

#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) retry_after: Option<Duration>,
    pub(super) body: Bytes,
}

/// Why there is no answer. The reason contains no secret.
#[derive(Debug)]
pub(super) enum Fault {
    /// No connection, or it broke. `sent`: the request may have been executed.
    Lost {
        sent: bool,
        reason: String,
    },
    TooLarge,
}

/// Reads the status and the retry time; an error if the body is not worth reading.
fn head(response: &Response) -> Result<(u16, Option<Duration>), Fault> {
    let number = |name| {
        let headers: &HeaderMap = response.headers();
        headers.get(name)?.to_str().ok()?.trim().parse::<u64>().ok()
    };
    if number(CONTENT_LENGTH).is_some_and(|length| length > LARGEST as u64) {
        return Err(Fault::TooLarge);
    }
    let retry_after = number(RETRY_AFTER).map(Duration::from_secs);
    Ok((response.status().as_u16(), retry_after))
}

/// The client's error with its causes, without the address.
fn reason(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text.chars().take(SHOWN).collect()
}
