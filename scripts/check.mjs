// What is checked without running the code: format, lints, documentation, dependencies, types.
import { spawnSync } from "node:child_process";

import { run, runIfProgram } from "./command.mjs";
import { installCargoTools, setup } from "./setup.mjs";
import { cargoDeny, projectDir, toolEnvironment } from "./toolchain.mjs";

const CRATES = "advisories about crates";
const PACKAGES = "advisories about npm packages";
const WASM = ["--target", "wasm32-unknown-unknown"];
const CLIPPY = ["cargo", "clippy", "--locked", "--workspace"];
const DOC = ["cargo", "doc", "--locked", "--no-deps", "--workspace"];
const DENY = [cargoDeny.program, "check", "--hide-inclusion-graph"];
const DENY_WARNINGS = ["--", "-D", "warnings"];

/** @type {Record<string, string[]>} */
const STEPS = {
  format: ["cargo", "fmt", "--all", "--check"],
  "lints, host": [...CLIPPY, "--all-targets", ...DENY_WARNINGS],
  "lints, wasm32": [...CLIPPY, ...WASM, ...DENY_WARNINGS],
  "lints, wasm32 with conformance routes": [...CLIPPY, ...WASM, "--features", "stillstore/conformance", ...DENY_WARNINGS],
  "fuzz targets": ["cargo", "check", "--locked", "--manifest-path", "fuzz/Cargo.toml", "--target-dir", "target/fuzz"],
  "documentation, host": DOC,
  "documentation, wasm32": [...DOC, ...WASM],
  "licenses, bans and sources of crates": [...DENY, "licenses", "bans", "sources"],
  "arrows between modules": ["node", "scripts/arrows.mjs"],
  "types of scripts, tests, bench, chaos and load": ["tsc"],
  "types of the bench's contenders": ["tsc", "--project", "bench/contenders"],
  "types of the console": ["tsc", "--project", "console"],
  "types of the Worker's JavaScript": ["tsc", "--project", "src/platform/js"],
  "types of test code inside workerd": ["tsc", "--project", "tests/workerd/harness/runtime"],
};

const env = { ...toolEnvironment(), RUSTDOCFLAGS: "-D warnings" };

/** @param {string[]} command */
function runStep([program = "", ...args]) {
  return run(program, args, { cwd: projectDir, env });
}

/**
 * Needs the advisory database from the network; a machine without it can check all the rest.
 * @param {string[]} unchecked gets the name of what could not be looked up
 */
async function checkCrates(unchecked) {
  if ((await runStep([cargoDeny.program, "fetch", "db"])) !== 0) {
    unchecked.push(CRATES);
    return 0;
  }
  return runStep([cargoDeny.program, "check", "--disable-fetch", "advisories"]);
}

/**
 * npm answers with what it knows as JSON, or with an error that has no such counts.
 * @param {string[]} unchecked
 */
async function checkPackages(unchecked) {
  const { status, stdout } = spawnSync("npm", ["audit", "--json", "--audit=true"], { cwd: projectDir, env, encoding: "utf8" });
  const counts = vulnerabilitiesOf(stdout ?? "");
  if (counts === undefined) {
    unchecked.push(PACKAGES);
    return 0;
  }
  if (status !== 0) console.log(`npm audit: ${JSON.stringify(counts)}; \`npm audit\` names them.`);
  return status ?? 1;
}

/** @param {string} json */
function vulnerabilitiesOf(json) {
  try {
    return JSON.parse(json).metadata?.vulnerabilities;
  } catch {
    return undefined;
  }
}

/**
 * @param {string[]} failed
 * @param {string[]} unchecked what could not be looked up
 * @param {boolean} isRequired whether that is a failure
 */
export function conclusion(failed, unchecked, isRequired) {
  const all = isRequired ? [...failed, ...unchecked] : failed;
  const lines = [""];
  if (unchecked.length > 0) {
    const frame = "!".repeat(100);
    lines.push(frame, `NOT CHECKED, since their databases could not be reached: ${unchecked.join("; ")}.`);
    lines.push("Known vulnerabilities may be among the dependencies. ADVISORIES=required makes this a failure.", frame, "");
  }
  lines.push(all.length > 0 ? `Failed: ${all.join("; ")}` : `Every ${unchecked.length > 0 ? "other " : ""}check passed.`);
  return { words: lines.join("\n"), code: all.length > 0 ? 1 : 0 };
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
  /** @type {string[]} */
  const unchecked = [];
  await check(CRATES, () => checkCrates(unchecked));
  await check(PACKAGES, () => checkPackages(unchecked));
  const { words, code } = conclusion(failed, unchecked, process.env.ADVISORIES === "required");
  console.log(words);
  return code;
});
