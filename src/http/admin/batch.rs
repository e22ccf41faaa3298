//! Shared by the batch endpoints of keys and accounts: selection of records, and a result for each.
//!
//! A batch is not a transaction: each record changes in its own atomic step, and a failure does not affect the
//! others. Input that is invalid for every record is refused as a whole, before anything changes.

use std::future::Future;

use futures_util::StreamExt as _;
use futures_util::stream;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::super::api_error::ApiError;
use super::fields::Line;

/// Maximum number of records per batch.
pub(super) const MOST: usize = 100;

/// Number of records changed concurrently. The audit log needs an order only within a record.
const AT_ONCE: usize = 4;

/// The ids of a batch: 1 to [`MOST`], without duplicates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct BatchIds(pub(super) Vec<String>);

impl<'de> Deserialize<'de> for BatchIds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let sent = Vec::<Line<1, 100>>::deserialize(deserializer)?;
        if sent.is_empty() || sent.len() > MOST {
            return Err(D::Error::custom(format!("must have 1 to {MOST} entries")));
        }
        let mut ids = Vec::with_capacity(sent.len());
        for Line(id) in sent {
            if ids.contains(&id) {
                return Err(D::Error::custom("has an id twice"));
            }
            ids.push(id);
        }
        Ok(Self(ids))
    }
}

/// The result of a batch.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct BatchResult {
    /// Nothing was changed: the results show what would change.
    dry_run: bool,
    succeeded: usize,
    failed: usize,
    /// In the order of `ids`.
    results: Vec<BatchItem>,
}

/// The result for one record.
#[derive(Debug, Serialize, ToSchema)]
struct BatchItem {
    id: String,
    /// `null`: the record does not exist.
    name: Option<String>,
    ok: bool,
    /// The changed fields with their values as the record shows them. Empty if nothing changed, or for an action
    /// that changes no field.
    changes: Vec<BatchChange>,
    /// Why it failed; `null`: it did not.
    error: Option<BatchError>,
}

/// A field with its values before and after the change.
#[derive(Debug, PartialEq, Serialize, ToSchema)]
pub(super) struct BatchChange {
    pub(super) field: String,
    from: Value,
    to: Value,
}

/// Why a record was not changed.
#[derive(Debug, Serialize, ToSchema)]
struct BatchError {
    /// A stable code, for scripts.
    error: &'static str,
    message: String,
    /// The invalid field of `change`.
    field: Option<String>,
}

/// The result for one record: its name if it exists, and its changes or an error.
pub(super) struct RecordResult {
    pub(super) name: Option<String>,
    pub(super) outcome: Result<Vec<BatchChange>, ApiError>,
}

impl RecordResult {
    pub(super) fn failed(name: Option<String>, error: impl Into<ApiError>) -> Self {
        Self {
            name,
            outcome: Err(error.into()),
        }
    }

    pub(super) fn done(name: impl Into<String>, changes: Vec<BatchChange>) -> Self {
        Self {
            name: Some(name.into()),
            outcome: Ok(changes),
        }
    }
}

impl BatchItem {
    fn new(id: String, fared: RecordResult) -> Self {
        let (changes, error) = match fared.outcome {
            Ok(changes) => (changes, None),
            Err(error) => {
                if let Some(detail) = &error.detail {
                    tracing::error!(%id, code = error.code, detail, "a record of a batch failed");
                }
                let error = BatchError {
                    error: error.code,
                    message: error.message,
                    field: error.field,
                };
                (Vec::new(), Some(error))
            }
        };
        Self {
            id,
            name: fared.name,
            ok: error.is_none(),
            changes,
            error,
        }
    }
}

impl BatchResult {
    /// Applies `each` to every record, a few at a time.
    pub(super) async fn of<F>(ids: BatchIds, dry_run: bool, each: impl Fn(String) -> F) -> Self
    where
        F: Future<Output = RecordResult>,
    {
        let each = &each;
        let results: Vec<BatchItem> = stream::iter(ids.0)
            .map(|id| async move { BatchItem::new(id.clone(), each(id).await) })
            .buffered(AT_ONCE)
            .collect()
            .await;
        let succeeded = results.iter().filter(|result| result.ok).count();
        Self {
            dry_run,
            succeeded,
            failed: results.len().saturating_sub(succeeded),
            results,
        }
    }
}

