//! The same change for several accounts, without the fields that belong to one account.

use serde::{Deserialize, Deserializer};
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::Schema;
use utoipa::{PartialSchema, ToSchema};

use super::super::super::super::api_error::ApiError;
use super::super::super::super::extract::Object;
use super::super::super::batch::in_change;
use super::{AccountInput, Edit, of_platform};
use crate::app::App;
use crate::model::account::{Account, Platform};

/// The fields of [`AccountInput`] that belong to one account.
const OWN: [&str; 5] = ["name", "platform", "credentials", "credentialsFile", "proxy"];

/// The fields of [`AccountInput`] that several accounts can share.
#[derive(Debug)]
pub(in super::super) struct AccountChange(AccountInput);

impl<'de> Deserialize<'de> for AccountChange {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Object::deserialize(deserializer).map(|Object(input)| Self(input))
    }
}

impl PartialSchema for AccountChange {
    fn schema() -> RefOr<Schema> {
        match AccountInput::schema() {
            RefOr::T(Schema::Object(mut object)) => {
                for field in OWN {
                    object.properties.remove(field);
                }
                RefOr::T(Schema::Object(object))
            }
            other => other,
        }
    }
}

impl ToSchema for AccountChange {}

/// A validated [`AccountChange`].
pub(in super::super) struct SharedEdit {
    edit: Edit,
    groups: Vec<Platform>,
}

impl AccountChange {
    /// Runs the checks that hold for any account. Errors name the field inside `change`.
    pub(in super::super) async fn checked(self, app: &App) -> Result<SharedEdit, ApiError> {
        let input = self.0;
        let own = [
            input.name.as_ref().is_some(),
            input.platform.as_ref().is_some(),
            input.credentials.as_ref().is_some(),
            input.credentials_file.as_ref().is_some(),
            input.proxy.as_ref().is_some(),
        ];
        if let Some((field, _)) = OWN.iter().zip(own).find(|(_, sent)| *sent) {
            let message = format!("`{field}` cannot be changed for several accounts at once");
            return Err(in_change(ApiError::invalid(*field, message)));
        }
        input.check_models().map_err(in_change)?;
        let groups = input.group_platforms(app).await.map_err(in_change)?;
        let edit = Edit {
            input,
            accounts: app.accounts.clone(),
            proxy: None,
        };
        Ok(SharedEdit { edit, groups })
    }
}

impl SharedEdit {
    pub(in super::super) fn apply(&self, account: &mut Account) -> Result<(), ApiError> {
        of_platform(&self.groups, account.platform).map_err(in_change)?;
        self.edit.apply(account).map_err(in_change)
    }
}
