// Embedded images move to R2 and back through a Worker, of every format and of sizes up to the largest.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { after, before, beforeEach, describe, test } from "node:test";

import { headersOf } from "./client.ts";
import { ask, pngOf } from "./flows.ts";
import type { ValidateResult } from "./harness/api-types.ts";
import { projectDir } from "./harness/project.ts";
import { startWorker } from "./harness/worker.ts";
import type { RunningWorker } from "./harness/worker.ts";
import { AUTHORIZATION, clean, imageKeys } from "./invariants.ts";
import {
  act,
  acted,
  assertHomes,
  assertReadable,
  checkedReceipt,
  digest,
  embed,
  plant,
  runOf,
  untilState,
} from "./migrations.ts";
import type { Original } from "./migrations.ts";

const EMBEDDING = { ENABLE_R2_STORAGE: "false" };
const MIB = 1 << 20;
const LARGEST = 26_214_400;
const SIZES = [MIB - 1, MIB, MIB + 1, 3 * MIB, 9 * MIB, LARGEST];

const FIXTURES = join(projectDir, "tests/fixtures/images");
const EVERY_FORMAT = readdirSync(FIXTURES).map((name) => new Uint8Array(readFileSync(join(FIXTURES, name))));

const keysOf = (originals: Original[]) => originals.map(({ key }) => key).sort();
const idsOf = (originals: { id: string | number }[]) => originals.map(({ id }) => id).sort();

let worker: RunningWorker;
before(async () => {
  worker = await startWorker({ faults: true, vars: EMBEDDING });
});
after(() => worker.stop());
beforeEach(() => clean(worker));

/** What a client sees of the images. */
async function seen(originals: Original[]): Promise<unknown[]> {
  const answers = originals.map(async ({ id }) => {
    const response = await worker.fetch(`/images/${id}`, { headers: AUTHORIZATION });
    return { headers: headersOf(response), sha256: digest(new Uint8Array(await response.arrayBuffer())) };
  });
  return Promise.all(answers);
}

test("images of every format and size move there and back, and nobody sees a difference", async () => {
  const images = [...EVERY_FORMAT, ...SIZES.map((size, filler) => pngOf(size, filler + 1))];
  const originals = await embed(worker, images, "filename=a");
  const visible = await seen(originals);
  const rows = async () => (await worker.db.prepare("SELECT * FROM stillstore_images ORDER BY id").all()).results;
  const rowsBefore = await rows();

  const dry = await acted(worker, { action: "migrate", dryRun: true });
  const bytes = images.reduce((sum, image) => sum + image.byteLength, 0);
  assert.deepEqual(
    { success: dry.success, done: dry.done, migrated: dry.result.migrated, failed: dry.result.failed, bytes: dry.result.bytes, r2ClassA: dry.result.operations.r2ClassA },
    { success: true, done: true, migrated: images.length, failed: 0, bytes, r2ClassA: images.length },
  );
  assert.deepEqual([await rows(), await imageKeys(worker)], [rowsBefore, []]);
  assert.deepEqual(new Set((await checkedReceipt(worker, dry.runId)).map(({ verdict }) => verdict)), new Set(["would-move"]));

  const moved = await acted(worker, { action: "migrate" });
  assert.deepEqual(
    { success: moved.success, state: moved.state, migrated: moved.result.migrated },
    { success: true, state: "completed", migrated: images.length },
    JSON.stringify(moved),
  );
  assert.deepEqual(await imageKeys(worker), keysOf(originals));
  await assertHomes(worker, { r2: images.length, d1: 0 });
  assert.deepEqual(await seen(originals), visible);
  const lines = await checkedReceipt(worker, moved.runId);
  assert.deepEqual(idsOf(lines), idsOf(originals));
  for (const { id, key, sha256, bytes: image } of originals) {
    const line = lines.find((candidate) => candidate.id === id);
    assert.deepEqual(
      { verdict: line?.verdict, sha256: line?.sha256, size: line?.size, from: line?.from, to: line?.to },
      { verdict: "moved", sha256, size: image.byteLength, from: "d1", to: `r2:${key}` },
    );
    const object = await worker.bucket.head(key);
    assert.equal(object?.checksums.toJSON().sha256, sha256, "R2 has checked the digest");
  }

  const valid = await acted(worker, { action: "validate", checkIntegrity: true });
  assert.deepEqual(
    { isValid: valid.result.isValid, valid: valid.result.valid, orphaned: valid.result.orphaned },
    { isValid: true, valid: images.length, orphaned: [] },
  );

  const back = await acted(worker, { action: "rollback", deleteFromR2: true });
  assert.deepEqual(
    { success: back.success, rolledBack: back.result.rolledBack, failed: back.result.failed },
    { success: true, rolledBack: images.length, failed: 0 },
    JSON.stringify(back),
  );
  assert.deepEqual(await imageKeys(worker), []);
  await assertHomes(worker, { r2: 0, d1: images.length });
  assert.deepEqual(await seen(originals), visible);
});

