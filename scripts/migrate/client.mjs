// Requests to the Worker's migration routes, tried again while that may help.
import { setTimeout as sleep } from "node:timers/promises";

import { Failure } from "../command.mjs";

const ROUTE = "/api/migrate-images";
const RECONCILE_ROUTE = "/api/reconcile";
/** Longest wait for one answer. */
const ANSWER_TIMEOUT_MS = 60_000;
/** Waits of 0.25, 0.5, 1, 2, 4 and 8 s lie between. */
const MAX_TRIES = 7;
const FIRST_WAIT_MS = 250;
const LONGEST_WAIT_MS = 30_000;
const RETRIED_STATUSES = [429, 500, 502, 503, 504];
/** Only a person ends these. */
const LASTING_CODES = ["token-not-configured", "configuration-invalid", "database-not-migrated"];

/** The fields of a problem document that are read. @typedef {{ code?: string, title?: string, detail?: string, field?: string, remedy?: string, runId?: string }} ProblemDocument */

/** The Worker answered that it will not do what it was asked. */
export class Refusal extends Failure {
  /**
   * @param {number} status
   * @param {ProblemDocument} problem
   */
  constructor(status, problem) {
    const { code, title, detail, field, remedy } = problem;
    const what = [title ?? `HTTP ${status}`, field && `field ${field}`, detail, remedy].filter(Boolean).join(". ");
    super(printable(`The Worker refused${code ? ` (${code})` : ""}: ${what.replaceAll(/\.\. /g, ". ")}`));
    this.status = status;
    this.problem = problem;
  }
}

/** No usable answer came, however often it was asked. */
export class Unreachable extends Failure {}

/** Text from elsewhere without what would steer a terminal. @param {unknown} text */
export function printable(text) {
  return String(text).replaceAll(/[\u0000-\u001f\u007f-\u009f\u2028-\u202e\u2066-\u2069]/g, "?");
}

/**
 * A run, as the API describes it.
 * @typedef {{ total: number | null, done: number, succeeded: number, failed: number, skipped: number, bytes: number }} Progress
 * @typedef {{ id: string, action: string, source: string, dryRun: boolean, state: string, progress: Progress,
 *   result?: Record<string, any> | null, createdAt?: string, updatedAt?: string, finishedAt?: string | null,
 *   receipt?: { key: string, sha256: string, bytes: number, lines: number } | null }} Run
 */

export class Client {
  #url;
  #headers;
  #sleep;
  #log;

  /**
   * @param {{ url: URL, token?: string }} target
   * @param {{ sleep?: (ms: number, value?: unknown, options?: { signal?: AbortSignal }) => Promise<unknown>,
   *   log?: (line: string) => void }} [surroundings] `log`: told of every try that failed
   */
  constructor({ url, token }, surroundings = {}) {
    this.#url = url;
    this.#headers = { accept: "application/json", ...(token === undefined ? {} : { authorization: `Bearer ${token}` }) };
    this.#sleep = surroundings.sleep ?? sleep;
    this.#log = surroundings.log ?? (() => {});
  }

  /**
   * @param {object} body
   * @param {AbortSignal} [signal]
   * @returns {Promise<any>}
   */
  act(body, signal) {
    return this.#ask("POST", ROUTE, body, signal);
  }

  /**
   * @param {object} request
   * @param {AbortSignal} [signal]
   * @returns {Promise<string>} the id of the new run
   */
  async start(request, signal) {
    const { runId } = await this.act(request, signal);
    if (typeof runId !== "string") throw this.#isSomethingElse();
    return runId;
  }

  /**
   * How far the images are, and the latest run.
   * @param {AbortSignal} [signal]
   * @returns {Promise<any>}
   */
  overview(signal) {
    return this.#ask("GET", ROUTE, undefined, signal);
  }

  /**
   * @param {string} id
   * @param {AbortSignal} [signal]
   * @returns {Promise<Run>}
   */
  async run(id, signal) {
    const run = await this.#ask("GET", `${ROUTE}/runs/${encodeURIComponent(id)}`, undefined, signal);
    if (typeof run.state !== "string" || typeof run.progress !== "object") throw this.#isSomethingElse();
    return run;
  }

