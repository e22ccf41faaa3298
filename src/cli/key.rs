//! Keys for clients.

use crs_durable::gate::MoneyLimit;
use crs_edge::config::Vars;
use serde_json::{Value, json};

use super::api::{self, Api};
use super::failure::Failure;
use super::input::Fields;
use super::output::{Output, cell, record, table};
use super::{KeyCommand, KeyCreate, KeyReset, input, route};

const PATH: &str = "/admin/api-keys";

pub(super) async fn run(command: KeyCommand, environment: &dyn Vars, output: &Output) -> Result<(), Failure> {
    match command {
        KeyCommand::Create(args) => create(*args, environment, output).await,
        KeyCommand::List(args) => {
            let mut query = vec![("deleted", args.deleted.to_string())];
            query.extend(args.search.map(|text| ("search", text)));
            let keys = api::with(environment, async |api| api.list(PATH, &query).await).await?;
            output.result(&json!(keys), || listing(&keys));
            Ok(())
        }
        KeyCommand::Show(named) => {
            let key = api::with(environment, async |api| {
                api.named(PATH, "key", &named.which).await
            })
            .await?;
            output.result(&key, || shown(&key));
            Ok(())
        }
        KeyCommand::Disable(named) => switch(&named.which, false, environment, output).await,
        KeyCommand::Enable(named) => switch(&named.which, true, environment, output).await,
        KeyCommand::Reset(args) => reset(args, environment, output).await,
    }
}

async fn create(args: KeyCreate, environment: &dyn Vars, output: &Output) -> Result<(), Failure> {
    let expires = args.expires.map(|when| input::moment(&when, input::now()));
    let some = |list: Vec<String>| (!list.is_empty()).then_some(list);
    let routes: Vec<Value> = args
        .route
        .iter()
        .map(|rule| route::read(rule))
        .collect::<Result<_, _>>()?;
    let named = Fields::new()
        .set("name", args.name)
        .set("description", args.description);
    let money = args.money.0.iter();
    let body = money
        .fold(named, |fields, (limit, most)| {
            fields.maybe(limit.row().field, *most)
        })
        .maybe("concurrencyLimit", args.concurrency)
        .maybe("rateLimitWindow", args.window)
        .maybe("rateLimitRequests", args.window_requests)
        .maybe("tokenLimit", args.window_tokens)
        .maybe("rateLimitCost", args.window_cost)
        .maybe("expiresAt", expires.transpose()?)
        .maybe("permissions", some(args.service))
        .maybe(
            "enableModelRestriction",
            (!args.block_model.is_empty()).then_some(true),
        )
        .maybe("restrictedModels", some(args.block_model))
        .maybe("routes", (!routes.is_empty()).then_some(routes))
        .maybe("tags", some(args.tag))
        .json();
    let key = api::with(environment, async |api| api.post(PATH, &body).await).await?;
    output.result(&key, || cell(&key, "key"));
    output.note(&format!(
        "This is the key {}. It is stored as a hash only and cannot be shown again.",
        cell(&key, "name")
    ));
    Ok(())
}

async fn reset(args: KeyReset, environment: &dyn Vars, output: &Output) -> Result<(), Failure> {
    let key = api::with(environment, async |api: &Api| {
        let key = api.named(PATH, "key", &args.key.which).await?;
        let path = format!("{PATH}/{}/reset-limits", cell(&key, "id"));
        api.post(&path, &json!({ "which": args.what })).await
    })
    .await?;
    output.result(&key, || shown(&key));
    Ok(())
}

async fn switch(which: &str, active: bool, environment: &dyn Vars, output: &Output) -> Result<(), Failure> {
    let key = api::with(environment, async |api: &Api| {
        let key = api.named(PATH, "key", which).await?;
        let path = format!("{PATH}/{}", cell(&key, "id"));
        api.patch(&path, &json!({ "isActive": active })).await
    })
    .await?;
    output.result(&key, || {
        format!(
            "The key {} is {}.",
            cell(&key, "name"),
            if active {
                "let in again"
            } else {
                "refused from now on"
            }
        )
    });
    Ok(())
}

fn listing(keys: &[Value]) -> String {
    if keys.is_empty() {
        return "There are no keys here. Make one: crs key create --name NAME".to_owned();
    }
    let rows = keys.iter().map(|key| {
        vec![
            cell(key, "id"),
            cell(key, "name"),
            cell(key, "keyPreview"),
            cell(key, "status"),
            limit(key, "currentConcurrency", "concurrencyLimit"),
            cost(key, MoneyLimit::Day),
            cost(key, MoneyLimit::Total),
            cell(key, "expiresAt"),
            cell(key, "tags"),
        ]
    });
    table(
        &[
            "ID", "NAME", "KEY", "STATUS", "RUNNING", "TODAY", "EVER", "EXPIRES", "TAGS",
        ],
        rows,
    )
}

