//! The picture of ARCHITECTURE.md: which folder may name which, and that nothing goes in a circle.

use std::collections::{BTreeMap, BTreeSet};

use super::source::Source;

/// Folders and files at the top of `src`, and what each names.
type Arrows = BTreeMap<String, BTreeSet<String>>;

/// The arrows of the picture: lines like `http -> relay, store` of the first block after "Bird's eye".
pub(super) fn drawn(architecture: &str) -> Arrows {
    let block = architecture
        .split("## Bird's eye")
        .nth(1)
        .and_then(|rest| rest.split("```").nth(1))
        .expect("a picture in ARCHITECTURE.md");
    let mut arrows = Arrows::new();
    for line in block.lines() {
        if let Some((from, to)) = line.split_once("->") {
            let to = to.split(',').map(|name| name.trim().to_owned());
            let to = to.filter(|name| !name.is_empty() && !name.starts_with('('));
            arrows.entry(from.trim().to_owned()).or_default().extend(to);
        }
    }
    arrows
}

/// The arrows of the code, each with a place where it is.
pub(super) fn found(sources: &[Source]) -> BTreeMap<(String, String), String> {
    let tops: BTreeSet<&str> = sources.iter().filter_map(top).collect();
    let mut arrows = BTreeMap::new();
    for source in sources {
        let Some(from) = top(source) else { continue };
        for (line, path) in source.paths() {
            let mut segments = path.split("::");
            if segments.next() != Some("crate") {
                continue;
            }
            let to = segments.next().unwrap_or_default();
            if to != from && tops.contains(to) {
                arrows
                    .entry((from.to_owned(), to.to_owned()))
                    .or_insert_with(|| format!("{}:{line}", source.path));
            }
        }
    }
    arrows
}

/// `lib.rs` declares everything, and `tested.rs` shows parts of everything to tests: they are not part of the picture.
fn top(source: &Source) -> Option<&str> {
    match source.path.as_str() {
        "src/main.rs" => Some("main"),
        "src/tested.rs" => None,
        _ => source.module.get(1).map(String::as_str),
    }
}

/// What of the code the picture does not have, and the other way round.
pub(super) fn differences(drawn: &Arrows, found: &BTreeMap<(String, String), String>) -> Vec<String> {
    let unknown = found
        .iter()
        .filter(|((from, to), _)| !drawn.get(from).is_some_and(|may| may.contains(to)));
    let mut findings: Vec<String> = unknown
        .map(|((from, to), place)| {
            format!(
                "{place}: `{from}` names `{to}`, and the picture of ARCHITECTURE.md has no such arrow: pass the value in, or move the type to a folder below both"
            )
        })
        .collect();
    for (from, may) in drawn {
        for to in may {
            if !found.contains_key(&(from.clone(), to.clone())) {
                findings.push(format!(
                    "ARCHITECTURE.md: the picture has `{from} -> {to}`, and nothing in `{from}` names `{to}`: take the arrow out"
                ));
            }
        }
    }
    findings
}

/// The circles among these, each as the names in it.
pub(super) fn circles(arrows: &Arrows) -> Vec<Vec<String>> {
    let reach: BTreeMap<&String, BTreeSet<&String>> =
        arrows.keys().map(|from| (from, reached(arrows, from))).collect();
    let mut circles: BTreeSet<Vec<String>> = BTreeSet::new();
    for (from, reached) in &reach {
        let members: Vec<String> = reached
            .iter()
            .filter(|to| reach.get(**to).is_some_and(|back| back.contains(*from)))
            .map(|to| (**to).clone())
            .collect();
        if members.len() > 1 {
            circles.insert(members);
        }
    }
    circles.into_iter().collect()
}

/// Everything that can be reached from here.
fn reached<'a>(arrows: &'a Arrows, from: &String) -> BTreeSet<&'a String> {
    let mut reached = BTreeSet::new();
    let mut next: Vec<&String> = arrows.get(from).into_iter().flatten().collect();
    while let Some(name) = next.pop() {
        if reached.insert(name) {
            next.extend(arrows.get(name).into_iter().flatten());
        }
    }
    reached
}

