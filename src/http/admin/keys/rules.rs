//! Rules between the fields of a key. A limit that cannot work is refused with the reason, so that operators do
//! not rely on it.
//!
//! Only the fields sent are checked, so a record that is invalid for other reasons can still be renamed.

use super::super::super::api_error::ApiError;
use super::super::super::extract::InputField;
use super::bindings::CheckedBindings;
use super::input::KeyInput;
use crate::model::key::{ExpirationMode, Key};
use crate::relay::client;
use crs_durable::gate::ModelMode;

/// Applies the input, or refuses it. `bound`: from the same input.
pub(super) fn apply(input: &KeyInput, bound: &CheckedBindings, key: &mut Key) -> Result<(), ApiError> {
    input.put(bound, key);
    check(input, key)
}

/// `key`: with the input applied.
fn check(input: &KeyInput, key: &Key) -> Result<(), ApiError> {
    window(input, key)?;
    expiry(input, key)?;
    queue(input, key)?;
    lists(input, key)
}

fn sent<T>(field: &InputField<T>) -> bool {
    field.as_ref().is_some()
}

fn window(input: &KeyInput, key: &Key) -> Result<(), ApiError> {
    let counted = [
        (
            "rateLimitRequests",
            key.rate_limit_requests,
            sent(&input.rate_limit_requests),
        ),
        (
            "rateLimitCost",
            key.rate_limit_cost.0,
            sent(&input.rate_limit_cost),
        ),
        ("tokenLimit", key.token_limit, sent(&input.token_limit)),
    ];
    if key.rate_limit_window > 0 {
        return Ok(());
    }
    let mut limits = counted.into_iter().filter(|(_, limit, _)| *limit > 0);
    if sent(&input.rate_limit_window) {
        return limits.next().map_or(Ok(()), |(name, ..)| {
            let message = format!(
                "`rateLimitWindow` is the time that `{name}` is counted over: set it to 1 minute or more, or `{name}` to 0"
            );
            Err(ApiError::invalid("rateLimitWindow", message))
        });
    }
    limits.find(|(.., sent)| *sent).map_or(Ok(()), |(name, ..)| {
        let message = format!("`{name}` is counted over a window: set `rateLimitWindow` too, in minutes");
        Err(ApiError::invalid(name, message))
    })
}

fn expiry(input: &KeyInput, key: &Key) -> Result<(), ApiError> {
    match key.expiration_mode {
        ExpirationMode::Activation => {
            if key.activation_days == 0 && (sent(&input.expiration_mode) || sent(&input.activation_days)) {
                return Err(ApiError::invalid(
                    "activationDays",
                    "`activationDays` says how long the key is good for from its first use: with `expirationMode` `activation` it must be 1 or more",
                ));
            }
            if key.expires_at.is_some() && (sent(&input.expiration_mode) || sent(&input.expires_at)) {
                return Err(ApiError::invalid(
                    "expiresAt",
                    "`expiresAt` does not count when `expirationMode` is `activation`: send null for it, or `fixed`",
                ));
            }
        }
        ExpirationMode::Fixed => {
            if key.activation_days > 0 && sent(&input.activation_days) {
                return Err(ApiError::invalid(
                    "activationDays",
                    "`activationDays` only counts when `expirationMode` is `activation`: send that too",
                ));
            }
        }
    }
    Ok(())
}

fn queue(input: &KeyInput, key: &Key) -> Result<(), ApiError> {
    if key.concurrency_queue_size == 0 {
        return Ok(());
    }
    if key.concurrency_queue_timeout == 0
        && (sent(&input.concurrency_queue_size) || sent(&input.concurrency_queue_timeout))
    {
        return Err(ApiError::invalid(
            "concurrencyQueueTimeout",
            "`concurrencyQueueTimeout` says how long calls wait in the queue, in milliseconds: set it to 1 or more, or `concurrencyQueueSize` to 0",
        ));
    }
    if key.concurrency_limit == 0 && sent(&input.concurrency_queue_size) {
        return Err(ApiError::invalid(
            "concurrencyQueueSize",
            "`concurrencyQueueSize` counts calls that wait for a slot, and without a `concurrencyLimit` none ever waits: set that too",
        ));
    }
    Ok(())
}

fn lists(input: &KeyInput, key: &Key) -> Result<(), ApiError> {
    let of_clients = sent(&input.enable_client_restriction) || sent(&input.allowed_clients);
    if of_clients && key.enable_client_restriction && key.allowed_clients.is_empty() {
        let message = format!(
            "`allowedClients` is empty, so that nobody could use the key: name some of {}, or set `enableClientRestriction` to false",
            client::NAMES.join(", ")
        );
        return Err(ApiError::invalid("allowedClients", message));
    }
    let of_models = sent(&input.enable_model_restriction)
        || sent(&input.restricted_models)
        || sent(&input.model_restriction_mode);
    let only = key.enable_model_restriction && key.model_restriction_mode == ModelMode::Allow;
    if of_models && only && key.restricted_models.is_empty() {
        return Err(ApiError::invalid(
            "restrictedModels",
            "`restrictedModels` is empty, so that with `modelRestrictionMode` `allow` no model could be used: name some, or set `enableModelRestriction` to false",
        ));
    }
    Ok(())
}
