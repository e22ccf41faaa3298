//! The operator's settings of an account, and the calls it may serve by them.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::{AccountId, Binding, GroupId, Pick};
use crate::Millis;

/// The part of an account's record that the pool needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountPolicy {
    pub id: AccountId,
    /// The kind of account at its provider, in the host's terms; see [`Pick::kinds`]. `None`: an older version wrote
    /// the roster.
    #[serde(default)]
    pub kind: Option<String>,
    /// Lower is chosen first, as in CRS (1 to 100, 50 by default).
    pub priority: u32,
    /// Calls the account may serve at once; 0 is unlimited.
    pub max_concurrency: u32,
    pub active: bool,
    /// The operator's switch: a paused account keeps its sessions but gets no calls.
    pub schedulable: bool,
    /// Changes when the credentials are replaced: a mark for refused credentials ends with it.
    pub credential_version: u64,
    /// Grows with every change of the account's record.
    #[serde(default)]
    pub revision: u64,
    /// Why this host cannot use the account at all (e.g. a proxy where none can be had).
    pub unusable: Option<String>,
    /// The account's groups.
    #[serde(default)]
    pub groups: BTreeSet<GroupId>,
    /// Part of the common pool. Other accounts are dedicated: they only serve calls bound to them or to one of their
    /// groups.
    #[serde(default = "yes")]
    pub shared: bool,
    /// The models it serves, by the clients' names; `None`: all. A host adds the names that the account's mapping
    /// translates from. Case-insensitive.
    #[serde(default)]
    pub supported_models: Option<BTreeSet<String>>,
    /// When its subscription ends; after that it gets no calls.
    #[serde(default)]
    pub expires_at: Option<Millis>,
    /// The most that its calls may cost in one of the operator's days, in micro-USD; 0 is unlimited. Calls count from
    /// the time at which it was set.
    #[serde(default)]
    pub daily_quota: u64,
    /// The operator's clock minus UTC: determines the end of a day.
    #[serde(default)]
    pub utc_offset_minutes: i32,
    /// The share of each measured quota window that is held in reserve: an account that has used the rest ranks
    /// behind others of its priority. With 0 only a used-up window ranks behind.
    #[serde(default)]
    pub reserve_percent: u8,
}

/// The default for accounts from before dedicated accounts existed.
fn yes() -> bool {
    true
}

impl Default for AccountPolicy {
    /// An account without an id that serves any call.
    fn default() -> Self {
        Self {
            id: AccountId::new(),
            kind: None,
            priority: 50,
            max_concurrency: 0,
            active: true,
            schedulable: true,
            credential_version: 0,
            revision: 0,
            unusable: None,
            groups: BTreeSet::new(),
            shared: true,
            supported_models: None,
            expires_at: None,
            daily_quota: 0,
            utc_offset_minutes: 0,
            reserve_percent: 0,
        }
    }
}

/// Whether a call may get the account at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    /// The call asks for it.
    Asked,
    /// The call is bound to something else, but may fall back to it.
    Fallback,
    /// The call is bound to something else.
    NotBound,
    /// It is dedicated to others.
    Dedicated,
}

impl AccountPolicy {
    pub(super) fn is_meant(&self, binding: &Binding) -> bool {
        match binding {
            Binding::Account(id) => *id == self.id,
            Binding::Group(group) => self.groups.contains(group),
        }
    }

    /// Whether an account of this kind can serve the call. An unknown kind counts as able.
    pub(super) fn is_of_kind(&self, pick: &Pick) -> bool {
        match (&pick.kinds, &self.kind) {
            (Some(kinds), Some(kind)) => kinds.contains(kind),
            _ => true,
        }
    }

    pub(super) fn reach(&self, pick: &Pick) -> Reach {
        match &pick.binding {
            Some(binding) if self.is_meant(binding) => Reach::Asked,
            Some(_) if !pick.fallback => Reach::NotBound,
            _ if !self.shared => Reach::Dedicated,
            Some(_) => Reach::Fallback,
            None => Reach::Asked,
        }
    }

    /// Always true for a call that names no model.
    pub(super) fn serves_model(&self, model: &str) -> bool {
        let Some(supported) = &self.supported_models else {
            return true;
        };
        model.is_empty()
            || supported.contains(model)
            || supported.iter().any(|name| name.eq_ignore_ascii_case(model))
    }

    /// From this used share of a window on, only the reserve is left.
    pub(super) fn reserve_from_permille(&self) -> u16 {
        1_000_u16.saturating_sub(u16::from(self.reserve_percent).saturating_mul(10))
    }
}
