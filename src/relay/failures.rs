//! The failures that end a call, with the messages for clients.
//!
//! | source | function |
//! | --- | --- |
//! | the key's gate | [`of_gate`] |
//! | the platform's pool | [`of_pool`], [`of_binding`], [`origin_away`], [`origin_gone`] |
//! | the provider | [`of_provider`] |
//!
//! Each message says what happened and what to do. None quotes the provider, whose words go to the log.

use crs_durable::gate::{Limit, LimitReached, Refusal, Service};
use crs_durable::{Millis, pool};
use http::StatusCode;

use crate::dialect::origin::Kind;
use crate::error::{Code, Failure};

/// Converts a gate's refusal into the client's failure.
pub(crate) fn of_gate(refusal: &Refusal, now: Millis) -> Failure {
    match refusal {
        Refusal::UnknownKey => Failure::new(
            Code::UnknownKey,
            "This API key is not known here. Check that it was copied whole, or ask the operator for a new one.",
        ),
        Refusal::Disabled => Failure::new(
            Code::KeyDisabled,
            "This API key is disabled. Ask the operator of this relay to enable it.",
        ),
        Refusal::Expired { at } => Failure::new(
            Code::KeyExpired,
            format!(
                "This API key expired on {}. Ask the operator of this relay to renew it.",
                crate::model::time::iso(*at)
            ),
        ),
        Refusal::NotPermitted { service } => Failure::new(
            Code::ServiceNotPermitted,
            format!(
                "This API key may not use {}. Ask the operator of this relay to permit it.",
                service_name(*service)
            ),
        ),
        Refusal::ModelRestricted { model } => Failure::new(
            Code::ModelRestricted,
            format!("This API key may not use the model {model}. Choose another model."),
        ),
        Refusal::ClientNotAllowed { client, allowed } => Failure::new(
            Code::ClientNotAllowed,
            format!(
                "This API key may only be used with {}{}. Use one of these, or ask the operator of this relay.",
                if allowed.is_empty() { "no client".to_owned() } else { allowed.join(", ") },
                client.as_ref().map_or(String::new(), |client| format!(", not with {client}"))
            ),
        ),
        Refusal::QueueFull {
            limit,
            size,
            retry_after_ms,
        } => Failure::new(
            Code::ConcurrencyFull,
            format!(
                "This API key already has {limit} requests running and {size} waiting, which are its limits. Wait until some end."
            ),
        )
        .retry_after(seconds(*retry_after_ms)),
        Refusal::QueueTimeout {
            limit,
            retry_after_ms,
        } => Failure::new(
            Code::ConcurrencyFull,
            format!(
                "This API key has {limit} requests running, which is its limit, and none ended while this one waited. Try again shortly."
            ),
        )
        .retry_after(seconds(*retry_after_ms)),
        Refusal::LimitReached(reached) => limit_reached(reached, now),
        Refusal::ConcurrencyFull {
            limit,
            retry_after_ms,
        } => Failure::new(
            Code::ConcurrencyFull,
            format!(
                "This API key already has {limit} requests running, which is its limit. Wait until one ends."
            ),
        )
        .retry_after(seconds(*retry_after_ms)),
    }
}

/// For `retry-after`: whole seconds, at least one.
fn seconds(ms: u64) -> u64 {
    ms.div_ceil(1000).max(1)
}

