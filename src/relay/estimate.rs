//! Estimates a call's usage before it is sent. The key's limits reserve the estimate until the real usage is
//! known.
//!
//! The input is estimated from the body's length without its images, and priced as uncached. The output is a
//! typical value, or the client's maximum if that is lower: reserving the 128,000 tokens that clients request by
//! default would block a key with a few dollars left. Tools that the provider runs are estimated by their kind ([`HostedTools`]).
//! Concurrent calls can therefore exceed a limit, by at most the usage beyond their estimates.
//!
//! [`HostedTools`]: crate::dialect::body::tools::HostedTools

use crs_durable::gate::Estimate;

use crate::app::App;
use crate::dialect::call::{Call, Endpoint};
use crate::model::account::Platform;
use crate::model::price::Terms;
use crate::model::usage::Tokens;

/// Average bytes of request JSON per token.
const BYTES_PER_TOKEN: u64 = 4;

/// Tokens of an image in the input: the most that Anthropic counts for one of its usual size, and about the most of
/// OpenAI and Google (<https://docs.claude.com/en/docs/build-with-claude/vision>).
const TOKENS_PER_IMAGE: u64 = 1_600;

/// Output that most answers do not exceed, tokens.
const USUAL_OUTPUT: u64 = 4_096;

/// Input of a call for images that is not exceeded by much, tokens.
const MOST_OF_IMAGES: u64 = 8_192;

pub(super) fn of(app: &App, call: &Call, platform: Platform) -> Estimate {
    let input = input(call);
    let tokens = match call.endpoint {
        Endpoint::Images(_) => Tokens {
            // A picture's bytes say little about its tokens.
            input: input.min(MOST_OF_IMAGES),
            output: call.max_output.unwrap_or_default(),
            ..Tokens::default()
        },
        _ => Tokens {
            input,
            output: call.max_output.unwrap_or(USUAL_OUTPUT).min(USUAL_OUTPUT),
            ..Tokens::default()
        },
    };
    let terms = Terms {
        extras: call.hosted.usual(),
        image_model: call.hosted.image_model.clone(),
        ..Terms::default()
    };
    let cost = app.prices().cost(&call.model, platform, &tokens, &terms);
    Estimate {
        tokens: tokens.prompt().saturating_add(tokens.output),
        cost: cost.0,
    }
}

/// The input of a call as far as its body shows, tokens.
pub(super) fn input(call: &Call) -> u64 {
    let images = call.fields.images();
    let text = (call.body.len() as u64).saturating_sub(u64::from(images.bytes));
    let of_images = u64::from(images.count).saturating_mul(TOKENS_PER_IMAGE);
    text / BYTES_PER_TOKEN + of_images.min(u64::from(images.bytes) / BYTES_PER_TOKEN)
}
