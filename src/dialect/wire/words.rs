//! Reads the message of an error that does not follow its provider's protocol.

use super::object::Object;
use super::text::Text;

/// Maximum length of a provider's message inside an error of another protocol, bytes.
const MOST: usize = 2_000;

/// Members that may contain a message, the most specific first: used by gateways, proxies and OAuth (RFC 6749
/// §5.2).
const MEMBERS: [&str; 5] = ["message", "error_description", "detail", "error", "title"];

/// The message of an error object, shortened. `None` if there is none.
pub(crate) fn of(body: &[u8]) -> Option<String> {
    let outer = Object::parse(body).ok()?;
    let inner: Option<Object<'_>> = outer.get("error");
    [inner, Some(outer)].into_iter().flatten().find_map(|object| {
        MEMBERS.iter().find_map(|member| {
            let text: Text<'_> = object.get(member)?;
            let said = text.trim();
            let end = said.floor_char_boundary(MOST);
            (!said.is_empty()).then(|| said.get(..end).unwrap_or_default().to_owned())
        })
    })
}

#[cfg(test)]
mod tests {
    use super::of;

    #[test]
    fn a_message_is_found_wherever_it_stands() {
        for (body, said) in [
            (r#"{"message":"a"}"#, Some("a")),
            (r#"{"error":"a"}"#, Some("a")),
            (r#"{"error":"x","error_description":"a"}"#, Some("a")),
            (r#"{"error":{"detail":"a"}}"#, Some("a")),
            (r#"{"detail":"a","status":403}"#, Some("a")),
            (r#"{"error":{"message":" "},"title":"a"}"#, Some("a")),
            (r#"{"message":5}"#, None),
            ("{}", None),
            ("[]", None),
            ("a", None),
        ] {
            assert_eq!(of(body.as_bytes()).as_deref(), said, "{body}");
        }
        let long = format!(r#"{{"message":"{}"}}"#, "ä".repeat(3_000));
        assert!(of(long.as_bytes()).is_some_and(|said| said.len() <= super::MOST));
    }
}
