// Checks the built Worker against its OpenAPI document with Schemathesis; docs/adr/0009-openapi.md says how.
//   npm run contract                                  200 examples an operation, a seed of today
//   npm run contract -- --examples 5 --seed 1         what `npm test` runs
import { parseArgs } from "node:util";

import { build, VARIANTS } from "./build.mjs";
import { Failure, runGroup, runIfProgram } from "./command.mjs";
import { schemathesis } from "./contract/schemathesis.mjs";
import { setup } from "./setup.mjs";
import { node22, projectDir, toolEnvironment } from "./toolchain.mjs";

const EXAMPLES = "200";
const MS_PER_DAY = 86_400_000;

await runIfProgram(import.meta.url, async (args) => {
  const { values } = parseArgs({ args, options: { examples: { type: "string" }, seed: { type: "string" } } });
  const { examples = EXAMPLES, seed = String(Math.floor(Date.now() / MS_PER_DAY)) } = values;
  for (const [name, value] of Object.entries({ examples, seed })) {
    if (!/^[1-9]\d*$/.test(value)) throw new Failure(`--${name} wants a whole number from 1.`);
  }
  await setup();
  await schemathesis();
  await build(VARIANTS.release);
  const test = ["--test", "--test-reporter=spec", "--test-force-exit", "tests/workerd/contract.test.ts"];
  const { code, stopped } = await runGroup(node22, ["--disable-warning=ExperimentalWarning", ...test], {
    cwd: projectDir,
    env: { ...toolEnvironment(), CONTRACT_REQUIRED: "1", CONTRACT_EXAMPLES: examples, CONTRACT_SEED: seed },
  });
  return stopped ? 1 : code;
});
