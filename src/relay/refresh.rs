//! Fresh OAuth tokens: renewed before they end, by exactly one refresher, stored by compare-and-set.
//!
//! The pool elects the refresher. The renewal itself runs as a task of its own: the provider rotates the
//! refresh token as it answers, so a client that leaves at that moment must not take the answer with it.
//! Everyone else waits at the pool, which tells each how the renewal ended.

use std::sync::Arc;
use std::time::Duration;

use crs_durable::pool::{Command, Outcome, RefreshResult, Reply};
use crs_durable::{CallId, Millis};
use tracing::Instrument as _;

use super::flight::PickedAccount;
use super::{failures, records, token_endpoint};
use crate::account::{Accounts, Refreshed};
use crate::app::App;
use crate::error::{Code, Failure};
use crate::model::account::live::{Credentials, LiveAccount, NewTokens};
use crate::port::clock::within;
use crate::port::gates::GatesError;
use crate::port::store::StoreError;
use crate::store::accounts::Replaced;

/// A token that ends within this is renewed first.
const MARGIN_MS: u64 = 60_000;

/// A little longer than one exchange with the token endpoint may take.
const ELECTION_MS: u64 = 40_000;

/// First pause before renewed tokens are stored once more.
const FIRST_PAUSE_MS: u64 = 10;

/// A refused token may have been spent by another host that is about to store what it got for it: pauses
/// before each further look. Their sum delays everybody who waits; a store that is slower still marks the
/// account until its newer record is read.
const LOOKS_AFTER_MS: [u64; 4] = [50, 100, 200, 400];

/// Why the account cannot be used for a call.
pub(super) struct Unusable {
    pub(super) failure: Failure,
    /// The report to the pool.
    pub(super) outcome: Outcome,
}

/// The result of renewing credentials.
pub(super) enum Renewal {
    Newer(Arc<LiveAccount>),
    /// There will be none without a new login.
    Refused,
    /// Not now: the token endpoint, the store or a machine could not be asked.
    Failed,
    /// They are so new that they are not renewed for the provider's refusal alone before this moment.
    TooSoon(Millis),
}

/// The account with credentials that will last for a call.
pub(super) async fn usable(
    app: &App,
    accounts: &'static dyn Accounts,
    call: CallId,
    picked: &PickedAccount,
) -> Result<Arc<LiveAccount>, Unusable> {
    let now = app.ports.clock.now();
    let since = records::learned_since(app, now);
    let live = match app.accounts.live(&picked.account, since, picked.revision).await {
        Ok(Some(live)) => live,
        Ok(None) => return Err(unusable("the account was deleted", Outcome::Neutral)),
        Err(StoreError::Away { reason, .. }) => {
            app.store_rest.begin(app.ports.clock.now());
            let failure = Failure::relay_unavailable(&reason);
            return Err(Unusable {
                failure,
                outcome: Outcome::Neutral,
            });
        }
        // Sealed with another key, or not what it should be: only the operator can mend that.
        Err(error) => {
            let why = error.to_string();
            let outcome = Outcome::Denied {
                why: why.clone(),
                until: None,
            };
            return Err(unusable(&why, outcome));
        }
    };
    match staleness(&live, now) {
        None => Ok(live),
        Some(Stale::Soon) => {
            renew_meanwhile(app, accounts, call, &live).await;
            Ok(live)
        }
        Some(Stale::Ended) => match renewed(app, accounts, call, &live, Reason::Ended).await {
            Renewal::Newer(newer) => Ok(newer),
            // The pool has marked the account.
            Renewal::Refused => Err(unusable(
                "the access token has ended, and the provider refuses to renew it",
                Outcome::Neutral,
            )),
            Renewal::Failed | Renewal::TooSoon(_) => {
                let why = "the access token has ended and could not be renewed";
                let outcome = Outcome::Unwell {
                    why: why.to_owned(),
                    until: None,
                };
                Err(unusable(why, outcome))
            }
        },
    }
}

