// Installs what the other scripts need and is missing: npm packages, the wasm target, and the Rust build tools.
// Node 20 built-ins only.
import { existsSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";

import { Failure, outputOf, runIfProgram, runWithProgress } from "./command.mjs";
import {
  RUST_VERSION, cacheDir, forgetRust, node22, nodeModulesDir, projectDir, rustVersion, systemPath, toolEnvironment, wasmBindgen,
  workerBuild,
} from "./toolchain.mjs";

const WASM_TARGET = "wasm32-unknown-unknown";

/** How tools of the profile `dev` are compiled: their own crates' settings for it are for debugging them. */
const DEV_PROFILE = {
  CARGO_PROFILE_DEV_DEBUG: "0",
  CARGO_PROFILE_DEV_DEBUG_ASSERTIONS: "false",
  CARGO_PROFILE_DEV_OVERFLOW_CHECKS: "false",
  CARGO_INCREMENTAL: "0",
};

/**
 * Makes everything ready to build, test and serve. Takes well under a second when nothing is missing.
 * @param {() => Promise<void>} [meanwhile] what needs nothing but Rust and its wasm target, and is done beside an installation of tools:
 *   linking has one core to itself, so that both together take hardly longer than one
 */
export async function setup(meanwhile = async () => {}) {
  await installRust();
  await installWasmTarget();
  const tools = [workerBuild, wasmBindgen];
  const isFirst = tools.some((tool) => !existsSync(tool.program));
  await Promise.all([installNpmPackages(), installCargoTools(tools), ...(isFirst ? [meanwhile()] : [])]);
}

/**
 * Compiles the tools that are not in the cache yet. They share a target directory, so that a crate both need is
 * compiled once and an interrupted installation goes on where it stopped.
 * @param {import("./toolchain.mjs").CargoTool[]} tools
 */
export async function installCargoTools(tools) {
  const missing = tools.filter((tool) => !existsSync(tool.program));
  if (missing.length === 0) return;
  const targetDir = join(cacheDir, "target");
  for (const { crate, version, installDir, installArgs } of missing) {
    await runWithProgress(
      `Compiling the tool ${crate} ${version}, once`,
      "cargo",
      ["install", "--locked", `${crate}@${version}`, "--root", installDir, ...installArgs],
      {
        cwd: projectDir,
        env: { ...toolEnvironment(), ...DEV_PROFILE, CARGO_TARGET_DIR: targetDir },
        step: /^\s*(Compiling \S+|Downloading .*|Installing \S+)/,
      },
    );
  }
  rmSync(targetDir, { recursive: true, force: true });
}

async function installNpmPackages() {
  if (npmPackagesAreCurrent()) return;
  await runWithProgress("Installing npm packages", "npm", ["ci", "--loglevel=error"], {
    cwd: projectDir,
    env: { ...process.env, PATH: systemPath() },
  });
  if (!existsSync(node22)) {
    throw new Failure(
      `No package of package-lock.json holds Node.js for ${process.platform} on ${process.arch}, or npm left optional packages out\n` +
        "(`npm config get omit`). Run the command with Node.js 22.12 or later, or let npm install them, and try again.",
    );
  }
}

function npmPackagesAreCurrent() {
  const installed = modifiedAtMs(join(nodeModulesDir, ".package-lock.json"));
  const locked = modifiedAtMs(join(projectDir, "package-lock.json"));
  return existsSync(node22) && installed !== undefined && locked !== undefined && installed >= locked;
}

/** Another Rust than the project's may lint or build otherwise. */
async function installRust() {
  if (rustVersion() === RUST_VERSION || rustVersion(RUST_VERSION) === RUST_VERSION) return;
  const options = { cwd: projectDir, env: { ...toolEnvironment(), RUSTUP_TOOLCHAIN: undefined } };
  if (outputOf("rustup", ["--version"], options) === undefined) {
    const found = rustVersion();
    throw new Failure(
      `Rust ${RUST_VERSION} is needed, and ${found === undefined ? "none" : found} was found. Install rustup from https://rustup.rs, or\n` +
        "your distribution's package of that version. Then, in a new terminal, run the same command again.",
    );
  }
  const install = ["toolchain", "install", RUST_VERSION, "--profile", "minimal", "--component", "clippy,rustfmt", "--target", WASM_TARGET];
  await runWithProgress(`Installing Rust ${RUST_VERSION}`, "rustup", install, options);
  forgetRust();
}

async function installWasmTarget() {
  const env = toolEnvironment();
  const sysroot = outputOf("rustc", ["--print", "sysroot"], { cwd: projectDir, env }) ?? "";
  if (existsSync(join(sysroot, "lib", "rustlib", WASM_TARGET, "lib"))) return;
  if (outputOf("rustup", ["--version"], { cwd: projectDir, env }) === undefined) {
    throw new Failure(
      `The Rust compiler in ${sysroot} has no ${WASM_TARGET} target and there is no rustup to add it.\n` +
        "Install Rust from https://rustup.rs, or your distribution's package of that target, and try again.",
    );
  }
  await runWithProgress(`Adding the Rust target ${WASM_TARGET}`, "rustup", ["target", "add", WASM_TARGET], {
    cwd: projectDir,
    env,
  });
}

/** @param {string} path */
function modifiedAtMs(path) {
  return statSync(path, { throwIfNoEntry: false })?.mtimeMs;
}

await runIfProgram(import.meta.url, () => setup());
