//! Checks of the ledger.

use crs_edge::config::Vars;
use serde_json::{Value, json};

use super::LedgerVerify;
use super::api::{self, Api};
use super::failure::Failure;
use super::output::{Output, cell, table};

/// Compares sums with calls, one day per request, so that none exceeds its time limit.
pub(super) async fn verify(
    args: LedgerVerify,
    environment: &dyn Vars,
    output: &Output,
) -> Result<(), Failure> {
    let days = api::with(environment, async |api| {
        output.waiting("comparing", days(api, args.days)).await
    })
    .await?;
    let count = |field: &str| {
        days.iter()
            .filter_map(|day| day.get(field)?.as_u64())
            .sum::<u64>()
    };
    let different = count("different");
    let value = json!({ "agree": different == 0, "different": different, "days": days });
    output.result(&value, || shown(&days));
    if different == 0 {
        return Ok(());
    }
    // The result is printed; this sets the exit code and explains it.
    Err(Failure::Negative(format!(
        "{different} sums are not the sums of their calls"
    )))
}

async fn days(api: &Api, most: u32) -> Result<Vec<Value>, Failure> {
    let mut days = Vec::new();
    for ago in 0..most {
        let day = api
            .post("/admin/usage/verify", &json!({ "daysAgo": ago }))
            .await?;
        let kept = day.get("daysKept").and_then(Value::as_u64).unwrap_or(0);
        days.push(day);
        if u64::from(ago) >= kept {
            break;
        }
    }
    Ok(days)
}

fn shown(days: &[Value]) -> String {
    let rows = days.iter().map(|day| {
        ["day", "events", "different"]
            .map(|field| cell(day, field))
            .into()
    });
    let mut text = table(&["DAY", "CALLS", "DIFFERENCES"], rows);
    let differences: Vec<Vec<String>> = days.iter().flat_map(differences).collect();
    if !differences.is_empty() {
        text.push_str("\n\n");
        text.push_str(&table(&["DAY", "SUM", "STORED", "BY ITS CALLS"], differences));
    }
    text
}

fn differences(day: &Value) -> Vec<Vec<String>> {
    let found = day.get("differences").and_then(Value::as_array);
    let row = |difference: &Value| {
        let mut row = vec![cell(day, "day")];
        row.extend(["field", "stored", "events"].map(|field| cell(difference, field)));
        row
    };
    found.into_iter().flatten().map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_are_listed_below_the_days() {
        let day = |name: &str, differences: Value| json!({"day": name, "events": 3, "different": 1, "differences": differences});
        let wrong = json!([{"field": "cost:total", "stored": 1, "events": 2}]);
        let text = shown(&[day("2026-01-30", wrong), day("2026-01-29", json!([]))]);
        assert!(text.contains("2026-01-30  cost:total  1       2"), "{text}");
        assert!(text.contains("2026-01-29  3"), "{text}");
        assert!(!shown(&[day("2026-01-29", json!([]))]).contains("STORED"));
    }
}
