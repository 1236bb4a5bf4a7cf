// Asks wrangler what an account has. Changes nothing.
import { Failure } from "../command.mjs";
import { ask, call, failed, words } from "./wrangler.mjs";

/** R2's codes, which wrangler shows. */
const NO_SUCH_BUCKET = "[code: 10006]";
const NO_CORS_RULES = "[code: 10059]";

/**
 * @typedef {{ name: string, uuid: string }} AccountDatabase
 * @typedef {{ accounts: { id: string, name: string }[] }} Login
 */

/**
 * @param {string[]} options
 * @returns {Promise<Login | undefined>} undefined: nobody is logged in
 */
export async function login(options) {
  const args = ["whoami", "--json", ...options];
  const answer = await ask(args);
  if (answer.code === 0) return /** @type {Login} */ (json(args, answer.stdout));
  if (/"loggedIn": ?false|not logged in/i.test(words(answer))) return undefined;
  // A token that may deploy need not be allowed to read who its owner is; the next question tells.
  return { accounts: [] };
}

/**
 * The CORS rules of a bucket. `r2 bucket list` would not do, since it lists one page only.
 * @param {string} name
 * @param {string[]} options
 * @returns {Promise<string[][] | undefined>} undefined: there is no such bucket
 */
export async function bucketCors(name, options) {
  const args = ["r2", "bucket", "cors", "list", name, ...options];
  const answer = await ask(args);
  if (answer.code === 0) return rulesOf(answer.stdout);
  const message = words(answer);
  if (message.includes(NO_SUCH_BUCKET)) return undefined;
  if (message.includes(NO_CORS_RULES)) return [];
  throw failed(args, answer);
}

/**
 * @param {string} name
 * @param {string[]} options
 */
export async function queueExists(name, options) {
  const args = ["queues", "info", name, ...options];
  const answer = await ask(args);
  if (answer.code === 0) return true;
  if (words(answer).includes(`Queue "${name}" does not exist`)) return false;
  throw failed(args, answer);
}

/**
 * @param {string[]} options
 * @returns {Promise<AccountDatabase[]>}
 */
export async function databases(options) {
  const args = ["d1", "list", "--json", ...options];
  return /** @type {AccountDatabase[]} */ (json(args, await call(args)));
}

/**
 * The names of the Worker's secrets; none where there is no Worker yet.
 * @param {string[]} options
 * @returns {Promise<string[]>}
 */
export async function secrets(options) {
  const args = ["secret", "list", "--format", "json", ...options];
  const answer = await ask(args);
  if (answer.code === 0) {
    return /** @type {{ name: string }[]} */ (json(args, answer.stdout)).map(({ name }) => name);
  }
  if (/Worker "[^"]+"( \(env: [^)]*\))? not found/.test(words(answer))) return [];
  throw failed(args, answer);
}

/**
 * The rules as wrangler prints them, each as its values in the order origins, methods, headers, exposed headers, age.
 * @param {string} stdout
 */
function rulesOf(stdout) {
  const values = [...stdout.matchAll(/^(?:allowed_\w+|exposed_headers|max_age_seconds): +(.*)$/gm)].map((match) => match[1] ?? "");
  return Array.from({ length: values.length / 5 }, (_, rule) => values.slice(rule * 5, rule * 5 + 5));
}

/**
 * @param {string[]} args
 * @param {string} stdout
 * @returns {unknown}
 */
function json(args, stdout) {
  try {
    return JSON.parse(stdout);
  } catch {
    throw new Failure(`wrangler ${args.join(" ")}\n\nanswered with something else than JSON:\n${stdout}`);
  }
}
