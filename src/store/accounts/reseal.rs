//! Re-encrypts an account's secrets for another `ENCRYPTION_KEY`.

use super::{ACCESS_TOKEN, API_KEY, CLIENT_SECRET, PRIVATE_KEY, SECRET_ACCESS_KEY, SESSION_TOKEN, route};
use crate::model::account::{Account, StoredCredentials, amazon};
use crate::port::random::Random;
use crate::secrets::{Keyring, SealError, is_bound};

/// Seals with `to` what was sealed with `from`. Secrets already sealed with `to` stay, so it can be repeated.
/// Returns whether anything changed.
pub fn reseal(
    account: &mut Account,
    from: &Keyring,
    to: &Keyring,
    random: &dyn Random,
) -> Result<bool, SealError> {
    let id = account.id.clone();
    let mut changed = false;
    // `host`: the host to which the secret is bound, if any.
    let mut field = |name: &str, host: Option<&str>, sealed: &mut String| -> Result<(), SealError> {
        let open = |ring: &Keyring, sealed: &str| match host {
            Some(host) => ring.open_for(&id, name, host, sealed),
            None => ring.open(&id, name, sealed),
        };
        if open(to, sealed).is_err() {
            let plain = open(from, sealed)?;
            *sealed = match host {
                Some(host) => to.seal_for(random, &id, name, host, plain.reveal()),
                None => to.seal(random, &id, name, plain.reveal()),
            };
            changed = true;
        }
        Ok(())
    };
    if let Some(proxy) = &mut account.proxy {
        field("proxy", None, proxy)?;
    }
    match &mut account.credentials {
        StoredCredentials::ApiKey { api_key, .. } if !is_bound(api_key) => field(API_KEY, None, api_key)?,
        StoredCredentials::ApiKey { api_key, base_url } => {
            field(API_KEY, Some(&route::destination(base_url.as_deref())), api_key)?;
        }
        StoredCredentials::AccessKeys {
            secret_access_key,
            session_token,
            region,
            base_url,
            ..
        } => {
            let host = route::destination(Some(&amazon::address(region, base_url.as_deref())));
            field(SECRET_ACCESS_KEY, Some(&host), secret_access_key)?;
            if let Some(token) = session_token {
                field(SESSION_TOKEN, Some(&host), token)?;
            }
        }
        StoredCredentials::ServiceAccount {
            private_key,
            access_token,
            base_url,
            ..
        } => {
            field(
                PRIVATE_KEY,
                Some(&route::destination(base_url.as_deref())),
                private_key,
            )?;
            if let Some(token) = access_token {
                field(ACCESS_TOKEN, None, token)?;
            }
        }
        StoredCredentials::EntraApp {
            client_secret,
            access_token,
            base_url,
            ..
        } => {
            let host = route::destination(Some(base_url));
            field(CLIENT_SECRET, Some(&host), client_secret)?;
            if let Some(token) = access_token {
                field(ACCESS_TOKEN, None, token)?;
            }
        }
        StoredCredentials::OAuth {
            access_token,
            refresh_token,
            ..
        } => {
            field("accessToken", None, access_token)?;
            if let Some(token) = refresh_token {
                field("refreshToken", None, token)?;
            }
        }
    }
    Ok(changed)
}
