// The modules of a Worker under test: the harness's entry, and the Worker built from the crate or given as source.
import { existsSync, readFileSync, readdirSync } from "node:fs";
import { stripTypeScriptTypes } from "node:module";
import { join } from "node:path";

import { projectDir } from "./project.ts";

/** As Miniflare wants them; the key is the module's path, which imports resolve against. */
export type Modules = Record<string, { type: "esm" | "wasm"; contents: string | Uint8Array<ArrayBuffer> }>;

export const MAIN_MODULE = "runtime/entry.ts";
/** The Worker's own main module. */
export const WORKER_MODULE = "worker/index.js";

/** The harness's own modules. */
export function harnessModules(): Modules {
  const directory = join(import.meta.dirname, "runtime");
  const modules: Modules = {};
  for (const file of readdirSync(directory)) {
    if (!file.endsWith(".ts") || file.endsWith(".d.ts")) continue;
    const source = readFileSync(join(directory, file), "utf8");
    modules[`runtime/${file}`] = { type: "esm", contents: stripTypeScriptTypes(source) };
  }
  return modules;
}

/**
 * The Worker that worker-build made.
 * @param buildDir relative to the project
 */
export function builtWorker(buildDir: "build" | "build-conformance"): Modules {
  const directory = join(projectDir, buildDir);
  if (!existsSync(join(directory, "index.js"))) {
    const option = buildDir === "build" ? "" : " --conformance";
    throw new Error(`${buildDir}/ holds no built Worker: run \`node scripts/build.mjs${option}\` first.`);
  }
  return {
    [WORKER_MODULE]: { type: "esm", contents: readFileSync(join(directory, "index.js"), "utf8") },
    "worker/index_bg.wasm": { type: "wasm", contents: new Uint8Array(readFileSync(join(directory, "index_bg.wasm"))) },
    "worker/codecs.wasm": { type: "wasm", contents: new Uint8Array(readFileSync(join(directory, "codecs.wasm"))) },
  };
}

/** The Worker, which finds a cache in front of it that the test process answers for: workerd has none. */
export function withCache(worker: Modules): Modules {
  const main = worker[WORKER_MODULE];
  if (main === undefined) throw new Error("The Worker has no main module.");
  const contents = String(main.contents).replaceAll('"cloudflare:workers"', '"../runtime/workers-with-cache.ts"');
  if (contents === main.contents) throw new Error("The Worker does not ask the platform for a cache.");
  return { ...worker, [WORKER_MODULE]: { ...main, contents } };
}

/**
 * A Worker written in a test.
 * @param wasm imported by the source as `./index_bg.wasm`
 */
export function sourceWorker(source: string, wasm?: Uint8Array<ArrayBuffer>): Modules {
  return {
    [WORKER_MODULE]: { type: "esm", contents: source },
    ...(wasm === undefined ? {} : { "worker/index_bg.wasm": { type: "wasm", contents: wasm } }),
  };
}
