// What stands between an account and a deployed Worker, as steps that can be taken one after the other.
import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { isDeepStrictEqual } from "node:util";

import { Failure } from "../command.mjs";
import { projectDir } from "../toolchain.mjs";
import { bucketCors, databases, queueExists, secrets } from "./account.mjs";
import { recordDatabaseId } from "./config.mjs";
import { ask, call, failed } from "./wrangler.mjs";

const CORS_POLICY = join(projectDir, "cors-policy.json");
const TOKEN = "API_TOKEN";
const TOKEN_BYTES = 32;

/**
 * @typedef {import("./options.mjs").DeployOptions} DeployOptions
 * @typedef {import("./config.mjs").Resources} Resources
 * @typedef {{ title: string, take(): Promise<void> }} Step `title` says what it does
 * @typedef {{ present: string[], steps: Step[] }} Plan
 */

/**
 * Asks what is there. Every question comes before the first step, so that what forbids one is found before any is taken.
 * @param {Resources} resources
 * @param {DeployOptions} options
 * @returns {Promise<Plan>}
 */
export async function plan(resources, options) {
  /** @type {Plan} */
  const whole = { present: [], steps: [] };
  for (const part of [buckets, queues, d1Databases, token]) {
    const { present, steps } = await part(resources, options);
    whole.present.push(...present);
    whole.steps.push(...steps);
  }
  return whole;
}

/**
 * @param {Resources} resources
 * @param {DeployOptions} options
 * @returns {Promise<Plan>}
 */
async function buckets(resources, { forWorker }) {
  /** @type {Plan} */
  const { present, steps } = { present: [], steps: [] };
  for (const { name, jurisdiction, holdsImages } of resources.buckets) {
    const options = [...inJurisdiction(jurisdiction), ...forWorker];
    const rules = await bucketCors(name, options);
    if (rules !== undefined) present.push(`R2 bucket ${name}`);
    else steps.push(step(`create the R2 bucket ${name}`, ["r2", "bucket", "create", name, ...options]));
    if (!holdsImages) continue;
    if (rules !== undefined && isCorsPolicy(rules)) present.push("its CORS rules");
    else {
      const set = ["r2", "bucket", "cors", "set", name, "--file", CORS_POLICY, "--force", ...options];
      steps.push(step(`give the bucket ${name} the CORS rules of cors-policy.json`, set));
    }
  }
  return { present, steps };
}

/**
 * @param {Resources} resources
 * @param {DeployOptions} options
 * @returns {Promise<Plan>}
 */
async function queues(resources, { forWorker }) {
  /** @type {Plan} */
  const { present, steps } = { present: [], steps: [] };
  for (const name of resources.queues) {
    if (await queueExists(name, forWorker)) present.push(`queue ${name}`);
    else steps.push(step(`create the queue ${name}`, ["queues", "create", name, ...forWorker]));
  }
  return { present, steps };
}

/**
 * @param {Resources} resources
 * @param {DeployOptions} options
 * @returns {Promise<Plan>}
 */
async function d1Databases(resources, options) {
  /** @type {Plan} */
  const { present, steps } = { present: [], steps: [] };
  const { configName: file, forWorker } = options;
  const inAccount = await databases(forWorker);
  for (const { binding, name = "", id, jurisdiction, isMigrated } of resources.databases) {
    if (id !== undefined && !inAccount.some(({ uuid }) => uuid === id)) {
      throw new Failure(
        `${file} binds ${binding} to the database ${id}, which this account does not have. Set CLOUDFLARE_ACCOUNT_ID to\n` +
          `the account that has it, or remove the database_id: a database is then found by its name, or created.`,
      );
    }
    const isThere = id !== undefined || inAccount.some((database) => database.name === name);
    if (isThere) present.push(`D1 database ${name || id}`);
    else {
      const create = ["d1", "create", name, ...inJurisdiction(jurisdiction), ...forWorker];
      steps.push(step(`create the D1 database ${name}`, create));
    }
    if (id === undefined) {
      steps.push({
        title: `record the id of the database ${name} in ${file}`,
        take: async () => {
          const created = (await databases(forWorker)).find((database) => database.name === name);
          if (created === undefined) throw new Failure(`wrangler d1 list does not name the database ${name} yet.`);
          recordDatabaseId(options, binding, created.uuid);
        },
      });
    }
    if (isMigrated) {
      const migrate = ["d1", "migrations", "apply", binding, "--remote", ...forWorker];
      steps.push(step(`apply the migrations that the database ${name || id} lacks`, migrate));
    }
  }
  return { present, steps };
}

/**
 * @param {Resources} _
 * @param {DeployOptions} options
 * @returns {Promise<Plan>}
 */
async function token(_, { forSecrets }) {
  if ((await secrets(forSecrets)).includes(TOKEN)) return { present: [`secret ${TOKEN}`], steps: [] };
  const take = async () => {
    const value = randomBytes(TOKEN_BYTES).toString("hex");
    const args = ["secret", "put", TOKEN, ...forSecrets];
    const answer = await ask(args, value);
    if (answer.code !== 0) {
      const unknown = `If the secret is there although this failed, nobody knows it: npx wrangler ${args.join(" ")}`;
      throw new Failure(`${failed(args, answer).message}\n\n${unknown} sets one that you know.`);
    }
    console.log(`\n    ${TOKEN} = ${value}\n\n  It is shown this once: keep it where you keep passwords.\n`);
  };
  return { present: [], steps: [{ title: `generate an ${TOKEN} and set it as a secret`, take }] };
}

/**
 * @param {string} title
 * @param {string[]} args
 * @returns {Step}
 */
function step(title, args) {
  return { title, take: async () => void (await call(args)) };
}

/** @param {string | undefined} jurisdiction */
function inJurisdiction(jurisdiction) {
  return jurisdiction === undefined ? [] : ["--jurisdiction", jurisdiction];
}

/**
 * Whether a bucket's rules are those of cors-policy.json, in which the order within a list means nothing.
 * @param {string[][]} rules
 */
function isCorsPolicy(rules) {
  /** @typedef {{ allowed: Record<"origins" | "methods" | "headers", string[]>, exposeHeaders: string[], maxAgeSeconds: number }} Rule */
  const policy = /** @type {{ rules: Rule[] }} */ (JSON.parse(readFileSync(CORS_POLICY, "utf8")));
  const wanted = policy.rules.map(({ allowed: { origins, methods, headers }, exposeHeaders, maxAgeSeconds }) =>
    [origins, methods, headers, exposeHeaders, [String(maxAgeSeconds)]].map(sorted),
  );
  return isDeepStrictEqual(rules.map((rule) => rule.map((list) => sorted(list.split(", ")))), wanted);
}

/** @param {string[]} list */
function sorted(list) {
  return list.map((item) => item.toLowerCase()).sort();
}
