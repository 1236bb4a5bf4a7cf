// Moves images out of the database into R2 and back, through a running Worker: npm run migrate -- --help
import { Failure, runIfProgram } from "./command.mjs";
import { Client, Refusal, Unreachable, printable } from "./migrate/client.mjs";
import { follow, pause, startOrJoin } from "./migrate/follow.mjs";
import { USAGE, UsageError, parseOptions } from "./migrate/options.mjs";
import { describe, startDisplay } from "./migrate/progress.mjs";
import { reconcile } from "./migrate/reconcile.mjs";
import { isGood, overviewLines, reportLines, title } from "./migrate/report.mjs";

const EXIT_FAILED = 1;
const EXIT_USAGE = 2;
/** As a shell has it: 128 and the number of SIGINT. */
const EXIT_INTERRUPTED = 130;

/** One Ctrl-C arrives twice, from the terminal and from npm, which passes it on. */
const REPEATED_SIGNAL_MS = 2_000;

/**
 * @typedef {import("./migrate/client.mjs").Run} Run
 * @typedef {import("./migrate/options.mjs").StatusOptions} StatusOptions
 * @typedef {import("./migrate/options.mjs").RunOptions} RunOptions
 */

/** @param {string} line */
function say(line) {
  process.stdout.write(`${line}\n`);
}

/**
 * @param {string[]} args
 * @returns {Promise<number>} the exit code
 */
async function main(args) {
  try {
    const options = parseOptions(args, process.env);
    if (options.command === "help") {
      say(USAGE);
      return 0;
    }
    if (options.command === "reconcile") return await compare(options);
    return await (options.command === "status" ? status(options) : carryOut(options));
  } catch (error) {
    if (error instanceof UsageError) {
      console.error(`${error.message}\n\nnpm run migrate -- --help lists the commands and options.`);
      return EXIT_USAGE;
    }
    if (error instanceof Refusal) {
      const hint = error.status === 401 ? " Set STILLSTORE_TOKEN, or give --token." : "";
      console.error(error.message + hint);
      return error.status === 400 ? EXIT_USAGE : EXIT_FAILED;
    }
    throw error;
  }
}

/**
 * @param {StatusOptions} options
 * @returns {Promise<number>}
 */
async function status(options) {
  const client = new Client(options, { log: console.error });
  const run = await chosenRun(client, options);
  if (run === undefined) {
    say("There was no run yet.");
    return 0;
  }
  say(`${title(run)}.`);
  if (run.state === "running" && options.watch) return untilItsEnd(client, run.id, false);
  if (run.state === "running") say(describe(run.progress, undefined));
  else reportLines(run, client.receiptUrl(run.id)).forEach(say);
  return options.watch && !isGood(run) ? EXIT_FAILED : 0;
}

/**
 * The run that was asked for, or the latest; then where images are is told too.
 * @param {Client} client
 * @param {StatusOptions} options
 * @returns {Promise<Run | undefined>}
 */
async function chosenRun(client, { runId, source }) {
  if (runId !== undefined) return client.run(runId);
  const overview = await client.overview();
  overviewLines(overview).forEach(say);
  if (source === undefined) return overview.run ?? undefined;
  return (await client.act({ action: "status", source })).result ?? undefined;
}

/**
 * @param {import("./migrate/options.mjs").ReconcileOptions} options
 * @returns {Promise<number>}
 */
async function compare(options) {
  const client = new Client(options, { log: console.error });
  const interrupt = listenForInterrupt();
  try {
    return (await reconcile(client, options, say, interrupt.signal)) ? 0 : EXIT_FAILED;
  } catch (error) {
    if (interrupt.signal.aborted) {
      say("Stopped. What was adopted or removed until then stays so.");
      return EXIT_INTERRUPTED;
    }
    throw error;
  } finally {
    interrupt.stop();
  }
}

/**
 * @param {RunOptions} options
 * @returns {Promise<number>}
 */
async function carryOut({ request, pauseOnInterrupt, ...target }) {
  const client = new Client(target, { log: console.error });
  const interrupt = listenForInterrupt();
  try {
    // With a run to pause, the answer that names it is waited for.
    const runId = await startOrJoin(client, request, say, pauseOnInterrupt ? undefined : interrupt.signal);
    say(`Run ${printable(runId)}`);
    return await untilItsEnd(client, runId, pauseOnInterrupt, interrupt);
  } catch (error) {
    if (interrupt.signal.aborted) {
      say("It is not known whether the run has started: the command status tells.");
      return EXIT_INTERRUPTED;
    }
    if (error instanceof Unreachable) {
      throw new Failure(`${error.message}\nThe same command again starts the run, or follows it if it has started.`);
    }
    throw error;
  } finally {
    interrupt.stop();
  }
}

/**
 * @param {Client} client
 * @param {string} runId
 * @param {boolean} pauseOnInterrupt
 * @param {Interrupt} [interrupt]
 * @returns {Promise<number>}
 */
async function untilItsEnd(client, runId, pauseOnInterrupt, interrupt = listenForInterrupt()) {
  const display = await startDisplay(process.stdout);
  client.onRetry(display.interject);
  try {
    const run = await follow(client, runId, ({ progress }) => display.show(progress), interrupt.signal);
    display.stop();
    reportLines(run, client.receiptUrl(runId)).forEach(say);
    return isGood(run) ? 0 : EXIT_FAILED;
  } catch (error) {
    display.stop();
    if (interrupt.signal.aborted) {
      const goesOn = `Run ${printable(runId)} goes on in the Worker. The command status --watch shows it.`;
      say(pauseOnInterrupt ? await pause(client, runId) : goesOn);
      return EXIT_INTERRUPTED;
    }
    if (error instanceof Unreachable) {
      throw new Failure(
        `${error.message}\nRun ${printable(runId)} goes on without this command; the same command again follows it.`,
      );
    }
    throw error;
  } finally {
    interrupt.stop();
  }
}

/** @typedef {{ signal: AbortSignal, stop(): void }} Interrupt */

/**
 * The first Ctrl-C aborts the signal; a second one ends this command at once.
 * @returns {Interrupt}
 */
function listenForInterrupt() {
  const controller = new AbortController();
  let firstAtMs = Infinity;
  const onInterrupt = () => {
    if (Date.now() - firstAtMs > REPEATED_SIGNAL_MS) process.exit(EXIT_INTERRUPTED);
    if (controller.signal.aborted) return;
    firstAtMs = Date.now();
    controller.abort();
  };
  process.on("SIGINT", onInterrupt);
  return { signal: controller.signal, stop: () => process.off("SIGINT", onInterrupt) };
}

await runIfProgram(import.meta.url, main);
