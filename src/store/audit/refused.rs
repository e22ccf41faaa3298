//! Refused logins: one entry per network and quarter of an hour. The count is kept in memory and written when it
//! reaches a power of two, so that persistent attempts cost few writes.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use super::actor::Actor;
use super::{AuditLog, Entry, member};
use crate::model::calendar::Calendar;
use crate::port::clock::Millis;
use crate::port::store::{Command, StoreError};
use crate::store::keys;

const WINDOW: Millis = 15 * 60 * 1000;
/// Number of networks counted separately per window; the others share an entry without an address.
const NETWORKS: usize = 64;

#[derive(Default)]
pub(super) struct RefusedLogins(Mutex<Window>);

#[derive(Default)]
struct Window {
    number: Millis,
    networks: HashMap<Option<IpAddr>, Entry>,
}

impl AuditLog {
    /// Counts a refused login. A failed write is only logged, because it must not change the answer.
    pub async fn login_refused(&self, address: Option<IpAddr>) {
        let written = match self.count_refused(address) {
            Ok(Some(commands)) => self.store.atomically(Vec::new(), commands).await.map(|_| ()),
            Ok(None) => Ok(()),
            Err(error) => Err(error),
        };
        if let Err(error) = written {
            tracing::warn!(%error, "a refused login is missing in the audit log");
        }
    }

    fn count_refused(&self, address: Option<IpAddr>) -> Result<Option<Vec<Command>>, StoreError> {
        let now = self.clock.now();
        let mut window = self.refused.0.lock().unwrap_or_else(PoisonError::into_inner);
        if window.number != now / WINDOW {
            *window = Window {
                number: now / WINDOW,
                networks: HashMap::new(),
            };
        }
        let mut network = address.map(network);
        if window.networks.len() >= NETWORKS && !window.networks.contains_key(&network) {
            network = None;
        }
        let Some(counted) = window.networks.get_mut(&network) else {
            let by = Actor {
                actor: "stranger".to_owned(),
                address: network,
                ..Actor::system()
            };
            let subject = "admin".to_owned();
            let entry = self.entry(
                Some(by),
                "admin.login_refused",
                subject,
                String::new(),
                Vec::new(),
            );
            let commands = self.append(std::slice::from_ref(&entry))?;
            window.networks.insert(network, entry);
            return Ok(Some(commands));
        };
        let key = keys::audit(Calendar::default().month(counted.at));
        // The stored count is the last power of two.
        let mut stored = counted.clone();
        stored.count = (counted.count + 1).next_power_of_two() / 2;
        counted.count += 1;
        if !counted.count.is_power_of_two() {
            return Ok(None);
        }
        let mut commands = vec![Command::ZRem {
            key: key.clone(),
            members: vec![member(&key, &stored)?],
        }];
        commands.extend(self.append(std::slice::from_ref(counted))?);
        Ok(Some(commands))
    }
}

/// The network of one customer of a provider: the first 24 bits of IPv4, 48 bits of IPv6.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(v4) => IpAddr::V4((u32::from(v4) & 0xffff_ff00).into()),
        IpAddr::V6(v6) => IpAddr::V6((u128::from(v6) >> 80 << 80).into()),
    }
}
