//! How much a model is told to think, and what it takes beside.

use serde_json::Number;

use super::model::{Model, Thinking};
use crate::dialect::wire::Refused;
use crate::dialect::wire::json::Json;
use crate::dialect::wire::object::Object;

/// The least budget that is taken.
const LEAST: u64 = 1_024;

/// Where the conversation is.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::convert) struct Turn {
    /// The assistant's last turn is not over, and did not begin with a thought.
    pub open: bool,
    /// A tool must be called.
    pub forced: bool,
}

/// OpenAI's words for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::convert) enum Effort {
    None,
    /// The model's own.
    Usual,
    Minimal,
    Low,
    Medium,
    High,
    XHigh,
}

impl Effort {
    pub(in crate::convert) fn of(word: &str, path: &str) -> Result<Self, Refused> {
        Ok(match word {
            "none" => Self::None,
            "minimal" => Self::Minimal,
            "low" => Self::Low,
            "medium" => Self::Medium,
            "high" => Self::High,
            "xhigh" | "max" => Self::XHigh,
            other => {
                return Err(Refused::at(
                    path,
                    format_args!(
                        "`{other}` is not `none`, `minimal`, `low`, `medium`, `high`, `xhigh` or `max`"
                    ),
                ));
            }
        })
    }
}

/// Has the model think, if it can here.
pub(in crate::convert) fn think<'a>(
    effort: Effort,
    model: Model,
    most: Option<u64>,
    turn: Turn,
    config: &mut Json<'a>,
    out: &mut Json<'a>,
) -> bool {
    // Thinking and a call that must come do not go together at Claude.
    if turn.forced && model != Model::Gemini {
        return false;
    }
    match model.thinking() {
        Thinking::None => false,
        // A turn that began without its thoughts does not go on with some.
        Thinking::Budget if turn.open => false,
        Thinking::Budget => {
            let wanted = match effort {
                Effort::None | Effort::Minimal => LEAST,
                Effort::Low => 4_096,
                Effort::Medium | Effort::Usual => 12_288,
                Effort::High => 24_576,
                Effort::XHigh => 32_768,
            };
            // A quarter is left for the answer.
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

/// What shifts chances, where the model takes it.
pub(in crate::convert) fn sampling<'a>(
    body: &Object<'a>,
    model: Model,
    thinks: bool,
    out: &mut Json<'a>,
) -> Result<(), Refused> {
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
    // Newer models refuse both at once.
    put("top_p", top.filter(|_| gemini || temperature.is_none()));
    Ok(())
}

pub(in crate::convert) fn number<'a>(number: u64) -> Json<'a> {
    Json::Number(number.into())
}
