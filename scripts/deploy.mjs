// Deploys the Worker to a Cloudflare account. Arguments go to `wrangler deploy`; --dry-run needs no account.
import { run, runIfProgram } from "./command.mjs";
import { setup } from "./setup.mjs";
import { node22, projectDir, toolEnvironment, wranglerScript } from "./toolchain.mjs";

await runIfProgram(import.meta.url, async (args) => {
  await setup();
  return run(node22, [wranglerScript, "deploy", ...args], { cwd: projectDir, env: toolEnvironment() });
});
