//! What is asked of the generation: lengths, randomness, thinking, the form of the answer.

use serde::Serialize;
use serde_json::Number;

use super::{Body, Format, Thinking};

use crate::provider::antigravity::convert::error::Refused;
use crate::provider::antigravity::convert::json::Json;
use crate::provider::antigravity::convert::schema::{self, Form};
use crate::provider::antigravity::convert::text::Text;
use crate::provider::antigravity::convert::vendor::{self, Model};

/// Gemini takes no more.
const STOPS: usize = 5;

/// Thinking up to this many tokens is little.
const LITTLE: u64 = 4_096;

/// `generationConfig`.
#[derive(Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Tuning<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    max_output_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<&'a Number>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_p: Option<&'a Number>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_k: Option<&'a Number>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    stop_sequences: &'a [Text<'a>],
    #[serde(skip_serializing_if = "Option::is_none")]
    thinking_config: Option<ThinkingConfig>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_mime_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_json_schema: Option<Json<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_schema: Option<Json<'a>>,
}

#[derive(Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct ThinkingConfig {
    include_thoughts: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    thinking_budget: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    thinking_level: Option<&'static str>,
}

impl Tuning<'_> {
    pub(super) fn is_empty(&self) -> bool {
        *self == Tuning::default()
    }
}

pub(super) fn convert<'a>(
    body: &'a Body<'a>,
    effort: Option<&Text<'a>>,
    tools: bool,
    model: Model<'_>,
    form: Form,
) -> Result<Tuning<'a>, Refused> {
    let config = body.output_config.as_ref();
    let stop_sequences = body.stop_sequences.as_deref().unwrap_or_default();
    if stop_sequences.len() > STOPS {
        return Err(Refused::at(
            "stop_sequences",
            format_args!("a Gemini account takes at most {STOPS}"),
        ));
    }
    let effort = effort.or_else(|| config?.effort.as_ref());
    let mut tuning = Tuning {
        max_output_tokens: body
            .max_tokens
            .map(|most| most.min(model.most_output().unwrap_or(u64::MAX))),
        temperature: body.temperature.as_ref(),
        top_p: body.top_p.as_ref(),
        top_k: body.top_k.as_ref(),
        stop_sequences,
        thinking_config: thinking(body.thinking.as_ref(), effort.map(|effort| &**effort), model)?,
        ..Tuning::default()
    };
    let format = config
        .and_then(|config| config.format.as_ref())
        .or(body.output_format.as_ref());
    if let Some(format) = format {
        shape(&mut tuning, format, tools, model, form)?;
    }
    Ok(tuning)
}

/// Structured output.
fn shape<'a>(
    tuning: &mut Tuning<'a>,
    format: &Format<'a>,
    tools: bool,
    model: Model<'_>,
    form: Form,
) -> Result<(), Refused> {
    let path = "output_config.format";
    if &*format.kind != "json_schema" {
        let kind = &*format.kind;
        return Err(Refused::at(
            path,
            format_args!("the format `{kind}` cannot be asked of a Gemini account"),
        ));
    }
    if tools && !model.is_modern() {
        return Err(Refused::at(
            path,
            format_args!("{} cannot be given tools and a format at once", model.name),
        ));
    }
    let schema = format
        .schema
        .ok_or_else(|| Refused::at(format_args!("{path}.schema"), "Field required"))?;
    let schema: Json<'a> = serde_json::from_str(schema.get())
        .map_err(|error| Refused::at(format_args!("{path}.schema"), error))?;
    let schema = Some(schema::reduce(&schema, form));
    tuning.response_mime_type = Some("application/json");
    match form {
        Form::JsonSchema => tuning.response_json_schema = schema,
        Form::OpenApi => tuning.response_schema = schema,
    }
    Ok(())
}

fn thinking(
    asked: Option<&Thinking<'_>>,
    effort: Option<&str>,
    model: Model<'_>,
) -> Result<Option<ThinkingConfig>, Refused> {
    let how = model.thinking();
    let Some(asked) = asked.filter(|asked| &*asked.kind != "disabled") else {
        // Others think only when they are told to.
        return Ok(if model.is_gemini() { off(how) } else { None });
    };
    let budget = match &*asked.kind {
        "enabled" => asked.budget_tokens,
        "adaptive" => None,
        other => {
            return Err(Refused::at(
                "thinking.type",
                format_args!("`{other}` is not `enabled`, `adaptive` or `disabled`"),
            ));
        }
    };
    let shown = asked.display.as_deref() != Some("omitted");
    let mut config = ThinkingConfig {
        include_thoughts: shown,
        ..ThinkingConfig::default()
    };
    let low = effort == Some("low");
    match how {
        vendor::Thinking::None => return Ok(None),
        vendor::Thinking::Budget { least, most } => {
            let tokens = budget.or_else(|| low.then_some(LITTLE));
            let tokens = tokens.map(|tokens| tokens.clamp(u64::from(least), u64::from(most)) as i64);
            // -1: as much as the model finds right. Only Gemini has such a figure.
            config.thinking_budget = tokens.or_else(|| model.is_gemini().then_some(-1));
        }
        vendor::Thinking::Level { medium } => {
            config.thinking_level = match (budget, effort) {
                (Some(tokens), _) if tokens <= LITTLE => Some("low"),
                (Some(_), _) | (None, Some("high" | "xhigh" | "max")) => Some("high"),
                (None, Some("low")) => Some("low"),
                (None, Some("medium")) if medium => Some("medium"),
                // Its own choice.
                (None, _) => None,
            };
        }
    }
    Ok(Some(config))
}

/// As little thinking as the model can do.
fn off(how: vendor::Thinking) -> Option<ThinkingConfig> {
    let (budget, level) = match how {
        vendor::Thinking::None => return None,
        vendor::Thinking::Budget { least, .. } => (Some(i64::from(least)), None),
        // `minimal` is less, but not known to all.
        vendor::Thinking::Level { .. } => (None, Some("low")),
    };
    Some(ThinkingConfig {
        include_thoughts: false,
        thinking_budget: budget,
        thinking_level: level,
    })
}
