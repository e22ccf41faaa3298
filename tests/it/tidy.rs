//! The shape of the source, checked: who may name whom, what runs where, how long a file may be.
//!
//! Rust's privacy ends at the crate, so the layers of ARCHITECTURE.md are kept apart by these tests over the parsed
//! source. Each message says what to do instead. Test code (`#[cfg(test)]`, `tests.rs`) is free.

mod pages;
mod picture;
mod rules;
mod source;

use source::{Source, load};

/// A file is split along an idea before it gets this long.
const LONG: usize = 600;
const TOO_LONG: usize = 700;

/// Fails with one line per finding.
#[track_caller]
fn none(findings: Vec<String>) {
    assert!(findings.is_empty(), "\n{}\n", findings.join("\n"));
}

#[test]
fn layers_name_only_what_lies_below_them() {
    none(load("src").iter().flat_map(rules::layers).collect());
}

#[test]
fn folders_name_what_the_picture_says_and_nothing_goes_in_a_circle() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let architecture = std::fs::read_to_string(root.join("ARCHITECTURE.md")).expect("readable");
    let drawn = picture::drawn(&architecture);
    let found = picture::found(&load("src"));
    assert!(found.len() > 20, "{found:?}");
    none(picture::differences(&drawn, &found));
    // What the code does is what is drawn, so this is of the code.
    assert_eq!(picture::circles(&drawn), Vec::<Vec<String>>::new());
}

#[test]
fn files_side_by_side_do_not_name_each_other() {
    none(picture::circles_below(&load("src")));
    none(picture::circles_below(&load("durable/src")));
}

#[test]
fn pages_name_what_is_there() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut findings = Vec::new();
    for name in ["ARCHITECTURE.md", "CONTRIBUTING.md"] {
        let page = std::fs::read_to_string(root.join(name)).expect("readable");
        findings.extend(pages::lost_files(name, &page, root));
        if name == "ARCHITECTURE.md" {
            findings.extend(pages::lost_functions(&page, &load("src")));
        }
    }
    none(findings);
}

#[test]
fn the_rules_name_what_is_there() {
    let manifest = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
    let manifest = std::fs::read_to_string(manifest).expect("readable");
    none(rules::gone(&load("src"), &manifest));
}

#[test]
fn native_crates_stay_in_the_host() {
    none(load("src").iter().flat_map(rules::crates).collect());
}

#[test]
fn pure_parts_wait_for_nothing() {
    let machines = load("durable/src");
    assert!(!machines.is_empty());
    none(
        load("src")
            .iter()
            .chain(&machines)
            .flat_map(rules::purity)
            .collect(),
    );
}

#[test]
fn the_target_is_chosen_on_mod_and_use_lines_only() {
    none(load("src").iter().flat_map(rules::target).collect());
}

#[test]
fn variables_are_named_in_config_only() {
    let sources = load("src");
    let names = rules::variables(&sources);
    assert!(
        names.contains("JWT_SECRET") && names.contains("DATA_DIR"),
        "{names:?}"
    );
    none(
        sources
            .iter()
            .flat_map(|source| rules::variable_names(source, &names))
            .collect(),
    );
}

#[test]
fn every_module_says_what_it_promises_and_stays_small() {
    let mut findings = Vec::new();
    for source in ["src", "durable/src", "tests/it", "tests/support/src"]
        .map(load)
        .iter()
        .flatten()
    {
        let Source { path, raw, .. } = source;
        let tests = path.ends_with("/tests.rs");
        if !tests && !raw.starts_with("//! ") {
            findings.push(format!("{path}:1: say in a `//!` line what this module promises"));
        }
        if path.ends_with("/mod.rs") {
            findings.push(format!(
                "{path}: rename it: `foo.rs` beside the folder `foo/`, never `mod.rs`"
            ));
        }
        let lines = raw.lines().count();
        if lines > TOO_LONG {
            findings.push(format!(
                "{path}: {lines} lines: split it along an idea (at most {TOO_LONG})"
            ));
        } else if lines > LONG {
            eprintln!("{path}: {lines} lines: time to split it along an idea");
        }
    }
    none(findings);
}
