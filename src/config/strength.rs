//! Estimates password strength against an attacker who knows common passwords.
//!
//! Natively with zxcvbn. Its word lists and regular expressions are too large for the Worker (the lists alone are
//! 389 KB compressed), so the edge has a smaller check for the most common patterns. Both refuse what an attacker
//! tries first.

#[cfg(target_arch = "wasm32")]
mod edge;
// Also tested natively.
#[cfg(all(test, not(target_arch = "wasm32")))]
mod edge;
#[cfg(not(target_arch = "wasm32"))]
mod native;

#[cfg(target_arch = "wasm32")]
use self::edge as estimator;
#[cfg(not(target_arch = "wasm32"))]
use self::native as estimator;

/// Words that an attacker tries first here: the product's name and those of the relayed services. In lower case.
const OWN_WORDS: [&str; 12] = [
    "crs-edge",
    "cr_admin",
    "anthropic",
    "claude",
    "gemini",
    "openai",
    "admin",
    "codex",
    "relay",
    "edge",
    "crs",
    "cr_",
];

/// Shorter login names occur in other words by chance. Characters.
const SHORTEST_USERNAME: usize = 3;

/// Advice for a weak password, as part of a sentence; `None` if it is strong. `username`: known to the attacker.
pub fn weakness(password: &str, username: Option<&str>) -> Option<&'static str> {
    let username = username.unwrap_or_default().to_lowercase();
    estimator::is_weak(password, &known_words(&username))
        .then_some("set one of several unrelated words, or of 12 or more random characters")
}

/// Words that add no strength, longest first. `username`: in lower case.
fn known_words(username: &str) -> Vec<&str> {
    let mut words = OWN_WORDS.to_vec();
    if username.chars().count() >= SHORTEST_USERNAME {
        words.push(username);
    }
    words.sort_by_key(|word| std::cmp::Reverse(word.len()));
    words
}

/// The letter that a digit or sign replaces, as in `P@ssw0rd`.
fn plain(c: char) -> char {
    match c {
        '@' | '4' => 'a',
        '0' => 'o',
        '1' | '!' => 'i',
        '3' => 'e',
        '$' | '5' => 's',
        '7' => 't',
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WEAK: [&str; 25] = [
        "admin1234",
        "Admin@123",
        "password1",
        "P@ssw0rd!",
        "qwertyuiop",
        "asdfghjkl",
        "12345678901",
        "abcdefgh",
        "aaaaaaaaaaaa",
        "letmein2024",
        "welcome123",
        "iloveyou!!",
        "20241231",
        "operator-of-this",
        "operator-of-this-2025",
        "cr_admin1234",
        "cr_admin_2025",
        "crs-edge123",
        "Crs_Edge!2024",
        "claude-relay",
        "Cl4ude-R3lay!",
        "claude-relay-gemini",
        "openai/anthropic",
        "codex+admin+edge",
        "crsedge-codex-1234",
    ];
    const GOOD: [&str; 8] = [
        "correct horse battery",
        "Marzipan, 3 words",
        "a fresh password of ours",
        "x7Gq2mVt9Lw4",
        "tr0mb0ne-Zebra-91",
        "kJ8#mN2$pQ5!",
        "claude eats marzipan trombones",
        "knowledge-trombone-zebra",
    ];

    #[test]
    fn what_is_guessed_first_is_weak() {
        for password in WEAK {
            assert!(
                weakness(password, Some("operator-of-this")).is_some(),
                "{password}"
            );
        }
        for password in GOOD {
            assert_eq!(weakness(password, Some("operator-of-this")), None, "{password}");
        }
    }

    #[test]
    fn so_it_is_on_the_edge() {
        for password in WEAK {
            assert!(
                edge::is_weak(password, &known_words("operator-of-this")),
                "{password}"
            );
        }
        for password in GOOD {
            assert!(
                !edge::is_weak(password, &known_words("operator-of-this")),
                "{password}"
            );
        }
    }
}
