// Builds the Worker with worker-build. wrangler runs this as its build command, so it skips when nothing changed.
//   node scripts/build.mjs                     the Worker, into build/, and the console, into console/site/
//   node scripts/build.mjs --conformance       with the conformance routes, into build-conformance/; never deployed
//   node scripts/build.mjs --max-gzip-kb 1500  fails when the bundle is larger (1 KB = 1,000 bytes)
import { createHash } from "node:crypto";
import { copyFileSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join, relative, resolve } from "node:path";
import { parseArgs } from "node:util";
import { gzipSync } from "node:zlib";

import { Failure, outputOf, run, runIfProgram, runWithProgress } from "./command.mjs";
import { buildConsole } from "./build/console.mjs";
import { setup } from "./setup.mjs";
import { projectDir, toolEnvironment, workerBuild } from "./toolchain.mjs";

const BUNDLE_FILES = ["index.js", "index_bg.wasm"];

/** The module that decodes and encodes, for variants. */
const CODECS_FILE = "codecs.wasm";
/** What it may weigh, gzipped, in KB of 1,000 bytes. It counts apart: only the first variant of an isolate pays for it. */
const CODECS_MAX_GZIP_KB = 300;

/** The Worker's main module, which imports what worker-build made as `worker-build`. */
const ENTRY_FILE = "src/platform/js/entry.js";

/** Inputs cargo does not report: manifests, and the lock file that pins wasm-opt and esbuild. */
const MANIFESTS = [
  ".cargo/config.toml", "Cargo.toml", "codecs/Cargo.toml", "codecs/build.rs", "Cargo.lock", "rust-toolchain.toml",
  "package-lock.json", "scripts/build.mjs", ENTRY_FILE,
];

/** What wasm-opt must understand: the features of Rust's wasm32-unknown-unknown, ours, and wasm-bindgen's catch wrappers. */
const WASM_FEATURES = [
  "mutable-globals",
  "sign-ext",
  "nontrapping-float-to-int",
  "bulk-memory",
  "multivalue",
  "reference-types",
  "simd",
  "exception-handling",
].map((feature) => `--enable-${feature}`);

/** @typedef {{ outDir: string, cargoArgs: string[] }} Variant */

/** @type {Record<"release" | "conformance", Variant>} */
export const VARIANTS = {
  release: { outDir: "build", cargoArgs: [] },
  conformance: { outDir: "build-conformance", cargoArgs: ["--features", "conformance"] },
};

/**
 * Builds one variant unless its output is current, and prints the bundle's size.
 * @param {Variant} variant
 * @param {{ maxGzipKb?: number }} [limits]
 */
export async function build(variant, { maxGzipKb } = {}) {
  await buildConsole();
  const outDir = join(projectDir, variant.outDir);
  const stampFile = join(outDir, "inputs.json");
  if (!isCurrent(variant, outDir, stampFile)) {
    rmSync(stampFile, { force: true });
    await compile(variant);
    const args = ["--release", "--out-dir", variant.outDir, ...variant.cargoArgs];
    // Hands what `fetch` returns to `waitUntil`, too.
    const env = { ...toolEnvironment(), RUN_TO_COMPLETION: "1" };
    await runWithProgress(`Packing the Worker into ${variant.outDir}/`, workerBuild.program, args, { cwd: projectDir, env });
    await wrap(variant.outDir);
    await stripNames(join(outDir, "index_bg.wasm"));
    await buildCodecs(join(outDir, CODECS_FILE));
    writeFileSync(stampFile, JSON.stringify(stamp(variant, cargoInputs()), null, 2));
  }
  checkSize(variant, outDir, maxGzipKb);
}

/**
 * Compiles one variant, as worker-build then finds it done.
 * @param {Variant} variant
 */
export async function compile(variant) {
  await runWithProgress(
    "Compiling the Worker",
    "cargo",
    ["build", "--locked", "--release", "--lib", "--target", "wasm32-unknown-unknown", ...variant.cargoArgs],
    { cwd: projectDir, env: toolEnvironment(), step: /^\s*(Compiling \S+|Downloading .*)/ },
  );
}

/**
 * Compiles the codecs, once for both variants.
 * @param {string} file where to put them
 */
async function buildCodecs(file) {
  await runWithProgress(
    "Compiling the codecs",
    "cargo",
    ["build", "--locked", "--profile", "codecs", "--package", "stillstore-codecs", "--target", "wasm32-unknown-unknown"],
    { cwd: projectDir, env: toolEnvironment(), step: /^\s*(Compiling \S+|Downloading .*)/ },
  );
  copyFileSync(join(wasmDir("codecs"), "stillstore_codecs.wasm"), file);
}

/**
 * Where cargo puts what it compiles for wasm.
 * @param {string} profile
 */
function wasmDir(profile) {
  const metadata = outputOf("cargo", ["metadata", "--no-deps", "--format-version", "1"], {
    cwd: projectDir,
    env: toolEnvironment(),
  });
  if (metadata === undefined) throw new Failure("`cargo metadata` failed.");
  return join(JSON.parse(metadata).target_directory, "wasm32-unknown-unknown", profile);
}

/**
 * Puts the Worker's own main module around the class that worker-build made.
 * @param {string} outDir relative to the project
 */
