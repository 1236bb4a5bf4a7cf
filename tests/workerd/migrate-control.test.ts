// Runs that are paused, cancelled, in each other's way, or cut off from the bucket, the database or the queue.
import assert from "node:assert/strict";
import { after, before, beforeEach, describe, test } from "node:test";

import { ask } from "./flows.ts";
import type { MigrateResult } from "./harness/api-types.ts";
import type { Fault } from "./harness/fault-plan.ts";
import { startWorker } from "./harness/worker.ts";
import type { RunningWorker } from "./harness/worker.ts";
import { assertInvariants, clean, imageKeys } from "./invariants.ts";
import { act, acted, assertHomes, assertReadable, checkedReceipt, plant, runOf, takeUp, untilState } from "./migrations.ts";
import type { Original } from "./migrations.ts";

const ITEMS = 60;
const HELD_AT_ITEM = 25;
const SLICE = 10;
const NO_RUN = "0".repeat(32);

let worker: RunningWorker;
let originals: Original[];
before(async () => {
  worker = await startWorker({ faults: true });
});
after(() => worker.stop());
beforeEach(async () => {
  await clean(worker);
  originals = await plant(worker, ITEMS);
});

const HELD_PUT: Fault = { binding: "R2_IMAGES", method: "put", call: HELD_AT_ITEM, when: "hang" };

/** A run in the background whose third slice waits for the bucket. */
async function heldRun(): Promise<string> {
  await worker.faults.set(HELD_PUT);
  const { runId } = await acted(worker, { action: "migrate", background: true });
  await worker.faults.untilHeld();
  return runId;
}

async function assertMoved(count: number): Promise<void> {
  await assertHomes(worker, { r2: count, d1: ITEMS - count });
  assert.equal((await imageKeys(worker)).length, count, "an object for each image that moved, and no other");
  await assertReadable(worker, originals);
  await assertInvariants(worker);
}

test("a pause takes effect with the slice at work, and resuming moves the rest", async () => {
  const runId = await heldRun();
  const asked = await acted(worker, { action: "pause", runId });
  assert.deepEqual(
    { state: asked.state, requested: asked.result.requested },
    { state: "running", requested: "pause" },
    "it is still at work",
  );
  await worker.faults.clear();
  const paused = await untilState(worker, runId, ["paused"]);
  assert.deepEqual(
    { done: paused.progress.done, finishedAt: paused.finishedAt, receipt: paused.receipt },
    { done: 3 * SLICE, finishedAt: null, receipt: null },
  );
  await assertMoved(3 * SLICE);

  await worker.scheduled();
  assert.equal((await runOf(worker, runId)).state, "paused", "cron leaves it alone");
  const busy = await act(worker, { action: "migrate" });
  assert.deepEqual([busy.status, busy.json().code, busy.json().runId], [409, "run-in-progress", runId], "it keeps its source");

  await acted(worker, { action: "resume", runId });
  const ended = await untilState(worker, runId);
  assert.deepEqual({ state: ended.state, succeeded: ended.progress.succeeded }, { state: "completed", succeeded: ITEMS });
  await assertMoved(ITEMS);
  assert.equal((await checkedReceipt(worker, runId)).length, ITEMS);
});

test("a cancelled run ends with its slice, keeps what it did and says so in its receipt", async () => {
  const runId = await heldRun();
  await acted(worker, { action: "cancel", runId });
  await worker.faults.clear();
  const run = await untilState(worker, runId);
  assert.deepEqual(
    { state: run.state, done: run.progress.done, success: (run.result as MigrateResult).success },
    { state: "cancelled", done: 3 * SLICE, success: false },
  );
  assert.equal((await checkedReceipt(worker, runId)).length, 3 * SLICE);
  await assertMoved(3 * SLICE);
  for (const action of ["resume", "pause", "cancel"]) {
    const answer = await act(worker, { action, runId });
    assert.deepEqual([answer.status, answer.json().code, answer.json().runId], [409, "run-ended", runId]);
  }
  assert.equal((await acted(worker, { action: "migrate" })).result.migrated, ITEMS - 3 * SLICE);
  await assertMoved(ITEMS);
});

