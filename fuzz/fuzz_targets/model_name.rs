//! See `crs_fuzz::model_name`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| crs_fuzz::model_name::check(data));
