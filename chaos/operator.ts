// Somebody who migrates, checks, pauses, resumes, cancels, rolls back and cleans up without any plan.
import assert from "node:assert/strict";

import { digest, takeUp } from "../tests/workerd/migrations.ts";
import type { Application } from "./application.ts";
import { Choices } from "./choices.ts";
import type { Model } from "./model.ts";
import { BUCKET, LINKS } from "./outside.ts";
import type { Outside } from "./outside.ts";
import { Unanswered } from "./world.ts";
import type { World } from "./world.ts";

const ROUTE = "/api/migrate-images";
const ENDED = ["cancelled", "completed", "completed_with_errors", "failed"];
const REFUSALS = ["run-in-progress", "run-ended", "run-not-found", "receipt-not-ready", "not-a-backup"];
/** An item that was named was not moved, its link has expired for good, or its object is another by now. */
const FAILURES = ["not-moved", "expired", "source-changed"];
const POLL_MS = 30;
const LONGEST_WATCH_MS = 4_000;
/** Far longer than a run takes over the few images there are. */
const LONGEST_RUN_MS = 120_000;

/** A run, and whether all was well when it began. */
type Begun = { id: string; disruptions: number };

export class Operator {
  #world: World;
  #model: Model;
  #application: Application;
  #outside: Outside | undefined;
  #choices: Choices;
  #runs = new Map<string, Begun>();
  /** As they were when they had ended, since the last lull. */
  #ended: any[] = [];
  /** Whose items can be cleaned up, or restored from. */
  #completed: { id: string; action: string; source: string }[] = [];

  constructor(world: World, model: Model, application: Application, outside: Outside | undefined, seed: number) {
    this.#world = world;
    this.#model = model;
    this.#application = application;
    this.#outside = outside;
    this.#choices = new Choices(seed);
  }

