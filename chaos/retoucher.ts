// A client that has images edited and looked at by jobs, watches and cancels them.
import assert from "node:assert/strict";

import type { Image, ImageDescription, Job, SessionAnalysis } from "../tests/workerd/harness/api-types.ts";
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
/** The image is gone, or is none that the editor takes; the session has no frames. */
const REFUSALS = [400, 404, 410, 422];
const EMPTY = "session-empty";

export class Retoucher {
  #name: string;
  #sessions: string[];
  #world: World;
  #model: Model;
  #choices: Choices;
  /** The jobs that have not ended, and where each can be read of that makes no image. */
  #open = new Map<string, string | undefined>();
  /** What was found on each image at first. */
  #found = new Map<string, string>();
  #made = 0;
  #outputs = 0;

  /** @param sessions whose frames it looks at */
  constructor(name: string, world: World, model: Model, sessions: string[], seed: number) {
    this.#name = name;
    this.#sessions = sessions;
    this.#world = world;
    this.#model = model;
    this.#choices = new Choices(seed);
  }

  async operate(): Promise<void> {
    const edit = this.#outputs >= MOST_OUTPUTS ? 0 : 5;
    const operation = this.#choices.weighted({ edit, describe: 2, analyze: 1, watch: 8, cancel: 1, rest: 6 });
    await this[`_${operation}`]();
  }

  async _edit(): Promise<void> {
    const image = this.#choices.one(this.#model.stored());
    if (image !== undefined) await this.#begin("/jobs", { asset_id: image.id, prompt: "more light" });
  }

  async _describe(): Promise<void> {
    const image = this.#choices.one(this.#model.stored());
    if (image !== undefined) await this.#begin(`/images/${image.id}/describe`, {}, `/images/${image.id}/description`);
  }

  async _analyze(): Promise<void> {
    const session = this.#choices.one(this.#sessions) ?? "";
    await this.#begin(`/sessions/${session}/analyze`, {}, `/sessions/${session}/analysis`);
  }

  async #begin(path: string, fields: object, findings?: string): Promise<void> {
    const headers = { "content-type": "application/json", "idempotency-key": `${this.#name}-${this.#made++}` };
    const answer = await untilAnswered(() => this.#world.ask("POST", path, { headers, body: JSON.stringify(fields) }));
    if (REFUSALS.includes(answer.status) || (answer.status === 409 && answer.json().code === EMPTY)) return;
    assert.ok([200, 202].includes(answer.status), `${answer.request}: ${new TextDecoder().decode(answer.body)}`);
    this.#open.set((answer.json() as Job).id, findings);
  }

  async _watch(): Promise<void> {
    const id = this.#choices.one([...this.#open.keys()]);
    if (id !== undefined) await this.#look(id);
  }

  async _cancel(): Promise<void> {
    const id = this.#choices.one([...this.#open.keys()]);
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
      for (const id of [...this.#open.keys()]) await this.#look(id);
      if (this.#open.size === 0) return;
      assert.ok(performance.now() < until, `the jobs ${[...this.#open.keys()]} never end`);
      await this.#world.worker.db.prepare(TAKE_UP).run();
      await this.#world.worker.scheduled();
      await new Promise((resolve) => setTimeout(resolve, REST_MS));
    }
  }

  /** A completed job has one output, which is an image from then on, or has found what can be read. */
  async #look(id: string): Promise<void> {
    const answer = await untilAnswered(() => this.#world.ask("GET", `/jobs/${id}`));
    assertAnswer(answer, 200);
    const { status, output_id: output } = answer.json() as Job;
    if (status === "queued" || status === "processing") return;
    const findings = this.#open.get(id);
    if (status === "completed" && findings !== undefined) await this.#read(findings);
    else if (status === "completed") {
      assert.ok(typeof output === "string", `the job ${id} has its output`);
      const record = await untilAnswered(() => this.#world.ask("GET", `/api/images/${output}`));
      assertAnswer(record, 200);
      this.#model.keep(record.json() as Image, undefined);
      this.#outputs += 1;
      this.#world.chronicle.count("jobsCompleted");
    }
    this.#open.delete(id);
  }

  /** What is found on an image is the same however often it is looked at; what it was found on may be deleted by now. */
  async #read(path: string): Promise<void> {
    const answer = await untilAnswered(() => this.#world.ask("GET", path));
    if (answer.status === 404 || answer.status === 410) return;
    assertAnswer(answer, 200);
    const { pictures } = answer.json() as ImageDescription | SessionAnalysis;
    assert.equal(new Set(pictures.map(({ imageId }) => imageId)).size, pictures.length, `${path} has each picture once`);
    for (const { imageId, nearDuplicateOf: _, ...found } of pictures) {
      const said = JSON.stringify({ ...found, frameNumber: undefined });
      assert.equal(said, this.#found.get(imageId) ?? said, `what was found on ${imageId} is what it was`);
      this.#found.set(imageId, said);
    }
    this.#world.chronicle.count("findingsCompared");
  }
}
