//! Web Crypto's randomness.

use crate::port::random::Random;

pub(super) struct EdgeRandom;

impl Random for EdgeRandom {
    fn fill(&self, bytes: &mut [u8]) {
        if getrandom::getrandom(bytes).is_err() {
            // Better no request than one with a secret that can be guessed.
            worker::wasm_bindgen::throw_str("there is no randomness");
        }
    }
}