/// Builds the failure for a reached limit. The limit lifts at a known time, when running calls end, or only when
/// the operator raises it.
fn limit_reached(reached: &LimitReached, now: Millis) -> Failure {
    let LimitReached {
        which,
        limit,
        used,
        resets_at,
        retry_after_ms,
        ..
    } = reached;
    let usd = |micro: u64| format!("${:.2}", micro as f64 / 1e6);
    let (code, what, unit): (_, _, &dyn Fn(u64) -> String) = match which {
        Limit::WindowRequests => (Code::RateLimited, "requests per window", &|count| {
            count.to_string()
        }),
        Limit::WindowTokens => (Code::RateLimited, "tokens per window", &|count| count.to_string()),
        Limit::WindowCost => (Code::RateLimited, "cost per window", &usd),
        Limit::Money(limit) => (Code::CostLimited, limit.row().words, &usd),
    };
    let reached = format!(
        "This API key has reached its limit of {} for {what} (used: {}).",
        unit(*limit),
        unit(*used)
    );
    // Running calls may return their reservations within seconds.
    let passing = used < limit;
    let then = match (passing, resets_at) {
        (true, _) => "Requests that run now have reserved the rest; try again shortly.".to_owned(),
        (false, Some(at)) => format!(
            "It begins anew on {}, in {}.",
            crate::model::time::iso(*at),
            duration(at.saturating_sub(now).div_ceil(1000))
        ),
        (false, None) => "Ask the operator of this relay to raise it.".to_owned(),
    };
    Failure {
        retry_after: retry_after_ms.map(seconds),
        should_retry: if passing { None } else { Some(false) },
        ..Failure::new(code, format!("{reached} {then}"))
    }
}

fn service_name(service: Service) -> &'static str {
    match service {
        Service::Claude => "Claude",
        Service::Gemini => "Gemini",
        Service::OpenAi => "OpenAI",
    }
}

/// The account that stores the referenced object cannot serve the call now. Other accounts would only return an
/// error about an unknown id.
pub(super) fn origin_away(failure: Failure, kind: Kind) -> Failure {
    let state = match failure.code {
        Code::AccountsBusy => "is busy with as many requests as it may serve",
        Code::AccountsLimited => "is rate limited",
        _ => "cannot serve requests at present",
    };
    let then = match failure.retry_after {
        Some(wait) => format!("Try again in {}, or start a new conversation.", duration(wait)),
        None => {
            "Start a new conversation, or ask the operator of this relay to look at the account.".to_owned()
        }
    };
    Failure {
        message: format!(
            "This request refers to {}, which only one account of this relay keeps, and that account {state}. {then}",
            kind.description()
        ),
        ..failure
    }
}

/// The account that stored the referenced object was deleted. Status 400, which clients show at once and do not
/// retry.
pub(super) fn origin_gone(kind: Kind) -> Failure {
    let message = format!(
        "This request refers to {}, which only one account of this relay kept, and that account is gone: the operator has removed it. Start a new conversation, or leave the reference out.",
        kind.description()
    );
    Failure::new(Code::NotFound, message).with_status(StatusCode::BAD_REQUEST)
}

/// A response that no account made for this key. OpenAI answers the same for an unknown id.
pub(crate) fn unknown_response() -> Failure {
    let message = "There is no response with this id for this API key. Stored responses are known for a week, to the key that asked for them.";
    Failure::new(Code::NotFound, message)
}

/// Mentions the key's binding if it is the reason why no account was left.
pub(super) fn of_binding(failure: Failure, bound: Option<pool::BindingFailure>) -> Failure {
    match bound {
        Some(pool::BindingFailure::Missing) => Failure::new(
            Code::NoAccount,
            "This API key is bound to an account or a group that does not exist. Ask the operator of this relay to bind it anew.",
        ),
        Some(pool::BindingFailure::Unable) => Failure {
            message: format!("{} (This API key is bound to it.)", failure.message),
            ..failure
        },
        None => failure,
    }
}

/// No account can serve the call. Explains why accounts were skipped and when to retry. `earliest`: when the
/// first account is available again; `busy`: accounts would serve if they had a free slot.
pub(super) fn of_pool(
    skipped: &[(pool::AccountId, pool::Skip)],
    earliest: Option<Millis>,
    busy: bool,
    now: Millis,
) -> Failure {
    let wait = earliest.map(|at| at.saturating_sub(now).div_ceil(1000).max(1));
    let cooling = |(_, skip): &(_, pool::Skip)| matches!(skip, pool::Skip::Cooling { .. });
    let failure = if busy {
        return Failure::new(
            Code::AccountsBusy,
            "Every account is busy with as many requests as it may serve. Please try again shortly.",
        )
        .retry_after(2);
    } else if skipped.iter().any(cooling) {
        limited(wait)
    } else if skipped.is_empty() {
        let message = "No account is set up to serve this call. Ask the operator of this relay to add one.";
        return Failure::new(Code::NoAccount, message);
    } else {
        let message = "No account can serve this call at present. Ask the operator of this relay to look at the accounts.";
        // If an account will be available later, the client should retry then.
        Failure {
            retry_after: wait,
            should_retry: if wait.is_some() { None } else { Some(false) },
            ..Failure::new(Code::NoAccount, message)
        }
    };
    failure.with_detail(skip_counts(skipped))
}

