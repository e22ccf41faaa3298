mod entra;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::future::BoxFuture;

use super::*;
use crate::model::account::ProxyScheme;
use crate::model::money::MicroUsd;
use crate::secrets::tests::{Counting, keyring, keyring_of};
use crate::store::fake::FakeStore;

struct At(AtomicU64);

impl Clock for At {
    fn now(&self) -> Millis {
        self.0.load(Ordering::SeqCst)
    }
    fn ticks(&self) -> u64 {
        self.now() * 1000
    }
    fn sleep(&self, _: Duration) -> BoxFuture<'static, ()> {
        Box::pin(async {})
    }
}

struct Bench {
    store: Arc<FakeStore>,
    clock: Arc<At>,
    accounts: Accounts,
}

fn bench() -> Bench {
    let store = Arc::new(FakeStore::default());
    let clock = Arc::new(At(AtomicU64::new(1000)));
    let accounts = Accounts::new(
        store.clone(),
        Arc::new(keyring()),
        clock.clone(),
        Arc::new(Counting::new()),
    );
    Bench {
        store,
        clock,
        accounts,
    }
}

fn proxy() -> Proxy {
    Proxy {
        scheme: ProxyScheme::Socks5,
        host: "127.0.0.1".to_owned(),
        port: 1080,
        username: Some("joe".to_owned()),
        password: Some("proxy-s3cret".to_owned()),
    }
}

impl Accounts {
    /// [`try_update`](Accounts::try_update) by an edit that refuses nothing and moves nothing.
    async fn update(
        &self,
        id: &str,
        now: Millis,
        mut edit: impl FnMut(&mut Account) + Send,
    ) -> Result<Option<Account>, StoreError> {
        let edited = self
            .try_update(id, now, |account| {
                edit(account);
                Ok::<(), std::convert::Infallible>(())
            })
            .await?;
        Ok(match edited {
            EditResult::Done(account) => Some(*account),
            EditResult::Unknown => None,
            EditResult::SecretNeeded(needed) => panic!("{needed:?}"),
        })
    }

    /// A change of the way that must want a secret again; which one.
    async fn refused(&self, id: &str, mut edit: impl FnMut(&mut Account) + Send) -> &'static str {
        let before = self.get(id).await.unwrap();
        let edited = self
            .try_update(id, 9, |account| {
                edit(account);
                Ok::<(), std::convert::Infallible>(())
            })
            .await
            .unwrap();
        assert_eq!(self.get(id).await.unwrap(), before, "nothing is written");
        match edited {
            EditResult::SecretNeeded(needed) => needed.field,
            other => panic!("{other:?}"),
        }
    }
}

fn api_key(key: &str, base_url: Option<&str>) -> Credentials {
    Credentials::ApiKey {
        api_key: Secret::new(key),
        base_url: base_url.map(str::to_owned),
    }
}

/// Another address for the same sealed key.
fn aim(account: &mut Account, to: Option<&str>) {
    let StoredCredentials::ApiKey { base_url, .. } = &mut account.credentials else {
        panic!("no API key");
    };
    *base_url = to.map(str::to_owned);
}

impl Bench {
    /// An account without a proxy.
    async fn with_key(&self, id: &str, base_url: Option<&str>) {
        let mut account = self.account(id, &api_key("sk-s3cret", base_url));
        (account.proxy, account.proxy_shown) = (None, None);
        assert!(self.accounts.create(&account).await.unwrap());
    }

    fn account(&self, id: &str, credentials: &Credentials) -> Account {
        let (sealed, shown) = self.accounts.seal_proxy(id, &proxy()).unwrap();
        Account {
            id: id.to_owned(),
            name: "first".to_owned(),
            description: String::new(),
            platform: Platform::Claude,
            credentials: self.accounts.seal_credentials(id, credentials),
            credential_version: 1,
            priority: 50,
            max_concurrency: 0,
            is_active: true,
            schedulable: true,
            proxy: Some(sealed),
            proxy_shown: Some(shown),
            model_mapping: std::collections::BTreeMap::new(),
            groups: std::collections::BTreeSet::new(),
            shared: true,
            supported_models: None,
            subscription_expires_at: None,
            daily_quota: MicroUsd::ZERO,
            reserve_percent: 0,
            key_header: None,
            user_agent: None,
            chat_only: false,
            api_version: None,
            created_at: 1,
            updated_at: 1,
            extra: serde_json::Map::new(),
        }
    }

