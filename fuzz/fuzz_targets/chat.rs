//! See `crs_fuzz::converters::chat`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| crs_fuzz::converters::chat(data));
