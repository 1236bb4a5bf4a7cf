//! Bounds what the module may take of an isolate's memory: what would take more traps, and the Worker throws the instance away.

/// 80 MiB: what `src/variants/memory.rs` of the Worker gives out at most, with what the module takes at rest.
const MAX_MEMORY_BYTES: u32 = 80 * 1024 * 1024;

fn main() {
    if std::env::var("CARGO_CFG_TARGET_ARCH").is_ok_and(|arch| arch == "wasm32") {
        println!("cargo::rustc-cdylib-link-arg=--max-memory={MAX_MEMORY_BYTES}");
    }
    println!("cargo::rerun-if-changed=build.rs");
}
