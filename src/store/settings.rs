//! Settings of the operator for the whole site.

use std::sync::Arc;

use crs_durable::Millis;
use serde::{Deserialize, Serialize};

use super::keys::{OEM_SETTINGS, PRICES, ROUTES};
use super::record::{self, Change, Place};
use crate::model::price::PriceOverrides;
use crate::model::route::Route;
use crate::port::store::{Store, StoreError};

#[derive(Clone)]
pub struct Settings {
    store: Arc<dyn Store>,
    /// The default for the site's name (`WEB_TITLE`).
    title: String,
}

/// The site's name and icon, with CRS's member names.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Oem {
    pub site_name: String,
    /// Address of an icon.
    pub site_icon: String,
    /// The icon itself, as a data URL.
    pub site_icon_data: String,
    pub show_admin_button: bool,
    /// ISO 8601, as in CRS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub updated_at: Option<String>,
    /// Fields of other versions, which are preserved.
    #[serde(flatten)]
    pub extra: serde_json::Map<String, serde_json::Value>,
}

impl Default for Oem {
    fn default() -> Self {
        Self {
            site_name: String::new(),
            site_icon: String::new(),
            site_icon_data: String::new(),
            show_admin_button: true,
            updated_at: None,
            extra: serde_json::Map::new(),
        }
    }
}

/// The operator's prices.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct StoredPrices {
    /// Incremented by every change; 0: never set.
    pub version: u64,
    pub overrides: PriceOverrides,
    pub updated_at: Option<Millis>,
}

/// The model routes for all keys.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct StoredRoutes {
    /// Incremented by every change; 0: never set.
    pub version: u64,
    pub routes: Vec<Route>,
    pub updated_at: Option<Millis>,
}

impl Settings {
    pub fn new(store: Arc<dyn Store>, title: &str) -> Self {
        Self {
            store,
            title: title.to_owned(),
        }
    }

    pub async fn oem(&self) -> Result<Oem, StoreError> {
        let stored: Option<Oem> = record::read(&*self.store, &PLACE).await?;
        Ok(self.titled(stored.unwrap_or_default()))
    }

    /// Changes the settings. `edit` may be called several times if they change concurrently.
    pub async fn set_oem(
        &self,
        now: Millis,
        mut edit: impl FnMut(&mut Oem) + Send,
    ) -> Result<Oem, StoreError> {
        let changed = record::change(&*self.store, &PLACE, |stored: Option<Oem>| {
            let mut oem = stored.unwrap_or_default();
            edit(&mut oem);
            oem.updated_at = Some(crate::model::time::iso(now));
            Change::write(oem.clone(), oem)
        })
        .await?;
        Ok(self.titled(changed))
    }

    pub async fn prices(&self) -> Result<StoredPrices, StoreError> {
        let stored = record::read(&*self.store, &PRICES_PLACE).await?;
        Ok(stored.unwrap_or_default())
    }

    /// Replaces the operator's prices.
    pub async fn set_prices(
        &self,
        now: Millis,
        overrides: &PriceOverrides,
    ) -> Result<StoredPrices, StoreError> {
        record::change(&*self.store, &PRICES_PLACE, |stored: Option<StoredPrices>| {
            let prices = StoredPrices {
                version: stored.unwrap_or_default().version.saturating_add(1),
                overrides: overrides.clone(),
                updated_at: Some(now),
            };
            Change::write(prices.clone(), prices)
        })
        .await
    }

    pub async fn routes(&self) -> Result<StoredRoutes, StoreError> {
        let stored = record::read(&*self.store, &ROUTES_PLACE).await?;
        Ok(stored.unwrap_or_default())
    }

    /// Replaces the model routes for all keys.
    pub async fn set_routes(&self, now: Millis, routes: &[Route]) -> Result<StoredRoutes, StoreError> {
        record::change(&*self.store, &ROUTES_PLACE, |stored: Option<StoredRoutes>| {
            let routes = StoredRoutes {
                version: stored.unwrap_or_default().version.saturating_add(1),
                routes: routes.to_vec(),
                updated_at: Some(now),
            };
            Change::write(routes.clone(), routes)
        })
        .await
    }

    fn titled(&self, mut oem: Oem) -> Oem {
        if oem.site_name.is_empty() {
            oem.site_name.clone_from(&self.title);
        }
        oem
    }
}

const PLACE: Place = Place::Text { key: OEM_SETTINGS };
const PRICES_PLACE: Place = Place::Text { key: PRICES };
const ROUTES_PLACE: Place = Place::Text { key: ROUTES };

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::fake::FakeStore;

    #[tokio::test]
    async fn the_title_is_the_name_until_one_is_set() {
        let store = Arc::new(FakeStore::default());
        let settings = Settings::new(store, "Our relay");
        assert_eq!(settings.oem().await.unwrap().site_name, "Our relay");
        let set = settings
            .set_oem(0, |oem| oem.site_name = "Mine".to_owned())
            .await
            .unwrap();
        assert_eq!(set.updated_at.as_deref(), Some("1970-01-01T00:00:00.000Z"));
        assert_eq!(settings.oem().await.unwrap(), set);
    }

    #[tokio::test]
    async fn what_another_version_stored_stays() {
        let store = Arc::new(FakeStore::default());
        store.put(
            OEM_SETTINGS,
            r#"{"siteName":"Old","ldapEnabled":false,"showAdminButton":false}"#,
        );
        let settings = Settings::new(store.clone(), "x");
        settings
            .set_oem(1, |oem| oem.site_icon = "/i.png".to_owned())
            .await
            .unwrap();
        let text = store.text(OEM_SETTINGS).unwrap();
        let stored: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(stored["ldapEnabled"], false);
        assert_eq!(stored["siteName"], "Old");
        assert_eq!(stored["showAdminButton"], false);
    }
}