test("a run in the background says how far it is and pages its items", async () => {
  const originals = await plant(worker, 250);
  // The end waits, so that the items are still there to be looked at.
  await worker.faults.set({ binding: "R2_IMAGES", method: "put", matching: "stillstore/receipts/", when: "hang" });
  const answer = await act(worker, { action: "migrate", background: true });
  const begun = answer.json();
  assert.deepEqual(
    { status: answer.status, done: begun.done, background: begun.background, state: begun.state },
    { status: 202, done: false, background: true, state: "running" },
  );
  assert.match(begun.next, new RegExp(begun.runId));
  await worker.faults.untilHeld();

  const ids: string[] = [];
  let pages = 0;
  for (let cursor: string | undefined = ""; cursor !== undefined; pages += 1) {
    const query: string = cursor === "" ? "" : `?cursor=${cursor}`;
    const page = (await ask(worker, "GET", `/api/migrate-images/runs/${begun.runId}/items${query}`)).json();
    ids.push(...page.items.map(({ id }: { id: string }) => id));
    cursor = page.nextCursor;
  }
  assert.deepEqual(ids.sort(), idsOf(originals));
  assert.ok(pages > 2, `${pages} pages`);
  const early = await ask(worker, "GET", `/api/migrate-images/runs/${begun.runId}/receipt`);
  assert.deepEqual([early.status, early.json().code], [404, "receipt-not-ready"]);
  const running = await acted(worker, { action: "status", runId: begun.runId });
  assert.deepEqual({ state: running.state, done: running.result.progress.done }, { state: "running", done: 250 });

  await worker.faults.clear();
  const run = await untilState(worker, begun.runId);
  assert.deepEqual(
    { state: run.state, succeeded: run.progress.succeeded, total: run.progress.total },
    { state: "completed", succeeded: 250, total: 250 },
  );
  assert.equal((await checkedReceipt(worker, begun.runId)).length, 250);
  assert.deepEqual(await imageKeys(worker), keysOf(originals));
  const overview = (await ask(worker, "GET", "/api/migrate-images")).json();
  assert.deepEqual(
    { id: overview.run.id, migratedImages: overview.migrationStats.migratedImages, base64Images: overview.migrationStats.base64Images },
    { id: begun.runId, migratedImages: 250, base64Images: 0 },
  );
});

