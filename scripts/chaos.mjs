// Clients at work on the built Worker while it is killed and failed: docs/reliability.md. `npm run chaos -- --help` says what it takes.
import { join } from "node:path";

import { build, VARIANTS } from "./build.mjs";
import { runGroup, runIfProgram } from "./command.mjs";
import { setup } from "./setup.mjs";
import { node22, projectDir, toolEnvironment } from "./toolchain.mjs";

await runIfProgram(import.meta.url, async (args) => {
  await setup();
  await build(VARIANTS.release);
  // In a process group of its own, so that no workerd outlives it.
  const { code } = await runGroup(node22, ["--disable-warning=ExperimentalWarning", join(projectDir, "chaos/main.ts"), ...args], {
    cwd: projectDir,
    env: toolEnvironment(),
  });
  return code;
});
