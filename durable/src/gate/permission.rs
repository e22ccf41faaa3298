//! Whether a key's record permits a call at all: checks 2 to 5 of the gate's table. They take nothing and depend on
//! no other call.

use super::command::{Admit, Refusal};
use super::policy::KeyPolicy;
use crate::Millis;

impl KeyPolicy {
    /// `activated_at`: the first use, as far as the gate knows it.
    pub(super) fn permits(
        &self,
        now: Millis,
        activated_at: Option<Millis>,
        admit: &Admit,
    ) -> Result<(), Refusal> {
        self.is_open(now, activated_at)?;
        let served = std::iter::once(&admit.service).chain(&admit.or_services);
        let routed = admit.by_routes && !self.routes.is_empty();
        if !routed && !served.copied().any(|service| self.serves(service)) {
            return Err(Refusal::NotPermitted {
                service: admit.service,
            });
        }
        if let Some(allowed) = &self.allowed_clients
            && !is_among(admit.client.as_deref(), allowed)
        {
            return Err(Refusal::ClientNotAllowed {
                client: admit.client.clone(),
                allowed: allowed.clone(),
            });
        }
        let canonical = admit.canonical.as_deref();
        if let Some(model) = admit.model.as_ref().filter(|model| self.denies(model, canonical)) {
            return Err(Refusal::ModelRestricted { model: model.clone() });
        }
        Ok(())
    }

    /// Whether the key admits calls at all.
    pub(super) fn is_open(&self, now: Millis, activated_at: Option<Millis>) -> Result<(), Refusal> {
        if !self.active {
            return Err(Refusal::Disabled);
        }
        match self.expiry(activated_at) {
            Some(at) if at <= now => Err(Refusal::Expired { at }),
            _ => Ok(()),
        }
    }
}

/// An unrecognised client is on no list.
fn is_among(client: Option<&str>, allowed: &[String]) -> bool {
    client.is_some_and(|client| allowed.iter().any(|name| name.eq_ignore_ascii_case(client)))
}
