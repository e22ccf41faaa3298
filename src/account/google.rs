//! Shared by all kinds of Google accounts: judging answers, the billed project, token renewal.

pub(super) mod judge;
pub(super) mod project;

use bytes::Bytes;
use http::Request;

use super::oauth;
use crate::model::secret::Secret;

/// A refresh at Google, which also requires the client's secret. `url`: the `GOOGLE_OAUTH_URL`.
pub(super) fn refresh_request(
    url: &str,
    refresh_token: &str,
    client_id: Option<&str>,
    client_secret: Option<&Secret>,
) -> Result<Request<Bytes>, String> {
    let more = [
        ("client_id", client_id),
        ("client_secret", client_secret.map(Secret::reveal)),
    ];
    oauth::form_request(url, refresh_token, &more)
        .ok_or_else(|| "GOOGLE_OAUTH_URL is not a valid address".to_owned())
}
