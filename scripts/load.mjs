// Minutes of mixed load on the built Worker in workerd: docs/bench/README.md. `npm run load -- --help` says what it takes.
import { join } from "node:path";

import { build, VARIANTS } from "./build.mjs";
import { runGroup, runIfProgram } from "./command.mjs";
import { installCargoTools, setup } from "./setup.mjs";
import { node22, oha, projectDir, toolEnvironment } from "./toolchain.mjs";

/**
 * The platform's limit for an isolate, and collections from 8 MB on: left alone, V8 lets the heaps of the simulators' many isolates, which
 * allocate little, grow for longer than a run takes, and with them what workerd holds for each request until it is collected.
 */
const V8_FLAGS = "--max-heap-size=128 --initial-heap-size=8";

await runIfProgram(import.meta.url, async (args) => {
  await setup();
  await installCargoTools([oha]);
  await build(VARIANTS.release);
  // In a process group of its own, so that no workerd and no oha outlives it.
  const { code } = await runGroup(node22, ["--disable-warning=ExperimentalWarning", join(projectDir, "load/main.ts"), ...args], {
    cwd: projectDir,
    env: { ...toolEnvironment(), MINIFLARE_WORKERD_V8_FLAGS: V8_FLAGS },
  });
  return code;
});
