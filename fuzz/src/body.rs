//! The walker over request bodies: what a JSON parser takes for an object it takes, too; it finds the same values;
//! and an edit changes one of them and nothing else. Its readers take anything.

use std::collections::BTreeMap;

use crs_edge::tested::{
    Edit, Endpoint, Field, HostedTools, Malformed, Surface, beginning, elements, mended, patch, referred_to,
    scan,
};
use serde_json::Value;
use serde_json::value::RawValue;

/// Some of the fields, by the names that protocols have for them. Stated anew here.
const FIELDS: [(&str, Field); 14] = [
    ("model", Field::Model),
    ("stream", Field::Stream),
    ("max_tokens", Field::MaxTokens),
    ("metadata", Field::Metadata),
    ("project", Field::Project),
    ("request", Field::Request),
    ("system", Field::System),
    ("messages", Field::Messages),
    ("input", Field::Input),
    ("contents", Field::Contents),
    ("tools", Field::Tools),
    ("previous_response_id", Field::PreviousResponseId),
    ("store", Field::Store),
    ("encrypted_content", Field::EncryptedContent),
];

const ENDPOINTS: [Endpoint; 5] = [
    Endpoint::Messages,
    Endpoint::Responses,
    Endpoint::ChatCompletions,
    Endpoint::Generate(Surface::V1Beta),
    Endpoint::Generate(Surface::Internal),
];

/// Takes the bytes for a body.
pub fn check(data: &[u8]) {
    let is_object = serde_json::from_slice::<Value>(data).is_ok_and(|value| value.is_object());
    let walked = scan(data);
    let mended = mended(data);
    // Only halves of characters are mended, and a parser refuses those.
    assert!(!is_object || *mended == *data, "JSON is changed");
    assert!(mended.len() <= 2 * data.len(), "mended text grows");
    for array in [data, &mended] {
        let _ = elements(array);
        let _ = beginning(array, |element| element.first() == Some(&b'{'));
        let _ = HostedTools::read(array);
    }

    let fields = match walked {
        Ok(fields) => fields,
        Err(Malformed::Twice { .. }) => return,
        Err(error) => {
            assert!(!is_object, "a parser takes it: {error}");
            return;
        }
    };
    for endpoint in ENDPOINTS {
        let _ = referred_to(endpoint, &fields, data);
    }
    if !is_object {
        return;
    }
    let parsed: BTreeMap<String, &RawValue> = serde_json::from_slice(data).expect("an object");
    for (name, field) in FIELDS {
        let expected = parsed.get(name).map(|value| value.get().as_bytes());
        assert_eq!(fields.raw(field, data), expected, "{name}");
    }
    let Some(span) = fields.span(Field::Model) else {
        return;
    };
    let patched = patch(
        &data.to_vec().into(),
        vec![Edit::text(span, "an \"other\"\n模型")],
    );
    let mut after: BTreeMap<String, &RawValue> = serde_json::from_slice(&patched).expect("JSON");
    let model: String =
        serde_json::from_str(after.remove("model").expect("a model").get()).expect("a string");
    assert_eq!(model, "an \"other\"\n模型");
    let mut before = parsed;
    before.remove("model");
    assert!(
        before
            .iter()
            .map(|(name, value)| (name, value.get()))
            .eq(after.iter().map(|(name, value)| (name, value.get()))),
        "an edit changes something else"
    );
}
