//! Formats the report of an import for people.

use std::fmt::Write as _;

use crs_edge::config::crs::variables::Fate;
use crs_edge::import::copy::Progress;
use crs_edge::import::report::{Figures, Matter, Report};

use super::super::output::{record, table};

/// One line of progress.
pub(super) fn progress(progress: &Progress, elapsed_ms: u64) -> String {
    let Progress { what, done, of } = progress;
    let left = of.saturating_sub(*done);
    // Estimates the rest from the time per record so far.
    let seconds = elapsed_ms
        .saturating_mul(left)
        .checked_div((*done).max(1))
        .unwrap_or_default()
        / 1_000;
    if left == 0 {
        return format!("{what}: {done} of {of}");
    }
    format!("{what}: {done} of {of}, about {seconds} s left")
}

/// One line about a round that follows a running CRS.
pub(super) fn round(report: &Report) -> String {
    let changed = |figures: Figures| figures.created + figures.updated;
    format!(
        "brought: {} keys, {} accounts, {} sums, {} calls, in {:.1} s",
        changed(report.keys),
        changed(report.accounts),
        report.sums.created,
        report.calls,
        report.seconds
    )
}

pub(super) fn report(report: &Report) -> String {
    let mut parts = vec![heading(report), figures(report)];
    parts.extend(secrets(report));
    parts.extend(remarks(report));
    parts.extend(homeless(report));
    parts.extend(variables(report));
    parts.extend(next(report));
    parts.join("\n\n")
}

fn heading(report: &Report) -> String {
    let what = match report.mode.as_str() {
        "rehearsal" => "Rehearsal: nothing was written.".to_owned(),
        "proof" if report.agrees() => {
            "Proof: what is here is what the CRS has. Nothing was written.".to_owned()
        }
        "proof" => "Proof: what is here is NOT what the CRS has. Nothing was written.".to_owned(),
        _ => format!(
            "Copied into the {} store, in {:.1} s.",
            report.target, report.seconds
        ),
    };
    format!("{what}\nFrom {} ({}).", report.source, report.edition)
}

fn figures(report: &Report) -> String {
    let row = |what: &str, figures: Figures| {
        let columns = [
            figures.found,
            figures.created,
            figures.updated,
            figures.unchanged,
            figures.kept,
            figures.skipped,
            figures.different,
        ];
        let mut row = vec![what.to_owned()];
        row.extend(columns.map(|figure| figure.to_string()));
        row
    };
    let rows = [
        ("keys", report.keys),
        ("accounts", report.accounts),
        ("groups", report.groups),
        ("settings", report.settings),
        ("sums of usage", report.sums),
    ];
    let head = [
        "",
        "FOUND",
        "NEW",
        "UPDATED",
        "AS THEY WERE",
        "KEPT HERE",
        "LEFT OUT",
        "DIFFERENT",
    ];
    let all = table(&head, rows.map(|(what, figures)| row(what, figures)));
    let spent = report.spent as f64 / 1e6;
    format!(
        "{all}\nrecords of calls: {}; spent by all keys so far: ${spent:.6}",
        report.calls
    )
}

fn secrets(report: &Report) -> Option<String> {
    if report.mode == "proof" {
        return Some(format!(
            "Secrets of accounts compared: {}, different: {}.",
            report.secrets_compared, report.secrets_different
        ));
    }
    (report.secrets_tried > 0).then(|| {
        format!(
            "ENCRYPTION_KEY opens {} of {} secrets that were tried.",
            report.secrets_opened, report.secrets_tried
        )
    })
}

fn remarks(report: &Report) -> Vec<String> {
    let heading = |matter| match matter {
        Matter::Skipped => "Left out:",
        Matter::Inactive => "Imported INACTIVE, because something that held them back has no home here:",
        Matter::Stricter => "Held back more than in the CRS:",
        Matter::Lost => "Lost, and held nothing back:",
        Matter::Changed => "Changed:",
        Matter::Note => "To know:",
    };
    let mut parts: Vec<(Matter, String)> = Vec::new();
    for remark in &report.remarks {
        if parts.last().is_none_or(|(matter, _)| *matter != remark.matter) {
            parts.push((remark.matter, heading(remark.matter).to_owned()));
        }
        if let Some((_, text)) = parts.last_mut() {
            let names = remark.names.join(", ");
            let more = remark.count.saturating_sub(remark.names.len() as u64);
            let more = if more > 0 {
                format!(" and {more} more")
            } else {
                String::new()
            };
            let _ = write!(
                text,
                "\n  {} x {}\n      {names}{more}",
                remark.count, remark.what
            );
        }
    }
    parts.into_iter().map(|(_, text)| text).collect()
}

fn homeless(report: &Report) -> Option<String> {
    if report.homeless.is_empty() {
        return None;
    }
    let rows: Vec<(&str, String)> = report
        .homeless
        .iter()
        .map(|(what, count)| (what.as_str(), count.to_string()))
        .collect();
    let kept = match &report.kept_in {
        Some(file) => format!("What has no home here, kept as it was in {file}:"),
        None => "What has no home here (a copy keeps it in a file beside the data):".to_owned(),
    };
    Some(format!("{kept}\n{}", record(&rows)))
}

fn variables(report: &Report) -> Option<String> {
    let rows: Vec<Vec<String>> = report
        .variables
        .iter()
        .map(|variable| {
            let what = match &variable.fate {
                Fate::Same => "the same".to_owned(),
                Fate::Needless => "not needed".to_owned(),
                Fate::Differs(what) => format!("differs: {what}"),
                Fate::Moved(what) => format!("instead: {what}"),
                Fate::Lost(what) => format!("ignored: {what}"),
                Fate::Refused(what) => format!("REFUSED: {what}"),
            };
            vec![variable.name.clone(), what]
        })
        .collect();
    (!rows.is_empty()).then(|| table(&["VARIABLE", "HERE"], rows))
}

fn next(report: &Report) -> Option<String> {
    let mut lines = Vec::new();
    if !report.needed_variables.is_empty() {
        lines.push(format!(
            "Before the switch, set the OAuth client that the logins were made with: {}. Without it they end within hours.",
            report.needed_variables.join(", ")
        ));
    }
    if report.idle_logins > 0 && report.mode != "proof" {
        lines.push(format!(
            "{} logins are idle here: a refresh token that two relays use is ended by the provider. Stop the CRS, then run \
             this again with --take-over; or let it run with --follow until the switch.",
            report.idle_logins
        ));
    }
    (!lines.is_empty()).then(|| lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remaining_time_is_that_of_the_records_left() {
        let of = |done, of| Progress {
            what: "keys",
            done,
            of,
        };
        assert_eq!(
            progress(&of(100, 300), 10_000),
            "keys: 100 of 300, about 20 s left"
        );
        assert_eq!(progress(&of(300, 300), 10_000), "keys: 300 of 300");
        assert_eq!(progress(&of(0, 0), 5), "keys: 0 of 0");
    }

    #[test]
    fn a_report_says_what_to_do_next() {
        let mut text = Report {
            mode: "rehearsal".to_owned(),
            idle_logins: 2,
            needed_variables: vec!["A".to_owned()],
            ..Report::default()
        };
        text.remarks.push(crs_edge::import::report::Remark {
            matter: Matter::Inactive,
            what: "why".to_owned(),
            count: 3,
            names: vec!["one".to_owned(), "two".to_owned()],
        });
        let text = report(&text);
        for part in [
            "nothing was written",
            "INACTIVE",
            "3 x why",
            "one, two and 1 more",
            "--take-over",
            "set the OAuth client",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }
}
