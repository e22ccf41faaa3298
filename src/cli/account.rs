//! Accounts at providers.

use crs_edge::config::Vars;
use crs_edge::model::secret::Secret;
use serde_json::{Value, json};

use super::access_keys;
use super::api::{self, Api};
use super::failure::Failure;
use super::input::Fields;
use super::key::limit;
use super::output::{Output, ask, cell, table};
use super::{AccountAdd, AccountCommand, AccountLogin, AccountOptions, AccountTest, input};

const PATH: &str = "/admin/accounts";
const START: &str = "/admin/accounts/oauth/start";
const FINISH: &str = "/admin/accounts/oauth/finish";

pub(super) async fn run(
    command: AccountCommand,
    environment: &dyn Vars,
    output: &Output,
) -> Result<(), Failure> {
    match command {
        AccountCommand::Add(args) => add(*args, environment, output).await,
        AccountCommand::Login(args) => login(args, environment, output).await,
        AccountCommand::List => {
            let accounts = api::with(environment, async |api| api.list(PATH, &[]).await).await?;
            output.result(&json!(accounts), || listing(&accounts));
            Ok(())
        }
        AccountCommand::Test(args) => test(args, environment, output).await,
    }
}

async fn add(args: AccountAdd, environment: &dyn Vars, output: &Output) -> Result<(), Failure> {
    let fields = match (
        &args.oauth_file,
        &args.access_keys_file,
        &args.service_account_file,
        args.client_id.is_some(),
    ) {
        // The server recognises the file and its platform.
        (Some(file), ..) => Fields::new()
            .set("credentialsFile", input::read(file)?)
            .maybe("platform", args.platform),
        (None, Some(file), ..) => {
            let keys = access_keys::read(&input::read(file)?)?;
            let credentials = Fields::new()
                .set("type", "accessKeys")
                .set("accessKeyId", keys.id)
                .set("secretAccessKey", keys.secret.reveal())
                .maybe("sessionToken", keys.token.as_ref().map(Secret::reveal))
                .maybe("region", args.region)
                .maybe("baseUrl", args.base_url)
                .json();
            Fields::new()
                .set("credentials", credentials)
                .set("platform", args.platform.unwrap_or_else(|| "claude".to_owned()))
                .maybe("userAgent", args.user_agent)
        }
        (None, None, Some(file), _) => {
            let credentials = Fields::new()
                .set("type", "serviceAccount")
                .set("serviceAccount", input::read(file)?)
                .maybe("project", args.project)
                .maybe("region", args.region)
                .maybe("baseUrl", args.base_url)
                .json();
            Fields::new()
                .set("credentials", credentials)
                .set("platform", args.platform.unwrap_or_else(|| "claude".to_owned()))
                .maybe("userAgent", args.user_agent)
        }
        (None, None, None, true) => {
            let file = args.client_secret_file.as_deref();
            let secret = input::secret(file, "client secret", "--client-secret-file")?;
            let credentials = Fields::new()
                .set("type", "entraApp")
                .maybe("tenantId", args.tenant_id)
                .maybe("clientId", args.client_id)
                .set("clientSecret", secret.reveal())
                .maybe("baseUrl", args.base_url)
                .json();
            Fields::new()
                .set("credentials", credentials)
                .set("platform", args.platform.unwrap_or_else(|| "openai".to_owned()))
                .maybe("chatOnly", args.chat_only)
                .maybe("apiVersion", args.api_version)
                .maybe("userAgent", args.user_agent)
        }
        (None, None, None, false) => {
            let api_key = input::secret(args.api_key_file.as_deref(), "API key", "--api-key-file")?;
            let credentials = Fields::new()
                .set("type", "apiKey")
                .set("apiKey", api_key.reveal())
                .maybe("baseUrl", args.base_url)
                .json();
            Fields::new()
                .set("credentials", credentials)
                .set("platform", args.platform.unwrap_or_else(|| "claude".to_owned()))
                .maybe("keyHeader", args.key_header)
                .maybe("chatOnly", args.chat_only)
                .maybe("apiVersion", args.api_version)
                .maybe("userAgent", args.user_agent)
        }
    };
    let body = chosen(fields.set("name", args.name), args.options)?;
    let account = api::with(environment, async |api| api.post(PATH, &body).await).await?;
    added(&account, output);
    if args.oauth_file.is_some() {
        output.note(
            "The relay refreshes these tokens from now on; the program they came from may have to log in again.",
        );
    }
    try_it(&account, output);
    Ok(())
}

/// Both steps of a sign-in. The store is closed in between, so it does not wait for a person.
async fn login(args: AccountLogin, environment: &dyn Vars, output: &Output) -> Result<(), Failure> {
    let fields = Fields::new()
        .set("platform", args.platform)
        .set("grant", if args.setup_token { "setupToken" } else { "oauth" })
        .maybe("name", args.name);
    let body = chosen(fields, args.options)?;
    let begun = api::with(environment, async |api| api.post(START, &body).await).await?;
    ask(&format!(
        "Open this page in a browser, and allow it there:\n\n{}\n\n\
         Then paste the code that the page shows, or the address that the browser is led to (even if that does \
         not load), and press Enter. You have until {}.",
        cell(&begun, "authUrl"),
        cell(&begun, "expiresAt")
    ));
    let body = Fields::new()
        .set("sessionId", cell(&begun, "sessionId"))
        .set("codeOrCallbackUrl", input::line()?)
        .json();
    let account = api::with(environment, async |api| api.post(FINISH, &body).await).await?;
    added(&account, output);
    try_it(&account, output);
    Ok(())
}

/// Adds the other options of the account.
fn chosen(fields: Fields, options: AccountOptions) -> Result<Value, Failure> {
    let proxy = options
        .proxy_file
        .as_deref()
        .map(|file| input::proxy(&input::read(file)?));
    let mapping = (!options.map_model.is_empty()).then(|| input::mapping(&options.map_model));
    Ok(fields
        .set("description", options.description)
        .maybe("priority", options.priority)
        .maybe("maxConcurrency", options.max_concurrency)
        .maybe("proxy", proxy.transpose()?)
        .maybe("modelMapping", mapping.transpose()?)
        .json())
}

fn added(account: &Value, output: &Output) {
    output.result(account, || {
        format!(
            "The account {} is added, with the id {}.",
            cell(account, "name"),
            cell(account, "id")
        )
    });
}

fn try_it(account: &Value, output: &Output) {
    output.note(&format!("Try it: crs account test {}", cell(account, "id")));
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

/// Makes one real call. The server reports it in events: `content` with the model's text, and finally
/// `test_complete` with the result.
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
