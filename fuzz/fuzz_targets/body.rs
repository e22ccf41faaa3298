//! See `crs_fuzz::body`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| crs_fuzz::body::check(data));
