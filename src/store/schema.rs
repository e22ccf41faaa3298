//! The schema version of the data, stored with it. A program leaves data of an unknown version alone and reports
//! which program can read it.
//!
//! | version | since | change |
//! | --- | --- | --- |
//! | 1 | 0.1.0 | the first; also data without a version |
//!
//! Natively, data of an older version is upgraded at the start, one [`Step`] after the other, after a backup. On
//! the edge there is no upgrade: records of any version up to [`NEWEST`] are readable, and are written in the
//! newest.
//!
//! A rebuild of all data (a restore, a new `ENCRYPTION_KEY`) is recorded here from its beginning to its end, so
//! that no process serves half of it.

use bytes::Bytes;
use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};

use super::keys;
use crate::port::store::{Applied, Command, Guard, Reply, Store, StoreError};

/// The version written by this program.
pub const NEWEST: u32 = 1;

/// This program's name and version, for programs that cannot read its data.
const BY: &str = concat!("crs ", env!("CARGO_PKG_VERSION"));

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Schema {
    pub version: u32,
    /// The program that upgraded the data to this version.
    pub by: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unfinished: Option<Unfinished>,
}

/// An unfinished rebuild, which the same command can finish.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "what")]
pub enum Unfinished {
    /// `digest`: of the backup.
    Restore { digest: String },
    /// Fingerprints of the two keys.
    Rekey { from: String, to: String },
    /// A kind known to a later version only.
    #[serde(other)]
    Other,
}

#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    #[error(
        "this data has version {version} of the schema, and this crs ({BY}) knows up to {NEWEST}: use {by} or later. Nothing was changed"
    )]
    Newer { version: u32, by: String },
    #[error(
        "a restore into this store was not finished: run `crs restore` again with the same file, or empty the store"
    )]
    Restoring,
    #[error("a change of ENCRYPTION_KEY was not finished: run `crs rekey` again with the same two keys")]
    Rekeying,
    #[error(
        "something that this crs ({BY}) does not know was begun in this store and not finished: use {by} or later"
    )]
    Unknown { by: String },
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Schema {
    /// Of data that this program makes.
    pub fn newest() -> Self {
        Self {
            version: NEWEST,
            by: BY.to_owned(),
            unfinished: None,
        }
    }

    pub fn text(&self) -> Result<Bytes, StoreError> {
        serde_json::to_vec(self)
            .map(Bytes::from)
            .map_err(|error| unreadable(&error.to_string()))
    }

    /// The command that stores it.
    pub fn set(&self) -> Result<Command, StoreError> {
        Ok(Command::Set {
            key: keys::SCHEMA.to_owned(),
            value: self.text()?,
            expire_at: None,
        })
    }
}

/// The stored schema, parsed and as text; `None` if there is none.
pub async fn read(store: &dyn Store) -> Result<Option<(Schema, Bytes)>, StoreError> {
    let get = Command::Get {
        key: keys::SCHEMA.to_owned(),
    };
    let Some(Reply::Value(Some(text))) = store.run(vec![get]).await?.pop() else {
        return Ok(None);
    };
    match serde_json::from_slice(&text) {
        Ok(schema) => Ok(Some((schema, text))),
        Err(error) => Err(unreadable(&format!("{:?}", error.classify()))),
    }
}

/// Replaces the schema if it is still `before`; returns whether it was.
pub async fn replace(store: &dyn Store, before: Option<Bytes>, schema: &Schema) -> Result<bool, StoreError> {
    let guard = Guard::Value {
        key: keys::SCHEMA.to_owned(),
        is: before,
    };
    Ok(store.atomically(vec![guard], vec![schema.set()?]).await? == Applied::Yes)
}

/// Checks that this program may use the data, and returns its version. Writes the version if there is none.
pub async fn check(store: &dyn Store) -> Result<u32, SchemaError> {
    let found = match read(store).await? {
        Some((schema, _)) => schema,
        None => {
            let first = Schema::newest();
            if replace(store, None, &first).await? {
                return Ok(first.version);
            }
            // Another process has written it first.
            read(store).await?.map_or(first, |(schema, _)| schema)
        }
    };
    if found.version > NEWEST {
        return Err(SchemaError::Newer {
            version: found.version,
            by: found.by,
        });
    }
    match found.unfinished {
        None => Ok(found.version),
        Some(Unfinished::Restore { .. }) => Err(SchemaError::Restoring),
        Some(Unfinished::Rekey { .. }) => Err(SchemaError::Rekeying),
        Some(Unfinished::Other) => Err(SchemaError::Unknown { by: found.by }),
    }
}

/// An upgrade from one version to the next. It can be repeated after an interruption at any point.
pub struct Step {
    /// The version after the step.
    pub to: u32,
    /// Description for the log.
    pub what: &'static str,
    pub run: fn(&dyn Store) -> BoxFuture<'_, Result<(), StoreError>>,
}

