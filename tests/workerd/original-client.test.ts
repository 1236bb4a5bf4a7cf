// What the application's original migration client prints, command by command: each field that it reads is there and true.
import assert from "node:assert/strict";
import { test } from "node:test";
import type { TestContext } from "node:test";

import { ApplicationTable } from "./application-table.ts";
import { ask } from "./flows.ts";
import { startWorker } from "./harness/worker.ts";
import type { RunningWorker } from "./harness/worker.ts";
import { act, acted } from "./migrations.ts";

const ROWS = 12;

/** What it sends with every action. */
const ALWAYS = { batchSize: 10, concurrency: 3, dryRun: false };
/** What it sends for the options that were not given. */
const DEFAULTS = { ...ALWAYS, imageIds: undefined, checkIntegrity: false, deleteFromR2: false };

const STATUS = [
  "r2Configured",
  "r2Status",
  "r2ObjectsCount",
  "enableR2Storage",
  "batchSize",
  "concurrency",
  "migrationReady",
  "migrationStats",
  "availableActions",
  "apiVersion",
];
const STATS = [
  "totalImages",
  "migratedImages",
  "base64Images",
  "partiallyMigratedImages",
  "failedImages",
  "migrationProgress",
  "estimatedSpaceSaved",
] as const;
const RESULTS = {
  migrate: ["success", "total", "migrated", "failed", "skipped", "errors", "warnings", "duration", "dryRun"],
  validate: ["isValid", "totalChecked", "valid", "invalid", "missing", "corrupted", "orphaned", "warnings"],
  rollback: ["success", "total", "rolledBack", "failed", "errors"],
  backup: ["success", "recordCount"],
};

class OriginalClient {
  #worker: RunningWorker;

  constructor(worker: RunningWorker) {
    this.#worker = worker;
  }

