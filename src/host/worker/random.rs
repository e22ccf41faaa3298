//! Random bytes from Web Crypto.

use crate::port::random::Random;

pub(super) struct EdgeRandom;

impl Random for EdgeRandom {
    fn fill(&self, bytes: &mut [u8]) {
        if getrandom::getrandom(bytes).is_err() {
            // Abort the request, because its secrets would be predictable.
            worker::wasm_bindgen::throw_str("there is no randomness");
        }
    }
}
