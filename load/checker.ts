// A client that knows what every answer must hold, to the byte.
import assert from "node:assert/strict";

import { randomImage } from "../bench/jobs/images.ts";
import { AUTHORIZATION } from "../tests/workerd/invariants.ts";
import { sha256 } from "../tests/workerd/client.ts";
import { weighted } from "../tests/workerd/random.ts";
import type { RunningWorker } from "../tests/workerd/harness/worker.ts";
import type { Stocked } from "./stock.ts";
import type { Expected } from "./verify.ts";

/** One of its own images. */
type Own = { id: string; sha256: string };

export type Checked = {
  requests: number;
  statuses: Record<string, number>;
  answeredBytes: number;
  /** Answers whose bytes were compared, and those bytes. */
  compared: number;
  comparedBytes: number;
  uploaded: number;
  deleted: number;
  latenciesMs: number[];
};

/** So many of its own stay; beyond that, one goes for each that comes. */
const KEPT_IMAGES = 100;
const OWN_BYTES = { least: 1_024, most: 400_000 };
/** Over the 25 MiB up to which an upload is held whole. */
const LARGE_BYTES = 27_000_000;
const PERSONA_ID = "load-checker";

/** How often each is done, of their sum. */
const STEPS = { whole: 40, part: 30, notModified: 10, own: 20, upload: 12, uploadLarge: 0.1 };
type Step = keyof typeof STEPS;

export class Checker {
  readonly checked: Checked = {
    requests: 0,
    statuses: {},
    answeredBytes: 0,
    compared: 0,
    comparedBytes: 0,
    uploaded: 0,
    deleted: 0,
    latenciesMs: [],
  };
  /** What it stored and did not delete. */
  #own: Own[] = [];
  #worker: RunningWorker;
  #stocked: Stocked[];
  #random: () => number;
  #report: (problem: string) => void;

  /** @param report is told of everything that was not as it must be */
  constructor(worker: RunningWorker, stocked: Stocked[], random: () => number, report: (problem: string) => void) {
    this.#worker = worker;
    this.#stocked = stocked;
    this.#random = random;
    this.#report = report;
  }

  /** Takes one step after the other on each connection. */
  async run(connections: number, isOver: () => boolean): Promise<void> {
    const work = async () => {
      while (!isOver()) {
        const step = weighted(this.#random, STEPS);
        await this.#take(step).catch((error) => this.#report(`Checker, ${step}: ${messageOf(error)}`));
      }
    };
    await Promise.all(Array.from({ length: connections }, work));
  }

  /** What the catalogue must hold of its own. */
  get expected(): Expected {
    return { title: "Everything, compared", personaId: PERSONA_ID, images: this.#own.length };
  }

  #take(step: Step): Promise<void> {
    const image = this.#oneOf(this.#stocked);
    assert.ok(image !== undefined);
    switch (step) {
      case "whole":
        return this.#readWhole(image.id, image.sha256);
      case "part":
        return this.#readPart(image);
      case "notModified":
        return this.#readKnown(image);
      case "own": {
        const own = this.#oneOf(this.#own);
        return own === undefined ? this.#readWhole(image.id, image.sha256) : this.#readOwn(own);
      }
      case "upload":
        return this.#upload(this.#between(OWN_BYTES.least, OWN_BYTES.most));
      case "uploadLarge":
        return this.#upload(LARGE_BYTES);
    }
  }

  async #readWhole(id: string, expected: string): Promise<void> {
    const { bytes, headers } = await this.#ask(200, "GET", `/images/${id}`);
    assert.deepEqual([sha256(bytes), headers.get("etag")], [expected, `"${expected}"`], `the bytes of ${id}`);
    this.#noteCompared(bytes);
  }