/// After a 401: the account with newer credentials than the refused ones, if there can be any.
pub(super) async fn after_refusal(
    app: &App,
    accounts: &'static dyn Accounts,
    call: CallId,
    refused: &Arc<LiveAccount>,
) -> Renewal {
    match &refused.credentials {
        Credentials::OAuth {
            refresh_token: Some(_),
            ..
        } => renewed(app, accounts, call, refused, Reason::Refused).await,
        _ => Renewal::Refused,
    }
}

fn unusable(why: &str, outcome: Outcome) -> Unusable {
    let failure = failures::of_provider(Code::NoAccount, None).with_detail(why);
    Unusable { failure, outcome }
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

/// The token is good for this call, and somebody should renew it: whoever is first does, and nobody waits.
async fn renew_meanwhile(app: &App, accounts: &'static dyn Accounts, call: CallId, live: &Arc<LiveAccount>) {
    if let Ok(Reply::RefreshElected) = begin(app, accounts, call, live, Waits::No, Reason::Ended).await {
        let (app_, live) = (app.clone(), live.clone());
        let work = async move {
            renew(&app_, accounts, call, &live).await;
        };
        app.ports.tasks.spawn(Box::pin(work.in_current_span()));
    }
}

/// The account with credentials newer than `seen`, renewed here or by whoever is at it.
async fn renewed(
    app: &App,
    accounts: &'static dyn Accounts,
    call: CallId,
    seen: &Arc<LiveAccount>,
    reason: Reason,
) -> Renewal {
    let patience = Duration::from_millis(ELECTION_MS);
    let asked = begin(app, accounts, call, seen, Waits::Yes, reason);
    match within(&*app.ports.clock, patience, asked).await {
        Some(Ok(Reply::RefreshDone { .. })) => match app.accounts.fresh(&seen.account.id).await {
            Ok(Some(newer)) => Renewal::Newer(newer),
            Ok(None) => Renewal::Refused,
            Err(_) => Renewal::Failed,
        },
        Some(Ok(Reply::RefreshElected)) => {
            let (told, outcome) = futures_channel::oneshot::channel();
            let (app_, seen_) = (app.clone(), seen.clone());
            let work = async move {
                let renewal = renew(&app_, accounts, call, &seen_).await;
                // Nobody listens any more if the client left; the tokens are stored all the same.
                let _ = told.send(renewal);
            };
            app.ports.tasks.spawn(Box::pin(work.in_current_span()));
            outcome.await.unwrap_or(Renewal::Failed)
        }
        Some(Ok(Reply::RefreshRefused { .. })) => Renewal::Refused,
        Some(Ok(Reply::RefreshTooSoon { at })) => Renewal::TooSoon(at),
        // Whoever was at it failed or takes too long, the account is gone, or its pool cannot be reached.
        Some(Ok(_) | Err(_)) | None => Renewal::Failed,
    }
}

/// Whether a call waits while another renews the token.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Waits {
    Yes,
    No,
}

/// Why credentials are to be renewed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reason {
    /// They have ended, or soon will.
    Ended,
    /// The provider refused them.
    Refused,
}

/// Asks to be the refresher; asking again while one is prolongs that.
async fn begin(
    app: &App,
    accounts: &dyn Accounts,
    call: CallId,
    seen: &LiveAccount,
    waits: Waits,
    reason: Reason,
) -> Result<Reply, GatesError> {
    let begin = Command::BeginRefresh {
        call,
        account: seen.account.id.clone(),
        seen: seen.account.credential_version,
        ttl_ms: ELECTION_MS,
        waits: waits == Waits::Yes,
        waited_for: None,
        refused: reason == Reason::Refused,
    };
    app.ports.gates.pool(accounts.platform(), begin).await
}