    async fn with_oauth(&self, id: &str) {
        let account = self.account(id, &oauth("old-access", Some("old-refresh")));
        assert!(self.accounts.create(&account).await.unwrap());
    }

    fn calls(&self) -> usize {
        self.store.calls.load(Ordering::SeqCst)
    }
}

fn oauth(access: &str, refresh: Option<&str>) -> Credentials {
    Credentials::OAuth {
        access_token: Secret::new(access),
        refresh_token: refresh.map(Secret::new),
        expires_at: Some(77),
        tenant: None,
    }
}

fn tokens(access: &str, refresh: Option<&str>) -> NewTokens {
    NewTokens {
        access_token: Secret::new(access),
        refresh_token: refresh.map(Secret::new),
        expires_at: Some(99),
        tenant: None,
    }
}

#[tokio::test]
async fn secrets_are_sealed_in_the_store_and_open_in_use() {
    let bench = bench();
    let key = Credentials::ApiKey {
        api_key: Secret::new("sk-ant-s3cret"),
        base_url: Some("https://example.test".to_owned()),
    };
    assert!(bench.accounts.create(&bench.account("a", &key)).await.unwrap());
    bench.with_oauth("b").await;
    let dump = bench.store.ever_done();
    for secret in ["s3cret", "old-access", "old-refresh", "joe"] {
        assert!(!dump.contains(secret), "{secret}");
    }
    let live = bench.accounts.live("a", 0, 0).await.unwrap().unwrap();
    assert_eq!(live.credentials, key);
    assert_eq!(live.proxy.as_deref(), Some(&proxy()));
    let live = bench.accounts.fresh("b").await.unwrap().unwrap();
    assert_eq!(live.credentials, oauth("old-access", Some("old-refresh")));
    let shown = format!("{live:?}");
    for secret in ["s3cret", "old-access", "old-refresh", "joe"] {
        assert!(!shown.contains(secret), "{secret}");
    }
    assert!(bench.accounts.live("c", 0, 0).await.unwrap().is_none());
}

#[tokio::test]
async fn kept_in_memory_as_long_as_it_is_young_enough() {
    let bench = bench();
    bench.with_oauth("a").await;
    bench.accounts.live("a", 0, 0).await.unwrap().unwrap();
    let calls = bench.calls();
    bench.accounts.live("a", 0, 0).await.unwrap().unwrap();
    bench.accounts.live("a", 1000, 0).await.unwrap().unwrap();
    assert_eq!(bench.calls(), calls);
    bench.clock.0.store(2000, Ordering::SeqCst);
    bench.accounts.live("a", 1001, 0).await.unwrap().unwrap();
    assert_eq!(bench.calls(), calls + 1);
    // A clock set back: what was read "later" cannot be told to be young.
    bench.clock.0.store(500, Ordering::SeqCst);
    bench.accounts.live("a", 400, 0).await.unwrap().unwrap();
    assert_eq!(bench.calls(), calls + 2);
}

#[tokio::test]
async fn the_last_known_serves_while_the_store_is_away() {
    let bench = bench();
    bench.with_oauth("a").await;
    bench.accounts.live("a", 0, 0).await.unwrap().unwrap();
    bench.store.away.store(true, Ordering::SeqCst);
    assert!(bench.accounts.live("a", 5000, 0).await.unwrap().is_some());
    assert!(bench.accounts.fresh("a").await.is_err());
    assert!(bench.accounts.live("b", 0, 0).await.is_err());
    // A failed write makes it doubtful, not gone.
    assert!(bench.accounts.update("a", 2, |a| a.priority = 1).await.is_err());
    assert!(bench.accounts.live("a", 0, 0).await.unwrap().is_some());
    bench.store.away.store(false, Ordering::SeqCst);
    let calls = bench.calls();
    bench.accounts.live("a", 0, 0).await.unwrap().unwrap();
    assert_eq!(bench.calls(), calls + 1);
}

#[tokio::test]
async fn a_change_is_seen_at_once() {
    let bench = bench();
    bench.with_oauth("a").await;
    bench.accounts.live("a", 0, 0).await.unwrap().unwrap();
    bench
        .accounts
        .update("a", 5, |a| a.priority = 7)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        bench
            .accounts
            .live("a", 0, 0)
            .await
            .unwrap()
            .unwrap()
            .account
            .priority,
        7
    );
    assert!(bench.accounts.delete("a").await.unwrap());
    assert!(bench.accounts.live("a", 0, 0).await.unwrap().is_none());
    assert!(!bench.accounts.delete("a").await.unwrap());
}

