//! New tokens for an existing account: its id, proxy, groups and history stay.

use super::super::super::super::api_error::ApiError;
use super::super::super::super::extract::AdminSession;
use super::super::AccountView;
use crate::app::App;
use crate::model::account::live::{Credentials, NewTokens};
use crate::model::account::{Account, Platform, StoredCredentials};
use crate::store::accounts::EditResult;

/// The account that gets new tokens.
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
        _ => Err(no_sign_in()),
    }
}

fn no_sign_in() -> ApiError {
    ApiError::invalid(
        "accountId",
        "`accountId` names an account that uses keys instead of a login: change its `credentials`",
    )
}

/// Replaces the tokens. A running refresh of the old ones becomes outdated.
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
        if let (Some(held), Some(new)) = (held, &tokens.tenant)
            && held != new
        {
            return Err(ApiError::conflict(
                "other_account",
                "These tokens belong to another account of the provider than those they would replace. Sign in with the same account, or add this one as a new account.",
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
        EditResult::Done(account) => *account,
        EditResult::Unknown => return Err(super::super::unknown()),
        EditResult::Refused(error) => return Err(error),
        EditResult::SecretNeeded(needed) => return Err(super::super::secret_needed(&needed)),
    };
    super::super::changed(app, &account).await;
    session.audit("account.signInAnew", id);
    super::super::view(app, account).await
}
