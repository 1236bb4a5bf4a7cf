//! Bounds what the module may take of an isolate's memory: what would take more traps, and the Worker throws the instance away.

/// 96 MiB: what the Worker's budget gives out for a variant at most, 95 MiB, in whole pages of the allocator.
const MAX_MEMORY_BYTES: u32 = 96 * 1024 * 1024;

fn main() {
    if std::env::var("CARGO_CFG_TARGET_ARCH").is_ok_and(|arch| arch == "wasm32") {
        println!("cargo::rustc-cdylib-link-arg=--max-memory={MAX_MEMORY_BYTES}");
    }
    println!("cargo::rerun-if-changed=build.rs");
}