#[tokio::test]
async fn what_was_read_before_a_change_is_not_kept_after_it() {
    let bench = bench();
    bench.with_oauth("a").await;
    // The fake store lets others run before each call; the order of these two is then: the read begins,
    // the change begins, ... A record read before the change must not stay in memory, in any order.
    for round in 0..50_u32 {
        let (read, changed) = tokio::join!(
            bench.accounts.fresh("a"),
            bench.accounts.update("a", 5, |a| a.priority = round),
        );
        read.unwrap();
        changed.unwrap();
        assert_eq!(
            bench
                .accounts
                .live("a", 0, 0)
                .await
                .unwrap()
                .unwrap()
                .account
                .priority,
            round
        );
    }
}

#[tokio::test]
async fn tokens_are_replaced_by_who_saw_the_newest() {
    let bench = bench();
    bench.with_oauth("a").await;
    let stored = bench
        .accounts
        .replace_tokens("a", 1, tokens("new-access", Some("new-refresh")))
        .await
        .unwrap();
    assert_eq!(stored, TokenUpdate::Stored { version: 2 });
    let late = bench
        .accounts
        .replace_tokens("a", 1, tokens("late", None))
        .await
        .unwrap();
    assert_eq!(late, TokenUpdate::Newer { version: 2 });
    let live = bench.accounts.live("a", 0, 0).await.unwrap().unwrap();
    assert_eq!(live.account.credential_version, 2);
    // No new refresh token: the one we have stays.
    bench
        .accounts
        .replace_tokens("a", 2, tokens("newest", None))
        .await
        .unwrap();
    let live = bench.accounts.live("a", 0, 0).await.unwrap().unwrap();
    let expected = Credentials::OAuth {
        access_token: Secret::new("newest"),
        refresh_token: Some(Secret::new("new-refresh")),
        expires_at: Some(99),
        tenant: None,
    };
    assert_eq!(live.credentials, expected);
    assert_eq!(
        bench
            .accounts
            .replace_tokens("b", 2, tokens("x", None))
            .await
            .unwrap(),
        TokenUpdate::Gone
    );
}

#[tokio::test]
async fn of_many_refreshers_of_one_version_one_stores() {
    let bench = bench();
    bench.with_oauth("a").await;
    let all = (0..50).map(|n| {
        let accounts = bench.accounts.clone();
        async move {
            accounts
                .replace_tokens("a", 1, tokens(&format!("t{n}"), None))
                .await
                .unwrap()
        }
    });
    let done = futures_util::future::join_all(all).await;
    assert_eq!(
        done.iter()
            .filter(|d| matches!(d, TokenUpdate::Stored { version: 2 }))
            .count(),
        1
    );
    assert_eq!(
        done.iter()
            .filter(|d| matches!(d, TokenUpdate::Newer { version: 2 }))
            .count(),
        49
    );
}

#[tokio::test]
async fn a_name_and_a_token_changed_at_once_both_stay() {
    let bench = bench();
    bench.with_oauth("a").await;
    let names = (0..20).map(|n| {
        let accounts = bench.accounts.clone();
        async move {
            accounts
                .update("a", 5, move |a| {
                    a.description.extend([n.to_string().as_str(), ","]);
                })
                .await
                .unwrap()
                .unwrap();
        }
    });
    let (_, replaced) = tokio::join!(
        futures_util::future::join_all(names),
        bench.accounts.replace_tokens("a", 1, tokens("new", None)),
    );
    assert_eq!(replaced.unwrap(), TokenUpdate::Stored { version: 2 });
    let live = bench.accounts.live("a", 0, 0).await.unwrap().unwrap();
    assert_eq!(live.account.description.split(',').count(), 21);
    assert_eq!(live.account.credential_version, 2);
    assert!(
        matches!(&live.credentials, Credentials::OAuth { access_token, .. } if access_token.reveal() == "new")
    );
}

