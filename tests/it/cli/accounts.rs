//! `crs account`: what can be added, and tried.

use crs_support::provider::google::{SERVICE_ACCOUNT_PEM, key_file};
use crs_support::provider::{FakeProvider, Script};

use super::super::support::setup;
use super::{crs, crs_with};

#[tokio::test]
async fn claude_codes_own_login_becomes_an_account() {
    let provider = FakeProvider::start().await;
    let mut relay = setup().provider(&provider).prepare();
    let file = relay.data().join("credentials.json");
    let text = r#"{"claudeAiOauth":{"accessToken":"s3cret-token-a","refreshToken":"s3cret-token-r","expiresAt":4102444800000}}"#;
    std::fs::write(&file, text).unwrap();
    let path = file.to_str().unwrap();
    let args = [
        "account",
        "add",
        "--name",
        "mine",
        "--oauth-file",
        path,
        "--priority",
        "10",
        "--json",
    ];
    let account = crs(&mut relay, &args).await.json();
    assert_eq!(
        (&account["name"], &account["priority"]),
        (&"mine".into(), &10.into())
    );
    let listed = crs(&mut relay, &["account", "list"]).await.done();
    assert!(listed.contains("mine") && listed.contains("oauth"), "{listed}");

    provider.answer(Script::message("hello"));
    crs(&mut relay, &["account", "test", "mine"]).await.done();
    let request = provider.wait_for(1).await.remove(0);
    assert_eq!(request.header("authorization"), Some("Bearer s3cret-token-a"));
}

#[tokio::test]
async fn a_test_call_tells_what_the_provider_said() {
    let provider = FakeProvider::start().await;
    let mut relay = setup().provider(&provider).start().await;
    relay.claude_account("main", "sk-ant-main").await;

    provider.answer(Script::message("hello"));
    let said = crs(&mut relay, &["account", "test", "main"]).await.done();
    assert!(said.contains("hello"), "{said}");

    provider.answer(Script::error(401));
    let said = crs(&mut relay, &["account", "test", "main"]).await.failed(1);
    assert!(said.contains("401"), "{said}");
}

#[tokio::test]
async fn a_google_service_account_is_added_by_its_key_file() {
    const EMAIL: &str = "relay@my-project.iam.gserviceaccount.com";
    let provider = FakeProvider::start().await;
    provider.takes_service_account(EMAIL, SERVICE_ACCOUNT_PEM);
    let mut relay = setup().provider(&provider).prepare();
    let file = key_file(EMAIL, SERVICE_ACCOUNT_PEM).to_string();
    let base = format!("{}/vertex", provider.url());
    let add = |more: &[&'static str]| {
        let mut args = vec![
            "account",
            "add",
            "--name",
            "vertex",
            "--service-account-file",
            "-",
        ];
        args.extend(more);
        args
    };

    let said = crs_with(&mut relay, &add(&[]), &file).await.failed(2);
    assert!(said.contains("--region"), "{said}");
    let said = crs_with(&mut relay, &add(&["--region", "global"]), "{}").await;
    let said = said.failed(2);
    assert!(said.contains("credentials.serviceAccount"), "{said}");
    let said = crs(
        &mut relay,
        &["account", "add", "--name", "x", "--project", "my-project"],
    )
    .await;
    assert!(said.failed(2).contains("--service-account-file"));

    let mut args: Vec<&str> = add(&["--region", "us-east5", "--project", "billed-project", "--json"]);
    args.extend(["--base-url", &base]);
    let ran = crs_with(&mut relay, &args, &file).await;
    assert!(!ran.out.contains("PRIVATE KEY") && !ran.err.contains("PRIVATE KEY"));
    let account = ran.json();
    assert_eq!(account["platform"], "claude");
    assert_eq!(
        account["credentials"],
        serde_json::json!({
            "type": "serviceAccount", "clientEmail": EMAIL, "project": "billed-project", "region": "us-east5",
            "baseUrl": base,
        })
    );
    let listed = crs(&mut relay, &["account", "list"]).await.done();
    assert!(listed.contains("serviceAccount"), "{listed}");

    provider.answer(Script::message("hello"));
    let said = crs(&mut relay, &["account", "test", "vertex"]).await.done();
    assert!(said.contains("hello"), "{said}");
    let target = provider.last_call().target;
    let place = "/vertex/v1/projects/billed-project/locations/us-east5/publishers/anthropic/models/";
    assert!(target.starts_with(place), "{target}");
}

#[tokio::test]
async fn an_azure_account_is_added_with_its_version() {
    const KEY: &str = "0123456789abcdef0123456789abcdef";
    let provider = FakeProvider::start().await;
    provider.is_azure(KEY, "", &["my-gpt"]);
    let mut relay = setup().provider(&provider).prepare();
    let base = format!("{}/openai", provider.url());
    let mut args = vec!["account", "add", "--name", "azure", "--platform", "openai"];
    args.extend([
        "--api-key-file",
        "-",
        "--api-version",
        "2025-04-01-preview",
        "--json",
    ]);
    let said = crs_with(&mut relay, &args, KEY).await.failed(2);
    assert!(said.contains("--base-url"), "{said}");
    args.extend(["--base-url", &base, "--map-model", "gpt-5=my-gpt"]);
    let account = crs_with(&mut relay, &args, KEY).await.json();
    assert_eq!(account["apiVersion"], "2025-04-01-preview");
    assert_eq!(account["keyHeader"], "api-key");

    crs(&mut relay, &["account", "test", "azure"]).await.done();
    let target = provider.requests().pop().unwrap().target;
    assert_eq!(target, "/openai/responses?api-version=2025-04-01-preview");
}

#[tokio::test]
async fn an_entra_application_is_added_with_its_secret_from_standard_input() {
    const TENANT: &str = "contoso.onmicrosoft.com";
    const CLIENT: &str = "00001111-aaaa-2222-bbbb-3333cccc4444";
    const SECRET: &str = "qWgdYAmab0YSkuL~qKv5bPX";
    let provider = FakeProvider::start().await;
    provider.is_azure("", "", &["my-gpt"]);
    provider.takes_entra_app(TENANT, CLIENT, SECRET);
    let mut relay = setup().provider(&provider).prepare();
    let base = format!("{}/openai", provider.url());
    let mut args = vec!["account", "add", "--name", "azure", "--client-id", CLIENT];
    args.extend(["--client-secret-file", "-", "--json"]);
    let said = crs_with(&mut relay, &args, SECRET).await.failed(2);
    assert!(
        said.contains("--tenant-id") && said.contains("--base-url"),
        "{said}"
    );
    args.extend([
        "--tenant-id",
        TENANT,
        "--base-url",
        &base,
        "--map-model",
        "gpt-5=my-gpt",
    ]);
    let mut odd = args.clone();
    odd.extend(["--key-header", "api-key"]);
    crs_with(&mut relay, &odd, SECRET).await.failed(2);
    let ran = crs_with(&mut relay, &args, SECRET).await;
    assert!(!ran.out.contains(SECRET) && !ran.err.contains(SECRET));
    let account = ran.json();
    assert_eq!(account["platform"], "openai");
    assert_eq!(
        account["credentials"],
        serde_json::json!({ "type": "entraApp", "tenantId": TENANT, "clientId": CLIENT, "baseUrl": base })
    );
    crs(&mut relay, &["account", "test", "azure"]).await.done();
    let asked = provider.requests().pop().unwrap();
    assert_eq!(asked.target, "/openai/v1/responses");
    assert_eq!(provider.entra_tokens(), 1);
}
