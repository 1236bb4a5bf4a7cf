//! A bounded search for inputs that break a property of `fuzz_properties`: the seeds of `fuzz/corpus` as they are, then damaged.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::test_runner::TestRunner;

use crate::{PROJECT_DIR, fuzz_properties};

const CASES: u32 = 256;

fn directory(parts: &[&str]) -> PathBuf {
    parts.iter().fold(Path::new(PROJECT_DIR).to_path_buf(), |path, part| path.join(part))
}

fn files(directory: &Path) -> Vec<PathBuf> {
    fs::read_dir(directory).expect("a directory").map(|entry| entry.expect("an entry").path()).collect()
}

fn seeds(target: &str) -> Vec<Vec<u8>> {
    let mut paths = files(&directory(&["fuzz", "corpus", target]));
    if target == "image_format" || target == "codecs" {
        paths.extend(files(&directory(&["tests", "fixtures", "images"])));
    }
    paths.sort();
    paths.into_iter().map(|path| fs::read(path).expect("a seed")).collect()
}

/// Bytes that go in place of some others.
#[derive(Debug, Clone)]
struct Damage {
    from: Index,
    to: Index,
    bytes: Vec<u8>,
}

impl Damage {
    fn apply(&self, input: &mut Vec<u8>) {
        let [from, to] = [&self.from, &self.to].map(|index| index.index(input.len() + 1));
        input.splice(from.min(to)..from.max(to).min(from.min(to) + 8), self.bytes.iter().copied());
    }
}

/// Shown as text rather than as numbers.
#[derive(Clone)]
struct Input(Vec<u8>);

impl fmt::Debug for Input {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "b\"{}\"", self.0.escape_ascii())
    }
}

fn inputs(seeds: Vec<Vec<u8>>) -> impl Strategy<Value = Input> {
    let pieces = seeds.clone();
    let piece = (any::<Index>(), any::<Index>(), select(pieces)).prop_map(|(from, to, seed)| {
        let [from, to] = [from, to].map(|index| index.index(seed.len() + 1));
        seed[from.min(to)..from.max(to)].to_vec()
    });
    let bytes = prop_oneof![3 => vec(any::<u8>(), 0..4), 2 => vec(0x20..0x7F_u8, 0..4), 1 => piece];
    let damage = (any::<Index>(), any::<Index>(), bytes).prop_map(|(from, to, bytes)| Damage { from, to, bytes });
    (select(seeds), vec(damage, 1..5)).prop_map(|(mut input, damages)| {
        for damage in &damages {
            damage.apply(&mut input);
        }
        Input(input)
    })
}

fn check(target: &str, property: fn(&[u8])) {
    let seeds = seeds(target);
    property(b"");
    for seed in &seeds {
        property(seed);
    }
    // What breaks a property becomes a named test; proptest's own list of seeds would name nothing.
    let config = ProptestConfig { cases: CASES, failure_persistence: None, ..ProptestConfig::default() };
    let outcome = TestRunner::new(config).run(&inputs(seeds), |Input(input)| {
        property(&input);
        Ok(())
    });
    if let Err(failure) = outcome {
        panic!("{failure}");
    }
}

macro_rules! bounded {
    ($($target:ident,)+) => {
        const TARGETS: &[&str] = &[$(stringify!($target)),+];

        $(
            #[test]
            fn $target() {
                check(stringify!($target), fuzz_properties::$target);
            }
        )+
    };
}

bounded! {
    backup_lines,
    codecs,
    column_value,
    conditional_read,
    generate_body,
    image_format,
    image_query,
    migrate_body,
    migration_sources,
    multipart_form,
    object_key,
    openai_answer,
    outside_url,
    route,
    run_record,
    signed_url,
    text_encoding,
    workers_ai_answer,
}

#[test]
fn every_property_is_a_fuzz_target_with_seeds_and_a_paragraph() {
    let names = |directory: &Path| -> BTreeSet<String> {
        files(directory).iter().map(|path| path.file_stem().expect("a name").to_string_lossy().into_owned()).collect()
    };
    let targets: BTreeSet<_> = TARGETS.iter().map(|target| (*target).to_owned()).collect();
    assert_eq!(names(&directory(&["fuzz", "fuzz_targets"])), targets);
    assert_eq!(names(&directory(&["fuzz", "corpus"])), targets);
    let manifest = fs::read_to_string(directory(&["fuzz", "Cargo.toml"])).expect("a manifest");
    let documentation = fs::read_to_string(directory(&["docs", "fuzzing.md"])).expect("documentation");
    for target in targets {
        assert!(manifest.contains(&format!("name = \"{target}\"")), "{target} is in fuzz/Cargo.toml");
        assert!(documentation.contains(&format!("| `{target}` |")), "{target} is in docs/fuzzing.md");
    }
}
