//! zxcvbn's estimate.

use zxcvbn::Score;

/// Fewer than 10^8 guesses. The throttle lets strangers make some seven million in a year (`store::guesses`).
pub(super) fn is_weak(password: &str, username: &str) -> bool {
    zxcvbn::zxcvbn(password, &[username, "crs", "relay", "claude"]).score() < Score::Three
}
