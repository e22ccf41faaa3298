//! The query that goes on to a provider: nothing passes that is not listed, however it is spelled, and what is
//! listed passes unchanged.
//!
//! The oracle is the form decoder of the `url` crate (the URL standard), which reads as a provider does.

use crs_edge::tested::{Allowed, Parameter, allowed_query};
use url::form_urlencoded::parse;

const LIST: Allowed = Allowed {
    query: &[
        Parameter {
            name: "alt",
            values: &["sse", "json"],
        },
        Parameter {
            name: "$alt",
            values: &[],
        },
        Parameter {
            name: "pageSize",
            values: &[],
        },
    ],
    headers: &[],
    families: &[],
};

/// The longest value that passes, bytes. Stated anew here, so that the code's own bound cannot change unseen.
const LONGEST: usize = 256;

/// Takes the bytes for a query.
pub fn check(data: &[u8]) {
    let query = &*String::from_utf8_lossy(data);
    let sent = allowed_query(&LIST, query).unwrap_or_default();
    let mut seen = Vec::new();
    for (name, value) in parse(sent.as_bytes()) {
        assert!(
            fits(&name, &value),
            "{query:?} became {sent:?}: {name:?} is not listed with this value"
        );
        assert!(!seen.contains(&name), "{sent:?}: {name:?} twice");
        assert!(
            parse(query.as_bytes()).any(|asked| asked == (name.clone(), value.clone())),
            "{query:?} became {sent:?}: nobody asked for this {name:?}"
        );
        seen.push(name);
    }
    for (name, value) in parse(query.as_bytes()) {
        // Bytes that are not UTF-8 are read as longer than they are, so what fits here fits there.
        if value.len() <= LONGEST && fits(&name, &value) {
            assert!(
                seen.contains(&name),
                "{query:?} became {sent:?}: {name:?} is lost"
            );
        }
    }
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"$-._~%=&".contains(&byte);
    assert!(sent.bytes().all(plain), "{sent:?}");
    assert!(
        sent.len() <= LIST.query.len() * (3 * LONGEST + 16),
        "{} bytes",
        sent.len()
    );
    let again = allowed_query(&LIST, &sent).unwrap_or_default();
    assert_eq!(again, sent, "a second look sees something else");
}

fn fits(name: &str, value: &str) -> bool {
    LIST.query
        .iter()
        .find(|parameter| parameter.name == name)
        .is_some_and(|parameter| parameter.values.is_empty() || parameter.values.contains(&value))
}
