use std::io::Write as _;

use serde_json::json;

use super::*;
use crate::model::money::MicroUsd;

async fn read(value: &Value) -> Result<(Survey, Vec<RawKey>), SourceError> {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(value.to_string().as_bytes()).unwrap();
    let mut source = ExportFile::new(file.path());
    let survey = source.survey().await?;
    let mut keys = Vec::new();
    loop {
        let some = source.keys().await?;
        if some.is_empty() {
            return Ok((survey, keys));
        }
        keys.extend(some);
    }
}

#[tokio::test]
async fn the_scripts_exports_hold_keys_with_their_usage() {
    let keys: Vec<Value> = (0..120)
        .map(|number| {
            json!({
                "id": format!("k{number}"), "name": "名", "apiKey": "ab".repeat(32), "isActive": "true", "tags": ["x"],
                "usageStats": {
                    "total": { "totalRequests": "3", "totalInputTokens": "10" },
                    "daily": { "2026-01-31": { "requests": "2", "inputTokens": "7" }, "nonsense": {} },
                    "hourly": { "2026-01-31:09": { "requests": "1" } },
                    "models": { "a:b": { "monthly": { "2026-01": { "requests": "2" } } } },
                    "costTotal": "1.5", "costDaily": { "2026-01-31": "0.25" },
                },
            })
        })
        .collect();
    let value = json!({
        "metadata": { "version": "2.0", "decrypted": true },
        "data": {
            "apiKeys": keys,
            "claudeAccounts": [{ "id": "a", "accessToken": "at", "claudeAiOauth": { "accessToken": "at" } }],
            "geminiAccounts": [],
        },
    });
    let (survey, keys) = read(&value).await.unwrap();
    assert_eq!(
        (survey.keys, keys.len(), survey.edition),
        (120, 120, Edition::Upstream)
    );
    assert_eq!(
        survey.accounts[0].fields.text("claudeAiOauth"),
        Some(r#"{"accessToken":"at"}"#)
    );
    let usage = &keys[0].usage;
    assert_eq!(usage.len(), 6);
    let all: Vec<_> = usage.iter().filter(|row| row.bucket == Bucket::All).collect();
    assert_eq!(all[0].counts.unwrap().requests, 3);
    assert_eq!(all[1].cost, Some(MicroUsd(1_500_000)));
    assert_eq!(keys[0].fields.list("tags"), ["x"]);
}

#[tokio::test]
async fn the_export_for_other_programs_holds_accounts() {
    let value = json!({ "success": true, "data": {
        "claudeConsoleAccounts": [{
            "id": "c", "name": "n", "isActive": true, "schedulable": true, "priority": 5,
            "proxy": { "protocol": "http", "host": "p", "port": 8080 },
            "credentials": { "api_key": "sk-ant-x", "base_url": "https://x.example", "model_mapping": { "a": "b" } },
        }],
        "openaiOAuthAccounts": [{ "id": "o", "isActive": true, "credentials": { "access_token": "t", "chatgpt_account_id": "g" } }],
    } });
    let (survey, keys) = read(&value).await.unwrap();
    assert!(keys.is_empty());
    let console = &survey.accounts[0].fields;
    assert_eq!(
        (console.text("apiKey"), console.text("apiUrl")),
        (Some("sk-ant-x"), Some("https://x.example"))
    );
    assert_eq!(console.text("supportedModels"), Some(r#"{"a":"b"}"#));
    assert!(crate::import::account::proxy(console.text("proxy").unwrap()).is_some());
    assert_eq!(survey.accounts[1].fields.text("accountId"), Some("g"));
}

#[tokio::test]
async fn what_cannot_be_imported_is_refused_with_what_to_do() {
    let sanitised = json!({ "data": { "apiKeys": [{ "id": "k", "apiKey": "cr_1234567...[REDACTED]" }] } });
    let error = read(&sanitised).await.unwrap_err().to_string();
    assert!(
        error.contains("--sanitize") && error.contains("Nothing was written"),
        "{error}"
    );
    let error = read(&json!({ "other": 1 })).await.unwrap_err().to_string();
    assert!(error.contains("not a JSON export"), "{error}");
}