#[tokio::test]
async fn new_credentials_get_a_new_version_and_win_over_a_refresh_of_the_old() {
    let bench = bench();
    bench.with_oauth("a").await;
    let sealed = bench.accounts.seal_credentials("a", &oauth("by-hand", None));
    let account = bench
        .accounts
        .update("a", 5, |a| a.credentials = sealed.clone())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(account.credential_version, 2);
    let account = bench
        .accounts
        .update("a", 6, |a| a.priority = 2)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(account.credential_version, 2);
    let late = bench
        .accounts
        .replace_tokens("a", 1, tokens("of-the-old", None))
        .await
        .unwrap();
    assert_eq!(late, TokenUpdate::Newer { version: 2 });
    // And even if the account is an API key now.
    let key = Credentials::ApiKey {
        api_key: Secret::new("k"),
        base_url: None,
    };
    let sealed = bench.accounts.seal_credentials("a", &key);
    bench
        .accounts
        .update("a", 7, |a| a.credentials = sealed.clone())
        .await
        .unwrap();
    let late = bench
        .accounts
        .replace_tokens("a", 2, tokens("of-the-old", None))
        .await
        .unwrap();
    assert_eq!(late, TokenUpdate::Newer { version: 3 });
}

#[tokio::test]
async fn the_roster_has_one_platform_and_survives_a_broken_record() {
    let bench = bench();
    bench.with_oauth("b").await;
    bench.with_oauth("a").await;
    let mut other = bench.account("c", &oauth("x", None));
    other.platform = Platform::Gemini;
    bench.accounts.create(&other).await.unwrap();
    bench.store.put_field(ACCOUNTS, "broken", "{");
    let roster = bench.accounts.roster(Platform::Claude, 0, None).await.unwrap();
    let ids: Vec<&str> = roster.iter().map(|policy| policy.id.as_str()).collect();
    assert_eq!(ids, ["a", "b"]);
    assert_eq!(roster[0].credential_version, 1);
}

#[tokio::test]
async fn secrets_of_another_key_are_named_not_guessed() {
    let bench = bench();
    bench.with_oauth("a").await;
    let other = Accounts::new(
        bench.store.clone(),
        Arc::new(keyring_of("fedcba9876543210fedcba9876543210")),
        bench.clock.clone(),
        Arc::new(Counting::new()),
    );
    let error = other.live("a", 0, 0).await.unwrap_err().to_string();
    assert!(
        error.contains("accounts[a].accessToken") && error.contains("sealed with the key"),
        "{error}"
    );
    // A sealed value copied from one account to another does not open there.
    let mut stolen: Account = bench.accounts.get("a").await.unwrap().unwrap();
    stolen.id = "thief".to_owned();
    bench.accounts.create(&stolen).await.unwrap();
    assert!(bench.accounts.live("thief", 0, 0).await.is_err());
}

#[tokio::test]
async fn a_key_stays_with_the_host_it_was_given_for() {
    let bench = bench();
    let accounts = &bench.accounts;
    bench.with_key("a", Some("https://one.example/v1")).await;
    for to in [
        None,
        Some("https://two.example/v1"),
        Some("http://one.example/v1"),
        Some("https://one.example:8443/v1"),
    ] {
        assert_eq!(accounts.refused("a", |a| aim(a, to)).await, "apiKey", "{to:?}");
    }
    bench.with_key("b", None).await;
    let wanted = accounts
        .refused("b", |a| aim(a, Some("https://evil.example")))
        .await;
    assert_eq!(wanted, "apiKey");
    // Another path of the same host is no other place, nor is another spelling of it.
    accounts
        .update("a", 5, |a| aim(a, Some("https://ONE.example:443/v2")))
        .await
        .unwrap();
    let live = accounts.live("a", 0, 0).await.unwrap().unwrap();
    assert_eq!(
        live.credentials,
        api_key("sk-s3cret", Some("https://ONE.example:443/v2"))
    );
    // With the secret anything goes.
    let sealed = accounts.seal_credentials("a", &api_key("sk-s3cret", Some("https://two.example")));
    accounts
        .update("a", 6, |a| a.credentials = sealed.clone())
        .await
        .unwrap();
    let live = accounts.live("a", 0, 0).await.unwrap().unwrap();
    assert_eq!(
        live.credentials,
        api_key("sk-s3cret", Some("https://two.example"))
    );
}