  /** `status`: each field at the top level. */
  async status(): Promise<any> {
    const answer = await ask(this.#worker, "GET", "/api/migrate-images");
    assert.equal(answer.status, 200);
    const body = answer.json();
    assertAllThere(body, STATUS);
    assert.ok("publicUrl" in body, "null without a public domain");
    assertAllThere(body.migrationStats, STATS);
    return body;
  }

  /** What it prints of `status` and of `stats`, which say the same. */
  async progress(): Promise<string> {
    const { migrationStats, r2ObjectsCount } = await this.status();
    const { success, action, dryRun, result } = await acted(this.#worker, { action: "stats", ...DEFAULTS });
    assert.deepEqual({ success, action, dryRun }, { success: true, action: "stats", dryRun: false });
    for (const field of STATS) assert.deepEqual(result[field], migrationStats[field], field);
    const { totalImages, migratedImages, base64Images, partiallyMigratedImages, failedImages, migrationProgress } = result;
    assert.equal(r2ObjectsCount, migratedImages);
    assert.equal(result.estimatedSpaceSaved > 0, base64Images > 0);
    return (
      `${migratedImages}/${totalImages} migrated, ${base64Images} base64, ${partiallyMigratedImages} partial, ` +
      `${failedImages} failed, ${migrationProgress} %`
    );
  }

  /** Any other action, which is done when the answer comes. */
  async run(action: keyof typeof RESULTS, options: object = {}): Promise<any> {
    const body = await acted(this.#worker, { action, ...DEFAULTS, ...options });
    assertAllThere(body, ["success", "action", "dryRun", "result"]);
    assert.deepEqual({ action: body.action, done: body.done }, { action, done: true });
    assertAllThere(body.result, RESULTS[action]);
    return body;
  }
}

function assertAllThere(object: Record<string, unknown>, fields: readonly string[]): void {
  for (const field of fields) assert.ok(object[field] !== undefined && object[field] !== null, `${field} in ${JSON.stringify(object)}`);
}

async function started(t: TestContext): Promise<{ worker: RunningWorker; table: ApplicationTable; client: OriginalClient }> {
  const worker = await startWorker({ vars: { ENABLE_R2_STORAGE: "true" } });
  t.after(() => worker.stop());
  const table = await ApplicationTable.create(worker);
  await table.fill(ROWS);
  return { worker, table, client: new OriginalClient(worker) };
}

test("status, stats, a dry run, migrate: the client sees its own table go out", async (t) => {
  const { table, client } = await started(t);
  const before = await client.status();
  assert.deepEqual(
    { r2Configured: before.r2Configured, r2Status: before.r2Status, enableR2Storage: before.enableR2Storage },
    { r2Configured: true, r2Status: "connected", enableR2Storage: true },
  );
  assert.deepEqual(
    { migrationReady: before.migrationReady, batchSize: before.batchSize, concurrency: before.concurrency },
    { migrationReady: true, batchSize: 10, concurrency: 5 },
  );
  for (const action of ["migrate", "validate", "rollback", "stats", "backup", "pause", "resume", "status"]) {
    assert.ok(before.availableActions.includes(action), action);
  }
  const waiting = "0/12 migrated, 12 base64, 0 partial, 0 failed, 0 %";
  assert.equal(await client.progress(), waiting);

  const dry = await client.run("migrate", { dryRun: true });
  assert.deepEqual([dry.dryRun, dry.result.dryRun, dry.result.migrated, dry.result.total], [true, true, ROWS, ROWS]);
  assert.equal(await client.progress(), waiting, "nothing was moved");

  const two = await client.run("migrate", { imageIds: table.ids.slice(0, 2) });
  assert.deepEqual(
    { migrated: two.result.migrated, total: two.result.total, failed: two.result.failed },
    { migrated: 2, total: 2, failed: 0 },
  );
  assert.equal(await client.progress(), "2/12 migrated, 10 base64, 2 partial, 0 failed, 16.6 %");

  const { dryRun, result } = await client.run("migrate");
  assert.deepEqual(
    { dryRun, success: result.success, migrated: result.migrated, skipped: result.skipped, errors: result.errors },
    { dryRun: false, success: true, migrated: ROWS - 2, skipped: 0, errors: [] },
  );
  assert.equal(await client.progress(), "12/12 migrated, 0 base64, 12 partial, 0 failed, 100 %");
  await table.assertMoved({ originals: true });
});

test("validate tells what is right and what is lost", async (t) => {
  const { worker, client } = await started(t);
  await client.run("migrate");
  for (const options of [{}, { checkIntegrity: true }, { sampleSize: ROWS }]) {
    const { result } = await client.run("validate", options);
    assert.deepEqual(
      { isValid: result.isValid, totalChecked: result.totalChecked, valid: result.valid, invalid: result.invalid },
      { isValid: true, totalChecked: ROWS, valid: ROWS, invalid: 0 },
    );
  }
  const { objects } = await worker.bucket.list({ prefix: "tables/" });
  await worker.bucket.delete(objects[0]!.key);
  const { success, result } = await client.run("validate");
  assert.deepEqual([success, result.isValid, result.invalid, result.missing.length, result.valid], [false, false, 1, 1, ROWS - 1]);
});

test("backup says how many records it saved", async (t) => {
  const { client } = await started(t);
  const { success, dryRun, result } = await client.run("backup");
  assert.deepEqual([success, dryRun, result.success, result.recordCount], [true, false, true, ROWS]);
  assert.equal(await client.progress(), "0/12 migrated, 12 base64, 0 partial, 0 failed, 0 %");
});

test("a rollback of two ids, then of all: the table is as it was", async (t) => {
  const { table, client } = await started(t);
  await client.run("migrate");
  const two = await client.run("rollback", { imageIds: table.ids.slice(3, 5) });
  assert.deepEqual(
    { success: two.success, total: two.result.total, rolledBack: two.result.rolledBack, failed: two.result.failed },
    { success: true, total: 2, rolledBack: 2, failed: 0 },
  );
  assert.equal(await client.progress(), "10/12 migrated, 2 base64, 10 partial, 0 failed, 83.3 %");
  await table.assertReadable();

  const all = await client.run("rollback", { deleteFromR2: true });
  assert.deepEqual(
    { success: all.success, failed: all.result.failed, errors: all.result.errors },
    { success: true, failed: 0, errors: [] },
  );
  assert.equal(await client.progress(), "0/12 migrated, 12 base64, 0 partial, 0 failed, 0 %");
  await table.assertAsBefore();
});

test("pause, resume and status name the run, and what cannot be done is refused", async (t) => {
  const { worker, client } = await started(t);
  const run = await acted(worker, { action: "migrate", ...DEFAULTS, background: true });
  const latest = await acted(worker, { action: "status", ...DEFAULTS });
  assertAllThere(latest, ["success", "action", "result"]);
  assert.deepEqual(
    { action: latest.action, dryRun: latest.dryRun, runId: latest.runId },
    { action: "status", dryRun: false, runId: run.runId },
  );
  for (const action of ["pause", "resume"]) {
    const answer = await act(worker, { action, ...DEFAULTS });
    const body = answer.json();
    // The run may have ended by now.
    if (answer.status === 409) assert.equal(body.code, "run-ended");
    else assert.deepEqual(
      { status: answer.status, action: body.action, dryRun: body.dryRun },
      { status: 200, action, dryRun: false },
    );
  }
  const deleting = await act(worker, { action: "migrate", ...DEFAULTS, deleteFromR2: true });
  assert.deepEqual([deleting.status, deleting.json().field], [400, "deleteFromR2"]);
  await client.status();
});
