//! Fresh OAuth tokens: renewed before they end, by exactly one refresher, stored by compare-and-set.
//!
//! The pool elects the refresher. The renewal itself runs as a task of its own: the provider rotates the
//! refresh token as it answers, so a client that leaves at that moment must not take the answer with it.
//! Everyone, the elected included, waits for the pool to know the newer version.

use std::sync::Arc;
use std::time::Duration;

use crs_durable::pool::{Command, Outcome, RefreshResult, Reply};
use crs_durable::{CallId, Millis};

use super::attempt::route;
use super::read_bounded;
use crate::app::App;
use crate::error::{Code, Failure};
use crate::port::clock::within;
use crate::provider::{Provider, Refreshed};
use crate::store::accounts::{Credentials, LiveAccount, Replaced};

/// A token that ends within this is renewed first.
const MARGIN_MS: u64 = 60_000;

/// Bound on one exchange with the token endpoint; the election lasts a little longer.
const EXCHANGE: Duration = Duration::from_secs(30);
const ELECTION_MS: u64 = 40_000;

/// First pause between two looks at the pool; it doubles up to the last.
const FIRST_PAUSE_MS: u64 = 10;
const LAST_PAUSE_MS: u64 = 250;

pub(super) enum Usable {
    Account(Arc<LiveAccount>),
    Unusable { why: String, outcome: Outcome },
}

/// The account with credentials that will last for a call.
pub(super) async fn usable(
    app: &App,
    provider: &'static dyn Provider,
    call: CallId,
    account: &str,
) -> Result<Usable, Failure> {
    let since = if app.ports.store.shared() {
        app.ports.clock.now().saturating_sub(10_000)
    } else {
        1
    };
    let live = match app.accounts.live(account, since).await {
        Ok(Some(live)) => live,
        Ok(None) => return Ok(unusable("the account was deleted")),
        Err(away) => return Err(Failure::relay_unavailable(&away)),
    };
    let Some(stale) = staleness(&live, app.ports.clock.now()) else {
        return Ok(Usable::Account(live));
    };
    match renewed(app, provider, call, &live).await? {
        Some(newer) => Ok(Usable::Account(newer)),
        // Not ended yet, only about to: it serves this call still.
        None if stale == Stale::Soon => Ok(Usable::Account(live)),
        None => Ok(unusable("the access token has ended and could not be renewed")),
    }
}

/// After a 401: the account with newer credentials than the refused ones, if there can be any.
pub(super) async fn after_refusal(
    app: &App,
    provider: &'static dyn Provider,
    call: CallId,
    refused: &Arc<LiveAccount>,
) -> Result<Option<Arc<LiveAccount>>, Failure> {
    match &refused.credentials {
        Credentials::OAuth {
            refresh_token: Some(_),
            ..
        } => renewed(app, provider, call, refused).await,
        _ => Ok(None),
    }
}

fn unusable(why: &str) -> Usable {
    Usable::Unusable {
        why: why.to_owned(),
        outcome: Outcome::Unwell { why: why.to_owned() },
    }
}

#[derive(PartialEq, Eq)]
enum Stale {
    Soon,
    Ended,
}

fn staleness(live: &LiveAccount, now: Millis) -> Option<Stale> {
    match &live.credentials {
        Credentials::OAuth {
            expires_at: Some(at), ..
        } if *at <= now => Some(Stale::Ended),
        Credentials::OAuth {
            expires_at: Some(at),
            refresh_token: Some(_),
            ..
        } if *at <= now + MARGIN_MS => Some(Stale::Soon),
        _ => None,
    }
}

/// The account with credentials newer than `seen`, renewed here or by whoever is at it. `None`: the renewal
/// failed, or was refused for good.
async fn renewed(
    app: &App,
    provider: &'static dyn Provider,
    call: CallId,
    seen: &Arc<LiveAccount>,
) -> Result<Option<Arc<LiveAccount>>, Failure> {
    let account = &seen.account.id;
    let platform = provider.platform();
    let away = |away: &dyn std::fmt::Display| Failure::relay_unavailable(away);
    let mut pause = FIRST_PAUSE_MS;
    let mut waited = false;
    let deadline = app.ports.clock.ticks() + ELECTION_MS * 1000;
    while app.ports.clock.ticks() < deadline {
        let begin = Command::BeginRefresh {
            call,
            account: account.clone(),
            seen: seen.account.credential_version,
            ttl_ms: ELECTION_MS,
        };
        match app
            .ports
            .gates
            .pool(platform, begin)
            .await
            .map_err(|error| away(&error))?
        {
            Reply::RefreshDone { .. } => {
                return app.accounts.fresh(account).await.map_err(|error| away(&error));
            }
            // Whoever was at it gave up. One failure is enough for everybody who waited for it.
            Reply::RefreshElected if waited => {
                end(app, provider, call, account, RefreshResult::Failed).await;
                return Ok(None);
            }
            Reply::RefreshElected => {
                let (told, outcome) = futures_channel::oneshot::channel();
                let (app_, seen_) = (app.clone(), seen.clone());
                app.ports.tasks.spawn(Box::pin(async move {
                    let newer = renew(&app_, provider, call, &seen_).await;
                    // Nobody listens any more if the client left; the tokens are stored all the same.
                    let _ = told.send(newer);
                }));
                return Ok(outcome.await.ok().flatten());
            }
            Reply::RefreshBusy { .. } => waited = true,
            _ => return Err(Failure::new(Code::Internal, "The relay's pool gave no answer.")),
        }
        app.ports.clock.sleep(Duration::from_millis(pause)).await;
        pause = (pause * 2).min(LAST_PAUSE_MS);
    }
    Ok(None)
}

