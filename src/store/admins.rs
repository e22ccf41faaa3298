//! The admin's login. There is one; its epoch ends all sessions when it grows.

mod sessions;

use std::sync::Arc;

use crs_durable::Millis;
use serde::{Deserialize, Serialize};

use super::keys::{ADMIN, ended_session, used_ticket};
use super::record::{self, Change, Place, Write};
use crate::config;
use crate::model::secret::Secret;
use crate::port::random::Random;
use crate::port::store::{Applied, Command, Guard, Reply, Store, StoreError};
use crate::secrets::{Keyring, PasswordError, hash_password};

#[derive(Clone)]
pub struct Admins {
    store: Arc<dyn Store>,
    keyring: Arc<Keyring>,
    random: Arc<dyn Random>,
    seen: Arc<sessions::LastSeen>,
}

/// The login as the store keeps it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Admin {
    pub username: String,
    /// PHC string.
    pub password: String,
    /// Sessions of another epoch are over.
    pub epoch: u64,
    /// Keyed hashes of `ADMIN_USERNAME` and `ADMIN_PASSWORD` as they were adopted last.
    #[serde(default)]
    pub from_username: Option<String>,
    #[serde(default)]
    pub from_password: Option<String>,
    pub created_at: Millis,
    pub updated_at: Millis,
    /// Fields of a newer version, kept through every change.
    #[serde(flatten)]
    pub extra: serde_json::Map<String, serde_json::Value>,
}

/// A login made by the host for a first start without variables.
#[derive(Clone, Debug)]
pub struct Login {
    pub username: String,
    pub password: Secret,
}

/// The result of `ensure`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoginChange {
    /// There is a login, and the variables are the ones it knows.
    Unchanged,
    /// The first start: made from the variables, the generated login, or a part of each.
    Created,
    /// The variables changed since: they hold now, and all sessions are over.
    Adopted,
}

