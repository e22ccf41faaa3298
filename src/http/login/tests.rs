//! What is told of the brake agrees with what it does.

use crate::store::guesses::rules::{
    FIRST_WAIT, FREE, LONGEST_WAIT, LONGEST_WAIT_OF_KNOWN, OF_ALL_STRANGERS, PER_SITE, WINDOW,
};

/// Any run of white space as one blank.
fn words(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn the_description_has_the_numbers_of_the_code() {
    let document: serde_json::Value =
        serde_json::from_slice(include_bytes!("../../../assets/openapi.json")).unwrap();
    let told = words(
        document["paths"]["/web/auth/login"]["post"]["description"]
            .as_str()
            .unwrap(),
    );
    let minutes = |ms: u64| ms / 60_000;
    for says in [
        format!("An address has {FREE} free attempts."),
        format!("After that it must wait {} seconds", FIRST_WAIT / 1000),
        format!(
            "up to {} minutes ({} minute for an address with an earlier login)",
            minutes(LONGEST_WAIT),
            minutes(LONGEST_WAIT_OF_KNOWN)
        ),
        format!(
            "have {OF_ALL_STRANGERS} attempts in {} minutes all together, and {PER_SITE} from one network",
            minutes(WINDOW)
        ),
    ] {
        assert!(told.contains(&says), "{says}\n{told}");
    }
}
