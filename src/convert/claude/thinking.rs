//! Thinking and sampling parameters.

use serde_json::Number;

use super::model::{Model, Thinking};
use crate::dialect::wire::FieldRefusal;
use crate::dialect::wire::json::Json;
use crate::dialect::wire::object::Object;

/// The smallest budget that the API accepts, tokens.
const LEAST: u64 = 1_024;

/// The state of the conversation.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::convert) struct Turn {
    /// The assistant's last turn is unfinished and did not begin with a thought.
    pub open: bool,
    /// A tool call is required.
    pub forced: bool,
}

/// OpenAI's efforts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::convert) enum Effort {
    None,
    /// The model's default.
    Usual,
    Minimal,
    Low,
    Medium,
    High,
    XHigh,
}

impl Effort {
    pub(in crate::convert) fn of(word: &str, path: &str) -> Result<Self, FieldRefusal> {
        Ok(match word {
            "none" => Self::None,
            "minimal" => Self::Minimal,
            "low" => Self::Low,
            "medium" => Self::Medium,
            "high" => Self::High,
            "xhigh" | "max" => Self::XHigh,
            other => {
                return Err(FieldRefusal::at(
                    path,
                    format_args!(
                        "`{other}` is not `none`, `minimal`, `low`, `medium`, `high`, `xhigh` or `max`"
                    ),
                ));
            }
        })
    }
}

/// Turns thinking on, if it is possible here.
pub(in crate::convert) fn think<'a>(
    effort: Effort,
    model: Model,
    most: Option<u64>,
    turn: Turn,
    config: &mut Json<'a>,
    out: &mut Json<'a>,
) -> bool {
    // Claude refuses thinking together with a required tool call.
    if turn.forced && model != Model::Gemini {
        return false;
    }
    match model.thinking() {
        Thinking::None => false,
        // A turn that began without a thought cannot continue with one.
        Thinking::Budget if turn.open => false,
        Thinking::Budget => {
            let wanted = match effort {
                Effort::None | Effort::Minimal => LEAST,
                Effort::Low => 4_096,
                Effort::Medium | Effort::Usual => 12_288,
                Effort::High => 24_576,
                Effort::XHigh => 32_768,
            };
            // Leaves a quarter of the length for the answer.
            let room = most.map_or(wanted, |most| most - most / 4);
            let budget = wanted.min(room);
            if budget < LEAST || most.is_some_and(|most| budget >= most) {
                return false;
            }
            out.put(
                "thinking",
                Json::map([("type", Json::text("enabled")), ("budget_tokens", number(budget))]),
            );
            true
        }
        Thinking::Effort { most: xhigh } => {
            let word = match effort {
                Effort::None | Effort::Usual => None,
                Effort::Minimal | Effort::Low => Some("low"),
                Effort::Medium => Some("medium"),
                Effort::XHigh if xhigh => Some("xhigh"),
                Effort::High | Effort::XHigh => Some("high"),
            };
            out.put("thinking", Json::map([("type", Json::text("adaptive"))]));
            if let Some(word) = word {
                config.put("effort", Json::text(word));
            }
            true
        }
    }
}

/// Sends `temperature` and `top_p` to models that accept them.
pub(in crate::convert) fn sampling<'a>(
    body: &Object<'a>,
    model: Model,
    thinks: bool,
    out: &mut Json<'a>,
) -> Result<(), FieldRefusal> {
    let temperature: Option<f64> = body.want("temperature", "")?;
    let top: Option<f64> = body.want("top_p", "")?;
    let gemini = model == Model::Gemini;
    if !gemini && (thinks || !model.takes_sampling()) {
        return Ok(());
    }
    let ceiling = if gemini { 2.0 } else { 1.0 };
    let mut put = |name, value: Option<f64>| {
        let value = value.and_then(Number::from_f64).map(Json::Number);
        if let Some(value) = value {
            out.put(name, value);
        }
    };
    put(
        "temperature",
        temperature.map(|temperature| temperature.min(ceiling)),
    );
    // Newer models refuse the two together.
    put("top_p", top.filter(|_| gemini || temperature.is_none()));
    Ok(())
}

pub(in crate::convert) fn number<'a>(number: u64) -> Json<'a> {
    Json::Number(number.into())
}