fn shown(key: &Value) -> String {
    let models = if cell(key, "enableModelRestriction") == "true" {
        cell(key, "restrictedModels")
    } else {
        String::new()
    };
    let services = match cell(key, "permissions") {
        all if all.is_empty() => "all".to_owned(),
        some => some,
    };
    let mut rows = vec![
        ("id", cell(key, "id")),
        ("name", cell(key, "name")),
        ("description", cell(key, "description")),
        ("key", cell(key, "keyPreview")),
        ("status", cell(key, "status")),
        ("running", limit(key, "currentConcurrency", "concurrencyLimit")),
    ];
    rows.extend(MoneyLimit::ALL.map(|limit| (limit.row().so_far, cost(key, limit))));
    rows.extend([
        ("window", window(key)),
        ("services", services),
        ("blocked models", models),
        ("tags", cell(key, "tags")),
        ("expires", cell(key, "expiresAt")),
        ("created", cell(key, "createdAt")),
        ("changed", cell(key, "updatedAt")),
        ("deleted", cell(key, "deletedAt")),
    ]);
    record(&rows)
}

/// `2 of 5`, or `2` without a limit.
pub(super) fn limit(value: &Value, now: &str, most: &str) -> String {
    let now = match cell(value, now) {
        unknown if unknown.is_empty() => "-".to_owned(),
        known => known,
    };
    match cell(value, most).as_str() {
        "" | "0" => now,
        most => format!("{now} of {most}"),
    }
}

/// `$0.25 of $10.00`; a dash for unknown spending.
fn cost(key: &Value, limit: MoneyLimit) -> String {
    let row = limit.row();
    let usd = |value: Option<&Value>| value.and_then(Value::as_f64);
    // The gate counts what a limit needs; the ledger knows the rest.
    let of_ledger = match limit {
        MoneyLimit::Day => key.get("costToday"),
        MoneyLimit::Total => key.get("costTotal"),
        _ => None,
    };
    let of_gate = key
        .get("spend")
        .and_then(|spend| spend.get(row.sum)?.get("spent"));
    let spent = usd(of_gate).or_else(|| usd(of_ledger));
    let most = usd(key.get(row.field)).filter(|most| *most > 0.0);
    let spent = spent.map_or_else(|| "-".to_owned(), |spent| format!("${spent:.2}"));
    match most {
        Some(most) => format!("{spent} of ${most:.2}"),
        None => spent,
    }
}

/// `60 minutes: 5 requests, 1000 tokens, $2.50`, with the limits that are set; empty without a window.
fn window(key: &Value) -> String {
    let minutes = cell(key, "rateLimitWindow");
    let limited = |field: &str| key.get(field).and_then(Value::as_f64).filter(|most| *most > 0.0);
    let limits = [
        limited("rateLimitRequests").map(|most| format!("{most} requests")),
        limited("tokenLimit").map(|most| format!("{most} tokens")),
        limited("rateLimitCost").map(|most| format!("${most:.2}")),
    ];
    let limits: Vec<String> = limits.into_iter().flatten().collect();
    if limits.is_empty() {
        String::new()
    } else {
        format!("{minutes} minutes: {}", limits.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_shown_as_people_say_them() {
        let key = json!({"now": 2, "most": 5, "none": 0, "lost": null});
        assert_eq!(limit(&key, "now", "most"), "2 of 5");
        assert_eq!(limit(&key, "now", "none"), "2");
        assert_eq!(limit(&key, "lost", "most"), "- of 5");
    }
    #[test]
    fn costs_are_shown_as_people_say_them() {
        let key = json!({"spend": {"day": {"spent": 0.25}, "month": {"spent": 4}}, "dailyCostLimit": 10.0,
            "monthlyCostLimit": 0.0});
        assert_eq!(cost(&key, MoneyLimit::Day), "$0.25 of $10.00");
        assert_eq!(cost(&key, MoneyLimit::Month), "$4.00");
        let unlimited = json!({"spend": {}, "costToday": 0.5, "costTotal": 2.25});
        assert_eq!(cost(&unlimited, MoneyLimit::Day), "$0.50");
        assert_eq!(cost(&unlimited, MoneyLimit::Total), "$2.25");
        let unknown = json!({"spend": null, "monthlyCostLimit": 10.0});
        assert_eq!(cost(&unknown, MoneyLimit::Month), "- of $10.00");
        let key =
            json!({"rateLimitWindow": 60, "rateLimitRequests": 5, "tokenLimit": 0, "rateLimitCost": 2.5});
        assert_eq!(window(&key), "60 minutes: 5 requests, $2.50");
        assert_eq!(window(&json!({"rateLimitWindow": 0})), "");
    }
}
