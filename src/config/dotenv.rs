//! Parses `.env` files: lines of `NAME=value`.
//!
//! Two programs parse such files differently, and a CRS's values went through one of them: dotenv (version 16,
//! used by CRS itself) ends an unquoted value at the first `#`, Docker Compose at a space followed by `#`.

/// How a `#` in an unquoted value is parsed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comment {
    /// It always begins a comment.
    Anywhere,
    /// It begins a comment after a space.
    AfterBlank,
}

/// The variables of a file in order; the last duplicate counts. Other lines are skipped.
pub fn parse(text: &str, comment: Comment) -> Vec<(String, String)> {
    text.trim_start_matches('\u{feff}')
        .lines()
        .filter_map(|line| assignment(line, comment))
        .collect()
}

fn assignment(line: &str, comment: Comment) -> Option<(String, String)> {
    let line = line.trim();
    let line = line.strip_prefix("export ").unwrap_or(line);
    let (name, value) = line.split_once('=')?;
    let name = name.trim();
    let good = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    good.then(|| (name.to_owned(), unquoted(value.trim(), comment)))
}

fn unquoted(value: &str, comment: Comment) -> String {
    for quote in ['"', '\'', '`'] {
        if let Some((inner, _)) = value.strip_prefix(quote).and_then(|rest| rest.split_once(quote)) {
            return if quote == '"' {
                inner.replace("\\n", "\n").replace("\\r", "\r")
            } else {
                inner.to_owned()
            };
        }
    }
    let end = match comment {
        Comment::Anywhere => value.find('#'),
        Comment::AfterBlank if value.starts_with('#') => Some(0),
        Comment::AfterBlank => value.find(" #").into_iter().chain(value.find("\t#")).min(),
    };
    let value = end.and_then(|end| value.get(..end)).unwrap_or(value);
    value.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn value(line: &str, comment: Comment) -> String {
        let mut all = parse(line, comment);
        assert_eq!(all.len(), 1, "{line}");
        all.remove(0).1
    }

    #[test]
    fn a_number_sign_is_read_in_two_ways() {
        for (line, anywhere, after_blank) in [
            ("A=x#y", "x", "x#y"),
            ("A=x # y", "x", "x"),
            ("A='x#y' # z", "x#y", "x#y"),
            ("A=\"x\\ny\"", "x\ny", "x\ny"),
            ("export A = x ", "x", "x"),
            ("A=", "", ""),
            ("A= # none", "", ""),
            ("A=a=b", "a=b", "a=b"),
            ("A=8  # hours", "8", "8"),
        ] {
            assert_eq!(value(line, Comment::Anywhere), anywhere, "{line}");
            assert_eq!(value(line, Comment::AfterBlank), after_blank, "{line}");
        }
    }

    #[test]
    fn other_lines_are_left_out() {
        assert!(parse("# A=1\n\nno assignment\n1A=x\n-=y", Comment::Anywhere).is_empty());
        assert_eq!(parse("\u{feff}A=1\r\nB=2\r\n", Comment::Anywhere).len(), 2);
    }
}