#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    #[error("there is no admin login yet: set ADMIN_USERNAME and ADMIN_PASSWORD")]
    NoLogin,
    #[error(transparent)]
    Password(#[from] PasswordError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// New values for the login; `None` leaves a part as it is.
#[derive(Clone, Debug, Default)]
pub struct NewLogin {
    pub username: Option<String>,
    /// PHC string.
    pub password: Option<String>,
}

const PLACE: Place = Place::Text { key: ADMIN };

impl Admins {
    pub fn new(store: Arc<dyn Store>, keyring: Arc<Keyring>, random: Arc<dyn Random>) -> Self {
        Self {
            store,
            keyring,
            random,
            seen: Arc::default(),
        }
    }

    pub async fn get(&self) -> Result<Option<Admin>, StoreError> {
        record::read(&*self.store, &PLACE).await
    }

    /// The login as it is to be under `ring`: it goes on knowing which variables it was made from.
    pub fn relabelled(mut login: Admin, from: &Keyring, ring: &Keyring, admin: &config::Admin) -> Admin {
        let again = |purpose: &str, value: Option<&str>, label: &mut Option<String>| {
            if let Some(value) = value.map(str::as_bytes)
                && *label == Some(from.label(purpose, value))
            {
                *label = Some(ring.label(purpose, value));
            }
        };
        again(
            "admin-username",
            admin.username.as_deref(),
            &mut login.from_username,
        );
        let password = admin.password.as_ref().map(crate::model::secret::Secret::reveal);
        again("admin-password", password, &mut login.from_password);
        login
    }

    /// Run at every start. Makes the login from the variables (what they leave out comes from
    /// `generated`), and adopts variables that changed since the last start; a password changed by hand
    /// stays as long as they do not.
    ///
    /// Hashes a password when it writes one (tens of milliseconds of CPU).
    pub async fn ensure(
        &self,
        admin: &config::Admin,
        generated: Option<&Login>,
        now: Millis,
    ) -> Result<LoginChange, AdminError> {
        let from_username = admin
            .username
            .as_ref()
            .map(|name| self.keyring.label("admin-username", name.as_bytes()));
        let from_password = admin
            .password
            .as_ref()
            .map(|password| self.keyring.label("admin-password", password.reveal().as_bytes()));
        let stored = self.get().await?;
        // An empty record of "no variable" is no news: who removes a variable keeps the login.
        let news = |now: &Option<String>, before: Option<&String>| now.is_some() && now.as_ref() != before;
        let new_username = news(
            &from_username,
            stored.as_ref().and_then(|admin| admin.from_username.as_ref()),
        );
        let new_password = news(
            &from_password,
            stored.as_ref().and_then(|admin| admin.from_password.as_ref()),
        );
        if stored.is_some() && !new_username && !new_password {
            return Ok(LoginChange::Unchanged);
        }

        let secret = match (&admin.password, generated) {
            (Some(password), _) => Some(password),
            (None, Some(login)) => Some(&login.password),
            (None, None) => None,
        };
        let hash = match secret {
            Some(secret) if stored.is_none() || new_password => Some(hash_password(&*self.random, secret)?),
            _ => None,
        };
        let username = admin
            .username
            .as_ref()
            .or(generated.map(|login| &login.username))
            .map_or("admin", String::as_str);
        let ensured = record::change(&*self.store, &PLACE, |stored: Option<Admin>| match stored {
            None => match &hash {
                None => Change::Leave(None),
                Some(hash) => {
                    let made = Admin {
                        username: username.to_owned(),
                        password: hash.clone(),
                        epoch: 1,
                        from_username: from_username.clone(),
                        from_password: from_password.clone(),
                        created_at: now,
                        updated_at: now,
                        extra: serde_json::Map::new(),
                    };
                    Change::write(made, Some(LoginChange::Created))
                }
            },
            Some(mut login) => {
                // Another process may have made or adopted it since it was read above.
                let new_username = news(&from_username, login.from_username.as_ref());
                let new_password = news(&from_password, login.from_password.as_ref());
                if !new_username && !new_password {
                    return Change::Leave(Some(LoginChange::Unchanged));
                }
                if new_username {
                    username.clone_into(&mut login.username);
                    login.from_username.clone_from(&from_username);
                }
                if let (true, Some(hash)) = (new_password, &hash) {
                    login.password.clone_from(hash);
                    login.from_password.clone_from(&from_password);
                }
                login.epoch = login.epoch.saturating_add(1);
                login.updated_at = now;
                and_end_all(login, Some(LoginChange::Adopted))
            }
        })
        .await?;
        ensured.ok_or(AdminError::NoLogin)
    }

    /// Replaces the login's parts and ends all sessions. With `only_if`, only while the stored password's
    /// PHC string is this one (the one the old password was checked against). `None`: it is not, or there
    /// is no login.
    pub async fn replace(
        &self,
        new: NewLogin,
        only_if: Option<&str>,
        now: Millis,
    ) -> Result<Option<Admin>, StoreError> {
        record::change(&*self.store, &PLACE, |stored: Option<Admin>| match stored {
            Some(mut login) if only_if.is_none_or(|phc| phc == login.password) => {
                if let Some(username) = &new.username {
                    login.username.clone_from(username);
                }
                if let Some(password) = &new.password {
                    login.password.clone_from(password);
                }
                login.epoch = login.epoch.saturating_add(1);
                login.updated_at = now;
                and_end_all(login.clone(), Some(login))
            }
            _ => Change::Leave(None),
        })
        .await
    }

    /// Uses a login ticket up. `false` if it was used before: of many who try at once, one gets `true`.
    pub async fn use_ticket(&self, id: &str, ends_at: Millis) -> Result<bool, StoreError> {
        let key = used_ticket(id);
        let unused = Guard::Value {
            key: key.clone(),
            is: None,
        };
        let mark = Command::Set {
            key,
            value: "1".into(),
            expire_at: Some(ends_at),
        };
        Ok(self.store.atomically(vec![unused], vec![mark]).await? == Applied::Yes)
    }

    /// The login, and whether the session `id` was ended; one round trip.
    pub async fn with_session(&self, id: &str) -> Result<(Option<Admin>, bool), StoreError> {
        let replies = self
            .store
            .run(vec![
                Command::Get {
                    key: ADMIN.to_owned(),
                },
                Command::Exists {
                    key: ended_session(id),
                },
            ])
            .await?;
        match replies.as_slice() {
            [Reply::Value(stored), Reply::Int(ended)] => {
                let admin = stored
                    .as_ref()
                    .map(|text| record::parse(&PLACE, text))
                    .transpose()?;
                Ok((admin, *ended != 0))
            }
            _ => Err(StoreError::Unreadable {
                key: ADMIN.to_owned(),
                reason: "the store answered with replies of another shape".to_owned(),
            }),
        }
    }
}

/// Writes a login of a new epoch: all sessions are over.
fn and_end_all<R>(login: Admin, then: R) -> Change<Admin, R> {
    Change::Write(Write {
        record: login,
        and: vec![sessions::unlisted()],
        only_if: None,
        then,
    })
}

#[cfg(test)]
mod tests;
