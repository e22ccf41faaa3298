//! The `api-version` of an account at Azure OpenAI, which is set by itself or follows the address.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

use super::super::super::super::api_error::ApiError;
use super::super::super::super::extract::{InputField, Object};
use super::super::super::fields::BaseUrl;
use super::AccountInput;
use crate::model::account::{Account, Platform, StoredCredentials, azure};

#[derive(Clone, Debug)]
pub(super) struct ApiVersion(String);

impl<'de> Deserialize<'de> for ApiVersion {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let text = text.trim();
        if azure::is_version(text) {
            return Ok(Self(text.to_owned()));
        }
        Err(D::Error::custom(
            "must be a version of Azure's API, such as 2025-04-01-preview",
        ))
    }
}

impl AccountInput {
    /// The version in the input, which may remove one.
    fn version(&self) -> InputField<Option<&str>> {
        if let InputField::Yes(version) = &self.api_version {
            return InputField::Yes(version.as_ref().map(|ApiVersion(version)| version.as_str()));
        }
        let credentials = self.credentials.as_ref();
        let base = credentials.and_then(|Object(credentials)| credentials.base_url.as_ref());
        match base.and_then(|BaseUrl(_, version)| version.as_deref()) {
            Some(version) => InputField::Yes(Some(version)),
            None => InputField::No,
        }
    }

    /// The version that the input sets.
    pub(super) fn new_version(&self) -> Option<&str> {
        match self.version() {
            InputField::Yes(version) => version,
            InputField::No => None,
        }
    }

    pub(super) fn apply_version(&self, account: &mut Account) -> Result<(), ApiError> {
        let InputField::Yes(version) = self.version() else {
            return Ok(());
        };
        let is_fit = account.platform == Platform::OpenAi
            && matches!(
                account.credentials,
                StoredCredentials::ApiKey { .. } | StoredCredentials::EntraApp { .. }
            );
        if version.is_some() && !is_fit {
            let message = "`apiVersion` is only for API keys and Entra applications of platform `openai` (Azure OpenAI)";
            return Err(ApiError::invalid("apiVersion", message));
        }
        account.api_version = version.map(str::to_owned);
        Ok(())
    }
}
