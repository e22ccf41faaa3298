//! See `crs_fuzz::key`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| crs_fuzz::key::check(data));
