// Every write of a migration, a rollback and a cleanup fails, before it happens and after; then all heals and the work is finished. Once
// with images of our own, once with an application's table.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";

import type { Call, Fault } from "./harness/fault-plan.ts";
import { startWorker } from "./harness/worker.ts";
import type { RunningWorker } from "./harness/worker.ts";
import { ask } from "./flows.ts";
import { assertInvariants, clean, imageKeys } from "./invariants.ts";
import { act, acted, assertHomes, assertReadable, checkedReceipt, plant, runOf, takeUp } from "./migrations.ts";
import type { Asked } from "./migrations.ts";
import { ApplicationTable } from "./application-table.ts";

const SHAPES = ["before", "after"] as const;
const IMAGES = 2;
/** Two slices. */
const BATCH_SIZE = 1;

/** What is moved, and how to tell that nothing of it is lost. */
type Subject = {
  source: string;
  /** Makes new images, of which nothing has happened yet. */
  plant(): Promise<void>;
  /** Holds at every moment. */
  assertReadable(): Promise<void>;
  assertEnded(outcome: Outcome): Promise<void>;
};

/** Where the images are in the end, whether their originals are in the database, and how many copies are in the bucket. */
type Outcome = { home: "r2" | "d1"; originals: boolean; copies: number };

type Body = Asked<"migrate" | "rollback" | "cleanup">;

type Flow = {
  name: string;
  /** Makes what the flow begins with, and answers with what it asks for. */
  start(source: string): Promise<Body>;
  outcome: Outcome;
};

const migrated = (source: string) => acted(worker, { source, action: "migrate" });
const cleanup = (source: string, runId: string) =>
  ({ source, action: "cleanup", force: true, runId, confirmRunId: runId }) as const;

const flows: Flow[] = [
  {
    name: "migrate",
    start: async (source) => ({ source, action: "migrate" }),
    outcome: { home: "r2", originals: true, copies: IMAGES },
  },
  {
    name: "rollback",
    start: async (source) => {
      await migrated(source);
      return { source, action: "rollback", deleteFromR2: true };
    },
    outcome: { home: "d1", originals: true, copies: 0 },
  },
  {
    name: "cleanup",
    start: async (source) => cleanup(source, (await migrated(source)).runId),
    outcome: { home: "r2", originals: false, copies: IMAGES },
  },
  {
    name: "rollback of what was cleaned",
    start: async (source) => {
      await acted(worker, cleanup(source, (await migrated(source)).runId));
      return { source, action: "rollback" };
    },
    outcome: { home: "d1", originals: true, copies: IMAGES },
  },
];

let worker: RunningWorker;
let table: ApplicationTable;
before(async () => {
  worker = await startWorker({ faults: true, queue: false });
  table = await ApplicationTable.create(worker);
});
after(() => worker.stop());

let originals: Awaited<ReturnType<typeof plant>> = [];
const subjects: Subject[] = [
  {
    source: "embedded",
    plant: async () => {
      originals = await plant(worker, IMAGES);
    },
    assertReadable: () => assertReadable(worker, originals),
    assertEnded: async ({ home, originals }) => {
      await assertHomes(worker, home === "r2" ? { r2: IMAGES, d1: 0 } : { r2: 0, d1: IMAGES });
      const chunks = await worker.db.prepare("SELECT count(*) AS n FROM stillstore_chunks").first("n");
      assert.equal(chunks, originals ? IMAGES : 0);
    },
  },
  {
    source: "images",
    plant: () => table.fill(IMAGES),
    assertReadable: () => table.assertReadable(),
    assertEnded: async ({ home, originals }) => {
      await (home === "d1" ? table.assertAsBefore() : table.assertMoved({ originals }));
      await table.assertCounted();
    },
  },
];

for (const subject of subjects) {
  for (const flow of flows) {
    describe(`${flow.name} of ${subject.source}`, () => {
      test("loses nothing and leaves nothing behind", async (t) => {
        const faults = await faultsOf(subject, flow);
        assert.ok(faults.length > 10, `${faults.length} faults`);
        for (const { fault, name } of faults) await t.test(name, () => survives(subject, flow, fault));
      });
    });
  }
}

async function begin(subject: Subject, flow: Flow): Promise<Body> {
  await clean(worker);
  await table.fill(0);
  await subject.plant();
  const body = { ...(await flow.start(subject.source)), batchSize: BATCH_SIZE };
  await worker.faults.forgetCalls();
  return body;
}

/** One fault for each call that writes, in each shape. */
async function faultsOf(subject: Subject, flow: Flow): Promise<{ fault: Fault; name: string }[]> {
  await acted(worker, await begin(subject, flow));
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

async function survives(subject: Subject, flow: Flow, fault: Fault): Promise<void> {
  const body = await begin(subject, flow);
  await worker.faults.set(fault);
  const answer = await act(worker, body);
  assert.ok((await worker.faults.calls({ outcome: "failed" })).length > 0, "the fault happened");
  await worker.faults.clear();
  assert.ok([200, 202, 503].includes(answer.status), `${answer.status} ${new TextDecoder().decode(answer.body)}`);
  await subject.assertReadable();
  if (subject.source === "embedded") await assertInvariants(worker);

  // The run goes on by itself, unless it never began.
  await takeUp(worker);
  const { run } = (await ask(worker, "GET", "/api/migrate-images")).json();
  if (run !== null) {
    const { state } = await runOf(worker, run.id);
    assert.ok(["completed", "completed_with_errors"].includes(state), state);
    const ids = (await checkedReceipt(worker, run.id)).map(({ id }) => id);
    assert.equal(new Set(ids).size, ids.length, "no item is handled twice");
  }
  await subject.assertReadable();

  const again = await acted(worker, body);
  assert.deepEqual({ done: again.done, failed: again.result.failed }, { done: true, failed: 0 }, JSON.stringify(again));
  await subject.assertReadable();
  if (subject.source === "embedded") await assertInvariants(worker);
  await subject.assertEnded(flow.outcome);
  assert.equal((await imageKeys(worker)).length, flow.outcome.copies);
  const unfinished = "SELECT count(*) AS n FROM stillstore_runs WHERE state IN ('running', 'paused') OR in_flight <> '[]'";
  assert.equal(await worker.db.prepare(unfinished).first("n"), 0);
  assert.equal(await worker.db.prepare("SELECT count(*) AS n FROM stillstore_run_lines").first("n"), 0);
}
