// Stands in for wrangler: keeps an account in a JSON file, answers in the words of wrangler 4.164, records every call with
// what it got on standard input, and fails where the account says so. Run by `scripts/deploy.mjs` through STILLSTORE_WRANGLER.
import { randomUUID } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { parse } from "smol-toml";

/**
 * @typedef {object} Call
 * @property {string} command
 * @property {string[]} args
 * @property {string} input
 * @property {string} [accountId] of the environment
 * @property {boolean} changes it may change an account
 *
 * @typedef {object} Failure the next call of `command`, or the one after `skip` others, fails
 * @property {string} command
 * @property {"before" | "after"} when before it took effect, or after
 * @property {number} [skip]
 * @property {string} [message]
 *
 * @typedef {object} Account
 * @property {boolean} loggedIn
 * @property {Record<string, { cors?: CorsRule[] }>} buckets rules as in cors-policy.json
 * @property {string[]} queues
 * @property {{ name: string, uuid: string, migrations: number }[]} databases
 * @property {Record<string, Record<string, string>>} workers the secrets of each Worker
 * @property {number} deploys
 * @property {Failure} [failure]
 * @property {Call[]} calls
 *
 * @typedef {object} CorsRule
 * @property {{ origins: string[], methods: string[], headers: string[] }} allowed
 * @property {string[]} exposeHeaders
 * @property {number} maxAgeSeconds
 *
 * @typedef {{ d1_databases?: { binding: string, database_id?: string }[] }} Section
 * @typedef {Section & { name: string, env?: Record<string, Section> }} Config
 *
 * @typedef {object} Invocation
 * @property {Account} account
 * @property {Config} config
 * @property {string} input
 * @property {string} name the first positional after the command
 * @property {Record<string, unknown>} values
 */

/** @type {Account} */
export const EMPTY_ACCOUNT = {
  loggedIn: true,
  buckets: {},
  queues: [],
  databases: [],
  workers: {},
  deploys: 0,
  calls: [],
};

const MIGRATIONS = 5;
const READS = ["whoami", "r2 bucket cors list", "queues info", "d1 list", "secret list", "deploy --dry-run", "deploy --help"];

class Refusal extends Error {}

/**
 * @param {string} path of the account
 * @param {string[]} args
 */
function main(path, args) {
  const account = /** @type {Account} */ (JSON.parse(readFileSync(path, "utf8")));
  const { values, positionals } = parseArgs({
    args,
    strict: false,
    options: {
      config: { type: "string", short: "c" },
      env: { type: "string", short: "e" },
      name: { type: "string" },
      file: { type: "string" },
      var: { type: "string" },
      format: { type: "string" },
      jurisdiction: { type: "string" },
    },
  });
  const known = [...READS, ...Object.keys(COMMANDS)];
  const flag = ["dry-run", "help"].find((name) => values[name]);
  const words = flag === undefined ? positionals : ["deploy", `--${flag}`];
  const command = known.find((name) => words.join(" ").startsWith(name)) ?? "unknown";
  const input = process.stdin.isTTY || command.startsWith("deploy") ? "" : readFileSync(0, "utf8");
  account.calls.push({ command, args, input, accountId: process.env.CLOUDFLARE_ACCOUNT_ID, changes: !READS.includes(command) });

  const failure = account.failure;
  const isDue = failure?.command === command && (failure.skip ?? 0) === 0;
  if (failure?.command === command && !isDue) account.failure = { ...failure, skip: (failure.skip ?? 0) - 1 };
  const message = failure?.message ?? "A request to the Cloudflare API failed.\n\n  fetch failed";
  if (isDue) delete account.failure;
  let refusal = isDue && failure?.when === "before" ? message : undefined;
  if (refusal === undefined) {
    try {
      const run = COMMANDS[command];
      if (run === undefined) throw new Refusal(`Unknown command: ${args.join(" ")}`);
      const config = /** @type {Config} */ (/** @type {unknown} */ (parse(readFileSync(String(values.config), "utf8"))));
      run({ account, config, input, name: positionals.at(command.split(" ").length) ?? "", values });
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      refusal = error.message;
    }
    if (isDue) refusal = message;
  }
  writeFileSync(path, JSON.stringify(account));
  if (refusal === undefined) return;
  process.stderr.write(`\x1b[31m✘ \x1b[41;31m[\x1b[41;97mERROR\x1b[41;31m]\x1b[0m \x1b[1m${refusal}\x1b[0m\n\n`);
  process.exitCode = 1;
}

/**
 * @param {string} text
 * @param {number} code
 */
function apiRefusal(text, code) {
  return new Refusal(`A request to the Cloudflare API (/accounts/1/...) failed.\x1b[0m\n\n  ${text} [code: ${code}]`);
}

