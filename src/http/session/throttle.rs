//! The brake on guessing: attempts are counted in the store before anything is checked, so that no crowd of
//! requests, and no second process, gets more than the limit.
//!
//! Counts are kept per window of time, in keys that end with it: a lost step cannot lock anybody out for
//! longer. Names and addresses are stored as keyed hashes.

use std::net::IpAddr;

use axum::http::StatusCode;

use super::super::api_error::ApiError;
use crate::app::App;
use crate::port::clock::Millis;
use crate::port::store::{Command, Reply, StoreError};
use crate::store::keys;

const WINDOW_MS: Millis = 15 * 60 * 1000;

/// Attempts for one login name in a window, until one succeeds. More than one address may make, or a single
/// guesser could lock the admin out.
const PER_ACCOUNT: i64 = 30;
/// Attempts from one address in a window that do not succeed.
const PER_ADDRESS: i64 = 10;

/// A login attempt that was counted, and may be checked.
#[must_use]
pub(super) struct Attempt {
    account: String,
    address: Option<String>,
    /// End of the window it was counted in.
    ends: Millis,
}

impl Attempt {
    /// Counts an attempt for `username` from `address`; an error if there were too many. What the limit of
    /// the address refuses does not count against the account: one guesser cannot lock the admin out alone.
    pub(super) async fn count(app: &App, username: &str, address: Option<IpAddr>) -> Result<Self, ApiError> {
        let now = app.ports.clock.now();
        let window = now / WINDOW_MS;
        let ends = window.saturating_add(1).saturating_mul(WINDOW_MS);
        let label = |whose: &str, value: &[u8]| label(app, whose, value, window);
        let address = address.map(|address| label("address", &network(address)));
        let attempt = Self {
            account: account(app, username, window),
            address,
            ends,
        };
        if let Some(address) = &attempt.address
            && add(app, address, ends).await? > PER_ADDRESS
        {
            return Err(too_many(ends - now));
        }
        if add(app, &attempt.account, ends).await? > PER_ACCOUNT {
            return Err(too_many(ends - now));
        }
        Ok(attempt)
    }

    /// It was the right password: the account's count begins anew, and the address's forgets this one.
    pub(super) async fn succeeded(self, app: &App) -> Result<(), StoreError> {
        let mut batch = vec![Command::Del { key: self.account }];
        if let Some(key) = self.address {
            batch.push(Command::IncrBy {
                key: key.clone(),
                by: -1,
            });
            // If the window ended meanwhile, this is a new key.
            batch.push(Command::PExpireAt { key, at: self.ends });
        }
        app.ports.store.run(batch).await.map(|_| ())
    }
}

/// Begins the count of a login name anew.
pub(super) async fn forget(app: &App, username: &str) -> Result<(), StoreError> {
    let key = account(app, username, app.ports.clock.now() / WINDOW_MS);
    app.ports.store.run(vec![Command::Del { key }]).await.map(|_| ())
}

fn account(app: &App, username: &str, window: Millis) -> String {
    label(app, "account", username.to_lowercase().as_bytes(), window)
}

fn label(app: &App, whose: &str, value: &[u8], window: Millis) -> String {
    let label = app.keyring.label(&format!("login-{whose}"), value);
    keys::login_attempts(whose, &label, window)
}

async fn add(app: &App, key: &str, ends: Millis) -> Result<i64, StoreError> {
    let replies = app
        .ports
        .store
        .run(vec![
            Command::IncrBy {
                key: key.to_owned(),
                by: 1,
            },
            Command::PExpireAt {
                key: key.to_owned(),
                at: ends,
            },
        ])
        .await?;
    match replies.first() {
        Some(Reply::Int(count)) => Ok(*count),
        _ => Err(StoreError::Unreadable {
            key: key.to_owned(),
            reason: "an increment was not answered with a number".to_owned(),
        }),
    }
}

fn too_many(wait_ms: Millis) -> ApiError {
    ApiError::new(
        StatusCode::TOO_MANY_REQUESTS,
        "too_many_attempts",
        "Too many login attempts. Wait as long as `retry-after` says.",
    )
    .retry_after(wait_ms.div_ceil(1000).max(1))
}

/// Who is behind an address: an IPv4 address, or the 64-bit network that one IPv6 site has to itself.
fn network(address: IpAddr) -> Vec<u8> {
    match address.to_canonical() {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().into_iter().take(8).collect(),
    }
}
