//! The figures, as a table for people and as JSON for machines.

use std::fmt::Write as _;
use std::path::Path;
use std::time::SystemTime;

use serde_json::{Map, Value, json};

use crate::provider::rfc3339;

/// The target that figures are compared with.
pub(super) const FLOOR: &str = "floor";

/// What the relay's figure must not be above.
#[derive(Clone, Copy, Debug)]
pub(super) enum Aim {
    AtMost(f64),
    /// So many times the floor's.
    OfFloor(f64),
}

impl Aim {
    fn is_missed(self, figure: f64, floor: Option<f64>) -> bool {
        match self {
            Self::AtMost(most) => figure > most,
            Self::OfFloor(times) => floor.is_some_and(|floor| figure > floor * times),
        }
    }

    fn text(self) -> String {
        match self {
            Self::AtMost(most) => format!("<= {}", figure(most)),
            Self::OfFloor(times) => format!("<= {times:.2}x"),
        }
    }

    fn json(self) -> Value {
        match self {
            Self::AtMost(most) => json!(most),
            Self::OfFloor(times) => json!({"ofFloor": times}),
        }
    }
}

/// A median, and what it lies between.
#[derive(Clone, Copy, Debug)]
pub(super) struct Figure {
    pub(super) value: f64,
    pub(super) spread: Option<(f64, f64)>,
}

impl From<f64> for Figure {
    fn from(value: f64) -> Self {
        Self { value, spread: None }
    }
}

/// One row: a figure of each target.
struct Row {
    id: &'static str,
    title: &'static str,
    unit: &'static str,
    aim: Option<Aim>,
    figures: Vec<Option<Figure>>,
}

impl Row {
    fn of(&self, at: Option<usize>) -> Option<f64> {
        Some((*self.figures.get(at?)?)?.value)
    }
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
        aim: Option<Aim>,
        figures: Vec<Option<impl Into<Figure>>>,
    ) {
        self.rows.push(Row {
            id,
            title,
            unit,
            aim,
            figures: figures.into_iter().map(|f| f.map(Into::into)).collect(),
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
        let (relay, floor) = (self.at("relay"), self.at(FLOOR));
        let missed = |row: &&Row| {
            let figure = row.of(relay).zip(row.aim);
            figure.is_some_and(|(figure, aim)| aim.is_missed(figure, row.of(floor)))
        };
        self.rows.iter().filter(missed).map(|row| row.title).collect()
    }

    fn at(&self, target: &str) -> Option<usize> {
        self.targets.iter().position(|name| *name == target)
    }

    /// How many times the floor's figure each of a row's is; none where there is no sense in it.
    fn ratios(&self, row: &Row) -> Vec<Option<f64>> {
        let floor_at = self.at(FLOOR);
        // What goes direct is no relay.
        let last = self.targets.len() - 1;
        let floor = row.of(floor_at).filter(|floor| *floor > 0.0 && row.unit != "1");
        let of = |(at, figure): (usize, &Option<Figure>)| {
            let other = Some(at) != floor_at && at != last;
            figure
                .zip(floor)
                .filter(|_| other)
                .map(|(figure, floor)| figure.value / floor)
        };
        row.figures.iter().enumerate().map(of).collect()
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
            let aim = row.aim.map(Aim::text).unwrap_or_default();
            let title = format!("{} [{}]", row.title, row.unit);
            let ratios = self.ratios(row);
            let cells = row.figures.iter().zip(ratios).map(|(f, ratio)| {
                let ratio = ratio.map_or_else(String::new, |ratio| format!(" ({ratio:.2}x)"));
                f.map_or_else(|| "-".to_owned(), |f| figure(f.value) + &ratio)
            });
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
            let of = |values: Vec<Value>| -> Map<_, _> {
                let names = self.targets.iter().map(|name| (*name).to_owned());
                names.zip(values).filter(|(_, value)| !value.is_null()).collect()
            };
            let figures = row.figures.iter();
            json!({
                "id": row.id, "title": row.title, "unit": row.unit, "aim": row.aim.map(Aim::json),
                "figures": of(figures.clone().map(|f| json!(f.map(|f| f.value))).collect()),
                "spread": of(figures.map(|f| json!(f.and_then(|f| f.spread))).collect()),
                "ofFloor": of(self.ratios(row).into_iter().map(|ratio| json!(ratio)).collect()),
            })
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
        let most = Some(Aim::AtMost(60.0));
        report.row("a", "within", "us", most, vec![Some(60.0), Some(99.0)]);
        report.row("b", "above", "us", most, vec![Some(60.1), None]);
        report.row("c", "unknown", "us", most, vec![None::<f64>, None]);
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

    #[test]
    fn a_figure_is_also_a_ratio_to_the_floor() {
        let mut report = Report::new(vec!["relay", "floor", "direct"]);
        let twice = Some(Aim::OfFloor(2.0));
        report.row(
            "a",
            "within",
            "us",
            twice,
            vec![Some(26.0), Some(13.0), Some(9.0)],
        );
        report.row("b", "above", "us", twice, vec![Some(27.0), Some(13.0), Some(9.0)]);
        assert_eq!(report.missed(), ["above"]);
        let table = report.table();
        assert!(table.contains("26.0 (2.00x)"), "{table}");
        let json = report.json(Map::new());
        assert_eq!(json["rows"][0]["ofFloor"], json!({"relay": 2.0}));
        assert_eq!(json["rows"][0]["aim"], json!({"ofFloor": 2.0}));
    }
}