/// The elected one's work: from reading the credentials again to telling the pool how it went.
async fn renew(app: &App, accounts: &'static dyn Accounts, call: CallId, seen: &LiveAccount) -> Renewal {
    let account = &seen.account.id;
    let (result, renewal) = match exchange(app, accounts, call, seen).await {
        Ok(newer) => {
            let version = newer.account.credential_version;
            tracing::info!(version, "access token renewed");
            (RefreshResult::Refreshed { version }, Renewal::Newer(newer))
        }
        Err(RefreshResult::Refused { why }) => {
            tracing::error!(why, "the account needs a new login");
            (RefreshResult::Refused { why }, Renewal::Refused)
        }
        Err(result) => (result, Renewal::Failed),
    };
    end(app, accounts, call, account, result).await;
    renewal
}

async fn end(app: &App, accounts: &dyn Accounts, call: CallId, account: &str, result: RefreshResult) {
    let end = Command::EndRefresh {
        call,
        account: account.to_owned(),
        result,
    };
    if let Err(away) = app.ports.gates.pool(accounts.platform(), end).await {
        // The election ends by itself.
        tracing::warn!(error = %away, "the pool was not told how a token renewal went");
    }
}

async fn exchange(
    app: &App,
    accounts: &dyn Accounts,
    call: CallId,
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
    match ask(app, accounts, &current, refresh_token.reveal()).await {
        Refreshed::Tokens(tokens) => match store(app, accounts, call, &current, tokens).await {
            Some(()) => read_again(app, &current.account.id).await,
            None => Err(RefreshResult::Failed),
        },
        Refreshed::Failed(why) => {
            tracing::warn!(why, "token renewal failed");
            Err(RefreshResult::Failed)
        }
        // Another host may have spent the token a moment ago and be about to store what it got for it: only
        // if nothing newer appears is it dead.
        Refreshed::Refused(why) => {
            let pauses: &[u64] = if app.ports.store.shared() {
                &LOOKS_AFTER_MS
            } else {
                &[]
            };
            let mut pauses = pauses.iter();
            loop {
                match read_again(app, &current.account.id).await {
                    Ok(newer) if newer.account.credential_version > seen_version => return Ok(newer),
                    _ => {}
                }
                let Some(pause) = pauses.next() else {
                    return Err(RefreshResult::Refused { why });
                };
                app.ports.clock.sleep(Duration::from_millis(*pause)).await;
            }
        }
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

async fn ask(app: &App, accounts: &dyn Accounts, live: &LiveAccount, refresh_token: &str) -> Refreshed {
    let request = match accounts.refresh_request(refresh_token, &app.config) {
        Ok(request) => request,
        Err(why) => return Refreshed::Failed(why),
    };
    match token_endpoint::ask(app, request, live.proxy.clone()).await {
        Ok((status, body)) => accounts.refreshed(status, &body, app.ports.clock.now()),
        Err(none) => Refreshed::Failed(none.to_string()),
    }
}

/// Keeps at it while the store is away: the old refresh token may be spent, so these tokens are the
/// account's only ones. Stays the elected one meanwhile, so that nobody spends the old token again. `None`:
/// given up, or the account is gone.
async fn store(
    app: &App,
    accounts: &dyn Accounts,
    call: CallId,
    current: &LiveAccount,
    tokens: NewTokens,
) -> Option<()> {
    let account = &current.account.id;
    let version = current.account.credential_version;
    let mut pause = FIRST_PAUSE_MS;
    for _ in 0..30 {
        match app
            .accounts
            .replace_tokens(account, version, tokens.clone())
            .await
        {
            Ok(Replaced::Stored { .. } | Replaced::Newer { .. }) => return Some(()),
            Ok(Replaced::Gone) => return None,
            Err(error) => tracing::warn!(%error, "renewed tokens are not stored yet"),
        }
        let _ = begin(app, accounts, call, current, Waits::No, Reason::Ended).await;
        app.ports.clock.sleep(Duration::from_millis(pause)).await;
        pause = (pause * 3).min(10_000);
    }
    tracing::error!("renewed tokens could not be stored: the account may need a new login");
    None
}
