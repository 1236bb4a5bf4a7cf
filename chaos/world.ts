// A Worker that is killed, restarted and failed under its clients, and what that excuses.
import assert from "node:assert/strict";

import { ask } from "../tests/workerd/flows.ts";
import type { Answer } from "../tests/workerd/flows.ts";
import { startWorker } from "../tests/workerd/harness/worker.ts";
import type { RunningWorker } from "../tests/workerd/harness/worker.ts";
import type { Chronicle } from "./chronicle.ts";
import { Overdue, inTime } from "./in-time.ts";

/** The codes of an answer that says what is down. `internal-error` and `bytes-missing` are not among them. */
const EXCUSES = ["storage-unavailable", "database-unavailable", "multipart-unavailable", "source-unavailable"];

/** The status of an answer that says that the image was deleted. */
const GONE = 410;

const RETRY_MS = 100;
/** Far longer than a fault lasts. */
const LONGEST_WAIT_MS = 60_000;

/** Far longer than a held call is held, on a machine that has other work. */
const LONGEST_ANSWER_MS = 60_000;

/** An answer that came whole. */
export type Answered = Answer & {
  body: Uint8Array;
  /** What it is the answer to. */
  request: string;
};

/** Nobody can say whether what was asked for happened: the Worker was killed, or answered that something is down. */
export class Unanswered extends Error {
  /** The code of the answer; undefined when none came. */
  readonly code: string | undefined;

  constructor(what: string, cause: unknown) {
    super(what, { cause });
    this.code = cause instanceof Down ? cause.code : undefined;
  }
}

/** An answer that says what is down. */
class Down extends Error {
  readonly code: string;

  constructor({ code, detail }: { code: string; detail: string }) {
    super(`${code}: ${detail}`);
    this.code = code;
  }
}

export class World {
  readonly chronicle: Chronicle;
  #persist: string;
  #worker: RunningWorker | undefined;
  #disruptionsBegun = 0;
  #isDisrupted = false;
  #operationsUnderWay = 0;
  #isOpen = false;
  #vars: Record<string, string> = {};
  #waiting: (() => void)[] = [];
  isOver = false;

  constructor(chronicle: Chronicle, persist: string) {
    this.chronicle = chronicle;
    this.#persist = persist;
  }

