//! How easy a password is to guess for somebody who knows which passwords people choose.
//!
//! Natively zxcvbn says. Its word lists and its regular expressions would add more to the Worker than there is room
//! for (the lists alone are 389 KB compressed), so the edge has a smaller judge, which knows the commonest patterns.
//! Both refuse what a guesser tries first.

#[cfg(target_arch = "wasm32")]
mod edge;
// Runs in native tests, too.
#[cfg(all(test, not(target_arch = "wasm32")))]
mod edge;
#[cfg(not(target_arch = "wasm32"))]
mod native;

#[cfg(target_arch = "wasm32")]
use self::edge as estimator;
#[cfg(not(target_arch = "wasm32"))]
use self::native as estimator;

/// What to do instead of using this password, as part of a sentence; `None`: it is good. `username`: what somebody
/// who guesses knows of its owner.
pub fn weakness(password: &str, username: Option<&str>) -> Option<&'static str> {
    estimator::is_weak(password, username.unwrap_or_default())
        .then_some("set one of several unrelated words, or of 12 or more random characters")
}

#[cfg(test)]
mod tests {
    use super::*;

    const WEAK: [&str; 14] = [
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
    ];
    const GOOD: [&str; 6] = [
        "correct horse battery",
        "Marzipan, 3 words",
        "a fresh password of ours",
        "x7Gq2mVt9Lw4",
        "tr0mb0ne-Zebra-91",
        "kJ8#mN2$pQ5!",
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
            assert!(edge::is_weak(password, "operator-of-this"), "{password}");
        }
        for password in GOOD {
            assert!(!edge::is_weak(password, "operator-of-this"), "{password}");
        }
    }
}
