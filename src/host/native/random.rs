//! The operating system's randomness, stretched by a generator of this thread.

use rand::RngCore as _;

use crate::port::random::Random;

pub struct NativeRandom;

impl Random for NativeRandom {
    fn fill(&self, bytes: &mut [u8]) {
        rand::rng().fill_bytes(bytes);
    }
}
