//! For the tests of request conversions: the expected outcome.

use std::fmt::Display;

use crate::dialect::wire::FieldRefusal;

/// The expected outcome for one kind of content: the sent body contains this text, or (`None`) the request is
/// refused.
pub(super) type Fate = Option<&'static str>;

#[track_caller]
pub(super) fn refusal(outcome: Result<Vec<u8>, FieldRefusal>) -> String {
    match outcome {
        Ok(sent) => panic!("was converted: {}", String::from_utf8_lossy(&sent)),
        Err(refused) => refused.message,
    }
}

/// Checks the outcome for the kind `name`, which stands at `place` in the request.
#[track_caller]
pub(super) fn holds(name: &dyn Display, outcome: Result<Vec<u8>, FieldRefusal>, place: &str, fate: Fate) {
    match (outcome, fate) {
        (Ok(sent), Some(mark)) => {
            let sent = String::from_utf8(sent).unwrap();
            assert!(sent.contains(mark), "{name} left no `{mark}` in {sent}");
        }
        (Err(refused), None) => assert!(refused.message.starts_with(place), "{name}: {refused}"),
        (Ok(sent), None) => panic!("{name} became {}", String::from_utf8_lossy(&sent)),
        (Err(refused), Some(_)) => panic!("{name} is refused: {refused}"),
    }
}
