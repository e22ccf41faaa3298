//! Applications of Microsoft Entra: their secret is bound to the resource, because their tokens go there.

use super::super::reseal::reseal;
use super::*;
use crate::model::account::live::EntraApp;

const RESOURCE: &str = "https://r.openai.azure.com";

fn app(token: Option<&str>) -> Credentials {
    Credentials::EntraApp(EntraApp {
        tenant_id: "contoso.example".to_owned(),
        client_id: "00001111-aaaa-2222-bbbb-3333cccc4444".to_owned(),
        client_secret: Secret::new("s3cret-of-the-app"),
        base_url: RESOURCE.to_owned(),
        access_token: token.map(Secret::new),
        expires_at: token.map(|_| 99),
    })
}

impl Bench {
    async fn with_app(&self, id: &str) {
        let mut account = self.account(id, &app(None));
        (account.proxy, account.proxy_shown) = (None, None);
        assert!(self.accounts.create(&account).await.unwrap());
    }
}

fn aim(account: &mut Account, to: &str) {
    let StoredCredentials::EntraApp { base_url, .. } = &mut account.credentials else {
        panic!("no application");
    };
    to.clone_into(base_url);
}

#[tokio::test]
async fn its_token_is_stored_by_who_saw_the_newest() {
    let bench = bench();
    bench.with_app("a").await;
    assert_eq!(
        bench.accounts.fresh("a").await.unwrap().unwrap().credentials,
        app(None)
    );
    let replaced = bench
        .accounts
        .replace_tokens("a", 1, tokens("t0ken-1", None))
        .await;
    assert_eq!(replaced.unwrap(), TokenUpdate::Stored { version: 2 });
    let late = bench
        .accounts
        .replace_tokens("a", 1, tokens("t0ken-2", None))
        .await;
    assert_eq!(late.unwrap(), TokenUpdate::Newer { version: 2 });
    let live = bench.accounts.fresh("a").await.unwrap().unwrap();
    assert_eq!(live.credentials, app(Some("t0ken-1")));
    let (dump, shown) = (bench.store.ever_done(), format!("{live:?}"));
    for secret in ["s3cret", "t0ken"] {
        assert!(!dump.contains(secret) && !shown.contains(secret), "{secret}");
    }
}

#[tokio::test]
async fn its_secret_stays_with_the_resource() {
    let bench = bench();
    bench.with_app("a").await;
    let refused = bench.accounts.refused("a", |a| aim(a, "https://evil.example"));
    assert_eq!(refused.await, "clientSecret");
    bench
        .accounts
        .replace_tokens("a", 1, tokens("t0ken-1", None))
        .await
        .unwrap();
    // A token alone is not to be had either.
    let refused = bench.accounts.refused("a", |a| {
        aim(a, "https://evil.example");
        if let StoredCredentials::EntraApp { client_secret, .. } = &mut a.credentials {
            "another".clone_into(client_secret);
        }
    });
    assert_eq!(refused.await, "clientSecret");
    bench
        .accounts
        .update("a", 5, |a| aim(a, "https://R.openai.azure.com/openai/v1"))
        .await
        .unwrap();
    assert!(bench.accounts.fresh("a").await.is_ok());

    let mut record = serde_json::to_value(bench.accounts.get("a").await.unwrap()).unwrap();
    record["credentials"]["baseUrl"] = "https://evil.example".into();
    bench.store.put_field(ACCOUNTS, "a", &record.to_string());
    let error = bench.accounts.fresh("a").await.unwrap_err().to_string();
    assert!(error.contains("accounts[a].clientSecret"), "{error}");
}

#[tokio::test]
async fn its_secrets_are_sealed_again_for_another_key() {
    let bench = bench();
    let mut account = bench.account("a", &app(Some("t0ken-1")));
    let (old, new) = (keyring(), keyring_of("fedcba9876543210fedcba9876543210"));
    assert!(reseal(&mut account, &old, &new, &Counting::new()).unwrap());
    assert!(!reseal(&mut account, &old, &new, &Counting::new()).unwrap());
    let other = Accounts::new(
        bench.store.clone(),
        Arc::new(new),
        bench.clock.clone(),
        Arc::new(Counting::new()),
    );
    assert!(other.create(&account).await.unwrap());
    let live = other.fresh("a").await.unwrap().unwrap();
    assert_eq!(live.credentials, app(Some("t0ken-1")));
}