test("a paused run that is cancelled ends with a receipt", async () => {
  const runId = await heldRun();
  await acted(worker, { action: "pause", runId });
  await worker.faults.clear();
  await untilState(worker, runId, ["paused"]);
  await acted(worker, { action: "cancel", runId });
  assert.equal((await untilState(worker, runId)).state, "cancelled");
  assert.equal((await checkedReceipt(worker, runId)).length, 3 * SLICE);
  await assertMoved(3 * SLICE);
});

test("a copy that could not be removed before a pause is removed after it", async () => {
  await acted(worker, { action: "migrate" });
  await worker.faults.set(
    { binding: "R2_IMAGES", method: "delete", call: 2, when: "before" },
    { binding: "R2_IMAGES", method: "delete", call: 5, when: "hang" },
  );
  const { runId } = await acted(worker, { action: "rollback", deleteFromR2: true, background: true });
  await worker.faults.untilHeld();
  await acted(worker, { action: "pause", runId });
  await worker.faults.clear();
  await untilState(worker, runId, ["paused"]);
  await acted(worker, { action: "resume", runId });
  assert.equal((await untilState(worker, runId)).state, "completed");
  await assertMoved(0);
});

test("a second run is told of the first; what changes nothing is not", async () => {
  const runId = await heldRun();
  for (const action of ["migrate", "rollback", "cleanup"]) {
    const answer = await act(worker, { action, background: true });
    assert.deepEqual([answer.status, answer.json().code, answer.json().runId], [409, "run-in-progress", runId], action);
  }
  for (const body of [{ action: "validate" }, { action: "migrate", dryRun: true }, { action: "stats" }] as const) await acted(worker, body);
  await worker.faults.clear();
  await untilState(worker, runId);
  await assertMoved(ITEMS);
});

describe("a run outlives", () => {
  const outages: { what: string; fault: Fault }[] = [
    { what: "a bucket that is down", fault: { binding: "R2_IMAGES", method: "put", call: 2 * SLICE + 1, when: "before", persistent: true } },
    { what: "a database that takes no commits", fault: { binding: "DB", method: "batch", call: 5, when: "before", persistent: true } },
    { what: "a queue that takes no messages", fault: { binding: "MIGRATIONS", when: "before", persistent: true } },
  ];
  for (const { what, fault } of outages) {
    test(what, async () => {
      await worker.faults.set(fault);
      const { runId } = await acted(worker, { action: "migrate", background: true });
      // The first message is delivered until it is given up; without a message nothing happens.
      if (fault.binding !== "MIGRATIONS") await worker.waitForLog(({ event }) => event?.run_id === runId && event?.outcome !== "running");
      const during = await runOf(worker, runId);
      assert.equal(during.state, "running");
      assert.ok(during.progress.succeeded < ITEMS);
      await assertReadable(worker, originals);
      await worker.faults.clear();
      await takeUp(worker);
      const run = await untilState(worker, runId);
      assert.deepEqual(
        { state: run.state, succeeded: run.progress.succeeded, failed: run.progress.failed },
        { state: "completed", succeeded: ITEMS, failed: 0 },
      );
      await assertMoved(ITEMS);
      assert.equal((await checkedReceipt(worker, runId)).length, ITEMS);
    });
  }

  test("a bucket that is down while a caller waits, who is told how it goes on", async () => {
    await worker.faults.set({ binding: "R2_IMAGES", method: "put", when: "before", persistent: true });
    const answer = await act(worker, { action: "migrate", batchSize: 2 });
    const problem = answer.json();
    assert.deepEqual({ status: answer.status, code: problem.code }, { status: 503, code: "storage-unavailable" });
    await worker.faults.clear();
    await worker.scheduled();
    const run = await untilState(worker, problem.runId);
    assert.deepEqual({ state: run.state, succeeded: run.progress.succeeded }, { state: "completed", succeeded: ITEMS });
    await assertMoved(ITEMS);
  });

  test("a Worker without a queue, in which cron does all", async (t) => {
    const bare = await startWorker({ queue: false });
    t.after(() => bare.stop());
    const images = await plant(bare, 20);
    const begun = await acted(bare, { action: "migrate", background: true });
    assert.match(begun.next ?? "", /cron/);
    assert.equal((await runOf(bare, begun.runId)).progress.done, 0);
    await bare.scheduled();
    assert.equal((await runOf(bare, begun.runId)).state, "completed");
    await assertReadable(bare, images);
    await assertHomes(bare, { r2: 20, d1: 0 });
  });
});