describe("with images in R2", () => {
  let originals: Original[];
  let moving: string;
  beforeEach(async () => {
    originals = await plant(worker, 12);
    moving = (await acted(worker, { action: "migrate" })).runId;
  });

  test("validation finds what is gone, what is wrong and what nobody names", async () => {
    const [gone, other, short] = originals;
    assert.ok(gone !== undefined && other !== undefined && short !== undefined);
    await worker.bucket.delete(gone.key);
    const wrong = new Uint8Array(other.bytes);
    wrong.fill(0, -1);
    await worker.bucket.put(other.key, wrong, { sha256: digest(wrong), httpMetadata: { contentType: "image/png" } });
    await worker.bucket.put(short.key, "short");
    const orphan = "generated/2026/11/6f1d0e6e-5a0c-4f0e-9a51-0f3c2f6d7a10.png";
    await worker.bucket.put(orphan, "nobody's");
    await worker.bucket.put("somebody/elses.txt", "not ours");

    for (const checkIntegrity of [false, true]) {
      const { result, success } = await acted(worker, { action: "validate", checkIntegrity });
      assert.deepEqual(
        { success, isValid: result.isValid, totalChecked: result.totalChecked, valid: result.valid, invalid: result.invalid },
        { success: false, isValid: false, totalChecked: 12, valid: 9, invalid: 3 },
      );
      const named = (kind: "missing" | "corrupted" | "orphaned") => result[kind].map(({ id, reason }) => [id, reason]).sort();
      assert.deepEqual(named("missing"), [[gone.id, "copy-missing"]]);
      assert.deepEqual(named("corrupted"), [[other.id, "digest-differs"], [short.id, "size-differs"]].sort());
      assert.deepEqual(named("orphaned"), [[orphan, "no-row"]]);
    }
    const chosen = await acted(worker, { action: "validate", imageIds: [originals[5]?.id, gone.id, "no-such-image"] });
    assert.deepEqual([chosen.result.valid, chosen.result.missing.length, chosen.result.errors.length], [1, 1, 1]);
    const sample = await acted(worker, { action: "validate", sampleSize: 5 });
    assert.equal(sample.result.totalChecked, 5);
    assert.equal(sample.result.warnings.length, 1);
  });

  test("validation goes over the whole bucket, however many objects nobody names", async () => {
    // More than two of the pages that R2 lists.
    const orphans = Array.from({ length: 2_100 }, () => `generated/2026/11/${randomUUID()}.png`);
    for (let from = 0; from < orphans.length; from += 100) {
      await Promise.all(orphans.slice(from, from + 100).map((key) => worker.bucket.put(key, "nobody's")));
    }
    const valid = await acted(worker, { action: "validate", background: true });
    const run = await untilState(worker, valid.runId);
    const result = run.result as ValidateResult;
    assert.deepEqual(
      { isValid: result.isValid, valid: result.valid, orphaned: result.orphaned.length },
      { isValid: false, valid: 12, orphaned: 100 },
      "a hundred are told at once",
    );
    const lines = await checkedReceipt(worker, valid.runId);
    const found = lines.filter(({ verdict }) => verdict === "orphaned").map(({ id }) => id);
    assert.deepEqual(found.sort(), orphans.sort(), "the receipt has all");
  });

  test("rollback of some leaves the others, and copies stay unless they are to go", async () => {
    const some = originals.slice(0, 5);
    const back = await acted(worker, { action: "rollback", imageIds: [...idsOf(some), "no-such-image"] });
    assert.deepEqual(
      { success: back.success, rolledBack: back.result.rolledBack, failed: back.result.failed },
      { success: false, rolledBack: 5, failed: 1 },
    );
    await assertHomes(worker, { r2: 7, d1: 5 });
    assert.deepEqual(await imageKeys(worker), keysOf(originals));
    await assertReadable(worker, originals);
    const rest = await acted(worker, { action: "rollback", deleteFromR2: true });
    assert.deepEqual(
      { success: rest.success, rolledBack: rest.result.rolledBack },
      { success: true, rolledBack: 7 },
      JSON.stringify(rest),
    );
    await assertHomes(worker, { r2: 0, d1: 12 });
    assert.deepEqual(await imageKeys(worker), [], "the copies of those that were back before are gone too");
    await assertReadable(worker, originals);
  });

  test("cleanup drops originals when it is told twice, and rollback brings them back", async () => {
    const kept = await acted(worker, { action: "cleanup" });
    assert.deepEqual({ cleaned: kept.result.cleaned, kept: kept.result.kept }, { cleaned: 0, kept: 12 });
    await worker.bucket.delete(originals[0]?.key ?? "");
    const cleaned = await acted(worker, { action: "cleanup", force: true, runId: moving, confirmRunId: moving });
    assert.deepEqual(
      { success: cleaned.success, cleaned: cleaned.result.cleaned, failed: cleaned.result.failed },
      { success: false, cleaned: 11, failed: 1 },
      JSON.stringify(cleaned),
    );
    assert.ok(cleaned.result.freedBytes > 0);
    const chunks = "SELECT count(*) AS n FROM stillstore_chunks";
    assert.equal(await worker.db.prepare(chunks).first("n"), 1, "an original without a copy stays");
    await assertReadable(worker, originals.slice(1));
    const back = await acted(worker, { action: "rollback" });
    assert.deepEqual(
      { success: back.success, rolledBack: back.result.rolledBack },
      { success: true, rolledBack: 12 },
      JSON.stringify(back),
    );
    await assertReadable(worker, originals);
    await assertHomes(worker, { r2: 0, d1: 12 });
    assert.equal((await acted(worker, { action: "migrate" })).result.migrated, 12);
    await assertReadable(worker, originals);
  });
});

