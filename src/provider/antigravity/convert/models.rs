//! The answer to `GET /v1/models`.

use serde::Serialize;

/// Anthropic's list of these models, in the order given. Gemini tells no dates, so all are as old as time.
pub fn models<'a>(names: impl IntoIterator<Item = &'a str>) -> Vec<u8> {
    #[derive(Serialize)]
    struct List<'a> {
        data: Vec<Entry<'a>>,
        has_more: bool,
        first_id: Option<&'a str>,
        last_id: Option<&'a str>,
    }
    #[derive(Serialize)]
    struct Entry<'a> {
        r#type: &'static str,
        id: &'a str,
        display_name: &'a str,
        created_at: &'static str,
    }
    let data: Vec<Entry<'a>> = names
        .into_iter()
        .map(|name| name.strip_prefix("models/").unwrap_or(name))
        .map(|id| Entry {
            r#type: "model",
            id,
            display_name: id,
            created_at: "1970-01-01T00:00:00Z",
        })
        .collect();
    let list = List {
        has_more: false,
        first_id: data.first().map(|entry| entry.id),
        last_id: data.last().map(|entry| entry.id),
        data,
    };
    // Strings always serialise.
    serde_json::to_vec(&list).unwrap_or_default()
}
