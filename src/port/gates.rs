//! The gates and pools of `crs-durable`, on either host.

use async_trait::async_trait;
use crs_durable::pool::shards::{Next, Shards};
use crs_durable::{Millis, gate, pool};
use futures_util::future::try_join_all;

use crate::model::account::Platform;
use crate::port::store::Command;

/// Hash of a client key, which identifies its gate.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyHash(pub [u8; 32]);

impl KeyHash {
    /// The form it has in the store.
    pub fn hex(&self) -> String {
        hex::encode(self.0)
    }

    pub fn from_hex(text: &str) -> Option<Self> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).ok()?;
        Some(Self(bytes))
    }
}

#[async_trait]
pub trait Gates: Send + Sync {
    /// Sends a command to the gate of a key. Answering `NeedKey` with `Learn` is up to the caller, see
    /// `relay::admit`. The host waits for slots itself, so it never returns `Queued`.
    async fn gate(&self, key: &KeyHash, command: gate::Command) -> Result<gate::Reply, GatesError>;

    /// Sends a command to the pool of a platform. The host waits for another call's token renewal itself, so a
    /// `BeginRefresh` that waits never returns `RefreshBusy`. Limit the wait with `within`.
    async fn pool(&self, platform: Platform, command: pool::Command) -> Result<pool::Reply, GatesError>;

    /// Whether gates live and end with this process: a command needs no message to another machine. Otherwise each
    /// `Admit` needs a note: the event to write if the call is never settled.
    fn in_process(&self) -> bool {
        true
    }

    /// The commands that persist the gate's present state, to be run atomically with the events that it counts; none
    /// if its home persists it by itself.
    fn kept(&self, _key: &KeyHash) -> Vec<Command> {
        Vec::new()
    }

    /// Since when writes of gate and pool states fail; `None` if they do not, or if this host persists them
    /// elsewhere.
    fn unsaved_since(&self) -> Option<Millis> {
        None
    }

    /// Where the state of gates and pools lives, with figures about it.
    fn home(&self) -> HomeFigures {
        HomeFigures::of("process")
    }

    /// Whether other processes may write the event of a call that runs here: as lost, because they see its lease end.
    fn others_write(&self) -> bool {
        false
    }
}

/// Sends a command to the shards of a platform's pool and combines their replies.
pub(crate) async fn through_shards<A>(
    shards: Shards,
    command: pool::Command,
    ask: impl Fn(usize, pool::Command) -> A + Send + Sync,
) -> Result<pool::Reply, GatesError>
where
    A: Future<Output = Result<pool::Reply, GatesError>> + Send,
{
    if shards.count() == 1 {
        return ask(0, command).await;
    }
    let (mut route, mut asks) = shards.route(command);
    loop {
        let asked = asks.into_iter().map(|(shard, command)| ask(shard, command));
        match route.advance(try_join_all(asked).await?) {
            Next::Ask(next) => asks = next,
            Next::Reply(reply) => return Ok(reply),
        }
    }
}

/// The name of a shard. The first has the platform's name, so that a pool of one shard keeps its name.
pub(crate) fn shard_name(platform: Platform, shard: usize) -> String {
    match shard {
        0 => platform.name().to_owned(),
        shard => format!("{}:{shard}", platform.name()),
    }
}

/// Where gates and pools live, with figures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HomeFigures {
    /// `process`, `redis`, `upstash`, `durable_object`.
    pub kind: &'static str,
    /// For a home shared by processes, since this one's start: steps sent to it, commands answered, steps that lost
    /// against another process, and commands repeated after the home was unavailable.
    pub steps: u64,
    pub commands: u64,
    pub conflicts: u64,
    pub replayed: u64,
    /// Number of commands that this process has answered but the home does not have yet.
    pub kept: u64,
    /// Since when this process decides by its own copy of the state.
    pub away_since: Option<Millis>,
}

impl HomeFigures {
    pub fn of(kind: &'static str) -> Self {
        Self {
            kind,
            ..Self::default()
        }
    }
}

/// A gate or pool could not be reached. Happens only on the edge, if a Durable Object is unavailable.
#[derive(Debug, thiserror::Error)]
#[error("the {machine} machine cannot be reached: {reason}")]
pub struct GatesError {
    pub machine: &'static str,
    pub reason: String,
}
