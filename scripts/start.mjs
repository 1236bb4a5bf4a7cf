// Serves the Worker on this machine with local R2 and D1: no account, no credentials, no questions.
// Arguments go to `wrangler dev`: npm start -- --port 8790 --persist-to DIR --var ENABLE_R2_STORAGE:false
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";

import { VARIANTS, build, compile } from "./build.mjs";
import { Failure, run, runGroup, runIfProgram } from "./command.mjs";
import { isLoopback } from "./loopback.mjs";
import { setup } from "./setup.mjs";
import { node22, projectDir, toolEnvironment, wranglerScript } from "./toolchain.mjs";

const DEFAULT_PORT = "8787";

/** Opens the routes that otherwise want a token. Given here and not in wrangler.toml, so that no deploy carries it. */
const OPEN_FOR_LOCAL_WORK = "ALLOW_UNAUTHENTICATED";

/**
 * The arguments for `wrangler dev`, and those that `wrangler d1 migrations apply` needs to work on the same state.
 * @param {string[]} args
 */
export function wranglerArguments(args) {
  const { values } = parseArgs({
    args,
    strict: false,
    options: {
      port: { type: "string" },
      ip: { type: "string" },
      var: { type: "string", multiple: true },
      "persist-to": { type: "string" },
      config: { type: "string", short: "c" },
      env: { type: "string", short: "e" },
    },
  });
  const dev = ["dev", "--show-interactive-dev-session=false"];
  if (values.port === undefined) dev.push("--port", DEFAULT_PORT);
  const named = (values.var ?? []).map((assignment) => String(assignment).split(":", 1)[0]);
  if (!named.includes(OPEN_FOR_LOCAL_WORK)) {
    dev.push("--var", `${OPEN_FOR_LOCAL_WORK}:true`);
    if (values.ip !== undefined && !isLoopback(String(values.ip))) {
      console.warn(`Whoever reaches ${values.ip} can write; add --var ${OPEN_FOR_LOCAL_WORK}:false to want a token.`);
    }
  }
  dev.push(...args);

  const migrations = ["d1", "migrations", "apply", "DB", "--local"];
  for (const option of /** @type {const} */ (["persist-to", "config", "env"])) {
    if (typeof values[option] === "string") migrations.push(`--${option}`, values[option]);
  }
  return { dev, migrations };
}

function hasMigrations() {
  const directory = join(projectDir, "migrations");
  return existsSync(directory) && readdirSync(directory).some((file) => file.endsWith(".sql"));
}

await runIfProgram(import.meta.url, async (args) => {
  await setup(() => compile(VARIANTS.release));
  // wrangler would show every line of it.
  await build(VARIANTS.release);
  const { dev, migrations } = wranglerArguments(args);
  const options = { cwd: projectDir, env: toolEnvironment() };
  if (hasMigrations() && (await run(node22, [wranglerScript, ...migrations], options)) !== 0) {
    throw new Failure("The D1 migrations were not applied, so the Worker was not started.");
  }
  const { code, stopped } = await runGroup(node22, [wranglerScript, ...dev], options);
  return stopped ? 0 : code;
});
