//! How old the prices are, and what is charged without one.

use crs_edge::config::Vars;
use crs_edge::model::time::parse_iso;
use serde_json::{Value, json};

use super::api;
use super::failure::Failure;
use super::input;
use super::output::{Output, cell, record, table};

const DAY_MS: u64 = 86_400_000;

pub(super) async fn show(environment: &dyn Vars, output: &Output) -> Result<(), Failure> {
    let models = api::with(environment, async |api| api.get("/admin/models").await).await?;
    let told = told(&models, input::now());
    output.result(&told, || shown(&told));
    Ok(())
}

/// `models`: the answer of `/admin/models`.
fn told(models: &Value, now: u64) -> Value {
    let version = cell(models, "tableVersion");
    // `2026-11-28.c570f68c`: the day the table was made, and a hash of it.
    let made_on = version.split('.').next().unwrap_or_default();
    let age = parse_iso(made_on).map(|made| now.saturating_sub(made) / DAY_MS);
    let items = models.get("items").and_then(Value::as_array);
    let is_guessed = |model: &&Value| {
        let source = model.get("source").and_then(Value::as_str);
        let calls = model.get("calls").and_then(Value::as_u64);
        source == Some("dearestOfFamily") && calls.is_some_and(|calls| calls > 0)
    };
    let guessed: Vec<Value> = items
        .into_iter()
        .flatten()
        .filter(is_guessed)
        .map(|model| json!({ "model": model.get("model"), "calls": model.get("calls"), "cost": model.get("cost") }))
        .collect();
    json!({ "tableVersion": version, "madeOn": made_on, "ageDays": age, "guessed": guessed })
}

fn shown(told: &Value) -> String {
    let mut text = record(&[
        ("table", cell(told, "tableVersion")),
        ("age in days", cell(told, "ageDays")),
    ]);
    let guessed = told.get("guessed").and_then(Value::as_array);
    let rows: Vec<_> = guessed
        .into_iter()
        .flatten()
        .map(|model| ["model", "calls", "cost"].map(|field| cell(model, field)).into())
        .collect();
    if rows.is_empty() {
        text.push_str("\n\nEvery model called in the last 30 days has a price.");
    } else {
        text.push_str(
            "\n\nCalled in the last 30 days at the highest price of their family, for want of one:\n\n",
        );
        text.push_str(&table(&["MODEL", "CALLS", "USD"], rows));
        text.push_str(
            "\n\nA newer release may know them. Until then set prices in the console or at /admin/prices.",
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_age_and_the_guesses_are_told() {
        let model = |name: &str, source: &str, calls: u64| json!({ "model": name, "source": source, "calls": calls, "cost": 0.5 });
        let models = json!({
            "tableVersion": "2026-01-30.abc",
            "items": [
                model("new-1", "dearestOfFamily", 3),
                model("old-1", "dearestOfFamily", 0),
                model("gpt-5", "table", 9),
            ],
        });
        let now = parse_iso("2026-02-02T12:00:00Z").unwrap();
        let told = told(&models, now);
        assert_eq!(told["ageDays"], 3);
        let text = shown(&told);
        assert!(
            text.contains("2026-01-30.abc") && text.contains("new-1"),
            "{text}"
        );
        assert!(!text.contains("old-1") && !text.contains("gpt-5"), "{text}");
        let none = self::told(&json!({ "tableVersion": "2026-01-30.abc", "items": [] }), now);
        assert!(shown(&none).contains("Every model"));
    }
}