#[tokio::test]
async fn an_address_that_was_changed_in_the_store_opens_no_key() {
    let bench = bench();
    bench.with_key("a", Some("https://one.example")).await;
    let mut record = serde_json::to_value(bench.accounts.get("a").await.unwrap()).unwrap();
    for to in ["https://evil.example".into(), serde_json::Value::Null] {
        record["credentials"]["baseUrl"] = to;
        bench.store.put_field(ACCOUNTS, "a", &record.to_string());
        let error = bench.accounts.fresh("a").await.unwrap_err().to_string();
        assert!(error.contains("accounts[a].apiKey"), "{error}");
    }
}

#[tokio::test]
async fn keys_sealed_before_they_were_bound_open_and_are_bound_with_the_next_change() {
    let bench = bench();
    let accounts = &bench.accounts;
    bench.with_key("a", Some("https://one.example")).await;
    let old = accounts.seal("a", "apiKey", &Secret::new("sk-s3cret"));
    let mut record = serde_json::to_value(accounts.get("a").await.unwrap()).unwrap();
    record["credentials"]["apiKey"] = old.clone().into();
    bench.store.put_field(ACCOUNTS, "a", &record.to_string());
    let opened = api_key("sk-s3cret", Some("https://one.example"));
    assert_eq!(accounts.fresh("a").await.unwrap().unwrap().credentials, opened);
    let wanted = accounts
        .refused("a", |a| aim(a, Some("https://evil.example")))
        .await;
    assert_eq!(wanted, "apiKey");
    let changed = accounts
        .update("a", 5, |a| a.priority = 3)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(changed.credential_version, 1, "it is the same key");
    let StoredCredentials::ApiKey { api_key: bound, .. } = &changed.credentials else {
        panic!("no API key");
    };
    assert!(
        old.starts_with("v1:") && bound.starts_with("v2:"),
        "{old} {bound}"
    );
    assert_eq!(accounts.fresh("a").await.unwrap().unwrap().credentials, opened);
}

#[tokio::test]
async fn secrets_stay_with_the_proxy_they_were_given_with() {
    let bench = bench();
    let accounts = &bench.accounts;
    let through = |id: &str, change: fn(&mut Proxy)| {
        let mut other = proxy();
        change(&mut other);
        let (sealed, shown) = accounts.seal_proxy(id, &other).unwrap();
        move |account: &mut Account| {
            account.proxy = Some(sealed.clone());
            account.proxy_shown = Some(shown.clone());
        }
    };
    let directly = |account: &mut Account| (account.proxy, account.proxy_shown) = (None, None);
    bench.with_key("key", None).await;
    bench.with_oauth("oauth").await;
    assert_eq!(accounts.refused("key", through("key", |_| {})).await, "apiKey");
    let moves: [fn(&mut Proxy); 3] = [
        |proxy| proxy.host = "evil.example".to_owned(),
        |proxy| proxy.port = 1,
        |proxy| proxy.scheme = ProxyScheme::Http,
    ];
    for change in moves {
        assert_eq!(
            accounts.refused("oauth", through("oauth", change)).await,
            "accessToken"
        );
    }
    // What is shown of a proxy is not what is believed.
    let lie = accounts
        .seal_proxy("oauth", &Proxy { port: 9, ..proxy() })
        .unwrap()
        .0;
    let wanted = accounts
        .refused("oauth", |account| account.proxy = Some(lie.clone()))
        .await;
    assert_eq!(wanted, "accessToken");
    // Every secret that is kept is wanted, not only the first.
    let fresh = accounts.seal("oauth", "accessToken", &Secret::new("new-access"));
    let move_it = through("oauth", |proxy| proxy.port = 1);
    let wanted = accounts
        .refused("oauth", |account| {
            move_it(account);
            if let StoredCredentials::OAuth { access_token, .. } = &mut account.credentials {
                access_token.clone_from(&fresh);
            }
        })
        .await;
    assert_eq!(wanted, "refreshToken");
    // Another login at the same proxy, and the direct way to a host that proves who it is.
    let login = through("oauth", |proxy| proxy.password = Some("new".to_owned()));
    accounts.update("oauth", 5, login).await.unwrap().unwrap();
    accounts.update("oauth", 6, directly).await.unwrap().unwrap();
    // By plain http the same address is another host on another network.
    let mut plain = bench.account("plain", &api_key("sk-s3cret", Some("http://10.0.0.1")));
    plain.id = "plain".to_owned();
    accounts.create(&plain).await.unwrap();
    assert_eq!(accounts.refused("plain", directly).await, "apiKey");
}
