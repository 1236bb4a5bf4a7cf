// The command line: which commands there are, what each takes, and what it sends.
import { parseArgs } from "node:util";

import { isLoopback } from "../loopback.mjs";

/** A command line that cannot be carried out as it is. */
export class UsageError extends Error {}

const MAX_IDS = 1_000;

export const USAGE = `npm run migrate -- COMMAND --url URL [options]

Commands
  status     where images are, and the latest run; --watch follows it, --run-id names another
  dry-run    reads and checks every original and changes nothing: what a run would do, what would fail, what it would cost
  run        moves images into R2: out of the database, from the hosts of their links, or out of another bucket
  validate   checks that every moved image is in R2 as it was
  rollback   makes rows show their originals again, which it brings back where they were dropped
  cleanup    drops originals whose copies in R2 are proved
  complete   whether the source can be switched off: nothing left there, every copy right, nobody reading through
  reconcile  lists objects of the bucket that nothing names, and images whose object is gone; changes nothing by itself

Options
  --url URL             the Worker, such as https://stillstore.example.workers.dev
  --token TOKEN         its API_TOKEN; better in the environment variable STILLSTORE_TOKEN, which no process list shows
  --allow-http          sends the token unencrypted to an http:// address that is not this machine
  --source NAME         where the originals are
  --ids A,B             only these images, at most ${MAX_IDS}                     (dry-run, run, validate, rollback, cleanup)
  --batch-size N        images a slice, 1 to 100                          (all but status, reconcile)
  --concurrency N       copies in flight, 1 to 16                         (all but status, reconcile)
  --check-integrity     reads the bytes back too                          (validate, complete)
  --sample-size N       so many images at random instead of all           (validate)
  --quiet-hours N       for so long nobody read through, 24 if absent     (complete)
  --dry-run             changes nothing                                   (rollback)
  --delete-from-r2      removes the copy once the original is back        (rollback)
  --force --run-id ID   before the retention period of that run is over   (cleanup)
  --adopt               makes images of objects that nothing names        (reconcile)
  --remove              deletes objects that nothing names                (reconcile)
  --grace-hours N       leaves alone what is younger, 1 to 8760; else 24  (reconcile)
  --report FILE         writes the whole report as JSON                   (reconcile)
  --watch               follows a run until it ends, as the others do     (status)
  --pause-on-interrupt  Ctrl-C pauses the run, which otherwise goes on    (all but status)

A run goes on in the Worker whatever happens to this command; the same command again follows it, or goes on with it when it
is paused. A reconciliation ends with the command; the same command again begins anew. Exit code: 0 when all is well, 1 when something failed, 2 when the command line is wrong, 130 after Ctrl-C.`;

const OPTIONS = /** @type {const} */ ({
  url: { type: "string" },
  token: { type: "string" },
  "allow-http": { type: "boolean" },
  source: { type: "string" },
  ids: { type: "string" },
  "batch-size": { type: "string" },
  concurrency: { type: "string" },
  "check-integrity": { type: "boolean" },
  "sample-size": { type: "string" },
  "quiet-hours": { type: "string" },
  "dry-run": { type: "boolean" },
  "delete-from-r2": { type: "boolean" },
  force: { type: "boolean" },
  "run-id": { type: "string" },
  watch: { type: "boolean" },
  "pause-on-interrupt": { type: "boolean" },
  adopt: { type: "boolean" },
  remove: { type: "boolean" },
  "grace-hours": { type: "string" },
  report: { type: "string" },
  help: { type: "boolean", short: "h" },
});

const FOR_EVERY_COMMAND = ["url", "token", "allow-http"];
const FOR_EVERY_RUN = ["source", "watch", "ids", "batch-size", "concurrency", "pause-on-interrupt"];

/** @type {Record<string, { action: string, takes: string[] }>} */
const COMMANDS = {
  status: { action: "status", takes: ["source", "watch", "run-id"] },
  "dry-run": { action: "migrate", takes: FOR_EVERY_RUN },
  run: { action: "migrate", takes: FOR_EVERY_RUN },
  validate: { action: "validate", takes: [...FOR_EVERY_RUN, "check-integrity", "sample-size"] },
  rollback: { action: "rollback", takes: [...FOR_EVERY_RUN, "dry-run", "delete-from-r2"] },
  complete: { action: "complete", takes: [...FOR_EVERY_RUN.filter((option) => option !== "ids"), "check-integrity", "quiet-hours"] },
  cleanup: { action: "cleanup", takes: [...FOR_EVERY_RUN, "force", "run-id"] },
  reconcile: { action: "report", takes: ["adopt", "remove", "grace-hours", "report"] },
};

const MOST_GRACE_HOURS = 8_760;

/**
 * What the HTTP API takes to start a run.
 * @typedef {{ action: string, background: true, dryRun?: true, source?: string, imageIds?: string[], batchSize?: number,
 *   concurrency?: number, checkIntegrity?: true, sampleSize?: number, quietHours?: number, deleteFromR2?: true, force?: true, runId?: string,
 *   confirmRunId?: string }} RunRequest
 */

