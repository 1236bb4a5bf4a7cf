//! Prints how long the built-in provider takes, and how many bytes it makes: `cargo bench --bench placeholder`.

#![allow(clippy::disallowed_methods, clippy::expect_used)]

use std::time::{Duration, Instant};

use stillstore::generate::{GenerateRequest, Prompt, Size, placeholder};

const PICTURES: u32 = 40;

fn main() {
    let largest = Size::parse("3840x2160").expect("a size");
    for size in [Size::Square256, Size::Square512, Size::Square1024, Size::Landscape1792, largest] {
        let mut total = Duration::ZERO;
        let mut total_bytes = 0;
        let mut max_bytes = 0;
        for index in 0..PICTURES {
            let prompt = Prompt::parse(&format!("prompt number {index}")).expect("a valid prompt");
            let start = Instant::now();
            let file = placeholder::draw(&GenerateRequest { size, ..GenerateRequest::new(prompt) }).expect("drawn");
            total += start.elapsed();
            total_bytes += file.len();
            max_bytes = max_bytes.max(file.len());
        }
        println!(
            "placeholder {:>9}: {:>5.1} ms, {:>6} bytes on average, {max_bytes:>6} at most",
            size.text(),
            total.as_secs_f64() * 1000.0 / f64::from(PICTURES),
            total_bytes / PICTURES as usize,
        );
    }
}