  /**
   * A slice of the bucket against the rows.
   * @param {object} body
   * @param {AbortSignal} [signal]
   * @returns {Promise<import("./reconcile.mjs").Report & { cursor: string | null }>}
   */
  async reconcile(body, signal) {
    const slice = await this.#ask("POST", RECONCILE_ROUTE, body, signal);
    if (!Array.isArray(slice.orphans) || !Array.isArray(slice.missing)) throw this.#isSomethingElse();
    return slice;
  }

  /**
   * Changes who is told of every try that failed.
   * @param {(line: string) => void} log
   */
  onRetry(log) {
    this.#log = log;
  }

  /** @param {string} runId */
  receiptUrl(runId) {
    return new URL(`${ROUTE}/runs/${encodeURIComponent(runId)}/receipt`, this.#url).href;
  }

  /**
   * @param {string} method
   * @param {string} path
   * @param {object | undefined} body
   * @param {AbortSignal} [signal]
   */
  async #ask(method, path, body, signal) {
    for (let attempt = 1; ; attempt += 1) {
      const { answer, reason, waitMs = 0 } = await this.#try(method, path, body, signal);
      if (answer !== undefined) return answer;
      signal?.throwIfAborted();
      if (attempt === MAX_TRIES) {
        throw new Unreachable(`${this.#url.origin} gave no answer after ${MAX_TRIES} tries: ${printable(reason)}.`);
      }
      const delayMs = Math.min(Math.max(FIRST_WAIT_MS * 2 ** (attempt - 1), waitMs), LONGEST_WAIT_MS);
      this.#log(`${printable(reason)}; trying again in ${delayMs / 1_000} s`);
      await this.#sleep(delayMs, undefined, { signal });
    }
  }

  /**
   * One try: the answer, or why there is none and the least wait before another.
   * @param {string} method
   * @param {string} path
   * @param {object | undefined} body
   * @param {AbortSignal} [signal]
   * @returns {Promise<{ answer?: any, reason?: string, waitMs?: number }>}
   */
  async #try(method, path, body, signal) {
    const deadline = AbortSignal.timeout(ANSWER_TIMEOUT_MS);
    let status, text, retryAfter;
    try {
      const response = await fetch(new URL(path, this.#url), {
        method,
        headers: body === undefined ? this.#headers : { ...this.#headers, "content-type": "application/json" },
        body: body === undefined ? null : JSON.stringify(body),
        redirect: "manual",
        signal: signal === undefined ? deadline : AbortSignal.any([deadline, signal]),
      });
      status = response.status;
      retryAfter = Number(response.headers.get("retry-after") ?? 0);
      text = await response.text();
    } catch (error) {
      return { reason: deadline.aborted ? `no answer within ${ANSWER_TIMEOUT_MS / 1_000} s` : networkReason(error) };
    }
    const json = parseObject(text);
    if (status >= 200 && status < 300 && json !== undefined) return { answer: json };
    const code = json?.code;
    if (RETRIED_STATUSES.includes(status) && !LASTING_CODES.includes(code)) {
      return {
        reason: `HTTP ${status}${code === undefined ? "" : ` ${code}`}`,
        waitMs: retryAfter > 0 ? retryAfter * 1_000 : 0,
      };
    }
    if (json === undefined || typeof code !== "string") throw this.#isSomethingElse(status);
    throw new Refusal(status, json);
  }

  /** @param {number} [status] */
  #isSomethingElse(status) {
    const what = status === undefined ? "" : ` (HTTP ${status})`;
    return new Failure(`What answers at ${this.#url.origin} is not a Stillstore that migrates${what}: check --url.`);
  }
}

/** @param {unknown} error of `fetch`, which hides the reason in its cause */
function networkReason(error) {
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  if (!(cause instanceof Error)) return "the connection failed";
  if (cause.message !== "") return cause.message;
  return "code" in cause && typeof cause.code === "string" ? cause.code : "the connection failed";
}

/** @param {string} text */
function parseObject(text) {
  try {
    const value = JSON.parse(text);
    return typeof value === "object" && value !== null ? value : undefined;
  } catch {
    return undefined;
  }
}
