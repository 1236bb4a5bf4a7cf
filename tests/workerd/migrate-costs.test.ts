// What a migration costs for each image, its run's own bookkeeping included, and that it does not grow with the table.
import assert from "node:assert/strict";
import { test } from "node:test";
import type { TestContext } from "node:test";

import type { MigrateResult } from "./harness/api-types.ts";
import type { Call } from "./harness/fault-plan.ts";
import { ask } from "./flows.ts";
import { startWorker } from "./harness/worker.ts";
import type { RunningWorker } from "./harness/worker.ts";
import { imageKeys } from "./invariants.ts";
import { acted, digest, plant, plantTable, runOf, untilLogged, untilState } from "./migrations.ts";

/** Its last slice is not full. */
const SMALL_TABLE = 109;
const LARGE_TABLE = 20_000;
/** How much of the large table is moved before the run is cancelled. */
const ENOUGH_ITEMS = 200;
/** A run of that many images from its start to its end; it takes minutes, so that only a person asks for it. */
const WHOLE_RUN_ITEMS = Number(process.env.MIGRATION_ITEMS ?? 0);

/** An image's row, its chunk, its row again; a slice's share of the run's row, its lines and the counters; what an invocation repeats. */
const OF_AN_IMAGE = { read: 4, written: 4 };
/** Beside a table's row and the journal's entry, the catalogue's row, four indexes of it, and its counter. */
const OF_A_TABLES_ROW = { read: 4, written: 11 };
const MAX_D1_CALLS_A_SLICE = 3;
const MAX_ROWS_AROUND_A_RUN = 80;
/** D1 and the Workers platform each allow an invocation so many calls. */
const MAX_OPERATIONS_AN_INVOCATION = 1_000;

test(`moving ${SMALL_TABLE} images costs what is promised`, async (t) => {
  const worker = await startWorker({ faults: true });
  t.after(() => worker.stop());
  const { calls, runId } = await wholeRun(worker, SMALL_TABLE);
  assertCosts(t, calls, SMALL_TABLE, OF_AN_IMAGE);
  assertSaid(calls, (await runOf(worker, runId)).result as MigrateResult, SMALL_TABLE);
  assertLimits(t, calls);
});

test(`moving an image out of ${LARGE_TABLE} costs the same`, async (t) => {
  const worker = await startWorker({ faults: true });
  t.after(() => worker.stop());
  await plant(worker, LARGE_TABLE);
  await worker.faults.forgetCalls();
  const { runId } = await acted(worker, { action: "migrate", source: "embedded", background: true });
  while ((await runOf(worker, runId)).progress.done < ENOUGH_ITEMS) continue;
  await acted(worker, { action: "cancel", runId });
  const { progress, state } = await untilState(worker, runId);
  assert.deepEqual({ state, total: progress.total }, { state: "cancelled", total: LARGE_TABLE });
  assertCosts(t, ofRun(await worker.faults.calls()), progress.done, OF_AN_IMAGE);
});

test(`moving a row of an application's table of ${SMALL_TABLE} costs what is promised`, async (t) => {
  const worker = await startWorker({ faults: true });
  t.after(() => worker.stop());
  await plantTable(worker, SMALL_TABLE);
  await worker.faults.forgetCalls();
  const { runId } = await acted(worker, { action: "migrate", source: "images", background: true });
  await untilLogged(worker, runId, ["completed", "completed_with_errors", "failed"]);
  const calls = ofRun(await worker.faults.calls());
  assertCosts(t, calls, SMALL_TABLE, OF_A_TABLES_ROW);
  assertSaid(calls, (await runOf(worker, runId)).result as MigrateResult, SMALL_TABLE);
  assertLimits(t, calls);
});

test(`moving a row out of a table of ${LARGE_TABLE} costs the same`, async (t) => {
  const worker = await startWorker({ faults: true });
  t.after(() => worker.stop());
  await plantTable(worker, LARGE_TABLE);
  await worker.faults.forgetCalls();
  const { runId } = await acted(worker, { action: "migrate", source: "images", background: true });
  while ((await runOf(worker, runId)).progress.done < ENOUGH_ITEMS) continue;
  await acted(worker, { action: "cancel", runId });
  const { progress } = await untilState(worker, runId);
  assertCosts(t, ofRun(await worker.faults.calls()), progress.done, OF_A_TABLES_ROW);
});

