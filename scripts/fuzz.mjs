// Searches for inputs that break a property of tests/native/fuzz_properties; docs/fuzzing.md.
//   npm run fuzz                              every target, a minute each
//   npm run fuzz -- route --seconds 600       one target
import { spawn } from "node:child_process";
import { mkdirSync, readdirSync } from "node:fs";
import { delimiter, dirname, join } from "node:path";
import { parseArgs } from "node:util";

import { Failure, outputOf, run, runIfProgram, runWithProgress } from "./command.mjs";
import { installCargoTools } from "./setup.mjs";
import { cargoFuzz, projectDir, toolEnvironment } from "./toolchain.mjs";

const TOOLCHAIN = "nightly";
const DEFAULT_SECONDS = 60;
/** An input of a few KB that takes longer is a finding, also on a slow and busy machine. */
const INPUT_TIMEOUT_SECONDS = 20;
/** Answers and headers are longer only where the length is what is wrong with them, which tests check. */
const MAX_INPUT_BYTES = 4096;

const fuzzDir = join(projectDir, "fuzz");
const env = {
  ...toolEnvironment(),
  RUSTUP_TOOLCHAIN: TOOLCHAIN,
  PATH: [dirname(cargoFuzz.program), toolEnvironment().PATH].join(delimiter),
};

/** Real images, which need not be in the corpus a second time. */
const FIXTURES = [join(projectDir, "tests", "fixtures", "images")];
const SEEDS_ELSEWHERE = new Map([["image_format", FIXTURES], ["codecs", FIXTURES]]);

/**
 * What libFuzzer's last lines say.
 * @typedef {{ target: string, executions: string, coverage: string, features: string, inputs: string, failed: boolean }} Outcome
 */

async function install() {
  const options = { cwd: projectDir, env: toolEnvironment() };
  if (outputOf("rustup", ["--version"], options) === undefined) {
    throw new Failure("Fuzzing needs a nightly compiler, and there is no rustup to get one. Install it from https://rustup.rs.");
  }
  if (outputOf("rustup", ["run", TOOLCHAIN, "rustc", "--version"], options) === undefined) {
    const args = ["toolchain", "install", TOOLCHAIN, "--profile", "minimal"];
    await runWithProgress(`Installing Rust ${TOOLCHAIN}`, "rustup", args, options);
  }
  await installCargoTools([cargoFuzz]);
}

/**
 * @param {string} target
 * @param {number} seconds
 * @returns {Promise<Outcome>}
 */
async function fuzz(target, seconds) {
  // What is found on the way goes into the first directory, which git ignores; the seeds stay as they are.
  const grownDir = join(fuzzDir, "grown", target);
  mkdirSync(grownDir, { recursive: true });
  const corpora = [grownDir, join(fuzzDir, "corpus", target), ...(SEEDS_ELSEWHERE.get(target) ?? [])];
  const limits = [`-max_total_time=${seconds}`, `-timeout=${INPUT_TIMEOUT_SECONDS}`, `-max_len=${MAX_INPUT_BYTES}`];
  const args = ["fuzz", "run", target, ...corpora, "--", ...limits, "-print_final_stats=1"];
  let output = "";
  const code = await new Promise((resolve, reject) => {
    const child = spawn("cargo", args, { cwd: projectDir, env, stdio: ["ignore", "inherit", "pipe"] });
    child.stderr.on("data", (/** @type {Buffer} */ chunk) => {
      process.stderr.write(chunk);
      output = (output + chunk).slice(-100_000);
    });
    child.on("error", reject);
    child.on("close", resolve);
  });
  /** @param {RegExp} pattern */
  const last = (pattern) => [...output.matchAll(pattern)].at(-1)?.[1] ?? "?";
  return {
    target,
    executions: last(/stat::number_of_executed_units:\s*(\d+)/g),
    coverage: last(/ cov: (\d+)/g),
    features: last(/ ft: (\d+)/g),
    inputs: last(/ corp: (\d+)/g),
    failed: code !== 0,
  };
}

/** @param {Outcome[]} outcomes */
function report(outcomes) {
  console.log("\n| target | executions | cov | ft | inputs | outcome |\n|---|--:|--:|--:|--:|---|");
  for (const { target, executions, coverage, features, inputs, failed } of outcomes) {
    const outcome = failed ? `FAILED, see fuzz/artifacts/${target}` : "held";
    console.log(`| \`${target}\` | ${executions} | ${coverage} | ${features} | ${inputs} | ${outcome} |`);
  }
}

await runIfProgram(import.meta.url, async (args) => {
  const { values, positionals } = parseArgs({ args, options: { seconds: { type: "string" } }, allowPositionals: true });
  const seconds = Number(values.seconds ?? DEFAULT_SECONDS);
  if (!Number.isInteger(seconds) || seconds < 1) throw new Failure("--seconds must be a whole number from 1.");
  const known = readdirSync(join(fuzzDir, "fuzz_targets")).map((file) => file.replace(/\.rs$/, ""));
  const unknown = positionals.find((target) => !known.includes(target));
  if (unknown !== undefined) throw new Failure(`There is no target ${unknown}; the targets are ${known.join(", ")}.`);
  await install();
  if ((await run("cargo", ["fuzz", "build"], { cwd: projectDir, env })) !== 0) return 1;
  /** @type {Outcome[]} */
  const outcomes = [];
  for (const target of positionals.length > 0 ? positionals : known) outcomes.push(await fuzz(target, seconds));
  report(outcomes);
  return outcomes.some(({ failed }) => failed) ? 1 : 0;
});
