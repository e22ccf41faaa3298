//! The settings of an account whose credentials come from a sign-in.

use serde::Deserialize;
use utoipa::ToSchema;

use super::credentials::no_tokens;
use super::{AccountInput, ProxyInput};
use crate::app::App;
use crate::http::admin::fields::{Ids, Line, ModelMapping, Text, Whole};
use crate::http::api_error::ApiError;
use crate::http::extract::{InputField, Object};
use crate::model::account::{Account, Grant, Platform};
use crate::port::clock::Millis;

/// The platform, and the new account's settings, which can be changed later.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(in super::super::super) struct SignInInput {
    pub(in super::super) platform: Platform,
    #[serde(default)]
    #[schema(required = false)]
    pub(in super::super) grant: Grant,
    /// An existing account that gets new tokens: id, name, proxy, groups and history stay. Only `platform` and
    /// `grant` may be sent with it.
    #[schema(value_type = String, required = false, min_length = 1, max_length = 100)]
    #[serde(default)]
    account_id: InputField<Line<1, 100>>,
    /// The account's name. Default: the e-mail address reported by the provider.
    #[schema(value_type = String, required = false, min_length = 1, max_length = 100)]
    #[serde(default)]
    name: InputField<Line<1, 100>>,
    #[schema(value_type = Option<String>, max_length = 500)]
    #[serde(default)]
    description: InputField<Text<500>>,
    /// Lower values are picked first. Default: 50.
    #[schema(value_type = u32, required = false, minimum = 1, maximum = 100)]
    #[serde(default)]
    priority: InputField<Whole<1, 100>>,
    /// Maximum number of concurrent calls; 0: unlimited.
    #[schema(value_type = u32, required = false, maximum = 100_000)]
    #[serde(default)]
    max_concurrency: InputField<Whole<0, 100_000>>,
    /// The account's proxy, also used to request the tokens.
    #[schema(value_type = Option<ProxyInput>)]
    #[serde(default)]
    proxy: InputField<Option<Object<ProxyInput>>>,
    /// Maps models named by clients to models requested from the account.
    #[schema(value_type = Option<std::collections::BTreeMap<String, String>>)]
    #[serde(default)]
    model_mapping: InputField<ModelMapping>,
    /// Ids of its account groups, of the same platform.
    #[schema(value_type = Option<Vec<String>>)]
    #[serde(default)]
    groups: InputField<Ids>,
    /// `false`: only for keys that are bound to it or to one of its groups.
    #[schema(value_type = bool, required = false)]
    #[serde(default)]
    shared: InputField<bool>,
}

impl SignInInput {
    /// The id of the existing account that gets new tokens, if there is one.
    pub(in super::super) fn renewed(&self) -> Result<Option<&str>, ApiError> {
        let Some(Line(id)) = self.account_id.as_ref() else {
            return Ok(None);
        };
        let sent = [
            ("name", self.name.as_ref().is_some()),
            ("description", self.description.as_ref().is_some()),
            ("priority", self.priority.as_ref().is_some()),
            ("maxConcurrency", self.max_concurrency.as_ref().is_some()),
            ("proxy", self.proxy.as_ref().is_some()),
            ("modelMapping", self.model_mapping.as_ref().is_some()),
            ("groups", self.groups.as_ref().is_some()),
            ("shared", self.shared.as_ref().is_some()),
        ];
        match sent.iter().find(|(_, sent)| *sent) {
            None => Ok(Some(id)),
            Some((field, _)) => Err(ApiError::invalid(
                *field,
                format!(
                    "`{field}` cannot be sent with `accountId`: signing in anew changes only the credentials"
                ),
            )),
        }
    }

    /// The new account without credentials; its name may be empty.
    pub(in super::super) async fn into_account(
        self,
        app: &App,
        id: String,
        now: Millis,
    ) -> Result<Account, ApiError> {
        let account = AccountInput {
            platform: InputField::Yes(self.platform),
            name: self.name,
            description: self.description,
            priority: self.priority,
            max_concurrency: self.max_concurrency,
            proxy: self.proxy,
            model_mapping: self.model_mapping,
            groups: self.groups,
            shared: self.shared,
            ..AccountInput::default()
        };
        account.check_groups(app, None).await?;
        account.draft(app, id, now, no_tokens())
    }
}
