//! Renews access tokens: before they expire, by exactly one refresher, stored with compare-and-set. OAuth logins have a
//! refresh token for it, service accounts a private key, Entra applications a client secret.
//!
//! The pool elects the refresher. The renewal runs as its own task, because the provider rotates the refresh
//! token with its answer, and a client that leaves at that moment must not take the answer along. Everyone else
//! waits at the pool, which reports the result to each.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use crs_durable::pool::{Command, Outcome, RefreshResult, Reply};
use crs_durable::{CallId, Millis};
use http::Request;
use tracing::Instrument as _;

use super::flight::PickedAccount;
use super::mask::SecretMask;
use super::{failures, records, token_endpoint};
use crate::account::{Accounts, RefreshOutcome, entra, service_account};
use crate::app::App;
use crate::error::{Code, Failure};
use crate::model::account::key_file;
use crate::model::account::live::{Credentials, LiveAccount, NewTokens, ServiceAccount};
use crate::port::clock::within;
use crate::port::gates::GatesError;
use crate::port::store::StoreError;
use crate::store::accounts::TokenUpdate;

/// A token that expires within this time is renewed first.
const MARGIN_MS: u64 = 60_000;

/// Slightly longer than the timeout of the token endpoint.
const ELECTION_MS: u64 = 40_000;

/// First pause before storing renewed tokens is retried.
const FIRST_PAUSE_MS: u64 = 10;

/// Pauses before reading the record again after a refused refresh token: another host may have used the token and
/// be about to store the new one. Their sum delays everyone who waits. If the store takes longer, the account
/// stays marked until its newer record is read.
const LOOKS_AFTER_MS: [u64; 4] = [50, 100, 200, 400];

/// Pauses before a read is repeated that failed after a renewal: the new token is stored, and a short outage of the
/// store must not fail the calls that waited for it.
const READS_AFTER_MS: [u64; 4] = [50, 200, 500, 1_000];

/// Why the account cannot be used for a call.
pub(super) struct Unusable {
    pub(super) failure: Failure,
    /// The report to the pool.
    pub(super) outcome: Outcome,
}

/// The result of renewing credentials.
pub(super) enum Renewal {
    Newer(Arc<LiveAccount>),
    /// Renewal needs a new login.
    Refused,
    /// Temporary: the token endpoint, the store or the pool could not be reached.
    Failed,
    /// The token is so new that a refusal alone does not renew it before this moment.
    TooSoon(Millis),
}

