//! Chooses the platforms that may serve a call, by the operator's routes or else by the model's name.
//!
//! | decided by, in this order | no other choice follows, except |
//! | --- | --- |
//! | the first matching route of the key | the route's further steps |
//! | the first matching route for all keys | the same |
//! | the family of the model's name | the path's own platform, if the key may not use the family's platform or it has no account |
//! | the path's own platform | |
//!
//! Steps on platforms that the key may not use are skipped.

use crs_durable::gate::Service;

use super::{MESSAGES_ON_CLAUDE, OPENAI, Plan, of_pair};
use crate::model::account::Platform;
use crate::model::name::ModelName;
use crate::model::price::Family;
use crate::model::route::{self, Client, Route, Step};

/// The plans available on a path.
#[derive(Clone, Copy)]
pub struct Plans {
    /// The default plan.
    pub own: &'static Plan,
    /// The client's protocol, for paths whose calls may go to other platforms; `None` for the others.
    client: Option<Client>,
}

/// Anthropic's Messages.
pub static MESSAGES: Plans = Plans {
    own: &MESSAGES_ON_CLAUDE,
    client: Some(Client::Messages),
};

/// OpenAI's Responses.
pub static RESPONSES: Plans = Plans {
    own: &OPENAI,
    client: Some(Client::Responses),
};

/// OpenAI's Chat Completions.
pub static CHAT: Plans = Plans {
    own: &OPENAI,
    client: Some(Client::Chat),
};

impl From<&'static Plan> for Plans {
    fn from(own: &'static Plan) -> Self {
        Self { own, client: None }
    }
}

/// One step of a route.
#[derive(Clone)]
pub struct RouteStep {
    pub plan: &'static Plan,
    /// Restricts the step to the accounts of this group.
    pub group: Option<String>,
    /// The model to request; `None` keeps the client's.
    pub model: Option<ModelName>,
}

/// The matching route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// The pattern of the route.
    pub models: String,
    /// The route belongs to the key and not to all keys.
    pub of_key: bool,
}

/// The steps that may serve a call, in order.
#[derive(Default)]
pub struct Choice {
    pub steps: Vec<RouteStep>,
    /// `None` if the model's name decided.
    pub rule: Option<Rule>,
}

impl Plans {
    /// The client's protocol, if the path's calls may go to other platforms.
    pub fn client(self) -> Option<Client> {
        self.client
    }

    /// The plan for a call of this model without routes.
    pub fn likely(self, model: &ModelName) -> &'static Plan {
        self.of_family(model).unwrap_or(self.own)
    }

    /// The services that may serve a call, the likeliest first. `model`: `None` if it is not known yet; `routes`:
    /// those for all keys.
    pub fn services(self, model: Option<&ModelName>, routes: &[Route]) -> Vec<Service> {
        let Some(client) = self.client else {
            return vec![self.own.service()];
        };
        let mut services: Vec<Service> = Vec::new();
        let mut add = |service| {
            if !services.contains(&service) {
                services.push(service);
            }
        };
        match model {
            Some(model) => match route::of(routes, client, model) {
                Some(route) => route
                    .to
                    .iter()
                    .for_each(|step| add(of_pair(client, step.platform).service())),
                None => {
                    let plans = self.of_family(model).into_iter().chain([self.own]);
                    plans.for_each(|plan| add(plan.service()));
                }
            },
            None => {
                add(self.own.service());
                for family in by_name(client) {
                    add(of_pair(client, platform(*family)).service());
                }
                let routes = routes
                    .iter()
                    .filter(|route| route.client.is_none_or(|only| only == client));
                for step in routes.flat_map(|route| &route.to) {
                    add(of_pair(client, step.platform).service());
                }
            }
        }
        services
    }

    /// Chooses the steps for a call of this model. `of_key`: the key's routes; `of_all`: those for all keys.
    pub fn choice(self, model: &ModelName, of_key: &[Route], of_all: &[Route]) -> Choice {
        let by_name = || Choice {
            steps: self.by_name(model),
            rule: None,
        };
        let Some(client) = self.client else {
            return by_name();
        };
        let found = route::of(of_key, client, model).map(|route| (route, true));
        let Some((route, of_key)) = found.or_else(|| Some((route::of(of_all, client, model)?, false))) else {
            return by_name();
        };
        let step = |step: &Step| {
            Some(RouteStep {
                plan: of_pair(client, step.platform),
                group: step.group.clone(),
                model: match &step.model {
                    Some(model) => Some(ModelName::parse(model).ok()?),
                    None => None,
                },
            })
        };
        Choice {
            steps: route.to.iter().filter_map(step).collect(),
            rule: Some(Rule {
                models: route.models.clone(),
                of_key,
            }),
        }
    }

    fn by_name(self, model: &ModelName) -> Vec<RouteStep> {
        let step = |plan| RouteStep {
            plan,
            group: None,
            model: None,
        };
        self.of_family(model)
            .into_iter()
            .chain([self.own])
            .map(step)
            .collect()
    }

    /// The plan of another platform to which the model's name leads.
    fn of_family(self, model: &ModelName) -> Option<&'static Plan> {
        let client = self.client?;
        let family = Family::of_name(model.canonical()).filter(|family| by_name(client).contains(family))?;
        Some(of_pair(client, platform(family))).filter(|plan| plan.platform() != self.own.platform())
    }
}