/// The elected one's work: from reading the credentials again to telling the pool how it went.
async fn renew(
    app: &App,
    provider: &'static dyn Provider,
    call: CallId,
    seen: &LiveAccount,
) -> Option<Arc<LiveAccount>> {
    let account = &seen.account.id;
    let (result, newer) = match exchange(app, provider, seen).await {
        Ok(newer) => (
            RefreshResult::Refreshed {
                version: newer.account.credential_version,
            },
            Some(newer),
        ),
        Err(result) => (result, None),
    };
    match &result {
        RefreshResult::Refreshed { version } => tracing::info!(%account, version, "access token renewed"),
        RefreshResult::Refused { why } => tracing::error!(%account, why, "the account needs a new login"),
        RefreshResult::Failed => tracing::warn!(%account, "access token not renewed"),
    }
    end(app, provider, call, account, result).await;
    newer
}

async fn end(app: &App, provider: &dyn Provider, call: CallId, account: &str, result: RefreshResult) {
    let end = Command::EndRefresh {
        call,
        account: account.to_owned(),
        result,
    };
    if let Err(away) = app.ports.gates.pool(provider.platform(), end).await {
        // The election ends by itself.
        tracing::warn!(error = %away, "the pool was not told how a token renewal went");
    }
}

async fn exchange(
    app: &App,
    provider: &dyn Provider,
    seen: &LiveAccount,
) -> Result<Arc<LiveAccount>, RefreshResult> {
    let seen_version = seen.account.credential_version;
    let current = read_again(app, &seen.account.id).await?;
    if current.account.credential_version > seen_version {
        return Ok(current);
    }
    let Credentials::OAuth {
        refresh_token: Some(refresh_token),
        ..
    } = &current.credentials
    else {
        return Err(RefreshResult::Refused {
            why: "the account has no refresh token".to_owned(),
        });
    };
    match ask(app, provider, &current, refresh_token.reveal()).await {
        Refreshed::Tokens(tokens) => match store(app, &current, tokens).await {
            Some(()) => read_again(app, &current.account.id).await,
            None => Err(RefreshResult::Failed),
        },
        Refreshed::Failed(why) => {
            tracing::warn!(account = %current.account.id, why, "token renewal failed");
            Err(RefreshResult::Failed)
        }
        // Another host may have spent the token a moment ago: only if nothing newer is stored is it dead.
        Refreshed::Refused(why) => match read_again(app, &current.account.id).await {
            Ok(newer) if newer.account.credential_version > seen_version => Ok(newer),
            _ => Err(RefreshResult::Refused { why }),
        },
    }
}

async fn read_again(app: &App, account: &str) -> Result<Arc<LiveAccount>, RefreshResult> {
    match app.accounts.fresh(account).await {
        Ok(Some(live)) => Ok(live),
        Ok(None) => Err(RefreshResult::Refused {
            why: "the account was deleted".to_owned(),
        }),
        Err(_) => Err(RefreshResult::Failed),
    }
}

async fn ask(app: &App, provider: &dyn Provider, live: &LiveAccount, refresh_token: &str) -> Refreshed {
    let request = match provider.refresh_request(refresh_token, &app.config) {
        Ok(request) => request,
        Err(why) => return Refreshed::Failed(why),
    };
    let exchange = async {
        let answer = app
            .ports
            .upstream
            .send(request, &route(app, live))
            .await
            .map_err(|error| error.to_string())?;
        let (head, body) = answer.into_parts();
        let body = read_bounded(body, super::ERROR_BODY_LIMIT)
            .await
            .map_err(|error| error.to_string())?;
        Ok::<_, String>(provider.refreshed(head.status, &body, app.ports.clock.now()))
    };
    match within(&*app.ports.clock, EXCHANGE, exchange).await {
        Some(Ok(refreshed)) => refreshed,
        Some(Err(why)) => Refreshed::Failed(why),
        None => Refreshed::Failed("the token endpoint did not answer in time".to_owned()),
    }
}

/// Keeps at it while the store is away: the old refresh token may be spent, so these tokens are the
/// account's only ones. `None`: given up, or the account is gone.
async fn store(app: &App, current: &LiveAccount, tokens: crate::store::accounts::NewTokens) -> Option<()> {
    let mut pause = FIRST_PAUSE_MS;
    for _ in 0..12 {
        match app
            .accounts
            .replace_tokens(
                &current.account.id,
                current.account.credential_version,
                tokens.clone(),
            )
            .await
        {
            Ok(Replaced::Stored { .. } | Replaced::Newer { .. }) => return Some(()),
            Ok(Replaced::Gone) => return None,
            Err(away) => {
                tracing::warn!(account = %current.account.id, error = %away, "renewed tokens are not stored yet")
            }
        }
        app.ports.clock.sleep(Duration::from_millis(pause)).await;
        pause = (pause * 3).min(10_000);
    }
    tracing::error!(account = %current.account.id, "renewed tokens could not be stored: the account may need a new login");
    None
}
