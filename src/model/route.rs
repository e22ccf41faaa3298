//! Model routes: the platforms and groups that serve a model, and the model's name there.
//!
//! The operator sets them for one key or for all. The first matching route counts, the key's before those for
//! all. Without a match the model's name decides (`plan::Plans`).

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::account::Platform;
use super::name::ModelName;

/// Maximum number of routes of a key, or for all.
pub const MOST: usize = 50;

/// Maximum number of steps of a route.
pub const MOST_STEPS: usize = 4;

/// A rule: models, and who serves them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ModelRoute)]
pub struct Route {
    /// Models as named by clients; `*` matches any text, including none.
    pub models: String,
    /// Only calls of this protocol; missing: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub client: Option<Client>,
    /// Who serves. Later steps are tried only if no earlier one can serve.
    #[schema(min_items = 1, max_items = 4)]
    pub to: Vec<Step>,
}

/// The serving accounts, and the model to request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ModelRouteStep)]
pub struct Step {
    pub platform: Platform,
    /// A group's id: only its accounts. Missing: all that the key may use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub group: Option<String>,
    /// The model to request; missing: the client's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub model: Option<String>,
}

/// Client protocols whose calls can go to several platforms.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = ModelRouteClient)]
pub enum Client {
    /// Anthropic's: Claude Code.
    Messages,
    /// OpenAI's: Codex.
    Responses,
    /// OpenAI's Chat Completions.
    Chat,
}

#[cfg(test)]
impl Client {
    pub const ALL: [Self; 3] = [Self::Messages, Self::Responses, Self::Chat];
}

impl Route {
    /// Whether the route applies to a call of this model in this protocol.
    pub fn fits(&self, client: Client, model: &ModelName) -> bool {
        self.client.is_none_or(|only| only == client)
            && (fits(&self.models, model) || fits(&self.models, model.canonical()))
    }

    /// The name of one model; `None` if it is a pattern.
    pub fn one_model(&self) -> Option<&str> {
        (!self.models.contains('*')).then_some(&*self.models)
    }
}

/// The first matching route.
pub fn of<'a>(routes: &'a [Route], client: Client, model: &ModelName) -> Option<&'a Route> {
    routes.iter().find(|route| route.fits(client, model))
}

/// Encodes routes for a key's policy; empty: none.
pub fn written(routes: &[Route]) -> String {
    if routes.is_empty() {
        return String::new();
    }
    serde_json::to_string(routes).unwrap_or_default()
}

/// Decodes the output of [`written`]. Routes known only to another version are skipped.
pub fn read(text: &str) -> Vec<Route> {
    if text.is_empty() {
        return Vec::new();
    }
    let routes: Vec<serde_json::Value> = serde_json::from_str(text).unwrap_or_default();
    let known = routes
        .into_iter()
        .filter_map(|route| serde_json::from_value(route).ok());
    known.collect()
}

/// Whether the whole name matches the pattern, ignoring case. Linear in the name for each `*`.
fn fits(pattern: &str, name: &str) -> bool {
    let (pattern, name) = (pattern.to_ascii_lowercase(), name.to_ascii_lowercase());
    let mut pieces = pattern.split('*');
    let first = pieces.next().unwrap_or_default();
    let Some(mut rest) = name.strip_prefix(first) else {
        return false;
    };
    let mut pieces = pieces.peekable();
    if pieces.peek().is_none() {
        return rest.is_empty();
    }
    while let Some(piece) = pieces.next() {
        if pieces.peek().is_none() {
            return rest.ends_with(piece);
        }
        match rest.split_once(piece) {
            Some((_, behind)) => rest = behind,
            None => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(models: &str, client: Option<Client>) -> Route {
        Route {
            models: models.to_owned(),
            client,
            to: vec![Step {
                platform: Platform::OpenAi,
                group: None,
                model: Some("gpt-5".to_owned()),
            }],
        }
    }

    #[test]
    fn a_star_is_any_text() {
        for (pattern, name, expected) in [
            ("claude-sonnet-*", "claude-sonnet-4-5", true),
            ("claude-sonnet-*", "Claude-Sonnet-4-5-20250929", true),
            ("claude-sonnet-*", "claude-opus-4-5", false),
            ("*", "anything", true),
            ("*opus*", "claude-opus-4-5", true),
            ("*-mini", "gpt-5-mini", true),
            ("*-mini", "gpt-5-mini-2", false),
            ("a*a", "a", false),
            ("a*b*c", "aXbYbZc", true),
            ("gpt-5", "gpt-5", true),
            ("gpt-5", "gpt-5.1", false),
        ] {
            assert_eq!(fits(pattern, name), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn a_model_is_known_by_every_name() {
        let route = route("claude-sonnet-4-5", None);
        let of = |name: &str| route.fits(Client::Messages, &ModelName::parse(name).unwrap());
        assert!(of("claude-sonnet-4-5-20250929") && of("anthropic/claude-sonnet-4.5"));
        assert!(!of("claude-sonnet-4"));
    }

    #[test]
    fn the_first_that_fits_counts() {
        let routes = [
            route("claude-*", Some(Client::Chat)),
            route("claude-opus-*", None),
            route("*", Some(Client::Messages)),
        ];
        let name = |name: &str| ModelName::parse(name).unwrap();
        let of = |client, model: &str| of(&routes, client, &name(model)).map(|route| route.models.clone());
        assert_eq!(
            of(Client::Messages, "claude-opus-4-5").as_deref(),
            Some("claude-opus-*")
        );
        assert_eq!(of(Client::Chat, "claude-opus-4-5").as_deref(), Some("claude-*"));
        assert_eq!(of(Client::Messages, "x").as_deref(), Some("*"));
        assert_eq!(of(Client::Responses, "x"), None);
    }

    #[test]
    fn what_is_written_is_read_and_what_is_unknown_is_left_out() {
        let routes = vec![route("a", None), route("b*", Some(Client::Responses))];
        assert_eq!(read(&written(&routes)), routes);
        assert_eq!(written(&[]), "");
        let newer =
            r#"[{"models":"a","to":[{"platform":"mars"}]},{"models":"b","to":[{"platform":"claude"}]}]"#;
        let known = read(newer);
        assert_eq!(known.len(), 1);
        assert_eq!(known[0].one_model(), Some("b"));
    }
}
