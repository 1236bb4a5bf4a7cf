// What ARCHITECTURE.md, "Life of an image", promises, checked against a Worker's real bucket and database.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";

import { API_TOKEN } from "./harness/worker.ts";
import type { RunningWorker } from "./harness/worker.ts";

export const AUTHORIZATION = { authorization: `Bearer ${API_TOKEN}` };

/** Older than the hour after which the sweep takes unfinished work for abandoned. */
const ABANDONED_AGE_MS = 2 * 60 * 60 * 1000;

/** The most that R2 takes. */
const DELETED_AT_ONCE = 1_000;

type ImageRow = { id: string; status: string; storage: string; storage_key: string; sha256: string | null };

export function sha256(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

/** What holds at every moment, whatever failed before. */
export async function assertInvariants(worker: RunningWorker): Promise<void> {
  const rows = await imageRows(worker);
  for (const { id, sha256: expected } of rows.filter(({ status }) => status === "stored")) {
    const response = await worker.fetch(`/images/${id}`, { headers: AUTHORIZATION });
    assert.equal(response.status, 200, `the stored image ${id} is readable`);
    assert.equal(sha256(new Uint8Array(await response.arrayBuffer())), expected, `the stored image ${id} is whole`);
  }
  const statusByKey = new Map(rows.map(({ storage_key: key, status }) => [key, status]));
  for (const key of await imageKeys(worker)) {
    const status = statusByKey.get(key);
    assert.ok(status !== undefined && status !== "deleted", `a row names the object ${key}: ${status}`);
  }
}

/** Makes everything unfinished old, and sweeps once. */
export async function letTimePassAndSweep(worker: RunningWorker): Promise<void> {
  const statements = [
    "UPDATE stillstore_images SET updated_at_ms = updated_at_ms - ?1",
    "UPDATE stillstore_blobs SET created_at_ms = created_at_ms - ?1",
    "UPDATE stillstore_uploads SET due_at_ms = due_at_ms - 14 * ?1, expires_at_ms = expires_at_ms - 14 * ?1",
    "UPDATE stillstore_variants SET due_at_ms = due_at_ms - ?1 WHERE due_at_ms IS NOT NULL",
  ];
  await worker.db.batch(statements.map((sql) => worker.db.prepare(sql).bind(ABANDONED_AGE_MS)));
  await worker.scheduled();
}

/** What holds once the sweep has been over everything: bytes and stored rows are one to one, and nothing is unfinished. */
export async function assertSwept(worker: RunningWorker): Promise<void> {
  const rows = await imageRows(worker);
  assert.deepEqual(rows.filter(({ status }) => ["pending", "deleting"].includes(status)), [], "nothing is unfinished");

  const stored = rows.filter(({ status }) => status === "stored");
  const objects = new Set(await imageKeys(worker));
  for (const { storage, storage_key: key } of stored) {
    // An image that fell back to the database may have a twin in the bucket.
    const hasObject = objects.delete(key);
    assert.ok(hasObject || storage === "d1", `the object of ${key} is there`);
  }
  assert.deepEqual([...objects], [], "no object without a stored row");

  const { results: blobs } = await worker.db
    .prepare("SELECT object_key, owner_id, stored_at_ms IS NOT NULL AS visible FROM stillstore_blobs ORDER BY object_key")
    .all();
  const embedded = stored.filter(({ storage }) => storage === "d1");
  assert.deepEqual(
    blobs,
    embedded.map(({ id, storage_key: key }) => ({ object_key: key, owner_id: id, visible: 1 })),
    "blobs and stored rows are one to one",
  );
  const strayChunks = await worker.db
    .prepare("SELECT count(*) AS n FROM stillstore_chunks WHERE write_id NOT IN (SELECT write_id FROM stillstore_blobs)")
    .first("n");
  assert.equal(strayChunks, 0, "no stray chunks");
}

/** Empties the database and the bucket. */
export async function clean(worker: RunningWorker): Promise<void> {
  await worker.faults.clear();
  const runs = ["run_lines", "runs", "moves", "move_counters"];
  const tables = [...runs, "purges", "chunks", "blobs", "images", "idempotency"];
  await worker.db.batch(tables.map((table) => worker.db.prepare(`DELETE FROM stillstore_${table}`)));
  const keys = await objectKeys(worker);
  for (let from = 0; from < keys.length; from += DELETED_AT_ONCE) await worker.bucket.delete(keys.slice(from, from + DELETED_AT_ONCE));
}

export async function objectKeys(worker: RunningWorker): Promise<string[]> {
  const keys: string[] = [];
  let cursor: string | undefined;
  do {
    const page = await worker.bucket.list(cursor === undefined ? {} : { cursor });
    keys.push(...page.objects.map(({ key }) => key));
    cursor = page.truncated ? page.cursor : undefined;
  } while (cursor !== undefined);
  return keys;
}

/** Without what runs leave beside the images: receipts and backups. */
export async function imageKeys(worker: RunningWorker): Promise<string[]> {
  return (await objectKeys(worker)).filter((key) => !key.startsWith("stillstore/"));
}

async function imageRows(worker: RunningWorker): Promise<ImageRow[]> {
  const sql = "SELECT id, status, storage, storage_key, sha256 FROM stillstore_images ORDER BY storage_key";
  return (await worker.db.prepare(sql).all<ImageRow>()).results;
}
