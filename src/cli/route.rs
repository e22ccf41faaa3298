//! Model routes: who serves which models.
//!
//! A rule is written `MODELS=STEP`, with further steps separated by commas:
//! `claude-sonnet-*=openai/gpt-5.4,claude`. A step is a platform, optionally `@` and a group's id, optionally `/`
//! and the model there. The prefixes `chat:`, `messages:` and `responses:` restrict a rule to calls of that
//! protocol.

use crs_edge::config::Vars;
use serde_json::{Value, json};

use super::api::{self, Api};
use super::failure::Failure;
use super::input::Fields;
use super::output::{Output, cell, table};
use super::{RouteCommand, RouteSet};

const FOR_ALL: &str = "/admin/routes";
const KEYS: &str = "/admin/api-keys";
const CLIENTS: [&str; 3] = ["messages", "responses", "chat"];

pub(super) async fn run(
    command: RouteCommand,
    environment: &dyn Vars,
    output: &Output,
) -> Result<(), Failure> {
    let record = match command {
        RouteCommand::List(args) => {
            api::with(environment, async |api| match &args.key {
                Some(key) => api.named(KEYS, "key", key).await,
                None => api.get(FOR_ALL).await,
            })
            .await?
        }
        RouteCommand::Set(args) => set(args, environment).await?,
    };
    let routes = record.get("routes").cloned().unwrap_or_else(|| json!([]));
    output.result(&routes, || shown(&routes));
    Ok(())
}

async fn set(args: RouteSet, environment: &dyn Vars) -> Result<Value, Failure> {
    let routes: Vec<Value> = args
        .rules
        .iter()
        .map(|rule| read(rule))
        .collect::<Result<_, _>>()?;
    let body = json!({ "routes": routes });
    api::with(environment, async |api: &Api| match &args.key {
        Some(key) => {
            let key = api.named(KEYS, "key", key).await?;
            api.patch(&format!("{KEYS}/{}", cell(&key, "id")), &body).await
        }
        None => api.put(FOR_ALL, &body).await,
    })
    .await
}

/// Parses one rule, see the module.
pub(super) fn read(rule: &str) -> Result<Value, Failure> {
    let unfit = || {
        Failure::Usage(format!(
            "`{rule}` is not a route: write MODELS=PLATFORM/MODEL, such as claude-sonnet-*=openai/gpt-5.4"
        ))
    };
    let (models, steps) = rule.split_once('=').ok_or_else(unfit)?;
    let (client, models) = match models.trim().split_once(':') {
        Some((client, models)) if CLIENTS.contains(&client.trim()) => (Some(client.trim()), models.trim()),
        _ => (None, models.trim()),
    };
    let mut to = Vec::new();
    for step in steps.split(',') {
        let (place, model) = match step.trim().split_once('/') {
            Some((place, model)) => (place, Some(model)),
            None => (step.trim(), None),
        };
        let (platform, group) = match place.split_once('@') {
            Some((platform, group)) => (platform, Some(group)),
            None => (place, None),
        };
        if platform.is_empty() || model == Some("") || group == Some("") {
            return Err(unfit());
        }
        let step = Fields::new().set("platform", platform);
        to.push(step.maybe("group", group).maybe("model", model).json());
    }
    if models.is_empty() {
        return Err(unfit());
    }
    let route = Fields::new().set("models", models).maybe("client", client);
    Ok(route.set("to", to).json())
}

fn shown(routes: &Value) -> String {
    let routes = routes.as_array().map_or(&[][..], Vec::as_slice);
    if routes.is_empty() {
        return "There are no model routes here: the model's name decides. Set them: crs route set RULE..."
            .to_owned();
    }
    let rows = routes.iter().map(|route| {
        let client = match cell(route, "client") {
            all if all.is_empty() => "all".to_owned(),
            one => one,
        };
        let steps = route.get("to").and_then(Value::as_array).into_iter().flatten();
        let steps: Vec<String> = steps.map(step).collect();
        vec![client, cell(route, "models"), steps.join(", then ")]
    });
    table(&["CLIENTS", "MODELS", "SERVED BY"], rows)
}

fn step(step: &Value) -> String {
    let of = |field: &str, mark: &str| match cell(step, field) {
        none if none.is_empty() => none,
        some => format!("{mark}{some}"),
    };
    format!(
        "{}{}{}",
        cell(step, "platform"),
        of("group", "@"),
        of("model", "/")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_read() {
        for (rule, expected) in [
            (
                "claude-sonnet-*=openai/gpt-5.4,claude",
                json!({ "models": "claude-sonnet-*", "to": [{ "platform": "openai", "model": "gpt-5.4" }, { "platform": "claude" }] }),
            ),
            (
                "chat: * = gemini@g1",
                json!({ "models": "*", "client": "chat", "to": [{ "platform": "gemini", "group": "g1" }] }),
            ),
            (
                "llama3:8b=openai/meta/llama3:8b",
                json!({ "models": "llama3:8b", "to": [{ "platform": "openai", "model": "meta/llama3:8b" }] }),
            ),
        ] {
            assert_eq!(read(rule).ok(), Some(expected), "{rule}");
        }
        for unfit in [
            "claude",
            "=openai",
            "a=",
            "a=openai/",
            "a=openai@",
            "a=openai,,claude",
        ] {
            assert!(read(unfit).is_err(), "{unfit}");
        }
    }

    #[test]
    fn routes_are_shown_as_they_are_written() {
        let routes = json!([{ "models": "a*", "to": [{ "platform": "openai", "group": "g", "model": "m" }, { "platform": "claude" }] }]);
        let text = shown(&routes);
        assert!(text.contains("openai@g/m, then claude"), "{text}");
    }
}