/** What a status asks of D1: statements, and rows read beside those of the table. */
const MAX_STATUS_QUERIES = 20;
const STATUS_ROWS = 60;
/** Rows of a table that one statement counts; each may take an entry of the journal and an index along. */
const COUNTED_ROWS = 2_000;

test(`telling how far a table of ${SMALL_TABLE} rows is costs its rows, and one of ${LARGE_TABLE} no more than a bound`, async (t) => {
  const worker = await startWorker({ faults: true });
  t.after(() => worker.stop());
  await plantTable(worker, SMALL_TABLE);
  const small = await statusCosts(t, worker, "small");
  assert.deepEqual({ state: small.state, rowsWritten: small.rowsWritten }, { state: "current", rowsWritten: 0 });
  assert.ok(small.rowsRead >= SMALL_TABLE && small.rowsRead <= SMALL_TABLE + STATUS_ROWS, `${small.rowsRead} rows read`);
  await acted(worker, { action: "migrate", source: "images" });
  const moved = await statusCosts(t, worker, "small, moved");
  assert.ok(moved.rowsRead <= 2 * SMALL_TABLE + STATUS_ROWS, `${moved.rowsRead} rows read`);
  assert.equal(moved.stats.migratedImages, SMALL_TABLE);

  await worker.db.prepare("DROP TABLE images").run();
  await worker.db.prepare("DELETE FROM stillstore_moves").run();
  await worker.db.prepare("DELETE FROM stillstore_move_counters").run();
  await plantTable(worker, LARGE_TABLE);
  let counts = 0;
  for (let state = "counting"; state === "counting"; counts += 1) {
    const counting = await statusCosts(t, worker, `large, call ${counts + 1}`);
    assert.ok(counting.rowsRead <= 2 * COUNTED_ROWS + STATUS_ROWS, `${counting.rowsRead} rows read`);
    assert.ok(counting.rowsWritten <= 4, `${counting.rowsWritten} rows written`);
    state = counting.state;
  }
  assert.ok(counts >= LARGE_TABLE / COUNTED_ROWS, "a slice a call");
  const kept = await statusCosts(t, worker, "large, counted");
  assert.deepEqual(
    { state: kept.state, totalImages: kept.stats.totalImages, rowsWritten: kept.rowsWritten },
    { state: "kept", totalImages: LARGE_TABLE, rowsWritten: 0 },
  );
  assert.ok(kept.rowsRead <= STATUS_ROWS, `${kept.rowsRead} rows read`);
});

async function statusCosts(t: TestContext, worker: RunningWorker, of: string) {
  await worker.faults.forgetCalls();
  const answer = await ask(worker, "GET", "/api/migrate-images");
  assert.equal(answer.status, 200);
  const calls = (await worker.faults.calls()).filter(({ binding }) => binding === "DB");
  const queries = calls.reduce((sum, { subject }) => sum + subject.split("\n").length, 0);
  const [rowsRead, rowsWritten] = [sumOf(calls, "rowsRead"), sumOf(calls, "rowsWritten")];
  t.diagnostic(`status, ${of}: ${calls.length} calls of ${queries} statements, ${rowsRead} rows read, ${rowsWritten} written`);
  assert.ok(queries <= MAX_STATUS_QUERIES, `${queries} statements`);
  const { migrationStats: stats } = answer.json();
  return { rowsRead, rowsWritten, stats, state: stats.sources.find(({ name }: { name: string }) => name === "images").state };
}

test(`a run of ${WHOLE_RUN_ITEMS} images`, { skip: WHOLE_RUN_ITEMS === 0, timeout: 3_600_000 }, async (t) => {
  const worker = await startWorker({ faults: true });
  t.after(() => worker.stop());
  const { calls, seconds, runId } = await wholeRun(worker, WHOLE_RUN_ITEMS);
  t.diagnostic(`${WHOLE_RUN_ITEMS} images in ${seconds} s, wasm memory ${await worker.wasmMemoryBytes()} bytes`);
  assertCosts(t, calls, WHOLE_RUN_ITEMS, OF_AN_IMAGE);
  assertLimits(t, calls);
  const { receipt, progress } = await runOf(worker, runId);
  assert.ok(receipt !== null);
  assert.deepEqual(
    { succeeded: progress.succeeded, lines: receipt.lines },
    { succeeded: WHOLE_RUN_ITEMS, lines: WHOLE_RUN_ITEMS },
  );
  const object = await worker.bucket.get(receipt.key);
  assert.equal(digest(Buffer.from(await object!.arrayBuffer())), receipt.sha256);
  t.diagnostic(`its receipt has ${receipt.bytes} bytes`);
});

