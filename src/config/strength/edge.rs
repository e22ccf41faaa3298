//! A small strength check: removes common decorations and examines the rest.

use super::plain;

/// Common words in lower case, without decorations.
const COMMON: [&str; 56] = [
    "abc",
    "access",
    "administrator",
    "adminadmin",
    "api",
    "apple",
    "asdf",
    "asdfgh",
    "asdfghjkl",
    "azerty",
    "baseball",
    "batman",
    "changeme",
    "charlie",
    "computer",
    "default",
    "demo",
    "dragon",
    "football",
    "freedom",
    "google",
    "guest",
    "hello",
    "helloworld",
    "hunter",
    "iloveyou",
    "killer",
    "letmein",
    "login",
    "love",
    "manager",
    "master",
    "michael",
    "monkey",
    "pass",
    "passw",
    "password",
    "princess",
    "qazwsx",
    "qwer",
    "qwert",
    "qwerty",
    "qwertyuiop",
    "root",
    "secret",
    "server",
    "shadow",
    "starwars",
    "sunshine",
    "superman",
    "system",
    "test",
    "user",
    "welcome",
    "whatever",
    "zxcvbnm",
];

/// Keyboard rows and other sequences.
const ROWS: [&str; 6] = [
    "abcdefghijklmnopqrstuvwxyz",
    "01234567890",
    "qwertyuiop",
    "asdfghjkl",
    "zxcvbnm",
    "1qaz2wsx3edc4rfv5tgb6yhn7ujm8ik9ol0p",
];

/// Minimum number of distinct characters.
const FEWEST_DIFFERENT: usize = 6;

/// Minimum length of digits-only passwords.
const FEWEST_DIGITS: usize = 14;

/// Minimum number of letters outside of common parts, unless the password has many other characters.
const FEWEST_LEFT: usize = 4;

pub(super) fn is_weak(password: &str, known: &[&str]) -> bool {
    let lower = password.to_lowercase();
    let distinct: std::collections::BTreeSet<char> = lower.chars().collect();
    if distinct.len() < FEWEST_DIFFERENT {
        return true;
    }
    let only_digits = lower.chars().all(|c| !c.is_alphabetic());
    if only_digits && lower.chars().count() < FEWEST_DIGITS {
        return true;
    }
    // Before the runs: a run may be part of a known word.
    let mut rest = without_words(lower, known);
    for row in ROWS {
        rest = without_runs(&rest, row);
    }
    let plain: String = rest.chars().map(plain).collect();
    let mut words = [&COMMON, known].concat();
    words.sort_by_key(|word| std::cmp::Reverse(word.len()));
    let left = [rest, plain].map(|text| {
        let text = without_words(text, &words);
        text.chars().filter(|c| c.is_alphabetic()).count()
    });
    !only_digits && left.into_iter().min().unwrap_or_default() < FEWEST_LEFT
}

/// The text with each of the words replaced by a space.
fn without_words(text: String, words: &[&str]) -> String {
    words.iter().fold(text, |text, word| text.replace(word, " "))
}

/// The text with each run of at least four characters of `row`, in either direction, replaced by a space.
fn without_runs(text: &str, row: &str) -> String {
    const SHORTEST: usize = 4;
    let row: Vec<char> = row.chars().collect();
    let place = |c: char| row.iter().position(|other| *other == c);
    let mut kept = String::with_capacity(text.len());
    let mut run: Vec<char> = Vec::new();
    let mut step = 0_isize;
    let flush = |run: &mut Vec<char>, kept: &mut String| {
        if run.len() >= SHORTEST {
            kept.push(' ');
        } else {
            kept.extend(run.iter());
        }
        run.clear();
    };
    for c in text.chars() {
        let next = match (run.last().and_then(|last| place(*last)), place(c)) {
            (Some(before), Some(here)) => here as isize - before as isize,
            _ => 0,
        };
        let goes_on = next.abs() == 1 && (run.len() == 1 || next == step);
        if !goes_on {
            flush(&mut run, &mut kept);
        }
        step = next;
        run.push(c);
    }
    flush(&mut run, &mut kept);
    kept
}