/// All steps there are, oldest first.
pub const STEPS: &[Step] = &[];

/// Upgrades data of version `from`. Each finished step is recorded, so that an interrupted one is repeated first.
pub async fn upgrade(store: &dyn Store, from: u32, steps: &[Step]) -> Result<(), StoreError> {
    for step in steps.iter().filter(|step| step.to > from) {
        tracing::info!(
            version = step.to,
            "the data is being brought up to date: {}",
            step.what
        );
        (step.run)(store).await?;
        let schema = Schema {
            version: step.to,
            ..Schema::newest()
        };
        store.run(vec![schema.set()?]).await?;
    }
    Ok(())
}

fn unreadable(reason: &str) -> StoreError {
    StoreError::Unreadable {
        key: keys::SCHEMA.to_owned(),
        reason: reason.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::port::clock::movable::Movable;
    use crate::store::memory::Memory;

    fn store() -> Memory {
        Memory::new(Arc::new(Movable::at(1_700_000_000_000)))
    }

    async fn say(store: &Memory, schema: &Schema) {
        store.run(vec![schema.set().unwrap()]).await.unwrap();
    }

    #[tokio::test]
    async fn data_without_a_version_gets_one() {
        let store = store();
        assert_eq!(check(&store).await.unwrap(), NEWEST);
        assert_eq!(read(&store).await.unwrap().unwrap().0, Schema::newest());
        assert_eq!(check(&store).await.unwrap(), NEWEST);
    }

    #[tokio::test]
    async fn newer_data_is_left_alone_and_says_who_reads_it() {
        let store = store();
        let newer = Schema {
            version: NEWEST + 1,
            by: "crs 7.3.0".to_owned(),
            unfinished: None,
        };
        say(&store, &newer).await;
        let error = check(&store).await.unwrap_err().to_string();
        assert!(error.contains("use crs 7.3.0 or later"), "{error}");
        assert_eq!(read(&store).await.unwrap().unwrap().0, newer);
        // A later version may say more of itself.
        let set = Command::Set {
            key: keys::SCHEMA.to_owned(),
            value: r#"{"version":9,"by":"crs 8.0.0","else":1,"unfinished":{"what":"else","n":1}}"#.into(),
            expire_at: None,
        };
        store.run(vec![set]).await.unwrap();
        assert!(matches!(
            check(&store).await,
            Err(SchemaError::Newer { version: 9, .. })
        ));
    }

    #[tokio::test]
    async fn nobody_serves_half_of_a_rebuilding() {
        let store = store();
        for (unfinished, says) in [
            (Unfinished::Restore { digest: "d".into() }, "crs restore"),
            (
                Unfinished::Rekey {
                    from: "a".into(),
                    to: "b".into(),
                },
                "crs rekey",
            ),
        ] {
            let schema = Schema {
                unfinished: Some(unfinished),
                ..Schema::newest()
            };
            say(&store, &schema).await;
            let error = check(&store).await.unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
    }

    #[tokio::test]
    async fn steps_run_once_in_order_and_an_interrupted_one_again() {
        fn add(store: &dyn Store, by: i64) -> BoxFuture<'_, Result<(), StoreError>> {
            Box::pin(async move {
                let add = Command::IncrBy { key: "n".into(), by };
                store.run(vec![add]).await.map(drop)
            })
        }
        let steps = |third: fn(&dyn Store) -> BoxFuture<'_, Result<(), StoreError>>| {
            let step = |to, run| Step {
                to,
                what: "a test",
                run,
            };
            [
                step(2, |store| add(store, 1)),
                step(3, |store| add(store, 10)),
                step(4, third),
            ]
        };
        let store = store();
        say(
            &store,
            &Schema {
                version: 2,
                ..Schema::newest()
            },
        )
        .await;
        let broken = steps(|store| {
            Box::pin(async move {
                add(store, 100).await?;
                Err(unreadable("the disk is full"))
            })
        });
        assert!(upgrade(&store, 2, &broken).await.is_err());
        assert_eq!(read(&store).await.unwrap().unwrap().0.version, 3);
        upgrade(&store, 3, &steps(|store| add(store, 1_000)))
            .await
            .unwrap();
        assert_eq!(read(&store).await.unwrap().unwrap().0.version, 4);
        let replies = store.run(vec![Command::Get { key: "n".into() }]).await.unwrap();
        assert_eq!(replies, [Reply::Value(Some("1110".into()))]);
    }

    #[test]
    fn the_newest_version_is_that_of_the_last_step() {
        assert_eq!(STEPS.last().map_or(1, |step| step.to), NEWEST);
        assert!(
            STEPS
                .windows(2)
                .all(|two| matches!(two, [a, b] if a.to + 1 == b.to))
        );
    }
}
