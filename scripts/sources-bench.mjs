// Moves out of another bucket and out of links on the built Worker in workerd, by hand: docs/bench/sources.md.
import { join } from "node:path";

import { VARIANTS, build } from "./build.mjs";
import { runGroup, runIfProgram } from "./command.mjs";
import { setup } from "./setup.mjs";
import { node22, projectDir, toolEnvironment } from "./toolchain.mjs";

await runIfProgram(import.meta.url, async (args) => {
  await setup();
  await build(VARIANTS.release);
  // In a process group of its own, so that no workerd and no rclone outlives it.
  const { code } = await runGroup(node22, ["--disable-warning=ExperimentalWarning", join(projectDir, "bench/sources.ts"), ...args], {
    cwd: projectDir,
    env: toolEnvironment(),
  });
  return code;
});