/// Number of skipped accounts by reason. The reasons' texts are left out: they may quote a provider, and details
/// are also shown outside of the log.
fn skip_counts(skipped: &[(pool::AccountId, pool::Skip)]) -> String {
    let mut counts = std::collections::BTreeMap::<_, usize>::new();
    for (_, skip) in skipped {
        *counts.entry(skip.name()).or_default() += 1;
    }
    let counts: Vec<String> = counts
        .iter()
        .map(|(name, count)| format!("{name}: {count}"))
        .collect();
    format!("accounts skipped: {}", counts.join(", "))
}

/// Every account is rate limited. `wait`: seconds until the first one is available, if known.
fn limited(wait: Option<u64>) -> Failure {
    let message = match wait {
        Some(wait) => format!(
            "Every account is rate limited; the first one is expected back in {}.",
            duration(wait)
        ),
        None => "Every account is rate limited. Please try again later.".to_owned(),
    };
    Failure {
        retry_after: wait,
        ..Failure::new(Code::AccountsLimited, message)
    }
}

/// Chooses between the last attempt's failure and the pool's. A provider outage is reported even if the other
/// accounts are rate limited. For a limit or refused credentials the pool's failure is chosen, because it has the
/// time to retry.
pub(super) fn clearer_failure(last: Option<Failure>, nobody: Failure) -> Failure {
    let Some(last) = last else { return nobody };
    let clearer = match (last.code, nobody.code) {
        (Code::AccountsLimited, Code::AccountsLimited | Code::AccountsBusy) | (Code::NoAccount, _) => nobody,
        (Code::AccountsLimited, _) => limited(nobody.retry_after.or(last.retry_after)),
        _ => return last,
    };
    if last.log_entry().is_none() {
        return clearer;
    }
    Failure {
        detail: last.detail,
        cause: last.cause,
        words: last.words,
        ..clearer
    }
}

/// Formats seconds, rounded to the largest suitable unit.
pub(super) fn duration(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} seconds"),
        120..7200 => format!("{} minutes", seconds.div_ceil(60)),
        _ => format!("{} hours", seconds.div_ceil(3600)),
    }
}

/// Converts a provider's fault into the client's failure. `status`: the provider's, which is kept if both are
/// server errors.
pub(super) fn of_provider(code: Code, status: Option<StatusCode>) -> Failure {
    let failure = match code {
        Code::ProviderOverloaded => {
            Failure::new(code, "The provider is overloaded. Please try again shortly.")
        }
        Code::ProviderTimeout => Failure::new(code, "The provider did not answer in time. Please try again."),
        Code::ProviderUnreachable => Failure::new(
            code,
            "The provider cannot be reached right now. Please try again shortly.",
        ),
        Code::ProviderBroke => Failure::new(code, "The provider broke the connection off. Please try again."),
        Code::AccountsLimited => Failure::new(
            code,
            "Every account that could serve this call is rate limited. Please try again later.",
        ),
        Code::NoAccount => Failure::new(
            code,
            "No account can serve this call: the provider refused those that were tried. Please ask the operator of this relay to look at them.",
        ),
        _ => Failure::new(
            Code::ProviderFailed,
            "The provider failed to answer. Please try again.",
        ),
    };
    match status {
        Some(status)
            if status.is_server_error() && failure.status.is_server_error() && code != Code::NoAccount =>
        {
            failure.with_status(status)
        }
        _ => failure,
    }
}
