//! What the operator says of an account, and whom that lets it serve.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::{AccountId, Binding, GroupId, Pick};
use crate::Millis;

/// What the pool must know of an account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountPolicy {
    pub id: AccountId,
    /// What it is at its provider, in the host's terms; see [`Pick::kinds`]. `None`: the roster was written by a
    /// version that did not say.
    #[serde(default)]
    pub kind: Option<String>,
    /// Lower is chosen first, as in CRS (1 to 100, 50 by default).
    pub priority: u32,
    /// Calls the account may serve at once; 0 is no limit.
    pub max_concurrency: u32,
    pub active: bool,
    /// The operator's switch: a paused account keeps its sessions' history but gets no calls.
    pub schedulable: bool,
    /// Changes when the credentials were replaced: a mark for refused credentials ends with it.
    pub credential_version: u64,
    /// Grows with every change of the account's record.
    #[serde(default)]
    pub revision: u64,
    /// Why this host cannot use the account at all (e.g. a proxy where none can be had).
    pub unusable: Option<String>,
    /// The groups it is in.
    #[serde(default)]
    pub groups: BTreeSet<GroupId>,
    /// In the common pool. One that is not is dedicated: it only serves calls bound to it or to one of
    /// its groups.
    #[serde(default = "yes")]
    pub shared: bool,
    /// The models it serves, as clients name them; `None`: all. A host adds the names that the account's
    /// mapping translates from. Letter case does not count.
    #[serde(default)]
    pub supported_models: Option<BTreeSet<String>>,
    /// When its subscription ends; from then on it gets no calls.
    #[serde(default)]
    pub expires_at: Option<Millis>,
    /// What its calls may cost in a day of the operator's, in micro-USD; 0 is no limit. Calls are counted
    /// from when it was set.
    #[serde(default)]
    pub daily_quota: u64,
    /// What the operator's clocks are ahead of UTC: it says when a day ends.
    #[serde(default)]
    pub utc_offset_minutes: i32,
    /// The share of each measured quota window that is kept back: an account that has used the rest ranks
    /// behind others of its priority. 0 keeps nothing back: only a window used up ranks behind.
    #[serde(default)]
    pub reserve_percent: u8,
}

/// Accounts learned before some were dedicated.
fn yes() -> bool {
    true
}

impl Default for AccountPolicy {
    /// An account without an id that serves anybody.
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

/// Whether a call may be given the account at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    /// It is what the call asks for.
    Asked,
    /// It is not what the call is bound to; the call may fall back to it.
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

    /// Whether an account of this kind can serve the call. An unknown kind counts as one that can.
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

    /// A call that names no model is not asked for it.
    pub(super) fn serves_model(&self, model: &str) -> bool {
        let Some(supported) = &self.supported_models else {
            return true;
        };
        model.is_empty()
            || supported.contains(model)
            || supported.iter().any(|name| name.eq_ignore_ascii_case(model))
    }

    /// From this used share of a window on the rest is kept back.
    pub(super) fn reserve_from_permille(&self) -> u16 {
        1_000_u16.saturating_sub(u16::from(self.reserve_percent).saturating_mul(10))
    }
}
