//! The steps of a call's route: which step serves the call, and which follows if no account of that step can.

use bytes::Bytes;
use crs_durable::gate::Refusal;
use crs_durable::pool::Binding;
use http::header::{HeaderMap, HeaderName, HeaderValue};

use super::Flight;
use crate::dialect::body::{Edit, Field, patch, scan};
use crate::error::{Code, Failure};
use crate::model::name::ModelName;
use crate::model::percent::{self, HEADER};
use crate::model::route;
use crate::model::trace::{TracedRoute, TracedStep};
use crate::plan::{Choice, Plans, RouteStep, Rule};
use crate::relay::failures;

/// Response header: the steps of a chain that were tried and the one that served.
const STEPS: HeaderName = HeaderName::from_static("x-relay-route");

/// The steps of a call's route.
#[derive(Default)]
pub(super) struct RouteSteps {
    /// The operator's route; `None` if the model's name decided.
    rule: Option<Rule>,
    /// The route has more than one step.
    is_chain: bool,
    /// The remaining steps, the next one last.
    remaining: Vec<RouteStep>,
    /// Restricts the current step to the accounts of this group.
    group: Option<String>,
    /// The model named by the client, once a step has replaced it.
    asked: Option<ModelName>,
    /// The steps of the rule taken so far, for the trace.
    taken: Vec<TracedStep>,
    /// The pool has no account at all for such a call.
    none_set_up: bool,
    /// An account of this pool stores the referenced object but cannot serve now.
    origin_away: bool,
}

impl Flight {
    /// Chooses the steps once the key is known, and takes the first one that the key may use.
    pub(in crate::relay) fn choose(&mut self, plans: Plans) -> Result<(), Failure> {
        let of_key = route::read(self.policy().map_or("", |policy| &policy.routes));
        let Choice { mut steps, rule } = plans.choice(&self.call.model, &of_key, &self.app.routes());
        let first = steps.first().map(|step| step.plan.service());
        steps.retain(|step| {
            self.policy()
                .is_none_or(|policy| policy.serves(step.plan.service()))
        });
        steps.reverse();
        self.steps = RouteSteps {
            is_chain: rule.is_some() && steps.len() > 1,
            remaining: steps,
            rule,
            ..RouteSteps::default()
        };
        if self.take_next() {
            return Ok(());
        }
        Err(match first {
            Some(service) => failures::of_gate(&Refusal::NotPermitted { service }, 0),
            None => Failure::new(
                Code::NoAccount,
                "The model route of this call has no step that can be used.",
            ),
        })
    }

    /// Takes the next step after a failure of the current one. Returns false if there is none.
    pub(in crate::relay) fn next_step(&mut self, failure: &Failure) -> bool {
        // Only the account that is away stores the referenced object.
        if self.steps.remaining.is_empty() || self.steps.origin_away {
            return false;
        }
        let goes_on = if self.steps.is_chain {
            is_about_accounts(failure.code)
        } else {
            // Without a route the model's name decides, and the operator may have no accounts of that platform.
            self.steps.none_set_up && self.attempts == 0 && self.call.endpoint.takes_slot()
        };
        if goes_on && let Some(step) = self.steps.taken.last_mut() {
            step.error = Some(failure.code.name().to_owned());
        }
        goes_on && self.take_next()
    }

    fn take_next(&mut self) -> bool {
        let Some(step) = self.steps.remaining.pop() else {
            return false;
        };
        self.plan = step.plan;
        self.steps.none_set_up = false;
        self.steps.origin_away = false;
        self.steps.group = step.group;
        if let Some(model) = step.model.or_else(|| self.steps.asked.clone()) {
            self.request_model(model);
        }
        if self.steps.rule.is_some() {
            self.steps.taken.push(TracedStep {
                platform: step.plan.platform(),
                group: self.steps.group.clone(),
                model: self.call.model.to_string(),
                error: None,
            });
        }
        true
    }

    /// Rewrites the call to request this model.
    fn request_model(&mut self, model: ModelName) {
        if model.as_str() == self.call.model.as_str() {
            return;
        }
        if let Some(span) = self.call.fields.span(Field::Model) {
            let body: Bytes = patch(&self.call.body, vec![Edit::text(span, &model)]);
            // It was valid JSON before the change and still is.
            if let Ok(fields) = scan(&body) {
                self.call.body = body;
                self.call.fields = fields;
                self.call.packed = None;
            }
        }
        let replaced = std::mem::replace(&mut self.call.model, model);
        self.steps.asked.get_or_insert(replaced);
    }

    /// Whether the answer's head names the serving step, so that it must wait for an account.
    pub(in crate::relay) fn head_names_step(&self) -> bool {
        self.steps.is_chain
    }

    /// The binding of the current step, or else of the key; and whether other accounts may serve instead.
    pub(in crate::relay) fn binding(&self) -> (Option<Binding>, bool) {
        if let Some(group) = &self.steps.group {
            return (Some(Binding::Group(group.clone())), false);
        }
        let policy = self.policy();
        let bound = policy.and_then(|policy| policy.bindings.get(self.plan.platform().name()).cloned());
        (bound, policy.is_some_and(|policy| policy.binding_fallback))
    }

    /// Records that the pool has no account for such calls, independent of a binding.
    pub(in crate::relay) fn none_set_up(&mut self) {
        self.steps.none_set_up = true;
    }

    /// Records that the account that stores the referenced object cannot serve now.
    pub(in crate::relay) fn origin_is_away(&mut self) {
        self.steps.origin_away = true;
    }

    pub(super) fn traced_route(&self) -> Option<TracedRoute> {
        let rule = self.steps.rule.as_ref()?;
        Some(TracedRoute {
            models: rule.models.clone(),
            of_key: rule.of_key,
            asked: self.steps.asked.as_ref().unwrap_or(&self.call.model).to_string(),
            steps: self.steps.taken.clone(),
        })
    }

    /// Sets the header with the steps tried: always for chains, and for other routes if the client `asked`.
    pub(super) fn name_steps(&self, asked: bool, headers: &mut HeaderMap) {
        let is_shown = self.steps.is_chain || (asked && self.steps.rule.is_some());
        if !is_shown {
            return;
        }
        let steps = self.steps.taken.iter().map(|step| {
            let failed = step
                .error
                .as_ref()
                .map_or_else(String::new, |error| format!("={error}"));
            format!("{}/{}{failed}", step.platform.name(), step.model)
        });
        let steps = steps.collect::<Vec<_>>().join(", ");
        if let Ok(value) = HeaderValue::from_str(&percent::encoded(&steps, HEADER)) {
            headers.insert(STEPS, value);
        }
    }
}

/// Whether other accounts may succeed: the request itself was not refused, and no answer is lost.
fn is_about_accounts(code: Code) -> bool {
    matches!(
        code,
        Code::NoAccount
            | Code::AccountsBusy
            | Code::AccountsLimited
            | Code::ProviderFailed
            | Code::ProviderOverloaded
            | Code::ProviderUnreachable
    )
}
