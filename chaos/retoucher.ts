// A client that has images edited by jobs, watches and cancels them.
import assert from "node:assert/strict";

import type { Image, Job } from "../tests/workerd/harness/api-types.ts";
import { Choices } from "./choices.ts";
import { assertAnswer } from "./client.ts";
import type { Model } from "./model.ts";
import { untilAnswered } from "./world.ts";
import type { World } from "./world.ts";

const REST_MS = 100;
/** Far longer than a job takes that is claimed again at once. */
const LONGEST_JOB_MS = 60_000;
const MOST_OUTPUTS = 25;
/** Ends the lease of a worker that is dead, and has cron tell the queue of what waits. */
const TAKE_UP = "UPDATE stillstore_jobs SET due_at_ms = 1, lease_expires_at_ms = 0 WHERE state IN ('queued', 'processing')";
/** The image is gone, or is none that the editor takes. */
const REFUSALS = [400, 404, 410, 422];

export class Retoucher {
  #name: string;
  #world: World;
  #model: Model;
  #choices: Choices;
  #open = new Set<string>();
  #made = 0;
  #outputs = 0;

  constructor(name: string, world: World, model: Model, seed: number) {
    this.#name = name;
    this.#world = world;
    this.#model = model;
    this.#choices = new Choices(seed);
  }

  async operate(): Promise<void> {
    const operation = this.#choices.weighted({ begin: this.#outputs >= MOST_OUTPUTS ? 0 : 5, watch: 6, cancel: 1, rest: 6 });
    await this[`_${operation}`]();
  }

  async _begin(): Promise<void> {
    const image = this.#choices.one(this.#model.stored());
    if (image === undefined) return;
    const headers = { "content-type": "application/json", "idempotency-key": `${this.#name}-${this.#made++}` };
    const body = JSON.stringify({ asset_id: image.id, prompt: "more light" });
    const answer = await untilAnswered(() => this.#world.ask("POST", "/jobs", { headers, body }));
    if (REFUSALS.includes(answer.status)) return;
    assert.ok([200, 202].includes(answer.status), `${answer.request}: ${new TextDecoder().decode(answer.body)}`);
    this.#open.add((answer.json() as Job).id);
  }

  async _watch(): Promise<void> {
    const id = this.#choices.one([...this.#open]);
    if (id !== undefined) await this.#look(id);
  }

  async _cancel(): Promise<void> {
    const id = this.#choices.one([...this.#open]);
    if (id === undefined) return;
    const answer = await untilAnswered(() => this.#world.ask("DELETE", `/jobs/${id}`));
    if (answer.status !== 409) assertAnswer(answer, 200);
  }

  async _rest(): Promise<void> {
    await new Promise((resolve) => setTimeout(resolve, REST_MS));
  }

  /** In a lull: each job to its end. */
  async settle(): Promise<void> {
    const until = performance.now() + LONGEST_JOB_MS;
    for (;;) {
      for (const id of [...this.#open]) await this.#look(id);
      if (this.#open.size === 0) return;
      assert.ok(performance.now() < until, `the jobs ${[...this.#open]} never end`);
      await this.#world.worker.db.prepare(TAKE_UP).run();
      await this.#world.worker.scheduled();
      await new Promise((resolve) => setTimeout(resolve, REST_MS));
    }
  }

  /** A completed job has one output, which is an image from then on. */
  async #look(id: string): Promise<void> {
    const answer = await untilAnswered(() => this.#world.ask("GET", `/jobs/${id}`));
    assertAnswer(answer, 200);
    const { status, output_id: output } = answer.json() as Job;
    if (status === "queued" || status === "processing") return;
    if (status === "completed") {
      assert.ok(typeof output === "string", `the job ${id} has its output`);
      const record = await untilAnswered(() => this.#world.ask("GET", `/api/images/${output}`));
      assertAnswer(record, 200);
      this.#model.keep(record.json() as Image, undefined);
      this.#outputs += 1;
      this.#world.chronicle.count("jobsCompleted");
    }
    this.#open.delete(id);
  }
}
