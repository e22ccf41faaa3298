//! What is asked of the generation: lengths, randomness, thinking, the form of the answer.

use serde_json::Number;

use super::schema;

use crate::convert::chat_to_messages::model::{Model, Thinking};
use crate::dialect::wire::Refused;
use crate::dialect::wire::budget::Budget;
use crate::dialect::wire::json::Json;
use crate::dialect::wire::object::Object;
use crate::dialect::wire::text::Text;

/// Sequences that end an answer: more than any provider takes.
const MOST_STOPS: usize = 100;

/// The least budget that is taken.
const LEAST: u64 = 1_024;

/// Writes it into the request; what it returns belongs to the instructions.
///
/// `open`: the assistant's last turn is not over; `forced`: a tool must be called.
pub(super) fn convert<'a>(
    body: &Object<'a>,
    model: Model,
    open: bool,
    forced: bool,
    out: &mut Json<'a>,
    budget: &Budget,
) -> Result<Option<&'static str>, Refused> {
    let most: Option<u64> = match body.want("max_completion_tokens", "")? {
        None => body.want("max_tokens", "")?,
        most => most,
    };
    let asked = most.is_some();
    let most = most.or(model.usual_output());
    if let Some(most) = most {
        out.put("max_tokens", number(most));
    }
    let mut config = Json::Map(Vec::new());
    let effort = effort(body)?;
    // As Gemini does by itself; but not out of a length that may be meant for the answer.
    let effort = match effort {
        None if model == Model::Gemini && !asked => Some(Effort::Usual),
        effort => effort,
    };
    let thinks = match effort {
        None | Some(Effort::None) => false,
        Some(effort) => think(effort, model, most, open, forced, &mut config, out),
    };
    sampling(body, model, thinks, out)?;
    stops(body, out)?;
    let line = shape(body, model, &mut config, budget)?;
    if !matches!(&config, Json::Map(members) if members.is_empty()) {
        out.put("output_config", config);
    }
    Ok(line)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Effort {
    None,
    /// The model's own.
    Usual,
    Minimal,
    Low,
    Medium,
    High,
    XHigh,
}

fn effort(body: &Object<'_>) -> Result<Option<Effort>, Refused> {
    let path = "reasoning_effort";
    let word: Option<Text<'_>> = body.want(path, "")?;
    let Some(word) = word else { return Ok(None) };
    Ok(Some(match &*word {
        "none" => Effort::None,
        "minimal" => Effort::Minimal,
        "low" => Effort::Low,
        "medium" => Effort::Medium,
        "high" => Effort::High,
        "xhigh" | "max" => Effort::XHigh,
        other => {
            return Err(Refused::at(
                path,
                format_args!("`{other}` is not `none`, `minimal`, `low`, `medium`, `high`, `xhigh` or `max`"),
            ));
        }
    }))
}

/// Has the model think, if it can here.
fn think<'a>(
    effort: Effort,
    model: Model,
    most: Option<u64>,
    open: bool,
    forced: bool,
    config: &mut Json<'a>,
    out: &mut Json<'a>,
) -> bool {
    // Thinking and a call that must come do not go together at Claude.
    if forced && model != Model::Gemini {
        return false;
    }
    match model.thinking() {
        Thinking::None => false,
        // A turn that began without its thoughts does not go on with some.
        Thinking::Budget if open => false,
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

fn sampling<'a>(body: &Object<'a>, model: Model, thinks: bool, out: &mut Json<'a>) -> Result<(), Refused> {
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

fn stops<'a>(body: &Object<'a>, out: &mut Json<'a>) -> Result<(), Refused> {
    let Some(raw) = body.raw("stop") else {
        return Ok(());
    };
    let stops: Vec<Text<'a>> = if raw.get().starts_with('"') {
        vec![body.must("stop", "")?]
    } else {
        body.texts("stop", "", MOST_STOPS)?.unwrap_or_default()
    };
    if !stops.is_empty() {
        let stops = stops.into_iter().map(Json::from).collect();
        out.put("stop_sequences", Json::List(stops));
    }
    Ok(())
}

/// The form of the answer.
fn shape<'a>(
    body: &Object<'a>,
    model: Model,
    config: &mut Json<'a>,
    budget: &Budget,
) -> Result<Option<&'static str>, Refused> {
    let path = "response_format";
    let format: Option<Object<'a>> = body.want(path, "")?;
    let Some(format) = format else {
        return Ok(None);
    };
    let kind: Text<'a> = format.must("type", path)?;
    let schema = match &*kind {
        "text" => return Ok(None),
        "json_object" if model == Model::Gemini => Json::map([("type", Json::text("object"))]),
        "json_object" => return Ok(Some("Answer with one JSON object and nothing around it.")),
        "json_schema" => {
            let place = format!("{path}.json_schema");
            let wanted: Object<'a> = format.must("json_schema", path)?;
            let Some(schema) = wanted.json("schema", &place, budget)? else {
                return Err(Refused::at(format_args!("{place}.schema"), "Field required"));
            };
            if !model.takes_schema() {
                return Err(Refused::at(path, "this model cannot be held to a schema"));
            }
            if model == Model::Gemini {
                schema
            } else {
                schema::strict(schema).map_err(|why| Refused::at(format_args!("{place}.schema"), why))?
            }
        }
        other => {
            return Err(Refused::at(
                path,
                format_args!("`{other}` is not `text`, `json_object` or `json_schema`"),
            ));
        }
    };
    config.put(
        "format",
        Json::map([("type", Json::text("json_schema")), ("schema", schema)]),
    );
    Ok(None)
}

fn number<'a>(number: u64) -> Json<'a> {
    Json::Number(number.into())
}