test("an original that is not what its row says is reported and left alone", async () => {
  const originals = await plant(worker, 5);
  const [broken] = originals;
  assert.ok(broken !== undefined);
  await worker.db.prepare("UPDATE stillstore_chunks SET data = ?2 WHERE write_id = ?1")
    .bind(broken.id.replaceAll("-", ""), Buffer.alloc(broken.bytes.byteLength).toString("base64")).run();
  for (const dryRun of [true, false]) {
    const { success, state, result, runId } = await acted(worker, { action: "migrate", dryRun });
    assert.deepEqual(
      { success, state, migrated: result.migrated, failed: result.failed },
      { success: false, state: "completed_with_errors", migrated: 4, failed: 1 },
    );
    assert.deepEqual(
      { id: result.errors[0]?.id, reason: result.errors[0]?.reason },
      { id: broken.id, reason: "original-corrupt" },
    );
    assert.equal((await checkedReceipt(worker, runId)).filter(({ verdict }) => verdict === "failed").length, 1);
  }
  await assertHomes(worker, { r2: 4, d1: 1 });
  assert.deepEqual(await imageKeys(worker), keysOf(originals.slice(1)));
  assert.equal((await runOf(worker, (await acted(worker, { action: "migrate" })).runId)).progress.failed, 1);
});

test("private images stay out of a bucket that is public", async (t) => {
  const publicBucket = await startWorker({ vars: { ...EMBEDDING, R2_PUBLIC_URL: "https://cdn.example.com" } });
  t.after(() => publicBucket.stop());
  const hidden = await embed(publicBucket, [pngOf(500, 1), pngOf(500, 2)], "visibility=private");
  const open = await embed(publicBucket, [pngOf(500, 3)]);
  const { success, result, runId } = await acted(publicBucket, { action: "migrate" });
  assert.deepEqual(
    { success, migrated: result.migrated, skipped: result.skipped },
    { success: true, migrated: 1, skipped: 2 },
  );
  assert.deepEqual(await imageKeys(publicBucket), keysOf(open));
  const skipped = (await checkedReceipt(publicBucket, runId)).filter(({ verdict }) => verdict === "skipped");
  assert.deepEqual(idsOf(skipped), idsOf(hidden));
  assert.deepEqual(new Set(skipped.map(({ reason }) => reason)), new Set(["private-image-and-public-bucket"]));
  await assertReadable(publicBucket, [...hidden, ...open]);
});
