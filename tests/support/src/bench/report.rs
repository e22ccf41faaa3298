//! The figures, as a table for people and as JSON for machines.

use std::fmt::Write as _;
use std::path::Path;
use std::time::SystemTime;

use serde_json::{Map, Value, json};

use crate::provider::rfc3339;

/// One row: a figure of each target.
struct Row {
    id: &'static str,
    title: &'static str,
    unit: &'static str,
    /// The relay's figure must not be above it.
    aim: Option<f64>,
    figures: Vec<Option<f64>>,
}

/// All rows of a run.
pub(super) struct Report {
    targets: Vec<&'static str>,
    rows: Vec<Row>,
    errors: Vec<String>,
}

impl Report {
    pub(super) fn new(targets: Vec<&'static str>) -> Self {
        Self {
            targets,
            rows: Vec::new(),
            errors: Vec::new(),
        }
    }

    /// Adds a row; `figures` are in the order of the targets.
    pub(super) fn row(
        &mut self,
        id: &'static str,
        title: &'static str,
        unit: &'static str,
        aim: Option<f64>,
        figures: Vec<Option<f64>>,
    ) {
        self.rows.push(Row {
            id,
            title,
            unit,
            aim,
            figures,
        });
    }

    /// Notes that a measurement failed.
    pub(super) fn error(&mut self, target: &str, what: &str, error: impl std::fmt::Display) {
        let error = format!("{target}, {what}: {error}");
        eprintln!("failed: {error}");
        self.errors.push(error);
    }

    pub(super) fn failed(&self) -> bool {
        !self.errors.is_empty()
    }

    /// Titles of the rows in which the relay misses its aim.
    pub(super) fn missed(&self) -> Vec<&'static str> {
        let relay = self.targets.iter().position(|name| *name == "relay");
        let missed = |row: &&Row| {
            let figure = relay.and_then(|at| row.figures[at]);
            figure.zip(row.aim).is_some_and(|(figure, aim)| figure > aim)
        };
        self.rows.iter().filter(missed).map(|row| row.title).collect()
    }

    pub(super) fn table(&self) -> String {
        let mut lines = vec![
            ["", "aim"]
                .iter()
                .chain(&self.targets)
                .map(|&cell| cell.to_owned())
                .collect::<Vec<_>>(),
        ];
        for row in &self.rows {
            let aim = row
                .aim
                .map(|aim| format!("<= {}", figure(aim)))
                .unwrap_or_default();
            let title = format!("{} [{}]", row.title, row.unit);
            let cells = row
                .figures
                .iter()
                .map(|f| f.map_or_else(|| "-".to_owned(), figure));
            lines.push([title, aim].into_iter().chain(cells).collect());
        }
        let width = |column: usize| {
            lines
                .iter()
                .map(|line| line[column].chars().count())
                .max()
                .unwrap_or(0)
        };
        let widths: Vec<usize> = (0..lines[0].len()).map(width).collect();
        let mut table = String::new();
        for line in &lines {
            for (column, cell) in line.iter().enumerate() {
                let pad = " ".repeat(widths[column] - cell.chars().count());
                let _ = if column == 0 {
                    write!(table, "{cell}{pad}")
                } else {
                    write!(table, "  {pad}{cell}")
                };
            }
            table.truncate(table.trim_end().len());
            table.push('\n');
        }
        let missed = self.missed();
        if !missed.is_empty() {
            let _ = writeln!(table, "\naims missed: {}", missed.join("; "));
        }
        for error in &self.errors {
            let _ = writeln!(table, "failed: {error}");
        }
        table
    }

    /// The same as JSON. `facts` are about the run as a whole.
    pub(super) fn json(&self, facts: Map<String, Value>) -> Value {
        let row = |row: &Row| {
            let figures: Map<_, _> = self
                .targets
                .iter()
                .zip(&row.figures)
                .map(|(name, f)| ((*name).to_owned(), json!(f)))
                .collect();
            json!({"id": row.id, "title": row.title, "unit": row.unit, "aim": row.aim, "figures": figures})
        };
        let mut report = facts;
        report.insert("at".into(), json!(rfc3339(SystemTime::now())));
        report.insert("rows".into(), self.rows.iter().map(row).collect());
        report.insert("missed".into(), json!(self.missed()));
        report.insert("errors".into(), json!(self.errors));
        report.into()
    }

    pub(super) fn write(&self, path: &Path, facts: Map<String, Value>) -> std::io::Result<()> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        std::fs::write(path, format!("{:#}\n", self.json(facts)))
    }
}

/// Three digits that count.
fn figure(value: f64) -> String {
    match value.abs() {
        v if v >= 100.0 => format!("{value:.0}"),
        v if v >= 10.0 => format!("{value:.1}"),
        0.0 => "0".into(),
        _ => format!("{value:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missed_aim_is_named() {
        let mut report = Report::new(vec!["relay", "direct"]);
        report.row("a", "within", "us", Some(60.0), vec![Some(60.0), Some(99.0)]);
        report.row("b", "above", "us", Some(60.0), vec![Some(60.1), None]);
        report.row("c", "unknown", "us", Some(60.0), vec![None, None]);
        assert_eq!(report.missed(), ["above"]);
        assert!(!report.failed());
        let table = report.table();
        assert!(table.contains("aims missed: above"), "{table}");
        let above = table
            .lines()
            .nth(2)
            .unwrap()
            .split_whitespace()
            .collect::<Vec<_>>();
        assert_eq!(above, ["above", "[us]", "<=", "60.0", "60.1", "-"]);
        assert_eq!(report.json(Map::new())["rows"][1]["figures"]["relay"], 60.1);
    }
}
