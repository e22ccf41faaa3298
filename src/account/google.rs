//! Shared by Google's accounts, whichever product they log in to: the meaning of answers, whose project
//! pays, how tokens are renewed.

pub(super) mod judge;
pub(super) mod project;

use bytes::Bytes;
use http::Request;

use super::oauth;
use crate::model::secret::Secret;

/// A refresh at Google, which wants the client's secret as well. `url`: that of `GOOGLE_OAUTH_URL`.
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
        .ok_or_else(|| "GOOGLE_OAUTH_URL makes no valid address".to_owned())
}
