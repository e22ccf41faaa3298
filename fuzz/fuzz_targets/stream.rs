//! See `crs_fuzz::stream`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| crs_fuzz::stream::check(data));
