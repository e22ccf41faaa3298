//! New tokens for an account that is there: its id, proxy, groups and history stay.

use super::super::super::super::api_error::ApiError;
use super::super::super::super::extract::AdminSession;
use super::super::AccountView;
use crate::app::App;
use crate::model::account::live::{Credentials, NewTokens};
use crate::model::account::{Account, Platform, StoredCredentials};
use crate::store::accounts::Edited;

/// The account that is to be given new tokens.
pub(super) async fn stored(app: &App, id: &str, platform: Platform) -> Result<Account, ApiError> {
    let account = app.accounts.get(id).await?.ok_or_else(super::super::unknown)?;
    if account.platform != platform {
        let message = format!(
            "`platform` must be that of the account, {}",
            account.platform.name()
        );
        return Err(ApiError::invalid("platform", message));
    }
    match account.credentials {
        StoredCredentials::OAuth { .. } => Ok(account),
        StoredCredentials::ApiKey { .. } => Err(no_sign_in()),
    }
}

fn no_sign_in() -> ApiError {
    ApiError::invalid(
        "accountId",
        "`accountId` names an account that uses an API key: change its `credentials`, nobody signs in for it",
    )
}

/// Puts new tokens in the place of the old ones. A refresh of the old ones that is under way is outdated by it.
pub(super) async fn renew(
    app: &App,
    session: &AdminSession,
    id: &str,
    tokens: NewTokens,
) -> Result<AccountView, ApiError> {
    let edit = |account: &mut Account| {
        let StoredCredentials::OAuth { tenant: held, .. } = &account.credentials else {
            return Err(no_sign_in());
        };
        if let (Some(held), Some(told)) = (held, &tokens.tenant)
            && held != told
        {
            return Err(ApiError::conflict(
                "other_account",
                "These tokens speak for another account of the provider than the ones they were to replace. Sign in with the same account, or add this one as a new account.",
            ));
        }
        let credentials = Credentials::OAuth {
            access_token: tokens.access_token.clone(),
            refresh_token: tokens.refresh_token.clone(),
            expires_at: tokens.expires_at,
            tenant: tokens.tenant.clone().or_else(|| held.clone()),
        };
        account.credentials = app.accounts.seal_credentials(&account.id, &credentials);
        Ok(())
    };
    let now = app.ports.clock.now();
    let account = match app.accounts.try_update(id, now, edit).await? {
        Edited::Done(account) => *account,
        Edited::Unknown => return Err(super::super::unknown()),
        Edited::Refused(error) => return Err(error),
        Edited::SecretNeeded(needed) => return Err(super::super::secret_needed(&needed)),
    };
    super::super::changed(app, &account).await;
    session.audit("account.signInAnew", id);
    super::super::view(app, account).await
}