/// Circles between files and folders that lie side by side, below the top, as `folder: names`.
pub(super) fn circles_below(sources: &[Source]) -> Vec<String> {
    let modules: BTreeSet<&[String]> = sources.iter().map(|source| source.module.as_slice()).collect();
    let mut by_folder: BTreeMap<String, Arrows> = BTreeMap::new();
    for source in sources {
        let from = &source.module;
        for (_, path) in source.paths() {
            let path: Vec<String> = path.split("::").map(str::to_owned).collect();
            let longest = (1..=path.len())
                .rev()
                .find(|length| modules.contains(&path[..*length]));
            let Some(to) = longest.map(|length| &path[..length]) else {
                continue;
            };
            let shared = from.iter().zip(to).take_while(|(a, b)| a == b).count();
            // A parent and its child are one idea.
            if shared > 1
                && let (Some(a), Some(b)) = (from.get(shared), to.get(shared))
            {
                let folder = from[1..shared].join("::");
                let arrows = by_folder.entry(folder).or_default();
                arrows.entry(a.clone()).or_default().insert(b.clone());
            }
        }
    }
    let named = |(folder, arrows): (String, Arrows)| {
        let circles = circles(&arrows);
        circles.into_iter().map(move |names| {
            let names = names.join(", ");
            format!("{folder}: {names}: these name each other: move what they share into a module of its own")
        })
    };
    by_folder.into_iter().flat_map(named).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sources(files: &[(&str, &str)]) -> Vec<Source> {
        files
            .iter()
            .map(|(path, code)| Source::new(path, "src", (*code).to_owned()))
            .collect()
    }

    #[test]
    fn arrows_are_compared_in_both_directions() {
        let drawn = drawn("## Bird's eye\n\n```text\nhttp -> relay, store\nrelay -> (nothing)\n```\n");
        let code = sources(&[
            ("src/http/a.rs", "use crate::relay::Call;\nuse super::b::X;"),
            ("src/relay.rs", "fn f() { crate::http::a::g() }"),
            ("src/store.rs", ""),
        ]);
        let findings = differences(&drawn, &found(&code));
        assert_eq!(findings.len(), 2, "{findings:?}");
        assert!(
            findings[0].starts_with("src/relay.rs:1: `relay` names `http`"),
            "{findings:?}"
        );
        assert!(findings[1].contains("`http -> store`"), "{findings:?}");
    }

    #[test]
    fn a_circle_of_three_is_found_once_and_a_chain_never() {
        let arrows = |pairs: &[(&str, &str)]| {
            let mut arrows = Arrows::new();
            for (from, to) in pairs {
                arrows
                    .entry((*from).to_owned())
                    .or_default()
                    .insert((*to).to_owned());
            }
            arrows
        };
        assert_eq!(
            circles(&arrows(&[("a", "b"), ("b", "c"), ("d", "a")])),
            Vec::<Vec<String>>::new()
        );
        let three = arrows(&[("a", "b"), ("b", "c"), ("c", "a"), ("c", "d")]);
        assert_eq!(circles(&three), [["a", "b", "c"]]);
    }

    #[test]
    fn files_side_by_side_may_not_name_each_other_while_a_parent_may_name_its_child() {
        let code = sources(&[
            ("src/relay.rs", "mod one;\nmod two;\nuse self::one::f;"),
            ("src/relay/one.rs", "use super::two::g;\nuse super::Shared;"),
            ("src/relay/two.rs", "use crate::relay::one::f;"),
            ("src/relay/two/part.rs", "use super::g;"),
        ]);
        let circles = circles_below(&code);
        assert!(circles[0].starts_with("relay: one, two: "), "{circles:?}");
        assert_eq!(circles.len(), 1);
    }
}
