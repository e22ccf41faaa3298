//! `br` on the edge: the runtime opens it before we see it. A decoder of our own would be there for answers that
//! are packed twice only, and its dictionary is a tenth of the Worker.

use super::Decode;

pub(super) fn decoder() -> Result<Box<dyn Decode>, String> {
    Err(
        "the provider packed its answer in a way that a Worker cannot open (br within another coding)"
            .to_owned(),
    )
}
