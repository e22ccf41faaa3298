//! Estimates a call's usage before it is sent. The key's limits reserve it until the true usage is known.
//!
//! The input is guessed by the body's length, at the price of input that no cache helps with. The output is
//! what most answers stay under, or what the client allows if that is less: reserving the 128,000 tokens that
//! clients ask for as a matter of course would shut a key with a few dollars left. Tools that the client lets the
//! provider run are guessed by their kind ([`HostedTools`]). Calls that run at the same time may therefore
//! overshoot a limit, by at most what they use beyond their estimates.
//!
//! [`HostedTools`]: crate::dialect::body::tools::HostedTools

use crs_durable::gate::Estimate;

use crate::app::App;
use crate::dialect::call::Call;
use crate::model::account::Platform;
use crate::model::price::Terms;
use crate::model::usage::{Quality, Tokens};

/// Bytes of a request's JSON per token, about.
const BYTES_PER_TOKEN: u64 = 4;

/// Output that most answers stay under, tokens.
const USUAL_OUTPUT: u64 = 4_096;

pub(super) fn of(app: &App, call: &Call, platform: Platform) -> Estimate {
    let tokens = Tokens {
        input: call.body.len() as u64 / BYTES_PER_TOKEN,
        output: call.max_output.unwrap_or(USUAL_OUTPUT).min(USUAL_OUTPUT),
        ..Tokens::default()
    };
    let terms = Terms {
        extras: call.hosted.usual(),
        image_model: call.hosted.image_model.clone(),
        ..Terms::default()
    };
    let bill = app
        .prices()
        .bill(&call.model, platform, &tokens, &terms, Quality::Estimated);
    Estimate {
        tokens: tokens.prompt().saturating_add(tokens.output),
        cost: bill.cost.0,
    }
}
