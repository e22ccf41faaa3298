//! Names of models: what is accepted stays in its place in a path and is the same name afterwards, and a
//! canonical name is its own.

use crs_edge::tested::{ModelName, canonical, same, spellings};
use url::Url;

/// The longest name, bytes. Stated anew here, so that the code's own bound cannot grow unseen.
const LONGEST: usize = 200;

/// Takes the bytes for a name.
pub fn check(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    // Restrictions compare any text that stands where a model is named, accepted or not.
    let once = canonical(text);
    assert_eq!(canonical(&once), once, "{text:?}");
    assert!(same(text, &once), "{text:?} is not {once:?}");
    assert!(
        spellings(text).len() <= text.len() + 3,
        "{text:?} has more dressings than bytes"
    );

    let Ok(name) = ModelName::parse(text) else {
        return;
    };
    assert_eq!(name.as_str(), text);
    assert_eq!(name.canonical(), once, "{text:?}");
    assert!(text.len() <= LONGEST, "{} bytes", text.len());
    let plain = text.strip_suffix("[1m]").unwrap_or(text);
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:@/".contains(&byte);
    assert!(plain.bytes().all(allowed), "{text:?}");
    for segment in plain.split('/') {
        assert!(segment.bytes().any(|byte| byte != b'.'), "{text:?}");
    }
    // In the path of a URL it stays what it is.
    let url = format!("https://host.example/v1/models/{text}");
    let read = Url::parse(&url).expect("a URL");
    assert_eq!(read.host_str(), Some("host.example"), "{text:?}");
    assert_eq!(read.path(), format!("/v1/models/{text}"), "{text:?}");
    assert_eq!((read.query(), read.fragment()), (None, None), "{text:?}");
}