/// Families that are routed to their own platform by the model's name. Not Gemini below `/api`: keys for Gemini use
/// its own path, unless a route says otherwise.
fn by_name(client: Client) -> &'static [Family] {
    match client {
        Client::Messages => &[Family::OpenAi],
        Client::Responses | Client::Chat => &[Family::Claude, Family::Gemini],
    }
}

fn platform(family: Family) -> Platform {
    match family {
        Family::Claude => Platform::Claude,
        Family::OpenAi => Platform::OpenAi,
        Family::Gemini => Platform::Gemini,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::CHAT_ON_CLAUDE;

    fn name(name: &str) -> ModelName {
        ModelName::parse(name).unwrap()
    }

    fn platforms(choice: &Choice) -> Vec<Platform> {
        choice.steps.iter().map(|step| step.plan.platform()).collect()
    }

    #[test]
    fn without_routes_the_models_name_decides() {
        use Platform::{Claude, Gemini, OpenAi};
        for (plans, model, expected) in [
            (MESSAGES, "claude-sonnet-4-5", vec![Claude]),
            (MESSAGES, "gpt-5.4", vec![OpenAi, Claude]),
            (MESSAGES, "openai/o3", vec![OpenAi, Claude]),
            (MESSAGES, "gemini-2.5-pro", vec![Claude]),
            (MESSAGES, "glm-5", vec![Claude]),
            (RESPONSES, "claude-sonnet-4-5", vec![Claude, OpenAi]),
            (RESPONSES, "gpt-5.4", vec![OpenAi]),
            (CHAT, "claude-sonnet-4-5", vec![Claude, OpenAi]),
            (CHAT, "gemini-2.5-pro", vec![Gemini, OpenAi]),
            (CHAT, "deepseek-v4", vec![OpenAi]),
            (Plans::from(&CHAT_ON_CLAUDE), "gpt-5.4", vec![Claude]),
        ] {
            let choice = plans.choice(&name(model), &[], &[]);
            assert_eq!(platforms(&choice), expected, "{model}");
            assert_eq!(choice.rule, None);
        }
    }

    fn routes(json: &str) -> Vec<Route> {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn the_keys_routes_come_before_those_for_all_and_both_before_names() {
        let of_all = routes(
            r#"[{"models":"claude-*","to":[{"platform":"openai","model":"gpt-5","group":"g"},{"platform":"claude"}]}]"#,
        );
        let of_key =
            routes(r#"[{"models":"claude-opus-*","client":"messages","to":[{"platform":"antigravity"}]}]"#);
        let choice = MESSAGES.choice(&name("claude-opus-4-5"), &of_key, &of_all);
        assert_eq!(platforms(&choice), [Platform::Antigravity]);
        assert!(choice.rule.is_some_and(|rule| rule.of_key));

        let choice = RESPONSES.choice(&name("claude-opus-4-5"), &of_key, &of_all);
        assert_eq!(platforms(&choice), [Platform::OpenAi, Platform::Claude]);
        assert_eq!(choice.steps[0].group.as_deref(), Some("g"));
        assert_eq!(choice.steps[0].model.as_deref(), Some("gpt-5"));
        assert_eq!(choice.steps[1].model, None);
        assert!(choice.rule.is_some_and(|rule| !rule.of_key));

        let fixed = Plans::from(&CHAT_ON_CLAUDE).choice(&name("claude-opus-4-5"), &of_key, &of_all);
        assert_eq!(platforms(&fixed), [Platform::Claude]);
    }

    #[test]
    fn services_are_those_of_the_ways() {
        use Service::{Claude, Gemini, OpenAi};
        let of_all = routes(r#"[{"models":"claude-*","to":[{"platform":"openai"},{"platform":"claude"}]}]"#);
        let model = name("claude-opus-4-5");
        assert_eq!(MESSAGES.services(Some(&model), &of_all), [OpenAi, Claude]);
        assert_eq!(MESSAGES.services(Some(&model), &[]), [Claude]);
        assert_eq!(RESPONSES.services(None, &[]), [OpenAi, Claude, Gemini]);
        assert_eq!(MESSAGES.services(None, &[]), [Claude, OpenAi]);
        let to_gemini = routes(r#"[{"models":"*","to":[{"platform":"gemini"}]}]"#);
        assert_eq!(MESSAGES.services(None, &to_gemini), [Claude, OpenAi, Gemini]);
        assert_eq!(Plans::from(&CHAT_ON_CLAUDE).services(None, &of_all), [Claude]);
    }
}
