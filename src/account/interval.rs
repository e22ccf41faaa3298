//! Parses durations in the providers' notation: `1s`, `6m0s`, `8h44m7.5s`, `373.8ms`.

/// Milliseconds, rounded up.
pub(super) fn interval(text: &str) -> Option<u64> {
    let mut rest = text.trim();
    if rest.is_empty() {
        return None;
    }
    let mut sum = 0.0;
    while !rest.is_empty() {
        let digits = rest
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(rest.len());
        let (number, tail) = rest.split_at_checked(digits)?;
        let letters = tail.find(|c: char| c.is_ascii_digit()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at_checked(letters)?;
        sum += number.parse::<f64>().ok()?
            * match unit {
                "d" => 86_400_000.0,
                "h" => 3_600_000.0,
                "m" => 60_000.0,
                "s" => 1_000.0,
                "ms" => 1.0,
                "us" | "µs" => 1e-3,
                "ns" => 1e-6,
                _ => return None,
            };
        rest = tail;
    }
    // `as` saturates, which suits an excessive duration.
    Some(sum.ceil() as u64)
}

#[cfg(test)]
mod tests {
    use super::interval;

    #[test]
    fn lengths_are_read_as_written() {
        for (text, ms) in [
            ("1s", 1_000),
            ("6m0s", 360_000),
            ("8h44m7.5s", 31_447_500),
            ("373.801628ms", 374),
            ("31447.085s", 31_447_085),
            ("0s", 0),
            ("1d", 86_400_000),
        ] {
            assert_eq!(interval(text), Some(ms), "{text}");
        }
        for odd in ["", "5", "s", "1x", "-1s", "1.2.3s", "soon"] {
            assert_eq!(interval(odd), None, "{odd}");
        }
    }
}
