// Calls wrangler, and says what to do where it fails.
import { spawn } from "node:child_process";
import { stripVTControlCharacters } from "node:util";

import { Failure } from "../command.mjs";
import { node22, projectDir, toolEnvironment, wranglerScript } from "../toolchain.mjs";

export const LOG_IN = "Log in with `npx wrangler login`, or set CLOUDFLARE_API_TOKEN.";

/**
 * What to do about an error, by the code or the words of wrangler 4.
 * @type {[RegExp, string][]}
 */
const ADVICE = [
  [/not logged in|could not authenticate|necessary to set a CLOUDFLARE_API_TOKEN/i, LOG_IN],
  [
    /\[code: (10000|10001|9109)\]/,
    "The login or token lacks a permission. It needs Edit on Workers Scripts, Workers R2 Storage, D1 and Queues: log in\n" +
      "again with `npx wrangler login`, or create another token at https://dash.cloudflare.com/profile/api-tokens.",
  ],
  [/more than one account/i, "Set CLOUDFLARE_ACCOUNT_ID to the account's id, or account_id in wrangler.toml."],
  [
    /\[code: 10042\]/,
    "This account has no R2 subscription. Add one (it has a free tier) at https://dash.cloudflare.com/?to=/:account/r2.",
  ],
  [/\[code: (10004|10073)\]/, "The name of the bucket is taken. Choose another bucket_name in wrangler.toml."],
  [/\[code: 10005\]/, "A bucket's name has 3 to 63 of a-z, 0-9 and -. Choose another bucket_name in wrangler.toml."],
  [
    /\[code: (100129|11002)\]/,
    "Enable Queues at https://dash.cloudflare.com/?to=/:account/workers/queues, or remove the [[queues...]] tables from\n" +
      "wrangler.toml: migrations are then kept going by the cron event, every ten minutes.",
  ],
];

const NOT_OUR_ISSUES = /^\s*If you think this is a bug.*\n/gm;

/**
 * @typedef {{ code: number, stdout: string, stderr: string }} Answer
 */

/**
 * Runs wrangler without a terminal, where it asks no questions, and collects what it says.
 * @param {string[]} args
 * @param {string} [input] for its standard input, where nobody can read it in a list of processes
 * @returns {Promise<Answer>}
 */
export function ask(args, input) {
  const env = { ...toolEnvironment(), WRANGLER_LOG: "log", FORCE_COLOR: undefined, NO_COLOR: "1" };
  return new Promise((resolve, reject) => {
    const child = spawn(node22, [wranglerScript, ...args], { cwd: projectDir, env, stdio: "pipe" });
    let stdout = "";
    let stderr = "";
    child.stdout.setEncoding("utf8").on("data", (text) => (stdout += text));
    child.stderr.setEncoding("utf8").on("data", (text) => (stderr += text));
    // It may end without reading.
    child.stdin.on("error", () => {});
    child.stdin.end(input);
    child.on("error", reject);
    child.on("close", (code) => {
      resolve({ code: code ?? 1, stdout: stripVTControlCharacters(stdout), stderr: stripVTControlCharacters(stderr) });
    });
  });
}

/**
 * As `ask`, for a call that must succeed.
 * @param {string[]} args
 * @param {string} [input]
 * @returns {Promise<string>} its standard output
 */
export async function call(args, input) {
  const answer = await ask(args, input);
  if (answer.code !== 0) throw failed(args, answer);
  return answer.stdout;
}

/**
 * @param {string[]} args
 * @param {Answer} answer
 */
export function failed(args, answer) {
  const message = words(answer);
  const advice = ADVICE.find(([pattern]) => pattern.test(message))?.[1];
  const said = `${answer.stdout}\n${answer.stderr}`.replaceAll(NOT_OUR_ISSUES, "").trim();
  return new Failure([`wrangler ${args.join(" ")}`, said, advice].filter(Boolean).join("\n\n"));
}

/**
 * What wrangler said, without its line breaks, which may be within what is looked for.
 * @param {Answer} answer
 */
export function words({ stdout, stderr }) {
  return `${stdout} ${stderr}`.replaceAll(/\s+/g, " ");
}
