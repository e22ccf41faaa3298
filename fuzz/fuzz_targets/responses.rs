//! See `crs_fuzz::converters::responses`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| crs_fuzz::converters::responses(data));