/// Loads the account with credentials that outlast a call.
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
        // Sealed with another key, or damaged: only the operator can fix it.
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
            Box::pin(renew_meanwhile(app, accounts, call, &live)).await;
            Ok(live)
        }
        Some(Stale::Ended) => match Box::pin(renewed(app, accounts, call, &live, Reason::Ended)).await {
            Renewal::Newer(newer) => Ok(newer),
            // The refresher has reported it to the pool.
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

/// After a 401: returns the account with credentials newer than the refused ones, if possible.
pub(super) async fn after_refusal(
    app: &App,
    accounts: &'static dyn Accounts,
    call: CallId,
    refused: &Arc<LiveAccount>,
) -> Renewal {
    match refused.credentials.access_token() {
        Some(token) if token.is_renewable => renewed(app, accounts, call, refused, Reason::Refused).await,
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
    let held = live.credentials.access_token()?;
    match (held.token, held.expires_at) {
        (None, _) => Some(Stale::Ended),
        (Some(_), Some(at)) if at <= now => Some(Stale::Ended),
        (Some(_), Some(at)) if at <= now + MARGIN_MS && held.is_renewable => Some(Stale::Soon),
        _ => None,
    }
}

/// Starts a renewal for a token that is still good for this call. The first call does it; none waits.
async fn renew_meanwhile(app: &App, accounts: &'static dyn Accounts, call: CallId, live: &Arc<LiveAccount>) {
    if let Ok(Reply::RefreshElected) = begin(app, accounts, call, live, Waits::No, Reason::Ended).await {
        let (app_, live) = (app.clone(), live.clone());
        let work = async move {
            renew(&app_, accounts, call, &live).await;
        };
        app.ports.tasks.spawn(Box::pin(work.in_current_span()));
    }
}

/// Returns the account with credentials newer than `seen`, renewed here or by the current refresher.
async fn renewed(
    app: &App,
    accounts: &'static dyn Accounts,
    call: CallId,
    seen: &Arc<LiveAccount>,
    reason: Reason,
) -> Renewal {
    match newer_than(app, accounts, call, seen, reason).await {
        // The operator has replaced the key meanwhile.
        Renewal::Newer(newer) if lacks_token(&newer) => {
            match newer_than(app, accounts, call, &newer, Reason::Ended).await {
                // And once more: the next call will see.
                Renewal::Newer(newer) if lacks_token(&newer) => Renewal::Failed,
                renewal => renewal,
            }
        }
        renewal => renewal,
    }
}

/// Whether it has credentials with which no call can be sent yet.
fn lacks_token(live: &LiveAccount) -> bool {
    let held = live.credentials.access_token();
    held.is_some_and(|held| held.token.is_none())
}

/// Returns the account with a newer version than `seen`.
async fn newer_than(
    app: &App,
    accounts: &'static dyn Accounts,
    call: CallId,
    seen: &Arc<LiveAccount>,
    reason: Reason,
) -> Renewal {
    let patience = Duration::from_millis(ELECTION_MS);
    let asked = begin(app, accounts, call, seen, Waits::Yes, reason);
    match within(&*app.ports.clock, patience, asked).await {
        Some(Ok(Reply::RefreshDone { version })) => match newer(app, &seen.account.id, version).await {
            Ok(Some(newer)) => Renewal::Newer(newer),
            Ok(None) => Renewal::Refused,
            Err(_) => Renewal::Failed,
        },
        Some(Ok(Reply::RefreshElected)) => {
            let (sender, outcome) = futures_channel::oneshot::channel();
            let (app_, seen_) = (app.clone(), seen.clone());
            let work = async move {
                let renewal = renew(&app_, accounts, call, &seen_).await;
                // Fails only if the client left; the tokens are stored all the same.
                let _ = sender.send(renewal);
            };
            app.ports.tasks.spawn(Box::pin(work.in_current_span()));
            outcome.await.unwrap_or(Renewal::Failed)
        }
        Some(Ok(Reply::RefreshRefused { .. })) => Renewal::Refused,
        Some(Ok(Reply::RefreshTooSoon { at })) => Renewal::TooSoon(at),
        // The refresher failed or takes too long, the account is gone, or its pool is unreachable.
        Some(Ok(_) | Err(_)) | None => Renewal::Failed,
    }
}

/// Whether a call waits while another renews the token.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Waits {
    Yes,
    No,
}

/// Why credentials need renewal.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reason {
    /// They have expired, or will soon.
    Ended,
    /// The provider refused them.
    Refused,
}

/// Asks the pool to become the refresher. Asking again extends the election.
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