  /** Another may delete it before this is answered. */
  async #readOwn(own: Own): Promise<void> {
    const { status, bytes } = await this.#ask([200, 410], "GET", `/images/${own.id}`);
    if (status === 410) return assert.ok(!this.#own.includes(own), `${own.id} is gone and was not deleted`);
    assert.equal(sha256(bytes), own.sha256, `the bytes of ${own.id}`);
    this.#noteCompared(bytes);
  }

  async #readPart({ id, bytes: all }: Stocked): Promise<void> {
    const from = this.#between(0, all.length - 1);
    const to = this.#between(from, all.length - 1);
    const forms: [string, Uint8Array][] = [
      [`bytes=${from}-${to}`, all.subarray(from, to + 1)],
      [`bytes=${from}-`, all.subarray(from)],
      [`bytes=-${from + 1}`, all.subarray(all.length - from - 1)],
    ];
    const [range, expected] = this.#oneOf(forms) ?? ["", all];
    const { bytes } = await this.#ask(206, "GET", `/images/${id}`, { headers: { range } });
    assert.ok(Buffer.from(expected).equals(bytes), `${range} of ${id}`);
    this.#noteCompared(bytes);
  }

  async #readKnown({ id, sha256: digest }: Stocked): Promise<void> {
    const { bytes } = await this.#ask(304, "GET", `/images/${id}`, { headers: { "if-none-match": `"${digest}"` } });
    assert.equal(bytes.length, 0);
  }

  async #upload(sizeBytes: number): Promise<void> {
    const sent = randomImage(sizeBytes);
    const digest = sha256(sent);
    const answer = await this.#ask(201, "POST", `/api/images?personaId=${PERSONA_ID}`, { headers: AUTHORIZATION, body: sent });
    const record = JSON.parse(new TextDecoder().decode(answer.bytes)) as { id: string; sha256: string; size: number };
    this.checked.uploaded += 1;
    assert.deepEqual([record.sha256, record.size], [digest, sizeBytes], `the record of ${record.id}`);
    await this.#readWhole(record.id, digest);
    const own = { id: record.id, sha256: digest };
    this.#own.push(own);
    if (sizeBytes === LARGE_BYTES) await this.#delete(own);
    else if (this.#own.length > KEPT_IMAGES) await this.#delete(this.#oneOf(this.#own) ?? own);
  }

  async #delete(own: Own): Promise<void> {
    this.#own.splice(this.#own.indexOf(own), 1);
    await this.#ask(204, "DELETE", `/api/images/${own.id}`, { headers: AUTHORIZATION });
    this.checked.deleted += 1;
    await this.#ask(410, "GET", `/images/${own.id}`);
  }

  async #ask(
    expected: number | number[],
    method: string,
    path: string,
    init: RequestInit = {},
  ): Promise<{ status: number; headers: Headers; bytes: Uint8Array }> {
    const start = performance.now();
    this.checked.requests += 1;
    const response = await this.#worker.fetch(path, { ...init, method });
    const bytes = new Uint8Array(await response.arrayBuffer());
    const { status, headers } = response;
    this.checked.latenciesMs.push(performance.now() - start);
    this.checked.answeredBytes += bytes.length;
    this.checked.statuses[status] = (this.checked.statuses[status] ?? 0) + 1;
    assert.ok([expected].flat().includes(status), `${method} ${path}: ${status} ${new TextDecoder().decode(bytes.subarray(0, 500))}`);
    return { status, headers, bytes };
  }

  #noteCompared(bytes: Uint8Array): void {
    this.checked.compared += 1;
    this.checked.comparedBytes += bytes.length;
  }

  #oneOf<T>(values: T[]): T | undefined {
    return values[Math.floor(this.#random() * values.length)];
  }

  /** Both are possible. */
  #between(least: number, most: number): number {
    return least + Math.floor(this.#random() * (most - least + 1));
  }
}

/** Of an error and of what caused it: `fetch` says why it failed only there. */
function messageOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const [message] = error.message.split("\n");
  return error.cause === undefined ? (message ?? "") : `${message}: ${messageOf(error.cause)}`;
}