  async operate(): Promise<void> {
    const operation = this.#choices.weighted({ begin: 10, interfere: 5, watch: 8, takeUp: 4, cron: 2, overview: 1 });
    switch (operation) {
      case "begin":
        return this.#begin();
      case "interfere":
        await this.#act({ action: this.#choices.one(["pause", "resume", "resume", "cancel", "status", "stats"]) });
        return;
      case "watch":
        return this.#watch();
      case "takeUp":
        return this.#takeUp();
      case "cron":
        return this.#cron();
      case "overview":
        assert.equal((await this.#world.ask("GET", ROUTE)).status, 200);
    }
  }

  /** Every run to its end, as a lull wants it. */
  async settle(): Promise<void> {
    const until = performance.now() + LONGEST_RUN_MS;
    for (;;) {
      const sql = "SELECT id, state FROM stillstore_runs WHERE state IN ('running', 'paused')";
      const { results } = await this.#world.worker.db.prepare(sql).all<{ id: string; state: string }>();
      if (results.length === 0) break;
      assert.ok(performance.now() < until, `the runs ${JSON.stringify(results)} never end`);
      for (const { id, state } of results) if (state === "paused") await this.#act({ action: "resume", runId: id });
      await this.#takeUp();
    }
    for (const { id } of [...this.#runs.values()]) await this.#inspect(id);
    for (const run of this.#ended.splice(0)) {
      const answer = await this.#world.ask("GET", `${ROUTE}/runs/${run.id}`);
      assert.deepEqual(answer.json(), run, `the run ${run.id} has ended and is as it was`);
    }
  }

  /** Begins a run that works to its end, and answers with it. */
  async complete(body: object): Promise<any> {
    const begun = await this.#act({ ...body, background: true });
    assert.ok(begun !== undefined, `${JSON.stringify(body)} was refused`);
    const until = performance.now() + LONGEST_RUN_MS;
    for (;;) {
      const run = await this.#inspect(begun.runId);
      if (ENDED.includes(run.state)) return run;
      assert.ok(performance.now() < until, `the run ${JSON.stringify(run)} never ends`);
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
  }

  /** Begins a run in the background, on somebody else's word. Another run may be in the way. */
  async beginFor(body: { action: string; source: string; deleteFromR2?: true }): Promise<void> {
    await this.#act({ ...body, background: true }).catch((error) => {
      if (!(error instanceof Unanswered)) this.#world.chronicle.violation(`operator: ${error.message}`);
    });
  }

  async #begin(): Promise<void> {
    const outside = this.#outside === undefined ? 0 : 1;
    const source = this.#choices.weighted({ embedded: 3, images: 3, [LINKS]: outside, [BUCKET]: outside });
    const isOutside = source === LINKS || source === BUCKET;
    const held = isOutside ? 0 : 1;
    const action = this.#choices.weighted({ migrate: 8, rollback: 6, cleanup: 4, validate: 4, complete: 1, backup: held, restore: held });
    const body = { action, source, background: this.#choices.chance(0.7), ...this.#pace(), ...this.#details(action, source) };
    await this.#act(body);
  }

  #pace(): object {
    return this.#choices.chance(0.5) ? {} : { batchSize: this.#choices.whole(1, 25), concurrency: this.#choices.whole(1, 16) };
  }

  #details(action: string, source: string): object {
    const dryRun = this.#choices.chance(0.15);
    const run = (of: string) => this.#choices.one(this.#completed.filter((run) => run.source === source && run.action === of))?.id;
    switch (action) {
      case "migrate":
        return { dryRun };
      case "rollback":
        // What a rollback leaves is nobody's once the object outside is another.
        return { dryRun, deleteFromR2: source === BUCKET || this.#choices.chance(0.5), ...(this.#choices.chance(0.3) ? { imageIds: this.#some(source) } : {}) };
      case "validate":
        return { checkIntegrity: this.#choices.chance(0.5), ...(this.#choices.chance(0.2) ? { sampleSize: 10 } : {}) };
      case "cleanup": {
        const runId = run("migrate");
        return runId === undefined ? {} : { dryRun, force: true, runId, confirmRunId: runId };
      }
      case "restore":
        return { dryRun, runId: run("backup") ?? "0".repeat(32) };
      default:
        return {};
    }
  }

  #some(source: string): string[] {
    const ids = this.#idsOf(source);
    const some = new Set(Array.from({ length: 10 }, () => this.#choices.one(ids) ?? "none"));
    return [...some];
  }

  #idsOf(source: string): string[] {
    if (source === "images") return this.#application.ids;
    if (source === LINKS) return this.#outside?.linkIds ?? [];
    return source === BUCKET ? (this.#outside?.keys ?? []) : this.#model.stored().map(({ id }) => id);
  }

  /** Undefined when it was refused for a reason that may be. */
  async #act(body: Record<string, unknown>): Promise<any> {
    const { disruptions } = this.#world;
    const headers = { "content-type": "application/json" };
    const answer = await this.#world.ask("POST", ROUTE, { headers, body: JSON.stringify(body) });
    const said = answer.json();
    if (answer.status >= 400) {
      assert.ok(REFUSALS.includes(said.code), `${JSON.stringify(body)}: ${JSON.stringify(said)}`);
      return undefined;
    }
    this.#world.chronicle.note(`${body.action} ${body.source ?? ""} ${body.dryRun ? "dry" : ""} ${said.runId ?? ""} is ${said.state ?? ""}`);
    if (body.source !== undefined && said.runId !== undefined) {
      this.#world.chronicle.count("runs");
      this.#runs.set(said.runId, { id: said.runId, disruptions });
    }
    return said;
  }

  async #watch(): Promise<void> {
    const begun = [...this.#runs.values()].at(-1);
    const until = performance.now() + LONGEST_WATCH_MS;
    while (begun !== undefined && performance.now() < until) {
      const run = await this.#inspect(begun.id);
      if (run.state !== "running") return;
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
  }

  /** What a run says of itself holds together; once it has ended, it is looked at no more. */
  async #inspect(id: string): Promise<any> {
    const answer = await this.#world.ask("GET", `${ROUTE}/runs/${id}`);
    assert.equal(answer.status, 200, `the run ${id} is there`);
    const run = answer.json();
    const { state, progress, result, action, source, dryRun } = run;
    const what = JSON.stringify({ id, state, action, source, dryRun, progress, result: { ...result, orphaned: undefined } });
    assert.ok(!(progress.failed > 0 && state === "completed"), `${what} hides failures`);
    if (action === "validate" && result !== null) {
      assert.deepEqual(
        { missing: result.missing, corrupted: result.corrupted },
        { missing: [], corrupted: [] },
        `${what} misses images`,
      );
    }
    if (!ENDED.includes(state)) return run;
    const begun = this.#runs.get(id);
    // What is left at a source, `complete` tells as errors.
    if (action !== "complete" && begun?.disruptions === this.#world.disruptions) {
      const failures = result.errors.filter(({ reason }: { reason: string }) => !FAILURES.includes(reason));
      assert.ok(failures.length === 0 && state !== "failed", `${what} failed while all was well`);
    }
    if (state !== "failed") await this.#assertReceipt(run);
    this.#runs.delete(id);
    this.#ended.push(run);
    this.#world.chronicle.note(`${action} ${source} ${id} ended: ${state}, ${JSON.stringify(progress)}`);
    if (!dryRun && state !== "failed") this.#completed.push({ id, action, source });
    return run;
  }

  async #assertReceipt({ id, action, receipt, progress }: any): Promise<void> {
    const { status, body } = await this.#world.ask("GET", `${ROUTE}/runs/${id}/receipt`);
    assert.equal(status, 200, `the receipt of ${id}`);
    assert.equal(digest(body), receipt.sha256, `the receipt of ${id} is not what it was`);
    // That of `complete` has an object on both sides: what is left at the source, and the copies.
    if (action === "complete") return;
    const lines = new TextDecoder().decode(body).trimEnd().split("\n").slice(1, -1).map((line) => JSON.parse(line));
    const items = lines.map((line) => line.id);
    assert.equal(new Set(items).size, items.length, `${id} handled an item twice`);
    assert.deepEqual([lines.length, receipt.lines], [progress.done, progress.done], `the items of ${id}`);
    assert.equal(lines.filter(({ verdict }) => verdict === "failed").length, progress.failed, `the failures of ${id}`);
  }

  #takeUp(): Promise<void> {
    return this.#world.beside("taking runs up", takeUp);
  }

  #cron(): Promise<void> {
    return this.#world.beside("cron", (worker) => worker.scheduled());
  }
}