/// The refresher's work: reads the credentials again, renews them, reports to the pool.
async fn renew(app: &App, accounts: &'static dyn Accounts, call: CallId, seen: &LiveAccount) -> Renewal {
    let account = &seen.account.id;
    let (result, renewal) = match exchange(app, accounts, call, seen).await {
        Ok(NewCredentials { version, live }) => {
            tracing::info!(version, "access token renewed");
            let renewal = live.map_or(Renewal::Failed, Renewal::Newer);
            (RefreshResult::Refreshed { version }, renewal)
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
        // The election expires by itself.
        tracing::warn!(error = %away, "the result of a token renewal did not reach the pool");
    }
}

/// New credentials that are stored.
struct NewCredentials {
    version: u64,
    /// `None` if the record could not be read afterwards.
    live: Option<Arc<LiveAccount>>,
}

impl NewCredentials {
    fn of(live: Arc<LiveAccount>) -> Self {
        Self {
            version: live.account.credential_version,
            live: Some(live),
        }
    }
}

async fn exchange(
    app: &App,
    accounts: &dyn Accounts,
    call: CallId,
    seen: &LiveAccount,
) -> Result<NewCredentials, RefreshResult> {
    let seen_version = seen.account.credential_version;
    let current = read_again(app, &seen.account.id).await?;
    if current.account.credential_version > seen_version {
        return Ok(NewCredentials::of(current));
    }
    match ask(app, accounts, &current).await {
        RefreshOutcome::Tokens(tokens) => match store(app, accounts, call, &current, tokens).await {
            // The renewal succeeded even if this read fails: calls that waited may have better luck.
            Some(version) => match newer(app, &current.account.id, version).await {
                Ok(Some(live)) => Ok(NewCredentials::of(live)),
                Ok(None) => Err(deleted()),
                Err(_) => Ok(NewCredentials { version, live: None }),
            },
            None => Err(RefreshResult::Failed),
        },
        RefreshOutcome::Failed(why) => {
            tracing::warn!(why, "token renewal failed");
            Err(RefreshResult::Failed)
        }
        // Another host may have used the token a moment ago and be about to store the new one. The token is dead
        // only if no newer one appears.
        RefreshOutcome::Refused(why) => {
            let pauses: &[u64] = if app.ports.store.shared() {
                &LOOKS_AFTER_MS
            } else {
                &[]
            };
            let mut pauses = pauses.iter();
            loop {
                match read_again(app, &current.account.id).await {
                    Ok(newer) if newer.account.credential_version > seen_version => {
                        return Ok(NewCredentials::of(newer));
                    }
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
        Ok(None) => Err(deleted()),
        Err(_) => Err(RefreshResult::Failed),
    }
}

fn deleted() -> RefreshResult {
    RefreshResult::Refused {
        why: "the account was deleted".to_owned(),
    }
}

/// The account with credentials of this version or a later one. All calls of a crowd want it at once, so a copy that
/// one of them has read is used.
async fn newer(app: &App, account: &str, version: u64) -> Result<Option<Arc<LiveAccount>>, StoreError> {
    let mut pauses = READS_AFTER_MS.iter();
    loop {
        let cached = app.accounts.cached(account);
        if let Some(live) = cached.filter(|live| live.account.credential_version >= version) {
            return Ok(Some(live));
        }
        match (app.accounts.fresh(account).await, pauses.next()) {
            (Err(StoreError::Away { .. }), Some(pause)) => {
                app.ports.clock.sleep(Duration::from_millis(*pause)).await;
            }
            (read, _) => return read,
        }
    }
}

async fn ask(app: &App, accounts: &dyn Accounts, live: &LiveAccount) -> RefreshOutcome {
    let request = match &live.credentials {
        Credentials::OAuth {
            refresh_token: Some(token),
            ..
        } => accounts
            .refresh_request(token.reveal(), &app.config)
            .map_err(RefreshOutcome::Failed),
        Credentials::ServiceAccount(account) => signed(app, account).await,
        Credentials::EntraApp(entra_app) => {
            entra::request(&app.config.openai, entra_app).map_err(RefreshOutcome::Failed)
        }
        _ => Err(RefreshOutcome::Refused(
            "the account has no refresh token".to_owned(),
        )),
    };
    let request = match request {
        Ok(request) => request,
        Err(outcome) => return outcome,
    };
    let (status, body) = match token_endpoint::ask(app, request, live.proxy.clone()).await {
        Ok(answer) => answer,
        Err(none) => return RefreshOutcome::Failed(none.to_string()),
    };
    // What is refused is told to the operator. A success may repeat the token that is held.
    let body = if status.is_success() {
        body
    } else {
        SecretMask::of(live).body(body)
    };
    let now = app.ports.clock.now();
    match &live.credentials {
        Credentials::ServiceAccount(_) => service_account::answered(status, &body, now),
        Credentials::EntraApp(_) => entra::answered(status, &body, now),
        _ => accounts.refreshed(status, &body, now),
    }
}

/// The request of a service account for a token.
async fn signed(app: &App, account: &ServiceAccount) -> Result<Request<Bytes>, RefreshOutcome> {
    let claim = service_account::claim(account, app.ports.clock.now());
    let key = key_file::der(account.private_key.reveal()).unwrap_or_default();
    let signature = app.ports.signer.rs256(&key, claim.as_bytes()).await;
    let signature = signature.map_err(|error| RefreshOutcome::Refused(error.to_string()))?;
    service_account::request(&app.config.gemini.oauth_url, &claim, &signature).map_err(RefreshOutcome::Failed)
}

/// Retries while the store is unavailable: the old refresh token may be used up, so these tokens are the
/// account's only ones. Stays elected meanwhile, so that no other host uses the old token. Returns the version of
/// the stored credentials; `None` if it gave up or the account is gone.
async fn store(
    app: &App,
    accounts: &dyn Accounts,
    call: CallId,
    current: &LiveAccount,
    tokens: NewTokens,
) -> Option<u64> {
    let account = &current.account.id;
    let version = current.account.credential_version;
    let mut pause = FIRST_PAUSE_MS;
    for _ in 0..30 {
        match app
            .accounts
            .replace_tokens(account, version, tokens.clone())
            .await
        {
            Ok(TokenUpdate::Stored { version } | TokenUpdate::Newer { version }) => return Some(version),
            Ok(TokenUpdate::Gone) => return None,
            Err(error) => tracing::warn!(%error, "renewed tokens are not stored yet"),
        }
        let _ = begin(app, accounts, call, current, Waits::No, Reason::Ended).await;
        app.ports.clock.sleep(Duration::from_millis(pause)).await;
        pause = (pause * 3).min(10_000);
    }
    tracing::error!("renewed tokens could not be stored: the account may need a new login");
    None
}
