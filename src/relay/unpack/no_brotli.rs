//! `br` on the edge: the runtime decompresses it before we see it. Our own decoder would only help with doubly
//! compressed answers, and its dictionary would be a tenth of the Worker's size.

use super::Decode;

pub(super) fn decoder() -> Result<Box<dyn Decode>, String> {
    Err(
        "the provider packed its answer in a way that a Worker cannot open (br within another coding)"
            .to_owned(),
    )
}
