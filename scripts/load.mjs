// Minutes of mixed load on the built Worker in workerd: docs/bench/README.md. `npm run load -- --help` says what it takes.
import { join } from "node:path";

import { build, VARIANTS } from "./build.mjs";
import { runGroup, runIfProgram } from "./command.mjs";
import { installCargoTools, setup } from "./setup.mjs";
import { node22, oha, projectDir, toolEnvironment } from "./toolchain.mjs";

await runIfProgram(import.meta.url, async (args) => {
  await setup();
  await installCargoTools([oha]);
  await build(VARIANTS.release);
  // In a process group of its own, so that no workerd and no oha outlives it.
  const { code } = await runGroup(node22, ["--disable-warning=ExperimentalWarning", join(projectDir, "load/main.ts"), ...args], {
    cwd: projectDir,
    env: toolEnvironment(),
  });
  return code;
});
