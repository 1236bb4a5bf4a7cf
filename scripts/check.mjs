// What is checked without running the code: format, lints, documentation, dependencies, types.
import { run, runIfProgram } from "./command.mjs";
import { installCargoTools, setup } from "./setup.mjs";
import { cargoDeny, projectDir, toolEnvironment } from "./toolchain.mjs";

const WASM = ["--target", "wasm32-unknown-unknown"];
const CLIPPY = ["cargo", "clippy", "--locked"];
const DOC = ["cargo", "doc", "--locked", "--no-deps"];
const DENY = [cargoDeny.program, "check", "--hide-inclusion-graph"];
const DENY_WARNINGS = ["--", "-D", "warnings"];

/** @type {Record<string, string[]>} */
const STEPS = {
  format: ["cargo", "fmt", "--check"],
  "lints, host": [...CLIPPY, "--all-targets", ...DENY_WARNINGS],
  "lints, wasm32": [...CLIPPY, ...WASM, ...DENY_WARNINGS],
  "lints, wasm32 with conformance routes": [...CLIPPY, ...WASM, "--features", "conformance", ...DENY_WARNINGS],
  "fuzz targets": ["cargo", "check", "--locked", "--manifest-path", "fuzz/Cargo.toml", "--target-dir", "target/fuzz"],
  "documentation, host": DOC,
  "documentation, wasm32": [...DOC, ...WASM],
  "licenses, bans and sources of crates": [...DENY, "licenses", "bans", "sources"],
  "arrows between modules": ["node", "scripts/arrows.mjs"],
  "types of scripts, tests, bench, chaos and load": ["tsc"],
  "types of the bench's contenders": ["tsc", "--project", "bench/contenders"],
  "types of the Worker's JavaScript": ["tsc", "--project", "src/platform/js"],
  "types of test code inside workerd": ["tsc", "--project", "tests/workerd/harness/runtime"],
};

const env = { ...toolEnvironment(), RUSTDOCFLAGS: "-D warnings" };

/** @param {string[]} command */
function runStep([program = "", ...args]) {
  return run(program, args, { cwd: projectDir, env });
}

/** Needs the advisory database from the network; a machine without it can check all the rest. */
async function checkAdvisories() {
  if ((await runStep([cargoDeny.program, "fetch", "db"])) !== 0) {
    console.log("The advisory database could not be fetched: known vulnerabilities of crates are NOT checked.");
    return 0;
  }
  return runStep([cargoDeny.program, "check", "--disable-fetch", "advisories"]);
}

await runIfProgram(import.meta.url, async () => {
  await setup();
  await installCargoTools([cargoDeny]);
  /** @type {string[]} */
  const failed = [];
  /** @param {string} name @param {() => Promise<number>} step */
  const check = async (name, step) => {
    console.log(`\n== ${name}`);
    if ((await step()) !== 0) failed.push(name);
  };
  for (const [name, command] of Object.entries(STEPS)) await check(name, () => runStep(command));
  await check("advisories about crates", checkAdvisories);
  console.log(failed.length === 0 ? "\nEvery check passed." : `\nFailed: ${failed.join("; ")}`);
  return failed.length === 0 ? 0 : 1;
});
