// Which tools the project uses, where they are, and the environment that lets programs find them.
import { existsSync, readFileSync } from "node:fs";
import { homedir } from "node:os";
import { delimiter, join } from "node:path";
import { fileURLToPath } from "node:url";

import { Failure, outputOf } from "./command.mjs";

export const projectDir = fileURLToPath(new URL("..", import.meta.url)).replace(/\/$/, "");
export const nodeModulesDir = join(projectDir, "node_modules");

/** Shared by every clone of this user, so that a second clone compiles no tools. */
export const cacheDir = join(process.env.XDG_CACHE_HOME || join(homedir(), ".cache"), "stillstore");

/**
 * The Rust that everything is built, linted and tested with. It is not in rust-toolchain.toml: with a version there, rustup does not take
 * the same version that was installed as `stable`, and a machine where it may not download could not build.
 */
export const RUST_VERSION = "1.95.0";

const lockedNode = join(nodeModulesDir, ".bin", "node");
/**
 * Node.js >= 22.12, which wrangler needs, whatever version runs this script: a locked package, or what runs this script where none of
 * them fits the platform.
 */
export const node22 = existsSync(lockedNode) || !isAtLeast(process.versions.node, [22, 12]) ? lockedNode : process.execPath;
/**
 * wrangler itself rather than its launcher, which would die of a signal before wrangler has stopped workerd.
 * Another one can be named by STILLSTORE_WRANGLER: one that is being debugged, or a stand-in.
 */
export const wranglerScript =
  process.env.STILLSTORE_WRANGLER || join(nodeModulesDir, "wrangler", "wrangler-dist", "cli.js");

/**
 * A program that `cargo install` makes, in a directory of its own so that a new version of one rebuilds only that.
 * @typedef {object} CargoTool
 * @property {string} crate
 * @property {string} version
 * @property {string} installDir where it is installed
 * @property {string} program the installed one, or one of this version on the PATH
 * @property {string[]} installArgs what of the crate is compiled, and how
 */

/** Compiles fast and runs slowly, which does not matter to a tool that runs for seconds. */
const QUICKLY = ["--profile", "dev"];

/** Both must equal the version of their library crate, so the lock file decides. */
export const workerBuild = cargoTool("worker-build", lockedVersion("worker"), "worker-build", [...QUICKLY, "--bin", "worker-build"]);
export const wasmBindgen = cargoTool("wasm-bindgen-cli", lockedVersion("wasm-bindgen"), "wasm-bindgen", [
  // The default features are for its test runner.
  ...QUICKLY, "--bin", "wasm-bindgen", "--no-default-features",
]);

export const cargoFuzz = cargoTool("cargo-fuzz", "0.13.2", "cargo-fuzz", QUICKLY);

export const oha = cargoTool("oha", "1.16.0", "oha", []);

export const cargoDeny = cargoTool("cargo-deny", "0.20.2", "cargo-deny", QUICKLY);

/**
 * The environment for every program this project starts.
 * @returns {NodeJS.ProcessEnv}
 */
export function toolEnvironment() {
  return {
    ...process.env,
    PATH: [join(nodeModulesDir, ".bin"), withCargo(systemPath())].join(delimiter),
    ...(needsRustupOverride() ? { RUSTUP_TOOLCHAIN: RUST_VERSION } : {}),
    // Without these three worker-build downloads its own copies.
    WASM_BINDGEN_BIN: wasmBindgen.program,
    WASM_OPT_BIN: join(nodeModulesDir, "binaryen", "bin", "wasm-opt"),
    ESBUILD_BIN: join(nodeModulesDir, "esbuild", "bin", "esbuild"),
    // wrangler asks nothing, reports nothing, and looks nothing up.
    WRANGLER_SEND_METRICS: "false",
    WRANGLER_SEND_ERROR_REPORTS: "false",
    WRANGLER_HIDE_BANNER: "true",
    WRANGLER_WRITE_LOGS: "false",
    CLOUDFLARE_CF_FETCH_ENABLED: "false",
  };
}

/** The version of the Rust compiler that runs in the project's directory, without and with an override. */
export function rustVersion(toolchain = process.env.RUSTUP_TOOLCHAIN) {
  const env = toolchain === undefined ? process.env : { ...process.env, RUSTUP_TOOLCHAIN: toolchain };
  const said = outputOf("rustc", ["--version"], { cwd: projectDir, env: { ...env, PATH: withCargo(systemPath()) } });
  return said?.split(" ")[1];
}

/** @type {boolean | undefined} */
let rustupOverride;

/** Whether rustup has the right Rust and would take another. */
function needsRustupOverride() {
  rustupOverride ??= rustVersion() !== RUST_VERSION && rustVersion(RUST_VERSION) === RUST_VERSION;
  return rustupOverride;
}

/** Has the next environment look again which Rust is there. */
export function forgetRust() {
  rustupOverride = undefined;
}

/** The PATH without this project's node_modules, whose `node` is replaced while npm packages are installed. */
export function systemPath() {
  const entries = (process.env.PATH ?? "").split(delimiter);
  return entries.filter((entry) => entry !== join(nodeModulesDir, ".bin")).join(delimiter);
}

/** @param {string} path */
function withCargo(path) {
  return [path, join(process.env.CARGO_HOME || join(homedir(), ".cargo"), "bin")].join(delimiter);
}

/**
 * @param {string} version
 * @param {[number, number]} least
 */
function isAtLeast(version, [leastMajor, leastMinor]) {
  const [major = 0, minor = 0] = version.split(".").map(Number);
  return major > leastMajor || (major === leastMajor && minor >= leastMinor);
}

/**
 * @param {string} crate
 * @param {string} version
 * @param {string} program
 * @param {string[]} installArgs
 * @returns {CargoTool}
 */
function cargoTool(crate, version, program, installArgs) {
  const installDir = join(cacheDir, "tools", `${crate}-${version}`);
  const installed = join(installDir, "bin", program);
  const onPath = existsSync(installed) ? undefined : findOnPath(program, version);
  return { crate, version, installDir, program: onPath ?? installed, installArgs };
}

/**
 * The first program of this name on the PATH, when it is of this version.
 * @param {string} program
 * @param {string} version
 */
function findOnPath(program, version) {
  const path = systemPath().split(delimiter).map((directory) => join(directory, program)).find((file) => existsSync(file));
  if (path === undefined) return undefined;
  const said = outputOf(path, ["--version"]) ?? "";
  return said.split(/\s+/).includes(version) ? path : undefined;
}

/** @param {string} crate */
function lockedVersion(crate) {
  const lock = readFileSync(join(projectDir, "Cargo.lock"), "utf8");
  const version = new RegExp(`^name = "${crate}"\\nversion = "(.+)"$`, "m").exec(lock)?.[1];
  if (version === undefined) throw new Failure(`Cargo.lock names no version of the crate ${crate}.`);
  return version;
}
