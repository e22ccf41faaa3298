//! Account groups: records by id. The members are in the accounts' records.

use std::sync::Arc;

use crs_durable::Millis;

use super::keys::ACCOUNT_GROUPS;
use super::record::{self, Change, Place};
use crate::model::group::Group;
use crate::port::store::{Applied, Store, StoreError};

#[derive(Clone)]
pub struct Groups {
    store: Arc<dyn Store>,
}

impl Groups {
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self { store }
    }

    /// Stores a new group. Returns `false` if its id exists.
    pub async fn create(&self, group: &Group) -> Result<bool, StoreError> {
        let place = at(&group.id);
        let batch = vec![place.set(record::text(&place, group)?)];
        let applied = self.store.atomically(vec![place.guard(None)], batch).await?;
        Ok(applied == Applied::Yes)
    }

    pub async fn get(&self, id: &str) -> Result<Option<Group>, StoreError> {
        record::read(&*self.store, &at(id)).await
    }

    /// All groups, unordered. Unreadable records are skipped and logged.
    pub async fn list(&self) -> Result<Vec<Group>, StoreError> {
        let entries = record::entries(&*self.store, ACCOUNT_GROUPS).await?;
        Ok(super::readable(ACCOUNT_GROUPS, entries))
    }

    /// Changes a group; `None` if it does not exist. `edit` may be called several times if the group changes
    /// concurrently, so it must depend only on its argument.
    pub async fn update(
        &self,
        id: &str,
        now: Millis,
        mut edit: impl FnMut(&mut Group) + Send,
    ) -> Result<Option<Group>, StoreError> {
        record::change(&*self.store, &at(id), |stored: Option<Group>| {
            let Some(mut group) = stored else {
                return Change::Leave(None);
            };
            edit(&mut group);
            group.updated_at = now;
            Change::write(group.clone(), Some(group))
        })
        .await
    }

    /// Returns `false` if the group does not exist.
    pub async fn delete(&self, id: &str) -> Result<bool, StoreError> {
        record::change(
            &*self.store,
            &at(id),
            |stored: Option<serde_json::Value>| match stored {
                None => Change::Leave(false),
                Some(_) => Change::Remove(true),
            },
        )
        .await
    }
}

fn at(id: &str) -> Place {
    Place::Field {
        key: ACCOUNT_GROUPS,
        field: id.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::account::Platform;
    use crate::store::fake::FakeStore;

    #[tokio::test]
    async fn a_group_is_kept_changed_and_deleted() {
        let store = Arc::new(FakeStore::default());
        let groups = Groups::new(store.clone());
        let group = Group {
            id: "g".to_owned(),
            name: "team".to_owned(),
            description: String::new(),
            platform: Platform::Claude,
            created_at: 1,
            updated_at: 1,
            extra: serde_json::Map::new(),
        };
        assert!(groups.create(&group).await.unwrap());
        assert!(!groups.create(&group).await.unwrap());
        let changed = groups.update("g", 2, |group| group.name = "all".to_owned()).await;
        assert_eq!(changed.unwrap().unwrap().updated_at, 2);
        assert_eq!(groups.list().await.unwrap()[0].name, "all");
        assert!(groups.delete("g").await.unwrap());
        assert!(!groups.delete("g").await.unwrap());
        assert_eq!(groups.update("g", 3, |_| ()).await.unwrap(), None);
        assert_eq!(groups.get("g").await.unwrap(), None);
    }

    #[tokio::test]
    async fn what_another_version_stored_stays() {
        let store = Arc::new(FakeStore::default());
        store.put_field(
            ACCOUNT_GROUPS,
            "g",
            r#"{"id":"g","name":"x","platform":"claude","createdAt":1,"updatedAt":1,"color":"red"}"#,
        );
        let groups = Groups::new(store.clone());
        groups
            .update("g", 2, |group| group.name = "y".to_owned())
            .await
            .unwrap();
        assert!(
            store
                .field(ACCOUNT_GROUPS, "g")
                .unwrap()
                .contains(r#""color":"red""#)
        );
    }
}