  async start(vars: Record<string, string>): Promise<RunningWorker> {
    assert.equal(this.#worker, undefined, "one Worker at a time");
    this.#vars = vars;
    this.#worker = await inTime("a start", LONGEST_ANSWER_MS, startWorker({ persist: this.#persist, vars, faults: true, onLog: () => {} }));
    this.#wake();
    return this.#worker;
  }

  /** The Worker that is up, for the fault injector that is the only one to end it. */
  get worker(): RunningWorker {
    assert.ok(this.#worker !== undefined, "a Worker is up");
    return this.#worker;
  }

  /** Takes the Worker from its clients: what they ask from now on waits for the next one. */
  take(): RunningWorker {
    const { worker } = this;
    this.#worker = undefined;
    return worker;
  }

  /** Whether the Worker that is up, or the last one, keeps new images in R2. */
  get usesR2(): boolean {
    return this.#vars["ENABLE_R2_STORAGE"] === "true";
  }

  /** While this is at work, an answer may say that something is down, or not come. */
  async disrupt(work: () => Promise<void>): Promise<void> {
    this.#disruptionsBegun += 1;
    this.#isDisrupted = true;
    await work();
    this.#isDisrupted = false;
  }

  /** Changes whenever something was disrupted: the same number at two moments means that all was well between them. */
  get disruptions(): number {
    return this.#isDisrupted ? NaN : this.#disruptionsBegun;
  }

  /** Lets clients begin operations. */
  open(): void {
    this.#isOpen = true;
    this.#wake();
  }

  /** Waits until every operation has ended; none begins before the next `open`. */
  async close(): Promise<void> {
    this.#isOpen = false;
    while (this.#operationsUnderWay > 0) await this.#change();
  }

  /** Has a client do one thing after the other until all is over. What it asserts is a violation when it does not hold. */
  async occupy(name: string, operate: () => Promise<void>): Promise<void> {
    for (;;) {
      while (!this.#isOpen && !this.isOver) await this.#change();
      if (this.isOver) return;
      this.#operationsUnderWay += 1;
      try {
        await operate();
        this.chronicle.count("operations");
      } catch (error) {
        if (error instanceof Unanswered) this.chronicle.count("unanswered");
        else this.chronicle.violation(`${name}: ${error instanceof assert.AssertionError ? error.message : (error as Error).stack}`);
      } finally {
        this.#operationsUnderWay -= 1;
        this.#wake();
      }
    }
  }

  end(): void {
    this.isOver = true;
    this.#wake();
  }

  /** Ends the Worker that is up, if one is, whatever it does. */
  async abandon(): Promise<void> {
    const worker = this.#worker;
    this.#worker = undefined;
    this.end();
    await worker?.kill();
  }

  /** The answer, if it is no 5xx, or one with a code that may always be. */
  ask(method: string, path: string, init?: RequestInit, always: string[] = []): Promise<Answered> {
    const { range } = (init?.headers ?? {}) as Record<string, string>;
    const request = [method, path, ...(range === undefined ? [] : [range])].join(" ");
    return this.#excused(request, async (worker) => {
      let answer = await ask(worker, method, path, init);
      if (answer.body === undefined && method === "GET") {
        // The bytes of an embedded image go when it is deleted, even while they are sent. Nothing else may end an answer early.
        answer = await ask(worker, method, path, init);
        if (answer.status !== GONE) throw new Error(`the answer broke off, and the next one was a ${answer.status}`);
      }
      const { body, status } = answer;
      if (body === undefined) throw new Error("the connection broke");
      if (status < 500) return { ...answer, body, request };
      const problem = answer.json();
      if (always.includes(problem.code)) return { ...answer, body, request };
      assert.equal(answer.headers.get("content-type"), "application/problem+json");
      assert.ok(EXCUSES.includes(problem.code), `${request} was answered with ${JSON.stringify(problem)}`);
      throw new Down(problem);
    });
  }

  /** Something done past the Worker, which a kill may interrupt. */
  beside<T>(what: string, work: (worker: RunningWorker) => Promise<T>): Promise<T> {
    return this.#excused(what, work);
  }

  async #excused<T>(what: string, work: (worker: RunningWorker) => Promise<T>): Promise<T> {
    while (this.#worker === undefined) await this.#change();
    const before = this.disruptions;
    try {
      return await inTime(what, LONGEST_ANSWER_MS, work(this.#worker));
    } catch (error) {
      if (error instanceof assert.AssertionError) throw error;
      if (error instanceof Overdue) this.chronicle.violation(error.message);
      else if (this.disruptions === before) this.chronicle.violation(`${what} failed while all was well: ${words(error)}`);
      throw new Unanswered(what, error);
    }
  }

  #change(): Promise<void> {
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  #wake(): void {
    for (const wake of this.#waiting.splice(0)) wake();
  }
}

/** Asks until it knows, which is safe for what counts once however often it is sent. */
export async function untilAnswered(ask: () => Promise<Answered>): Promise<Answered> {
  const until = performance.now() + LONGEST_WAIT_MS;
  for (;;) {
    const answer = await ask().catch((error) => {
      if (!(error instanceof Unanswered)) throw error;
      assert.ok(performance.now() < until, `${error.message} is never answered: ${words(error)}`);
    });
    if (answer !== undefined) return answer;
    await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
  }
}

/** With the cause, which alone says why a connection failed. */
function words(error: unknown): string {
  const { message, cause } = error as Error;
  return cause === undefined ? message : `${message} (${String(cause)})`;
}
