//! Results on standard output, as text or JSON; everything else on standard error.

use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

use comfy_table::{ContentArrangement, Table, presets};
use serde_json::{Value, json};

use super::failure::Failure;

pub(super) struct Output {
    json: bool,
}

impl Output {
    pub(super) fn new(json: bool) -> Self {
        Self { json }
    }

    /// Prints a result: `value` for scripts, or the output of `text` for people.
    pub(super) fn result(&self, value: &Value, text: impl FnOnce() -> String) {
        let shown = if self.json { format!("{value:#}") } else { text() };
        print(shown.trim_end());
    }

    pub(super) fn is_json(&self) -> bool {
        self.json
    }

    /// A remark beside the result.
    pub(super) fn note(&self, text: &str) {
        if !self.json {
            let _ = writeln!(std::io::stderr(), "{text}");
        }
    }

    pub(super) fn failure(&self, failure: &Failure) {
        if self.json && matches!(failure, Failure::Negative(_)) {
            return;
        }
        if self.json {
            let value = json!({ "error": failure.text(), "exitCode": failure.code() });
            print(&format!("{value:#}"));
            return;
        }
        let mut err = std::io::stderr().lock();
        for line in failure.text().lines() {
            let _ = writeln!(err, "crs: {line}");
        }
    }

    /// Waits for `work`, showing the elapsed time on a terminal.
    pub(super) async fn waiting<T>(&self, what: &str, work: impl Future<Output = T>) -> T {
        let shown = !self.json && std::io::stderr().is_terminal();
        let mut work = std::pin::pin!(work);
        let mut tick = tokio::time::interval(Duration::from_secs(1));
        let mut seconds = 0_u64;
        loop {
            tokio::select! {
                done = &mut work => {
                    if shown {
                        let _ = write!(std::io::stderr(), "\r\x1b[K");
                    }
                    return done;
                }
                _ = tick.tick(), if shown => {
                    let _ = write!(std::io::stderr(), "\r\x1b[K{what} … {seconds} s");
                    let _ = std::io::stderr().flush();
                    seconds += 1;
                }
            }
        }
    }
}

/// Text that a person must read before a command can continue, even if a script asked for JSON.
pub(super) fn ask(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// A reader that stops early (`| head`) is not a failure.
fn print(text: &str) {
    let _ = writeln!(std::io::stdout().lock(), "{text}");
}

/// A table with a heading; a dash for empty cells.
pub(super) fn table(heading: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut table = Table::new();
    table
        .load_preset(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Disabled)
        .set_header(heading.iter().copied());
    for row in rows {
        table.add_row(
            row.into_iter()
                .map(|cell| if cell.is_empty() { "-".to_owned() } else { cell }),
        );
    }
    table
        .lines()
        .map(|line| line.trim_end().to_owned())
        .collect::<Vec<_>>()
        .join("\n")
}

/// Two columns: name and value.
pub(super) fn record(rows: &[(&str, String)]) -> String {
    let widest = rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    rows.iter()
        .map(|(name, value)| format!("{name:widest$}  {}", if value.is_empty() { "-" } else { value }))
        .collect::<Vec<_>>()
        .join("\n")
}

/// A field of an answer for a cell: text unchanged, nothing for null, lists joined with commas.
pub(super) fn cell(value: &Value, field: &str) -> String {
    fn show(value: &Value) -> String {
        match value {
            Value::Null => String::new(),
            Value::String(text) => text.clone(),
            Value::Array(items) => items.iter().map(show).collect::<Vec<_>>().join(", "),
            Value::Object(map) => map
                .iter()
                .map(|(name, value)| format!("{name}={}", show(value)))
                .collect::<Vec<_>>()
                .join(", "),
            other => other.to_string(),
        }
    }
    show(value.get(field).unwrap_or(&Value::Null))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_plain_and_even() {
        let rows = vec![
            vec!["a".to_owned(), "long one".to_owned()],
            vec!["bcd".to_owned(), String::new()],
        ];
        assert_eq!(
            table(&["ID", "NAME"], rows),
            " ID   NAME\n a    long one\n bcd  -"
        );
        assert_eq!(
            record(&[("id", "1".to_owned()), ("name", String::new())]),
            "id    1\nname  -"
        );
    }

    #[test]
    fn cells_show_any_value() {
        let value = json!({"a": "x", "b": ["x", "y"], "c": null, "d": 3, "e": true, "f": {"m": "n"}});
        let cells = ["a", "b", "c", "d", "e", "f", "g"].map(|field| cell(&value, field));
        assert_eq!(cells, ["x", "x, y", "", "3", "true", "m=n", ""]);
    }
}
