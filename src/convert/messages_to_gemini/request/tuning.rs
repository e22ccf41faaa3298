//! Generation parameters: length, randomness, thinking, output format.

use serde::Serialize;
use serde_json::value::RawValue;

use crate::convert::messages_to_gemini::budget::Budget;
use crate::convert::messages_to_gemini::error::FieldRefusal;
use crate::convert::messages_to_gemini::json::Json;
use crate::convert::messages_to_gemini::object::Object;
use crate::convert::messages_to_gemini::schema::{self, Form};
use crate::convert::messages_to_gemini::text::Text;
use crate::convert::messages_to_gemini::vendor::{self, Model};

/// Gemini's maximum number of stop sequences.
const STOPS: usize = 5;

/// Thinking budgets up to this many tokens become a low level.
const LITTLE: u64 = 4_096;

/// `generationConfig`.
#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Tuning<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    max_output_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_p: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_k: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    stop_sequences: Vec<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    thinking_config: Option<ThinkingConfig>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_mime_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_json_schema: Option<Json<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_schema: Option<Json<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    response_modalities: Vec<&'static str>,
}

impl Tuning<'_> {
    /// Sets the kinds of output: `TEXT`, `IMAGE`.
    pub(super) fn answer_with(&mut self, kinds: Vec<&'static str>) {
        self.response_modalities = kinds;
    }
}

#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct ThinkingConfig {
    include_thoughts: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    thinking_budget: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    thinking_level: Option<&'static str>,
}

pub(super) fn convert<'a>(
    body: &Object<'a>,
    effort: Option<Text<'a>>,
    tools: bool,
    model: Model<'_>,
    form: Form,
    budget: &Budget,
) -> Result<Tuning<'a>, FieldRefusal> {
    let config: Option<Object<'a>> = body.want("output_config", "")?;
    let stop_sequences = body.texts("stop_sequences", "", STOPS)?.unwrap_or_default();
    let effort: Option<Text<'a>> = match (effort, &config) {
        (None, Some(config)) => config.want("effort", "output_config")?,
        (effort, _) => effort,
    };
    let most: Option<u64> = body.want("max_tokens", "")?;
    let mut tuning = Tuning {
        max_output_tokens: most.map(|most| most.min(model.most_output().unwrap_or(u64::MAX))),
        temperature: body.number("temperature", "")?,
        top_p: body.number("top_p", "")?,
        top_k: body.number("top_k", "")?,
        stop_sequences,
        thinking_config: thinking(body.want("thinking", "")?, effort.as_deref(), model)?,
        ..Tuning::default()
    };
    let format: Option<Object<'a>> = match config {
        Some(config) => config.want("format", "output_config")?,
        None => None,
    };
    // The parameter's former place.
    let format = match format {
        None => body.want("output_format", "")?,
        format => format,
    };
    if let Some(format) = format {
        shape(&mut tuning, &format, tools, model, form, budget)?;
    }
    Ok(tuning)
}

/// Structured output.
fn shape<'a>(
    tuning: &mut Tuning<'a>,
    format: &Object<'a>,
    tools: bool,
    model: Model<'_>,
    form: Form,
    budget: &Budget,
) -> Result<(), FieldRefusal> {
    let path = "output_config.format";
    let kind: Text<'a> = format.must("type", path)?;
    if &*kind != "json_schema" {
        return Err(FieldRefusal::at(
            path,
            format_args!("the format `{}` cannot be asked of a Gemini account", &*kind),
        ));
    }
    if tools && !model.is_modern() {
        return Err(FieldRefusal::at(
            path,
            format_args!("{} cannot be given tools and a format at once", model.name),
        ));
    }
    let Some(schema) = format.json("schema", path, budget)? else {
        return Err(FieldRefusal::at(format_args!("{path}.schema"), "Field required"));
    };
    let schema = schema::reduce(&schema, form, budget);
    let schema =
        Some(schema.map_err(|overdrawn| FieldRefusal::at(format_args!("{path}.schema"), overdrawn))?);
    tuning.response_mime_type = Some("application/json");
    match form {
        Form::JsonSchema => tuning.response_json_schema = schema,
        Form::OpenApi => tuning.response_schema = schema,
    }
    Ok(())
}

fn thinking(
    asked: Option<Object<'_>>,
    effort: Option<&str>,
    model: Model<'_>,
) -> Result<Option<ThinkingConfig>, FieldRefusal> {
    let how = model.thinking();
    // Other vendors' models think only on request.
    let off = || if model.is_gemini() { off(how) } else { None };
    let Some(asked) = asked else {
        return Ok(off());
    };
    let kind: Text<'_> = asked.must("type", "thinking")?;
    let budget: Option<u64> = match &*kind {
        "disabled" => return Ok(off()),
        "enabled" => asked.want("budget_tokens", "thinking")?,
        "adaptive" => None,
        other => {
            return Err(FieldRefusal::at(
                "thinking.type",
                format_args!("`{other}` is not `enabled`, `adaptive` or `disabled`"),
            ));
        }
    };
    let omitted = asked
        .get("display")
        .is_some_and(|display: Text<'_>| &*display == "omitted");
    let mut config = ThinkingConfig {
        include_thoughts: !omitted,
        ..ThinkingConfig::default()
    };
    let low = effort == Some("low");
    match how {
        vendor::Thinking::None => return Ok(None),
        vendor::Thinking::Budget { least, most } => {
            let tokens = budget.or_else(|| low.then_some(LITTLE));
            let tokens = tokens.map(|tokens| tokens.clamp(u64::from(least), u64::from(most)) as i64);
            // -1 lets the model decide; only Gemini supports it.
            config.thinking_budget = tokens.or_else(|| model.is_gemini().then_some(-1));
        }
        vendor::Thinking::Level { medium } => {
            config.thinking_level = match (budget, effort) {
                (Some(tokens), _) if tokens <= LITTLE => Some("low"),
                (Some(_), _) | (None, Some("high" | "xhigh" | "max")) => Some("high"),
                (None, Some("low")) => Some("low"),
                (None, Some("medium")) if medium => Some("medium"),
                // The model's default.
                (None, _) => None,
            };
        }
    }
    Ok(Some(config))
}

/// The lowest thinking that the model supports.
fn off(how: vendor::Thinking) -> Option<ThinkingConfig> {
    let (budget, level) = match how {
        vendor::Thinking::None => return None,
        vendor::Thinking::Budget { least, .. } => (Some(i64::from(least)), None),
        // Not all models support the lower `minimal`.
        vendor::Thinking::Level { .. } => (None, Some("low")),
    };
    Some(ThinkingConfig {
        include_thoughts: false,
        thinking_budget: budget,
        thinking_level: level,
    })
}