describe("what cannot be done is refused by the field that is wrong", () => {
  const refusals: [field: string, body: unknown][] = [
    ["action", {}],
    ["action", { action: "" }],
    ["action", { action: "move" }],
    ["action", { action: 1 }],
    ["batchsize", { action: "migrate", batchsize: 5 }],
    ["source", { action: "migrate", source: "nothing" }],
    ["source", { action: "migrate", source: 5 }],
    ...[0, 101, -1, 1.5, "10"].map((batchSize): [string, unknown] => ["batchSize", { action: "migrate", batchSize }]),
    ...[0, 17, "5"].map((concurrency): [string, unknown] => ["concurrency", { action: "rollback", concurrency }]),
    ["dryRun", { action: "migrate", dryRun: "yes" }],
    ["background", { action: "migrate", background: 1 }],
    ["imageIds", { action: "migrate", imageIds: "a" }],
    ["imageIds", { action: "migrate", imageIds: [1] }],
    ["imageIds", { action: "rollback", imageIds: Array.from({ length: 1_001 }, () => "a") }],
    ["imageIds", { action: "validate", imageIds: ["a".repeat(1_025)] }],
    ["checkIntegrity", { action: "validate", checkIntegrity: "true" }],
    ["sampleSize", { action: "validate", sampleSize: 0 }],
    ["deleteFromR2", { action: "rollback", deleteFromR2: "false" }],
    ["force", { action: "cleanup", force: "yes" }],
    ["force", { action: "migrate", force: true, runId: NO_RUN, confirmRunId: NO_RUN }],
    ["runId", { action: "cleanup", force: true }],
    ["confirmRunId", { action: "cleanup", force: true, runId: NO_RUN }],
    ["confirmRunId", { action: "cleanup", force: true, runId: NO_RUN, confirmRunId: "1".repeat(32) }],
    ...["pause", "resume", "cancel", "status", "cleanup"].flatMap((action) =>
      ["latest", "", NO_RUN.toUpperCase().replace("0", "A"), 7].map((runId): [string, unknown] => ["runId", { action, runId }]),
    ),
  ];

  test("in every action", async () => {
    for (const [field, body] of refusals) {
      const answer = await act(worker, body as object);
      const { code, field: named } = answer.json();
      assert.deepEqual(
        { status: answer.status, code, named },
        { status: 400, code: "invalid-field", named: field },
        JSON.stringify(body).slice(0, 200),
      );
    }
    const unknown = (await act(worker, { action: "move" })).json();
    const { availableActions } = (await ask(worker, "GET", "/api/migrate-images")).json();
    for (const action of availableActions) assert.ok(unknown.detail.includes(action), unknown.detail);
    assert.equal(await worker.db.prepare("SELECT count(*) AS n FROM stillstore_runs").first("n"), 0, "no run has begun");
  });

  test("and what is no JSON object, no run, no method, or has no token", async () => {
    const post = (body: string, headers: Record<string, string> = {}) =>
      ask(worker, "POST", "/api/migrate-images", { body, headers: { "content-type": "application/json", ...headers } });
    for (const body of ["", "{", "[]", "null", "1"]) assert.equal((await post(body)).status, 400, body);
    for (const action of ["pause", "resume", "cancel", "status"]) {
      assert.equal((await act(worker, { action, runId: NO_RUN })).status, 404, action);
      assert.equal((await act(worker, { action })).status, 404, `${action} of no run at all`);
    }
    for (const path of [NO_RUN, "latest", `${NO_RUN}/items`, `${NO_RUN}/receipt`]) {
      assert.equal((await ask(worker, "GET", `/api/migrate-images/runs/${path}`)).status, 404, path);
    }
    const { runId } = await acted(worker, { action: "migrate" });
    for (const query of ["cursor=x", "page=2"]) {
      assert.equal((await ask(worker, "GET", `/api/migrate-images/runs/${runId}/items?${query}`)).status, 400, query);
    }
    assert.equal((await ask(worker, "DELETE", `/api/migrate-images/runs/${runId}`)).status, 405);
    assert.equal((await post("{}", { authorization: "Bearer wrong" })).status, 401);
    for (const path of ["", `/runs/${runId}`, `/runs/${runId}/items`, `/runs/${runId}/receipt`]) {
      assert.equal((await worker.fetch(`/api/migrate-images${path}`)).status, 401, path);
    }
  });
});
