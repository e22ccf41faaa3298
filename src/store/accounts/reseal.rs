//! The secrets of an account under another `ENCRYPTION_KEY`.

use super::{API_KEY, route};
use crate::model::account::{Account, StoredCredentials};
use crate::port::random::Random;
use crate::secrets::{Keyring, SealError, is_bound};

/// Seals what `from` sealed with `to`; what `to` sealed stays, so that it can be done again. Says whether anything
/// changed.
pub fn reseal(
    account: &mut Account,
    from: &Keyring,
    to: &Keyring,
    random: &dyn Random,
) -> Result<bool, SealError> {
    let id = account.id.clone();
    let mut changed = false;
    let mut field = |name: &str, sealed: &mut String| -> Result<(), SealError> {
        if to.open(&id, name, sealed).is_err() {
            *sealed = to.seal(random, &id, name, from.open(&id, name, sealed)?.reveal());
            changed = true;
        }
        Ok(())
    };
    if let Some(proxy) = &mut account.proxy {
        field("proxy", proxy)?;
    }
    match &mut account.credentials {
        StoredCredentials::ApiKey { api_key, .. } if !is_bound(api_key) => field(API_KEY, api_key)?,
        StoredCredentials::ApiKey { api_key, base_url } => {
            let host = route::destination(base_url.as_deref());
            if to.open_for(&id, API_KEY, &host, api_key).is_err() {
                let plain = from.open_for(&id, API_KEY, &host, api_key)?;
                *api_key = to.seal_for(random, &id, API_KEY, &host, plain.reveal());
                changed = true;
            }
        }
        StoredCredentials::OAuth {
            access_token,
            refresh_token,
            ..
        } => {
            field("accessToken", access_token)?;
            if let Some(token) = refresh_token {
                field("refreshToken", token)?;
            }
        }
    }
    Ok(changed)
}
