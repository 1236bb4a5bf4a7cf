// Which tools the project uses, where they are, and the environment that lets programs find them.
import { readFileSync } from "node:fs";
import { homedir } from "node:os";
import { delimiter, join } from "node:path";
import { fileURLToPath } from "node:url";

import { Failure } from "./command.mjs";

export const projectDir = fileURLToPath(new URL("..", import.meta.url)).replace(/\/$/, "");
export const nodeModulesDir = join(projectDir, "node_modules");

/** Shared by every clone of this user, so that a second clone compiles no tools. */
export const cacheDir = join(process.env.XDG_CACHE_HOME || join(homedir(), ".cache"), "stillstore");

/** Node.js >= 22.12, which wrangler needs, whatever version runs this script. */
export const node22 = join(nodeModulesDir, "node", "bin", "node");
/**
 * wrangler itself rather than its launcher, which would die of a signal before wrangler has stopped workerd.
 * Another one can be named by STILLSTORE_WRANGLER: one that is being debugged, or a stand-in.
 */
export const wranglerScript =
  process.env.STILLSTORE_WRANGLER || join(nodeModulesDir, "wrangler", "wrangler-dist", "cli.js");

/**
 * A program installed with `cargo install`, in a directory of its own so that a new version of one rebuilds only that.
 * @typedef {{ crate: string, version: string, binDir: string, program: string }} CargoTool
 */

/** Both must equal the version of their library crate, so the lock file decides. */
export const workerBuild = cargoTool("worker-build", lockedVersion("worker"), "worker-build");
export const wasmBindgen = cargoTool("wasm-bindgen-cli", lockedVersion("wasm-bindgen"), "wasm-bindgen");

export const cargoFuzz = cargoTool("cargo-fuzz", "0.13.2", "cargo-fuzz");

export const oha = cargoTool("oha", "1.16.0", "oha");

export const cargoDeny = cargoTool("cargo-deny", "0.20.2", "cargo-deny");

/**
 * The environment for every program this project starts.
 * @returns {NodeJS.ProcessEnv}
 */
export function toolEnvironment() {
  const cargoBin = join(process.env.CARGO_HOME || join(homedir(), ".cargo"), "bin");
  return {
    ...process.env,
    PATH: [join(nodeModulesDir, ".bin"), systemPath(), cargoBin].join(delimiter),
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

/** The PATH without this project's node_modules, whose `node` is replaced while npm packages are installed. */
export function systemPath() {
  const entries = (process.env.PATH ?? "").split(delimiter);
  return entries.filter((entry) => entry !== join(nodeModulesDir, ".bin")).join(delimiter);
}

/**
 * @param {string} crate
 * @param {string} version
 * @param {string} program
 * @returns {CargoTool}
 */
function cargoTool(crate, version, program) {
  const binDir = join(cacheDir, "tools", `${crate}-${version}`, "bin");
  return { crate, version, binDir, program: join(binDir, program) };
}

/** @param {string} crate */
function lockedVersion(crate) {
  const lock = readFileSync(join(projectDir, "Cargo.lock"), "utf8");
  const version = new RegExp(`^name = "${crate}"\\nversion = "(.+)"$`, "m").exec(lock)?.[1];
  if (version === undefined) throw new Failure(`Cargo.lock names no version of the crate ${crate}.`);
  return version;
}
