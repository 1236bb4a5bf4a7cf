// Every write of a migration, a rollback and a cleanup fails, before it happens and after; then all heals and the work is finished.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";

import type { Call, Fault } from "./harness/fault-plan.ts";
import { startWorker } from "./harness/worker.ts";
import type { RunningWorker } from "./harness/worker.ts";
import { ask } from "./flows.ts";
import { assertInvariants, clean, imageKeys } from "./invariants.ts";
import { act, acted, assertHomes, assertReadable, checkedReceipt, plant, runOf, takeUp } from "./migrations.ts";
import type { Original } from "./migrations.ts";

const SHAPES = ["before", "after"] as const;
const IMAGES = 2;
/** Two slices. */
const BATCH_SIZE = 1;

type Flow = {
  name: string;
  /** Makes what the flow begins with, and answers with what it asks for. */
  start(worker: RunningWorker): Promise<object>;
  /** Where the images and their copies are in the end. */
  homes: { r2: number; d1: number };
  copies: number;
  chunks: number;
};

const flows: Flow[] = [
  {
    name: "migrate",
    start: async () => ({ action: "migrate" }),
    homes: { r2: IMAGES, d1: 0 },
    copies: IMAGES,
    chunks: IMAGES,
  },
  {
    name: "rollback",
    start: async (worker) => {
      await acted(worker, { action: "migrate" });
      return { action: "rollback", deleteFromR2: true };
    },
    homes: { r2: 0, d1: IMAGES },
    copies: 0,
    chunks: IMAGES,
  },
  {
    name: "cleanup",
    start: async (worker) => {
      const { runId } = await acted(worker, { action: "migrate" });
      return { action: "cleanup", force: true, runId, confirmRunId: runId };
    },
    homes: { r2: IMAGES, d1: 0 },
    copies: IMAGES,
    chunks: 0,
  },
  {
    name: "rollback of what was cleaned",
    start: async (worker) => {
      const { runId } = await acted(worker, { action: "migrate" });
      await acted(worker, { action: "cleanup", force: true, runId, confirmRunId: runId });
      return { action: "rollback" };
    },
    homes: { r2: 0, d1: IMAGES },
    copies: IMAGES,
    chunks: IMAGES,
  },
];

let worker: RunningWorker;
before(async () => {
  worker = await startWorker({ faults: true, queue: false });
});
after(() => worker.stop());

for (const flow of flows) {
  describe(flow.name, () => {
    test("loses nothing and leaves nothing behind", async (t) => {
      const faults = await faultsOf(flow);
      assert.ok(faults.length > 10, `${faults.length} faults`);
      for (const { fault, name } of faults) await t.test(name, () => survives(flow, fault));
    });
  });
}

async function begin(flow: Flow): Promise<{ originals: Original[]; body: object }> {
  await clean(worker);
  const originals = await plant(worker, IMAGES);
  const body = { ...(await flow.start(worker)), batchSize: BATCH_SIZE };
  await worker.faults.forgetCalls();
  return { originals, body };
}

/** One fault for each call that writes, in each shape. */
async function faultsOf(flow: Flow): Promise<{ fault: Fault; name: string }[]> {
  const { body } = await begin(flow);
  await acted(worker, body);
  const calls = await worker.faults.calls();
  return calls.flatMap((call, index) => {
    if (!isWrite(call)) return [];
    const nth = calls.slice(0, index + 1).filter(({ binding }) => binding === call.binding).length;
    const what = call.binding === "DB" ? call.subject.trim().split(/[\s(]+/).slice(0, 4).join(" ") : call.method;
    return SHAPES.map((when) => ({
      fault: { binding: call.binding, call: nth, when },
      name: `call ${nth} of ${call.binding} (${what}) fails ${when} it took effect`,
    }));
  });
}

function isWrite({ binding, method, subject }: Call): boolean {
  return binding === "DB" ? /\b(INSERT|UPDATE|DELETE)\b/.test(subject) : ["put", "delete"].includes(method);
}

async function survives(flow: Flow, fault: Fault): Promise<void> {
  const { originals, body } = await begin(flow);
  await worker.faults.set(fault);
  const answer = await act(worker, body);
  assert.ok((await worker.faults.calls({ outcome: "failed" })).length > 0, "the fault happened");
  await worker.faults.clear();
  assert.ok([200, 202, 503].includes(answer.status), `${answer.status} ${new TextDecoder().decode(answer.body)}`);
  await assertReadable(worker, originals);
  await assertInvariants(worker);

  // The run goes on by itself, unless it never began.
  await takeUp(worker);
  const { run } = (await ask(worker, "GET", "/api/migrate-images")).json();
  if (run !== null) {
    const { state } = await runOf(worker, run.id);
    assert.ok(["completed", "completed_with_errors"].includes(state), state);
    const ids = (await checkedReceipt(worker, run.id)).map(({ id }) => id);
    assert.equal(new Set(ids).size, ids.length, "no item is handled twice");
  }
  await assertReadable(worker, originals);

  const again = await acted(worker, body);
  assert.deepEqual([again.done, again.result.failed], [true, 0], JSON.stringify(again));
  await assertReadable(worker, originals);
  await assertInvariants(worker);
  await assertHomes(worker, flow.homes);
  assert.equal((await imageKeys(worker)).length, flow.copies);
  assert.equal(await worker.db.prepare("SELECT count(*) AS n FROM stillstore_chunks").first("n"), flow.chunks);
  const unfinished = "SELECT count(*) AS n FROM stillstore_runs WHERE state IN ('running', 'paused') OR in_flight <> '[]'";
  assert.equal(await worker.db.prepare(unfinished).first("n"), 0);
  assert.equal(await worker.db.prepare("SELECT count(*) AS n FROM stillstore_run_lines").first("n"), 0);
}