/**
 * @typedef {{ url: URL, token?: string, source?: string }} Target
 * @typedef {Target & { command: "status", runId?: string, watch: boolean }} StatusOptions
 * @typedef {Target & { command: "run", request: RunRequest, pauseOnInterrupt: boolean }} RunOptions
 * @typedef {Target & { command: "reconcile", request: { action: "report" | "adopt" | "remove", graceHours?: number }, report?: string }} ReconcileOptions
 */

/**
 * @param {string[]} args
 * @param {NodeJS.ProcessEnv} env
 * @returns {StatusOptions | RunOptions | ReconcileOptions | { command: "help" }}
 */
export function parseOptions(args, env) {
  const { values, positionals } = parse(args);
  const [name, ...rest] = positionals;
  if (values.help || name === "help") return { command: "help" };
  if (name === undefined) throw new UsageError("A command is missing.");
  const command = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
  if (command === undefined) throw new UsageError(`There is no command ${name}: give ${Object.keys(COMMANDS).join(", ")}.`);
  if (rest.length > 0) throw new UsageError(`One command at a time: ${rest.join(" ")} is too much.`);
  const takes = [...FOR_EVERY_COMMAND, ...command.takes];
  const stray = Object.keys(values).find((option) => !takes.includes(option));
  if (stray !== undefined) throw new UsageError(`${name} takes no --${stray}.`);

  const target = { url: baseUrl(values.url, values["allow-http"] ?? false), token: tokenOf(values.token, env), source: values.source };
  if (name === "status") {
    return { command: "status", ...target, runId: values["run-id"], watch: values.watch ?? false };
  }
  if (name === "reconcile") {
    if (values.adopt && values.remove) throw new UsageError("--adopt and --remove exclude each other.");
    const action = values.adopt ? "adopt" : values.remove ? "remove" : "report";
    const grace = number("graceHours", "grace-hours", values["grace-hours"], MOST_GRACE_HOURS);
    return { command: "reconcile", ...target, request: { action, ...grace }, report: values.report };
  }
  if ((values.force ?? false) !== (values["run-id"] !== undefined)) {
    throw new UsageError("--force and --run-id go together: the id of the run whose originals are dropped early.");
  }
  /** @type {RunRequest} */
  const request = {
    action: command.action,
    background: true,
    ...(name === "dry-run" || values["dry-run"] ? { dryRun: true } : {}),
    ...(values.source === undefined ? {} : { source: values.source }),
    ...(values.ids === undefined ? {} : { imageIds: idsOf(values.ids) }),
    ...number("batchSize", "batch-size", values["batch-size"], 100),
    ...number("concurrency", "concurrency", values.concurrency, 16),
    ...(values["check-integrity"] ? { checkIntegrity: true } : {}),
    ...number("sampleSize", "sample-size", values["sample-size"], Number.MAX_SAFE_INTEGER),
    ...number("quietHours", "quiet-hours", values["quiet-hours"], 8_760),
    ...(values["delete-from-r2"] ? { deleteFromR2: true } : {}),
    ...(values.force ? { force: true, runId: values["run-id"], confirmRunId: values["run-id"] } : {}),
  };
  return { command: "run", ...target, request, pauseOnInterrupt: values["pause-on-interrupt"] ?? false };
}

/** @param {string[]} args */
function parse(args) {
  try {
    return parseArgs({ args, options: OPTIONS, allowPositionals: true });
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error));
  }
}

/**
 * @param {string | undefined} text
 * @param {boolean} allowHttp
 */
export function baseUrl(text, allowHttp) {
  if (text === undefined) throw new UsageError("--url is missing: say which Worker, such as http://localhost:8787.");
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || !["http:", "https:"].includes(url.protocol)) {
    throw new UsageError("--url wants an address that starts with https:// or http://.");
  }
  if (url.username !== "" || url.password !== "") throw new UsageError("--url must not carry a user or a password.");
  if (url.protocol === "http:" && !isLoopback(url.hostname) && !allowHttp) {
    throw new UsageError(`The token would go to ${url.origin} unencrypted: use https, or give --allow-http.`);
  }
  return new URL(url.origin);
}

/**
 * @param {string | undefined} given
 * @param {NodeJS.ProcessEnv} env
 */
export function tokenOf(given, env) {
  const token = given ?? env.STILLSTORE_TOKEN;
  // What a header cannot carry; the error of fetch would repeat it.
  if (token !== undefined && !/^[\x21-\x7e]*$/.test(token)) {
    throw new UsageError("The token holds characters that no token has.");
  }
  return token === "" ? undefined : token;
}

/** @param {string} text */
function idsOf(text) {
  const ids = text.split(",").map((id) => id.trim()).filter((id) => id !== "");
  if (ids.length === 0 || ids.length > MAX_IDS) throw new UsageError(`--ids wants 1 to ${MAX_IDS} ids with commas between.`);
  return ids;
}

/**
 * @param {string} field
 * @param {string} option
 * @param {string | undefined} text
 * @param {number} most
 */
function number(field, option, text, most) {
  if (text === undefined) return {};
  const value = Number(text);
  if (!/^\d+$/.test(text) || value < 1 || value > most) {
    const range = most === Number.MAX_SAFE_INTEGER ? "of 1 or more" : `from 1 to ${most}`;
    throw new UsageError(`--${option} wants a whole number ${range}.`);
  }
  return { [field]: value };
}
