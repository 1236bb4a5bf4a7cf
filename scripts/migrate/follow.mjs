// Starts a run or joins the one that is under way, and follows it to its end.
import { setTimeout as sleep } from "node:timers/promises";

import { Failure } from "../command.mjs";
import { Refusal, Unreachable, printable } from "./client.mjs";
import { title } from "./report.mjs";

/** Asked at first often, for runs of a moment, then once a second. */
const FIRST_POLL_MS = 100;
const LONGEST_POLL_MS = 1_000;
/** A run that ends between a refusal and the look at it makes room for another start. */
const MAX_STARTS = 3;

/**
 * @typedef {import("./client.mjs").Client} Client
 * @typedef {import("./client.mjs").Run} Run
 * @typedef {import("./options.mjs").RunRequest} RunRequest
 */

/**
 * The id of a run that does what is asked: a new one, or the one that is under way, which goes on if it was paused.
 * @param {Client} client
 * @param {RunRequest} request
 * @param {(line: string) => void} say
 * @param {AbortSignal} [signal]
 * @returns {Promise<string>}
 */
export async function startOrJoin(client, request, say, signal) {
  for (let start = 1; ; start += 1) {
    try {
      return await client.start(request, signal);
    } catch (error) {
      const runId = inProgress(error);
      if (runId === undefined) throw error;
      const run = await client.run(runId, signal);
      if (isUnderWay(run)) return join(client, run, request, say, signal);
      if (start === MAX_STARTS) throw error;
    }
  }
}

/** @param {unknown} error */
function inProgress(error) {
  return error instanceof Refusal && error.problem.code === "run-in-progress" ? error.problem.runId : undefined;
}

/** @param {Run} run */
function isUnderWay({ state }) {
  return state === "running" || state === "paused";
}

/**
 * @param {Client} client
 * @param {Run} run
 * @param {RunRequest} request
 * @param {(line: string) => void} say
 * @param {AbortSignal} [signal]
 */
async function join(client, run, request, say, signal) {
  if (run.action !== request.action || run.dryRun !== (request.dryRun ?? false)) {
    const remedy = run.state === "paused" ? "Finish or cancel it first." : "Wait for its end: status --watch follows it.";
    throw new Failure(`${title(run)}, is in the way. ${remedy}`);
  }
  if (run.state === "paused") {
    await client.act({ action: "resume", runId: run.id }, signal);
    say(`${title(run)} before: it goes on with what it was started with.`);
  } else {
    say(`${title(run)} already: this follows it as it was started.`);
  }
  return run.id;
}

/**
 * Waits until the run is no longer running.
 * @param {Client} client
 * @param {string} runId
 * @param {(run: Run) => void} onProgress told of every state seen
 * @param {AbortSignal} signal ends the wait with an AbortError
 * @returns {Promise<Run>} as it was seen last
 */
export async function follow(client, runId, onProgress, signal) {
  let waitMs = FIRST_POLL_MS;
  for (;;) {
    const run = await client.run(runId, signal);
    onProgress(run);
    if (run.state !== "running") return run;
    await sleep(waitMs, undefined, { signal });
    waitMs = Math.min(waitMs * 2, LONGEST_POLL_MS);
  }
}

/**
 * Pauses the run, or says why it was not.
 * @param {Client} client
 * @param {string} runId
 * @returns {Promise<string>}
 */
export async function pause(client, runId) {
  try {
    await client.act({ action: "pause", runId });
    return `Run ${printable(runId)} is paused. The same command again goes on with it.`;
  } catch (error) {
    if (!(error instanceof Refusal || error instanceof Unreachable)) throw error;
    return `Run ${printable(runId)} was NOT paused, and may go on. ${error.message}`;
  }
}
