//! Shared by the tests of this binary: a relay of their host in front of a fake provider.

use std::collections::HashMap;
use std::time::Duration;

use crs_support::client::Client;
use crs_support::eventually;
use crs_support::provider::FakeProvider;
use crs_support::relay::{Host, Relay, Setup};
use serde_json::Value;
use tokio::sync::oneshot;

use super::HOST;

pub(crate) use crs_support::relay::Key;

/// A relay that is not started yet.
pub(crate) fn setup() -> Setup {
    let program = env!("CARGO_BIN_EXE_crs");
    match HOST {
        Host::InProcess => Relay::inside(serve),
        Host::Embedded => Relay::at(program),
        Host::Redis => Relay::at(program).with_redis(),
        Host::Cluster => Relay::at(program).as_cluster(),
        Host::Worker => Relay::worker(env!("CARGO_MANIFEST_DIR")),
    }
}

/// The native host, as `main` runs it.
fn serve(env: HashMap<String, String>, end: oneshot::Receiver<()>) -> Result<(), String> {
    let setup = crs_edge::Setup::prepare(&env).map_err(|error| error.to_string())?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let ended = async { drop(end.await) };
    runtime
        .block_on(crs_edge::serve_until(setup, ended))
        .map_err(|error| error.to_string())
}

/// A relay that is not started yet; its providers are this fake.
pub(crate) fn relay(provider: &FakeProvider) -> Setup {
    setup().provider(provider)
}

/// A running relay with one account and one key without limits.
pub(crate) struct Ready {
    pub(crate) provider: FakeProvider,
    pub(crate) relay: Relay,
    pub(crate) key: Key,
    /// Shows the key, under `/api`.
    pub(crate) client: Client,
}

pub(crate) const ACCOUNT_KEY: &str = "sk-ant-test-first-account";

pub(crate) async fn ready() -> Ready {
    ready_with(|setup| setup).await
}

pub(crate) async fn ready_with(settings: impl FnOnce(Setup) -> Setup) -> Ready {
    let provider = FakeProvider::start().await;
    let relay = settings(relay(&provider)).start().await;
    relay.claude_account("first", ACCOUNT_KEY).await;
    let key = relay.key("k").create().await;
    let client = relay.client(&key.secret);
    Ready {
        provider,
        relay,
        key,
        client,
    }
}

impl Ready {
    /// A second account that is only used when the first is not.
    pub(crate) async fn second_account(&self) -> &'static str {
        let key = "sk-ant-test-second-account";
        let account = serde_json::json!({
            "name": "second", "platform": "claude", "priority": 60,
            "credentials": { "type": "apiKey", "apiKey": key },
        });
        self.relay.add_account(&account).await;
        key
    }

    /// The ledger's newest entries, once there are `count`.
    pub(crate) async fn entries(&self, count: usize) -> Vec<Value> {
        entries(&self.relay, count).await
    }

    pub(crate) async fn entry(&self) -> Value {
        self.entries(1).await.remove(0)
    }
}

pub(crate) async fn entries(relay: &Relay, count: usize) -> Vec<Value> {
    eventually("the ledger has the calls", async || {
        let page = relay.admin().get("/admin/requests?pageSize=100").await;
        // A store that was away is left alone for a moment.
        if page.status == 503 {
            return None;
        }
        let items = page.good().json()["items"].as_array().expect("items").clone();
        (items.len() >= count).then_some(items)
    })
    .await
}

/// An amount of the admin API, which is in USD, in micro-USD.
pub(crate) fn micro_usd(amount: &Value) -> u64 {
    let usd = amount.as_f64().unwrap_or_else(|| panic!("no amount: {amount}"));
    (usd * 1e6).round() as u64
}

/// How soon the provider must see that a client left.
pub(crate) const SOON: Duration = Duration::from_secs(1);

/// Waits until no call of the key holds a slot.
pub(crate) async fn slots_are_free(relay: &Relay, key: &Key) {
    eventually("all slots are free", async || {
        let record = relay.admin().get(&format!("/admin/api-keys/{}", key.id)).await;
        // As above.
        if record.status == 503 {
            return None;
        }
        (record.good().json()["currentConcurrency"] == 0).then_some(())
    })
    .await;
}
