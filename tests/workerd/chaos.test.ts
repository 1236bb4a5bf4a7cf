// The short version of `npm run chaos`: docs/reliability.md says what it does.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { describe, test } from "node:test";

import { runChaos } from "../../chaos/chaos.ts";
import type { RunningWorker } from "./harness/worker.ts";

const SECONDS = 60;
const SABOTAGED_SECONDS = 10;
/** Begins with R2 on. */
const SABOTAGED_SEED = 6;
const SEEDS = [1, Math.floor(Math.random() * 2 ** 32)];

const STRAY_ROW = `INSERT INTO stillstore_images (id, status, storage, storage_key, content_type, visibility, labels, size_bytes, sha256,
    version, created_at_ms, updated_at_ms)
  SELECT ?1, status, storage, 'uploads/2026/11/stray.png', content_type, visibility, labels, size_bytes, sha256, 1, created_at_ms,
    updated_at_ms FROM stillstore_images WHERE status = 'stored' AND storage_key LIKE 'uploads/%' LIMIT 1`;

type Damage = { sabotage: (worker: RunningWorker) => Promise<unknown>; found: RegExp };

/** Damage that only a comparison of bytes, of names, or of rows finds. */
const DAMAGE: Record<string, Damage> = {
  "bytes that are exchanged for others": { found: /is not what was stored|failed while all was well/, sabotage: async (worker) => {
    const key = (await stored(worker, "r2"))?.storage_key;
    assert.ok(key !== undefined);
    await exchange(worker, key);
  } },
  "an object that nothing names": {
    found: /each object is named/,
    sabotage: (worker) => worker.bucket.put("uploads/2026/11/stray.png", "stray"),
  },
  "a variant that is exchanged for another picture": { found: /is what it was/, sabotage: async (worker) => {
    const sql = "SELECT storage_key AS key FROM stillstore_variants WHERE state = 'stored' AND storage = 'r2'";
    const { results } = await worker.db.prepare(sql).all<{ key: string }>();
    assert.ok(results.length > 0);
    for (const { key } of results) await exchange(worker, key);
  } },
  "a variant that nothing names": {
    found: /each object is named/,
    sabotage: (worker) => worker.bucket.put("stillstore/variants/0f8fad5b-d9cb-469f-a165-70867728950e/00", "stray"),
  },
  "an image that is marked as deleted": { found: /is listed|is gone though nobody deleted it/, sabotage: async (worker) => {
    const id = (await stored(worker))?.id;
    assert.ok(id !== undefined);
    await worker.db.prepare("UPDATE stillstore_images SET status = 'deleting' WHERE id = ?1").bind(id).run();
  } },
  "a row that nobody made": {
    found: /nobody made the image of the row/,
    sabotage: (worker) => worker.db.prepare(STRAY_ROW).bind(randomUUID()).run(),
  },
  "bytes that a user is wrongly counted for": {
    found: /what users have counts/,
    sabotage: async (worker) => {
      const { meta } = await worker.db.prepare("UPDATE stillstore_usage SET bytes = bytes + 1").run();
      assert.ok(meta.changes > 0, "users have limits");
    },
  },
  "a deletion that left no tombstone": {
    found: /what was deleted with success/,
    sabotage: (worker) => worker.db.prepare("UPDATE stillstore_images SET status = 'deleting' WHERE status = 'deleted'").run(),
  },
};

/** Puts others of the same number in the place of an object's bytes. */
async function exchange(worker: RunningWorker, key: string): Promise<void> {
  const object = await worker.bucket.get(key);
  assert.ok(object !== null);
  const bytes = new Uint8Array(await object.arrayBuffer());
  bytes[bytes.length - 1] = (bytes.at(-1) ?? 0) ^ 1;
  await worker.bucket.put(key, bytes, { httpMetadata: object.httpMetadata ?? {}, customMetadata: object.customMetadata ?? {} });
}

/** One that was not moved here from elsewhere, whose source may be asked again. */
async function stored(worker: RunningWorker, storage?: "r2"): Promise<{ id: string; storage_key: string } | null> {
  const sql = "SELECT id, storage_key FROM stillstore_images WHERE status = 'stored' AND source IS NULL AND storage = ifnull(?1, storage) LIMIT 1";
  return worker.db.prepare(sql).bind(storage ?? null).first();
}

describe("chaos", { concurrency: true }, () => {
  for (const seed of SEEDS) {
    test(`nothing is lost in ${SECONDS} seconds of kills and faults, seed ${seed}`, async (t) => {
      const { counts, violations } = await runChaos({ seconds: SECONDS, seed });
      t.diagnostic(JSON.stringify(counts));
      assert.deepEqual(violations, []);
      for (const name of ["kills", "readsCompared", "listingsCompared", "variantsCompared", "jobsCompleted", "findingsCompared", "runs", "audits"] as const) {
        assert.ok(counts[name] > 0, `${name}: ${JSON.stringify(counts)}`);
      }
      assert.ok(counts.faults + counts.standstills > 0, JSON.stringify(counts));
    });
  }
});

describe("damage", { concurrency: 2 }, () => {
  for (const [damage, { sabotage, found }] of Object.entries(DAMAGE)) {
    test(`${damage}: found`, async () => {
      const { violations } = await runChaos({
        seconds: SABOTAGED_SECONDS,
        seed: SABOTAGED_SEED,
        withOutside: false,
        sabotage: async (worker) => void (await sabotage(worker)),
      });
      assert.match(violations.join(), found);
    });
  }
});
