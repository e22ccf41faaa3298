//! A key's bindings and model routes: the accounts and groups that they name must exist.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _};

use super::super::super::api_error::ApiError;
use super::super::super::extract::InputField;
use super::super::routes::{self, RouteInputs};
use crate::app::App;
use crate::model::account::Platform;
use crate::model::key::{GROUP, Key};
use crate::model::route::Route;
use crate::model::text::is_hidden;

/// An account id, or `group:` and a group id; `None` for the empty text, which removes the binding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target(Option<String>);

impl<'de> Deserialize<'de> for Target {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let text = text.trim();
        // CRS distinguishes two kinds of accounts, which are one here.
        let text = ["api:", "responses:"]
            .iter()
            .find_map(|mark| text.strip_prefix(mark))
            .unwrap_or(text);
        if text.len() > 200 || text.chars().any(is_hidden) {
            return Err(D::Error::custom(
                "must be the id of an account, or `group:` and the id of a group",
            ));
        }
        Ok(Self((!text.is_empty()).then(|| text.to_owned())))
    }
}

pub(super) type BindingsInput = BTreeMap<Platform, Option<Target>>;

/// The parts of an input that name accounts and groups.
pub(super) struct BindingFields<'a> {
    /// All of them at once.
    pub(super) all: &'a InputField<Option<BindingsInput>>,
    pub(super) routes: &'a InputField<Option<RouteInputs>>,
    /// CRS's names, each for one platform.
    pub(super) single: [(&'static str, Platform, &'a InputField<Option<Target>>); 3],
}

/// Validated bindings and routes of an input.
#[derive(Debug, Default)]
pub(super) struct CheckedBindings {
    /// Whether bindings that are not listed are removed.
    whole: bool,
    of: BTreeMap<Platform, Option<String>>,
    /// `None` if no routes were sent.
    routes: Option<Vec<Route>>,
}

impl CheckedBindings {
    pub(super) async fn of(app: &App, sent: BindingFields<'_>) -> Result<Self, ApiError> {
        let mut bound = Self::default();
        if let Some(routes) = sent.routes.as_ref() {
            bound.routes = Some(routes::checked(app, routes.as_deref().unwrap_or_default()).await?);
        }
        if let Some(bindings) = sent.all.as_ref() {
            bound.whole = true;
            for (platform, target) in bindings.iter().flatten() {
                let field = format!("bindings.{}", platform.name());
                bound.add(app, &field, *platform, target.as_ref()).await?;
            }
        }
        for (field, platform, sent) in sent.single {
            let InputField::Yes(target) = sent else { continue };
            if bound.of.contains_key(&platform) {
                let message = format!(
                    "`{field}` is another name for `bindings.{}`: send one of them",
                    platform.name()
                );
                return Err(ApiError::invalid(field, message));
            }
            bound.add(app, field, platform, target.as_ref()).await?;
        }
        Ok(bound)
    }

    async fn add(
        &mut self,
        app: &App,
        field: &str,
        platform: Platform,
        target: Option<&Target>,
    ) -> Result<(), ApiError> {
        let id = target.and_then(|target| target.0.clone());
        if let Some(id) = &id {
            exists(app, field, platform, id).await?;
        }
        self.of.insert(platform, id);
        Ok(())
    }

    pub(super) fn apply(&self, key: &mut Key) {
        if let Some(routes) = &self.routes {
            key.routes.clone_from(routes);
        }
        if self.whole {
            key.bindings.clear();
        }
        for (platform, id) in &self.of {
            match id {
                Some(id) => key.bindings.insert(*platform, id.clone()),
                None => key.bindings.remove(platform),
            };
        }
    }
}

async fn exists(app: &App, field: &str, platform: Platform, id: &str) -> Result<(), ApiError> {
    let (what, found) = match id.strip_prefix(GROUP) {
        Some(group) => {
            let group = app.groups.get(group).await?;
            ("a group", group.map(|group| group.platform))
        }
        None => {
            let account = app.accounts.get(id).await?;
            ("an account", account.map(|account| account.platform))
        }
    };
    let refused = match found {
        Some(is) if is == platform => return Ok(()),
        Some(is) => format!(
            "`{field}` names {what} of the platform {}: it must be of {}",
            is.name(),
            platform.name()
        ),
        None => format!(
            "`{field}` names {what} that does not exist: give the id of an account, or `group:` and the id of a group"
        ),
    };
    Err(ApiError::invalid(field, refused))
}
