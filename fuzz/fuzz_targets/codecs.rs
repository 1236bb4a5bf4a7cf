#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| stillstore_fuzz::fuzz_properties::codecs(input));