/// The fields in which two records differ, as shown. A missing field is `null`.
pub(super) fn changes<T: Serialize>(before: &T, after: &T) -> Vec<BatchChange> {
    let fields = |record: &T| match serde_json::to_value(record) {
        Ok(Value::Object(fields)) => fields,
        _ => Map::new(),
    };
    let (mut before, after) = (fields(before), fields(after));
    let mut changes = Vec::new();
    for (field, to) in after {
        let from = before.remove(&field).unwrap_or_default();
        if from != to {
            changes.push(BatchChange { field, from, to });
        }
    }
    for (field, from) in before {
        if !from.is_null() {
            let to = Value::Null;
            changes.push(BatchChange { field, from, to });
        }
    }
    changes
}

/// Prefixes the error's field with `change`, whose checks know only its own fields.
pub(super) fn in_change(error: ApiError) -> ApiError {
    within("change", error)
}

/// Prefixes the error's field with `parent`, whose checks know only its own fields.
pub(super) fn within(parent: &str, mut error: ApiError) -> ApiError {
    if let Some(field) = &error.field {
        error.message = error
            .message
            .replacen(&format!("`{field}`"), &format!("`{parent}.{field}`"), 1);
        error.field = Some(format!("{parent}.{field}"));
    }
    error
}

/// Refuses a request with both or neither of a change and an action.
pub(super) fn exactly_one(changes: bool, acts: bool) -> Result<(), ApiError> {
    match (changes, acts) {
        (true, false) | (false, true) => Ok(()),
        (false, false) => {
            let mut error = ApiError::missing("change");
            "send `change` or `action`".clone_into(&mut error.message);
            Err(error)
        }
        (true, true) => Err(ApiError::invalid(
            "action",
            "`action` and `change` cannot be sent together: send two requests",
        )),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn differing_fields_are_told_with_both_values() {
        let before = json!({"a": 1, "b": "x", "gone": true, "empty": null});
        let after = json!({"a": 2, "b": "x", "new": [1]});
        let listed = changes(&before, &after);
        let listed: Vec<_> = listed
            .iter()
            .map(|c| (c.field.as_str(), &c.from, &c.to))
            .collect();
        assert_eq!(
            listed,
            [
                ("a", &json!(1), &json!(2)),
                ("new", &Value::Null, &json!([1])),
                ("gone", &json!(true), &Value::Null),
            ]
        );
    }

    #[test]
    fn ids_are_one_to_a_hundred_and_each_once() {
        let read = |value: Value| serde_json::from_value::<BatchIds>(value);
        assert_eq!(read(json!(["a", "b"])).unwrap().0, ["a", "b"]);
        let many: Vec<String> = (0..=MOST).map(|n| n.to_string()).collect();
        for wrong in [json!([]), json!(["a", "a"]), json!([""]), json!(many), json!("a")] {
            assert!(read(wrong.clone()).is_err(), "{wrong}");
        }
        assert!(read(json!(many[..MOST])).is_ok());
    }

    #[test]
    fn an_error_of_a_field_names_it_within_the_change() {
        let error = in_change(ApiError::invalid("priority", "`priority` must be a whole number"));
        assert_eq!(error.field.as_deref(), Some("change.priority"));
        assert_eq!(error.message, "`change.priority` must be a whole number");
    }

    #[tokio::test]
    async fn results_keep_the_order_of_the_ids_and_count() {
        let ids = BatchIds(["a", "b", "c"].map(str::to_owned).to_vec());
        let result = BatchResult::of(ids, true, |id| async move {
            if id == "a" {
                tokio::task::yield_now().await;
            }
            if id == "b" {
                RecordResult::failed(None, ApiError::not_found("key"))
            } else {
                RecordResult::done(id, Vec::new())
            }
        })
        .await;
        let result = serde_json::to_value(result).unwrap();
        assert_eq!(
            result,
            json!({"dryRun": true, "succeeded": 2, "failed": 1, "results": [
                {"id": "a", "name": "a", "ok": true, "changes": [], "error": null},
                {"id": "b", "name": null, "ok": false, "changes": [],
                    "error": {"error": "not_found", "message": "There is no such key.", "field": null}},
                {"id": "c", "name": "c", "ok": true, "changes": [], "error": null},
            ]})
        );
    }
}