/** @param {Invocation} invocation */
function workerName({ config, values }) {
  const { name, env } = values;
  if (typeof name === "string" && typeof env === "string") return `${name}-${env}`;
  if (typeof name === "string") return name;
  return typeof env === "string" ? `${config.name}-${env}` : config.name;
}

/** @param {unknown} value */
function print(value) {
  process.stdout.write(typeof value === "string" ? `${value}\n` : `${JSON.stringify(value, null, 2)}\n`);
}

/** @type {Record<string, (invocation: Invocation) => void>} */
const COMMANDS = {
  whoami({ account }) {
    print(account.loggedIn ? { loggedIn: true, accounts: [{ id: "1", name: "Someone" }] } : '\n{"loggedIn":false}');
    if (!account.loggedIn) process.exitCode = 1;
  },
  "r2 bucket cors list"({ account, name }) {
    print(`Listing CORS rules for bucket '${name}'...`);
    const bucket = account.buckets[name];
    if (bucket === undefined) throw apiRefusal("The specified bucket does not exist.", 10006);
    if (bucket.cors === undefined) throw apiRefusal("The CORS configuration does not exist.", 10059);
    const blocks = bucket.cors.map(({ allowed, exposeHeaders, maxAgeSeconds }) =>
      [
        `allowed_origins:  ${allowed.origins.join(", ")}`,
        `allowed_methods:  ${allowed.methods.join(", ")}`,
        `allowed_headers:  ${allowed.headers.join(", ")}`,
        `exposed_headers:  ${exposeHeaders.join(", ")}`,
        `max_age_seconds:  ${maxAgeSeconds}`,
      ].join("\n"),
    );
    print(blocks.join("\n\n"));
  },
  "r2 bucket create"({ account, name }) {
    print(`Creating bucket '${name}'...`);
    if (account.buckets[name]) throw apiRefusal("The bucket you tried to create already exists, and you own it.", 10004);
    account.buckets[name] = {};
  },
  "r2 bucket cors set"({ account, name, values }) {
    if (values.force !== true) throw new Refusal("This asks for a confirmation.");
    const bucket = account.buckets[name];
    if (bucket === undefined) throw apiRefusal("The specified bucket does not exist.", 10006);
    bucket.cors = /** @type {{ rules: CorsRule[] }} */ (JSON.parse(readFileSync(String(values.file), "utf8"))).rules;
  },
  "queues info"({ account, name }) {
    const missing = `Queue "${name}" does not exist. To create it, run: wrangler queues create ${name}`;
    if (!account.queues.includes(name)) throw new Refusal(missing);
    print(`Queue Name: ${name}`);
  },
  "queues create"({ account, name }) {
    if (account.queues.includes(name)) throw apiRefusal(`Queue name '${name}' is already taken.`, 11009);
    account.queues.push(name);
  },
  "d1 list"({ account }) {
    print(account.databases.map(({ name, uuid }) => ({ uuid, name, created_at: "2026-11-17T00:00:00.000Z" })));
  },
  "d1 create"({ account, name }) {
    if (account.databases.some((database) => database.name === name)) {
      throw new Refusal("A database with that name already exists");
    }
    account.databases.push({ name, uuid: randomUUID(), migrations: 0 });
  },
  "d1 migrations apply"({ account, config, name, values }) {
    if (values.remote !== true) throw new Refusal("This is about the local database.");
    const section = typeof values.env === "string" ? config.env?.[values.env] : config;
    const id = section?.d1_databases?.find(({ binding }) => binding === name)?.database_id;
    const database = account.databases.find(({ uuid }) => uuid === id);
    if (database === undefined) throw apiRefusal(`The database ${id} could not be found`, 7404);
    database.migrations = MIGRATIONS;
  },
  "secret list"(invocation) {
    const name = workerName(invocation);
    const secrets = invocation.account.workers[name];
    if (secrets === undefined) throw new Refusal(`Worker "${name}" not found.\x1b[0m\n\n  If this is a new Worker, run first`);
    print(Object.keys(secrets).map((secret) => ({ name: secret, type: "secret_text" })));
  },
  "secret put"(invocation) {
    const secrets = (invocation.account.workers[workerName(invocation)] ??= {});
    secrets[invocation.name] = invocation.input.trimEnd();
  },
  "deploy --dry-run"() {
    print("--dry-run: exiting now.");
  },
  "deploy --help"() {
    print("wrangler deploy [path]");
  },
  deploy({ account, config, values }) {
    const env = typeof values.env === "string" ? `-${values.env}` : "";
    account.workers[typeof values.name === "string" ? values.name : `${config.name}${env}`] ??= {};
    account.deploys += 1;
  },
};

const accountPath = process.env.STAND_IN_ACCOUNT;
if (accountPath !== undefined) main(accountPath, process.argv.slice(2));
