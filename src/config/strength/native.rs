//! zxcvbn's estimate.

use zxcvbn::Score;

use super::plain;

/// Weak means fewer than 10^8 guesses; the throttle lets strangers make about seven million a year
/// (`store::guesses`).
///
/// zxcvbn counts 10^4 for each further part, even a lone `-`, so three known parts would pass. Therefore the rest
/// without the known words must be strong, too.
pub(super) fn is_weak(password: &str, known: &[&str]) -> bool {
    let guessed = |text: &str| zxcvbn::zxcvbn(text, known).score() < Score::Three;
    guessed(password) || without(password, known).is_some_and(|rest| guessed(&rest))
}

/// The password without the known words, ignoring case and with digits read as letters. `None` if it contains
/// none. `known`: longest first.
fn without(password: &str, known: &[&str]) -> Option<String> {
    let known: Vec<Vec<char>> = known.iter().map(|word| word.chars().collect()).collect();
    let lower: Vec<char> = password.to_lowercase().chars().collect();
    let mut rest = lower.as_slice();
    let mut kept = String::with_capacity(password.len());
    while let Some((first, others)) = rest.split_first() {
        if let Some(after) = known.iter().find_map(|word| after_word(rest, word)) {
            rest = after;
        } else {
            kept.push(*first);
            rest = others;
        }
    }
    (kept.chars().count() < lower.len()).then_some(kept)
}

fn after_word<'a>(text: &'a [char], word: &[char]) -> Option<&'a [char]> {
    let (head, rest) = text.split_at_checked(word.len())?;
    let same = |(c, letter): (&char, &char)| c == letter || plain(*c) == *letter;
    head.iter().zip(word).all(same).then_some(rest)
}
