//! See `crs_fuzz::address`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| crs_fuzz::address::check(data));
