// What `npm run deploy` makes of its arguments. Node 20 built-ins only.
import { resolve } from "node:path";
import { parseArgs } from "node:util";

import { Failure } from "../command.mjs";
import { projectDir } from "../toolchain.mjs";

export const USAGE = `npm run deploy [-- arguments]

Creates what wrangler.toml names and the account lacks, applies the D1 migrations, sets an API_TOKEN where
there is none, and deploys the Worker. Says each step before it takes it. Run again, it goes on where it stopped.

  --dry-run           changes nothing: lists what would be made, and what would be deployed; needs no account
  -e, --env NAME      deploys [env.NAME] of the configuration
  -c, --config FILE   another wrangler.toml

These and all other arguments go to \`wrangler deploy\`:
`;

/**
 * @typedef {object} DeployOptions
 * @property {"deploy" | "dry-run" | "information"} mode `information`: --help or --version
 * @property {string} configPath
 * @property {string} configName the same as it was given, for messages
 * @property {string | undefined} environment the [env.X] to deploy; undefined: the top level
 * @property {string[]} forWorker for every `wrangler` call: the configuration, environment and account that it is about
 * @property {string[]} forSecrets the same for `wrangler secret`
 * @property {boolean} usesProfile `wrangler whoami` takes no --profile
 */

/**
 * @param {string[]} args
 * @param {NodeJS.ProcessEnv} env
 * @returns {DeployOptions}
 */
export function parseOptions(args, env) {
  const { values } = parseArgs({
    args,
    strict: false,
    options: {
      config: { type: "string", short: "c" },
      env: { type: "string", short: "e" },
      "env-file": { type: "string", multiple: true },
      profile: { type: "string" },
      name: { type: "string" },
      cwd: { type: "string" },
      "dry-run": { type: "boolean" },
      help: { type: "boolean", short: "h" },
      version: { type: "boolean", short: "v" },
    },
  });
  /** @param {string} option @param {unknown} value */
  const text = (option, value) => {
    if (value === undefined || typeof value === "string") return value;
    throw new Failure(`--${option} needs a value.`);
  };
  if (values.cwd !== undefined) throw new Failure("--cwd is not supported: give --config FILE.");
  const config = text("config", values.config);
  const environment = text("env", values.env);
  const name = text("name", values.name);
  const profile = text("profile", values.profile);
  const configName = config ?? "wrangler.toml";
  if (!configName.endsWith(".toml")) throw new Failure(`${config}: the configuration must be a .toml file.`);

  const forAccount = (values["env-file"] ?? []).flatMap((file) => ["--env-file", text("env-file", file) ?? ""]);
  if (config !== undefined) forAccount.push("--config", config);
  if (profile !== undefined) forAccount.push("--profile", profile);
  const forWorker = environment === undefined ? forAccount : [...forAccount, "--env", environment];
  return {
    mode: values.help || values.version ? "information" : isSet(values["dry-run"]) ? "dry-run" : "deploy",
    configPath: resolve(projectDir, configName),
    configName,
    environment: (environment ?? env.CLOUDFLARE_ENV) || undefined,
    forWorker,
    // `wrangler deploy --name X --env Y` deploys X, but with both `wrangler secret` means X-Y.
    forSecrets: name === undefined ? forWorker : [...forAccount, "--name", name],
    usesProfile: profile !== undefined,
  };
}

/** @param {unknown} flag as parseArgs has it: `--dry-run=false` is a string */
function isSet(flag) {
  return flag !== undefined && flag !== "false";
}
