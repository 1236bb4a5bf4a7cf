// Uses each service of a running Worker once and says which does not work: npm run selftest -- --url URL
import { parseArgs } from "node:util";

import { runIfProgram } from "./command.mjs";
import { UsageError, baseUrl, tokenOf } from "./migrate/options.mjs";
import { CHECKS } from "./selftest/checks.mjs";
import { CheckFailed, Session, Skipped } from "./selftest/session.mjs";

const USAGE = `npm run selftest -- --url URL [options]

Puts, reads back, compares, lists and deletes in each configured service of a Worker, and says in one line each what works.

Options
  --url URL       the Worker, such as https://stillstore.example.workers.dev
  --token TOKEN   its API_TOKEN; better in the environment variable STILLSTORE_TOKEN, which no process list shows
  --allow-http    sends the token unencrypted to an http:// address that is not this machine
  --generate      has the image provider make an image too, which may cost money

Exit code: 0 when everything that is configured works, 1 when something does not, 2 when the command line is wrong.
A run and its receipt stay behind, as of any run.`;

const EXIT_FAILED = 1;
const EXIT_USAGE = 2;
const NAME_WIDTH = Math.max(...CHECKS.map(({ name }) => name.length));

/**
 * @param {string[]} args
 * @returns {Promise<number>}
 */
async function main(args) {
  const session = await sessionOf(args);
  if (typeof session === "number") return session;
  let failures = 0;
  for (const { name, run } of CHECKS) {
    const startedAtMs = performance.now();
    const told = await outcomeOf(() => run(session));
    const spentMs = `${Math.round(performance.now() - startedAtMs)} ms`.padStart(8);
    console.log(`${told.word.padEnd(4)} ${name.padEnd(NAME_WIDTH)} ${spentMs}  ${told.text}`);
    if (told.remedy !== undefined) console.log(`     ${told.remedy}`);
    if (told.word === "FAIL") failures += 1;
  }
  console.log(failures === 0 ? "Everything that is configured works." : `${failures} of ${CHECKS.length} checks failed.`);
  return failures === 0 ? 0 : EXIT_FAILED;
}

/** @param {string[]} args */
async function sessionOf(args) {
  try {
    const options = /** @type {const} */ ({
      url: { type: "string" }, token: { type: "string" }, "allow-http": { type: "boolean" }, generate: { type: "boolean" },
      help: { type: "boolean", short: "h" },
    });
    const { values } = parseArgs({ args, options });
    if (values.help) {
      console.log(USAGE);
      return 0;
    }
    const url = baseUrl(values.url, values["allow-http"] ?? false);
    const token = tokenOf(values.token, process.env);
    return new Session({ url, ...(token === undefined ? {} : { token }), generates: values.generate ?? false });
  } catch (error) {
    if (!(error instanceof UsageError || (error instanceof TypeError && "code" in error))) throw error;
    console.error(`${error.message}\n\nnpm run selftest -- --help lists the options.`);
    return EXIT_USAGE;
  }
}

/**
 * @param {() => Promise<string>} run
 * @returns {Promise<{ word: "ok" | "skip" | "FAIL", text: string, remedy?: string }>}
 */
async function outcomeOf(run) {
  try {
    return { word: "ok", text: await run() };
  } catch (error) {
    if (error instanceof Skipped) return { word: "skip", text: error.message };
    if (error instanceof CheckFailed) return { word: "FAIL", text: error.message, remedy: error.remedy };
    throw error;
  }
}

await runIfProgram(import.meta.url, main);