async function wholeRun(worker: RunningWorker, items: number): Promise<{ calls: Call[]; seconds: number; runId: string }> {
  const planted = await plant(worker, items);
  await worker.faults.forgetCalls();
  const begin = performance.now();
  const { runId } = await acted(worker, { action: "migrate", source: "embedded", background: true });
  await untilLogged(worker, runId, ["completed", "completed_with_errors", "failed"]);
  const seconds = Math.round((performance.now() - begin) / 100) / 10;
  const calls = ofRun(await worker.faults.calls());
  assert.deepEqual((await imageKeys(worker)).sort(), planted.map(({ key }) => key).sort());
  return { calls, seconds, runId };
}

/** Without what the tests' own questions cost. */
function ofRun(calls: Call[]): Call[] {
  assert.deepEqual(calls.filter(({ outcome }) => outcome !== "ok"), []);
  return calls.filter(({ subject }) => !/^SELECT [^;]* FROM stillstore_runs WHERE id = \?1$/.test(subject));
}

function assertCosts(t: TestContext, calls: Call[], items: number, most: { read: number; written: number }): void {
  const [read, written] = [sumOf(calls, "rowsRead") / items, sumOf(calls, "rowsWritten") / items];
  t.diagnostic(`${items} images: D1 rows read ${read.toFixed(3)}, written ${written.toFixed(3)} each`);
  assert.ok(read > 1 && read <= most.read, `${read} rows read for each image`);
  assert.ok(written > 1 && written <= most.written, `${written} rows written for each image`);

  const bucket = calls.filter(({ binding }) => binding === "R2_IMAGES");
  assert.deepEqual(new Set(bucket.map(({ method }) => method)), new Set(["put"]));
  const puts = Map.groupBy(bucket, ({ subject }) => subject.startsWith("stillstore/receipts/"));
  assert.deepEqual([puts.get(false)?.length, puts.get(true)?.length], [items, 1], "a put an image, and the receipt");

  const between = invocationsOf(calls).flatMap(callsBetweenPuts);
  assert.ok(between.length > 0 && Math.max(...between) <= MAX_D1_CALLS_A_SLICE, `D1 calls between slices: ${between}`);
}

/** A run says what it took, but for what begins, claims and ends it. */
function assertSaid(calls: Call[], { operations: said }: MigrateResult, items: number): void {
  assert.equal(said.r2ClassA, items);
  const [read, written] = [sumOf(calls, "rowsRead") - said.d1RowsRead, sumOf(calls, "rowsWritten") - said.d1RowsWritten];
  const around = JSON.stringify({ read, written, said });
  assert.ok(read >= 0 && read <= MAX_ROWS_AROUND_A_RUN && written >= 0 && written <= MAX_ROWS_AROUND_A_RUN, around);
}

function assertLimits(t: TestContext, calls: Call[]): void {
  const operations = invocationsOf(calls).map(operationsOf);
  t.diagnostic(`${operations.length} invocations of at most ${Math.max(...operations)} statements and store operations`);
  for (const count of operations) assert.ok(count <= MAX_OPERATIONS_AN_INVOCATION, `${count} operations`);
}

function sumOf(calls: Call[], field: "rowsRead" | "rowsWritten"): number {
  return calls.reduce((sum, call) => sum + (call[field] ?? 0), 0);
}

/** The first of them begins with the claim of the run; what came before began the run. */
function invocationsOf(calls: Call[]): Call[][] {
  const invocations: Call[][] = [];
  for (const call of calls) {
    if (call.subject.startsWith("UPDATE stillstore_runs SET lease_token = ?2")) invocations.push([]);
    invocations.at(-1)?.push(call);
  }
  return invocations;
}

function operationsOf(calls: Call[]): number {
  const statements = ({ binding, subject }: Call) => (binding === "DB" ? subject.split("\n").length : 1);
  return calls.reduce((sum, call) => sum + statements(call), 0);
}

/** The lengths of the runs of D1 calls that have a put before and behind them. */
function callsBetweenPuts(calls: Call[]): number[] {
  const lengths: number[] = [];
  let length = NaN;
  for (const { binding, subject } of calls) {
    if (binding === "DB") length += 1;
    if (binding !== "R2_IMAGES" || subject.startsWith("stillstore/")) continue;
    if (length > 0) lengths.push(length);
    length = 0;
  }
  return lengths;
}