async function wrap(outDir) {
  const { ESBUILD_BIN = "esbuild" } = toolEnvironment();
  const made = `./${outDir}/index.js`;
  const options = ["--bundle", "--minify", "--format=esm", "--external:*.wasm", "--external:cloudflare:*", "--log-level=warning"];
  const args = [ENTRY_FILE, ...options, `--alias:worker-build=${made}`, `--outfile=${made}`, "--allow-overwrite"];
  const code = await run(ESBUILD_BIN, args, { cwd: projectDir });
  if (code !== 0) throw new Failure(`${made} was not wrapped (exit code ${code}).`);
}

/**
 * Removes the functions' names, a tenth of the bundle, which worker-build keeps. A panic says its place in the source all the same.
 * @param {string} file
 */
export async function stripNames(file) {
  const { WASM_OPT_BIN = "wasm-opt" } = toolEnvironment();
  const code = await run(WASM_OPT_BIN, ["--strip-debug", ...WASM_FEATURES, file, "-o", file], { cwd: projectDir });
  if (code !== 0) throw new Failure(`${file} was not stripped (exit code ${code}).`);
}

/**
 * @param {Variant} variant
 * @param {string} outDir
 * @param {string} stampFile
 */
function isCurrent(variant, outDir, stampFile) {
  const previous = readIfPresent(stampFile);
  if (previous === undefined) return false;
  if ([...BUNDLE_FILES, CODECS_FILE].some((file) => readIfPresent(join(outDir, file)) === undefined)) return false;
  const { inputs } = JSON.parse(previous.toString());
  return JSON.stringify(stamp(variant, Object.keys(inputs)), null, 2) === previous.toString();
}

/**
 * What the output depends on: the build's arguments and the content of every file it reads.
 * @param {Variant} variant
 * @param {string[]} inputFiles relative to the project
 */
function stamp(variant, inputFiles) {
  /** @type {Record<string, string | null>} */
  const inputs = {};
  for (const file of inputFiles) {
    const content = readIfPresent(join(projectDir, file));
    inputs[file] = content === undefined ? null : createHash("sha256").update(content).digest("hex");
  }
  return { cargoArgs: variant.cargoArgs, rustFlags: process.env.RUSTFLAGS ?? "", inputs };
}

/** The files the last build read, as cargo reports them: modules, `include_str!` files, and JavaScript snippets. */
function cargoInputs() {
  const worker = inputsOf(join(wasmDir("release"), "libstillstore.d"));
  const codecs = inputsOf(join(wasmDir("codecs"), "stillstore_codecs.d"));
  return [...new Set([...MANIFESTS, ...worker, ...codecs])];
}

/**
 * What a file of make rules names as inputs.
 * @param {string} file one rule per line, `output: input input`, with spaces inside a path escaped
 */
function inputsOf(file) {
  const depInfo = readFileSync(file, "utf8");
  const rule = depInfo.slice(depInfo.indexOf(": ") + 2).split("\n", 1)[0] ?? "";
  return rule.split(/(?<!\\) /).map((path) => relative(projectDir, resolve(path.replaceAll("\\ ", " "))));
}

/**
 * @param {Variant} variant
 * @param {string} outDir
 * @param {number} [maxGzipKb]
 */
function checkSize(variant, outDir, maxGzipKb) {
  const codecsBytes = gzipSync(readFileSync(join(outDir, CODECS_FILE))).byteLength;
  if (codecsBytes > CODECS_MAX_GZIP_KB * 1_000) {
    throw new Failure(`The codecs are ${codecsBytes} bytes gzipped, over their limit of ${CODECS_MAX_GZIP_KB} KB.`);
  }
  // wrangler reports and Cloudflare limits the modules compressed together.
  const bundle = Buffer.concat(BUNDLE_FILES.map((file) => readFileSync(join(outDir, file))));
  const gzipBytes = gzipSync(bundle).byteLength;
  const kb = (/** @type {number} */ bytes) => (bytes / 1_000).toFixed(1);
  const limit = maxGzipKb === undefined ? "" : `, limit ${maxGzipKb} KB gzipped`;
  console.log(`${variant.outDir}/: ${kb(bundle.byteLength)} KB, ${kb(gzipBytes)} KB gzipped${limit}; codecs ${kb(codecsBytes)} KB gzipped`);
  if (maxGzipKb !== undefined && gzipBytes > maxGzipKb * 1_000) {
    throw new Failure(
      `The bundle in ${variant.outDir}/ is ${kb(gzipBytes)} KB gzipped, over the limit of ${maxGzipKb} KB.\n` +
        "Look at what the last added crate weighs, or turn off features of it that are not used.",
    );
  }
}

/** @param {string} path */
function readIfPresent(path) {
  try {
    return readFileSync(path);
  } catch {
    return undefined;
  }
}

await runIfProgram(import.meta.url, async (args) => {
  const { values } = parseArgs({
    args,
    options: { conformance: { type: "boolean", default: false }, "max-gzip-kb": { type: "string" } },
  });
  const maxGzipKb = values["max-gzip-kb"] === undefined ? undefined : Number(values["max-gzip-kb"]);
  if (Number.isNaN(maxGzipKb)) throw new Failure("--max-gzip-kb wants a number.");
  await setup();
  await build(values.conformance ? VARIANTS.conformance : VARIANTS.release, { maxGzipKb });
});
