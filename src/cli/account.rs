//! Accounts at providers.

use crs_edge::config::Vars;
use serde_json::{Value, json};

use super::api::{self, Api};
use super::failure::Failure;
use super::input::Fields;
use super::key::limit;
use super::output::{Output, cell, table};
use super::{AccountAdd, AccountCommand, AccountTest, input};

const PATH: &str = "/admin/accounts";

pub(super) async fn run(
    command: AccountCommand,
    environment: &dyn Vars,
    output: &Output,
) -> Result<(), Failure> {
    match command {
        AccountCommand::Add(args) => add(args, environment, output).await,
        AccountCommand::List => {
            let accounts = api::with(environment, async |api| api.list(PATH, &[]).await).await?;
            output.result(&json!(accounts), || listing(&accounts));
            Ok(())
        }
        AccountCommand::Test(args) => test(args, environment, output).await,
    }
}

async fn add(args: AccountAdd, environment: &dyn Vars, output: &Output) -> Result<(), Failure> {
    let (of_file, credentials) = match &args.oauth_file {
        Some(file) => {
            let input::Login {
                platform,
                credentials,
            } = input::login(&input::read(file)?)?;
            (platform, credentials)
        }
        None => {
            let api_key = input::secret(args.api_key_file.as_deref(), "API key", "--api-key-file")?;
            let credentials = Fields::new()
                .set("type", "apiKey")
                .set("apiKey", api_key.reveal())
                .maybe("baseUrl", args.base_url)
                .json();
            (None, credentials)
        }
    };
    let platform = match (args.platform, of_file) {
        // Both are logins at Google, and look alike.
        (Some(asked), Some("gemini")) if asked == "antigravity" => asked,
        (Some(asked), Some(of_file)) if asked != of_file => {
            return Err(Failure::Usage(format!(
                "these are tokens for {of_file}, not for {asked}: leave --platform out"
            )));
        }
        (asked, of_file) => asked.unwrap_or_else(|| of_file.unwrap_or("claude").to_owned()),
    };
    let proxy = args
        .proxy_file
        .as_deref()
        .map(|file| input::proxy(&input::read(file)?));
    let mapping = (!args.map_model.is_empty()).then(|| input::mapping(&args.map_model));
    let body = Fields::new()
        .set("name", args.name)
        .set("platform", platform)
        .set("description", args.description)
        .set("credentials", credentials)
        .maybe("priority", args.priority)
        .maybe("maxConcurrency", args.max_concurrency)
        .maybe("proxy", proxy.transpose()?)
        .maybe("modelMapping", mapping.transpose()?)
        .json();
    let account = api::with(environment, async |api| api.post(PATH, &body).await).await?;
    output.result(&account, || {
        format!(
            "The account {} is added, with the id {}.",
            cell(&account, "name"),
            cell(&account, "id")
        )
    });
    if args.oauth_file.is_some() {
        output.note(
            "The relay refreshes these tokens from now on; the program they came from may have to log in again.",
        );
    }
    output.note(&format!("Try it: crs account test {}", cell(&account, "id")));
    Ok(())
}

fn listing(accounts: &[Value]) -> String {
    if accounts.is_empty() {
        return "There are no accounts. Add one: crs account add --name NAME --api-key-file FILE".to_owned();
    }
    let rows = accounts.iter().map(|account| {
        vec![
            cell(account, "id"),
            cell(account, "name"),
            cell(account, "platform"),
            account
                .get("credentials")
                .map(|credentials| cell(credentials, "type"))
                .unwrap_or_default(),
            cell(account, "status"),
            cell(account, "statusUntil"),
            cell(account, "priority"),
            limit(account, "currentConcurrency", "maxConcurrency"),
            cell(account, "lastUsedAt"),
        ]
    });
    table(
        &[
            "ID",
            "NAME",
            "PLATFORM",
            "TYPE",
            "STATUS",
            "UNTIL",
            "PRIORITY",
            "RUNNING",
            "LAST USED",
        ],
        rows,
    )
}

/// One real call. The server tells how it goes in events: `content` with the model's words, and last
/// `test_complete` with what came of it.
async fn test(args: AccountTest, environment: &dyn Vars, output: &Output) -> Result<(), Failure> {
    let body = Fields::new().maybe("model", args.model).json();
    let mut words = String::new();
    let mut result = None;
    let which = &args.named.which;
    let asked = api::with(environment, async |api: &Api| {
        let account = api.named(PATH, "account", which).await?;
        let path = format!("{PATH}/{}/test", cell(&account, "id"));
        api.stream(&path, &body, |event| match cell(&event, "type").as_str() {
            "content" => words.push_str(&cell(&event, "text")),
            "test_complete" => result = Some(event),
            _ => {}
        })
        .await
    });
    output.waiting(&format!("Testing {which}"), asked).await?;
    let result = result.ok_or_else(|| Failure::Failed("the test broke off without a result".to_owned()))?;
    let milliseconds = cell(&result, "durationMs");
    if result.get("success").and_then(Value::as_bool) != Some(true) {
        return Err(Failure::Failed(format!(
            "the test of {which} failed after {milliseconds} ms: {}",
            cell(&result, "error")
        )));
    }
    let value = Fields::new()
        .set("success", true)
        .set("text", words.clone())
        .set(
            "durationMs",
            result.get("durationMs").cloned().unwrap_or_default(),
        )
        .json();
    output.result(&value, || {
        format!(
            "{which} works: an answer came after {milliseconds} ms. It begins: {}",
            words.trim()
        )
    });
    Ok(())
}
