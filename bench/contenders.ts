// Who is compared: Stillstore's release build, and small Workers that do the same work. Both are explained in docs/bench/README.md.
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { buildSync } from "esbuild";

import { run } from "../scripts/command.mjs";
import { stripNames } from "../scripts/build.mjs";
import { toolEnvironment, workerBuild } from "../scripts/toolchain.mjs";
import { builtWorker, sourceWorker } from "../tests/workerd/harness/modules.ts";
import type { Modules } from "../tests/workerd/harness/modules.ts";

export const CONTENDERS = ["limit", "promises", "stillstore", "typescript"] as const;
export type Contender = (typeof CONTENDERS)[number];

/** One thing apart, measured where it can show: `limit` and `promises` in Rust where images are served, `limit` with digests where it stores. */
export const VARIANTS = ["limit-rust", "promises-rust", "limit-digests"] as const;
export type Variant = (typeof VARIANTS)[number];
export type Entrant = Contender | Variant;

export const STARTERS = ["hello-javascript", "hello-rust", "limit", "typescript", "stillstore"] as const;
export type Starter = (typeof STARTERS)[number];

const bundled = new Map<string, Modules>();

export function modulesOf(name: Entrant | Starter): Modules {
  const known = bundled.get(name);
  if (known !== undefined) return known;
  const modules = load(name);
  bundled.set(name, modules);
  return modules;
}

function load(name: Entrant | Starter): Modules {
  switch (name) {
    case "stillstore":
      return builtWorker("build");
    case "hello-rust":
      return builtCrate("hello");
    case "limit-rust":
      return builtWorker("build-conformance");
    case "promises-rust":
      return builtCrate("promises-rust");
    case "hello-javascript":
      return bundle("hello");
    default:
      return bundle(name);
  }
}

function bundle(name: string): Modules {
  const { outputFiles } = buildSync({
    entryPoints: [join(import.meta.dirname, "contenders", `${name}.ts`)],
    bundle: true,
    format: "esm",
    target: "esnext",
    minify: true,
    write: false,
  });
  const source = outputFiles[0]?.text;
  if (source === undefined) throw new Error(`esbuild made nothing of ${name}.`);
  return sourceWorker(source);
}

function builtCrate(name: Crate): Modules {
  const file = (file: string) => readFileSync(join(import.meta.dirname, name, "build", file));
  return sourceWorker(file("index.js").toString(), new Uint8Array(file("index_bg.wasm")));
}

type Crate = "hello" | "promises-rust";

/** Builds a small Worker in Rust the way scripts/build.mjs builds Stillstore. */
export async function buildCrate(name: Crate): Promise<void> {
  const directory = join(import.meta.dirname, name);
  if (existsSync(join(directory, "build", "index.js"))) return;
  const env = { ...toolEnvironment(), CARGO_TARGET_DIR: join(directory, "target") };
  const code = await run(workerBuild.program, ["--release", "--out-dir", "build"], { cwd: directory, env });
  if (code !== 0) throw new Error(`bench/${name} was not built (exit code ${code}).`);
  await stripNames(join(directory, "build", "index_bg.wasm"));
}

/** As wrangler reports it: the modules compressed together, in bytes. */
export function gzipBytesOf(modules: Modules): number {
  const contents = Object.values(modules).map((module) => Buffer.from(module.contents as string));
  return gzipSync(Buffer.concat(contents)).byteLength;
}
