//! A text that passes as a model's name stays in its place in a path, and a canonical name is its own.

#![no_main]

use crs_edge::model::name::{ModelName, canonical};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let once = canonical(text);
    assert_eq!(canonical(&once), once);
    if let Ok(name) = ModelName::parse(text) {
        assert!(!name.contains(['%', '?', '#', '\\', ' ']));
        assert!(name.split('/').all(|part| !part.is_empty() && part != "." && part != ".."));
        assert_eq!(name.canonical(), once);
    }
});
