// Side-by-side benchmarks of the built Worker in workerd: docs/bench/README.md. `npm run bench -- --help` says what it takes.
import { join } from "node:path";

import { build, VARIANTS } from "./build.mjs";
import { runGroup, runIfProgram } from "./command.mjs";
import { setup } from "./setup.mjs";
import { node22, projectDir, toolEnvironment } from "./toolchain.mjs";

await runIfProgram(import.meta.url, async (args) => {
  await setup();
  await build(VARIANTS.release);
  // In a process group of its own, so that no workerd outlives it.
  const { code } = await runGroup(node22, ["--disable-warning=ExperimentalWarning", join(projectDir, "bench/main.ts"), ...args], {
    cwd: projectDir,
    env: toolEnvironment(),
  });
  return code;
});
