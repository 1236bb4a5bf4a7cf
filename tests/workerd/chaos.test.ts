// The short version of `npm run chaos`: docs/reliability.md says what it does.
import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { runChaos } from "../../chaos/chaos.ts";
import type { RunningWorker } from "./harness/worker.ts";

const SECONDS = 60;
const SABOTAGED_SECONDS = 5;
const SEEDS = [1, Math.floor(Math.random() * 2 ** 32)];

/** Damage that only a comparison of bytes, or of names, finds. */
const DAMAGE: Record<string, (worker: RunningWorker) => Promise<unknown>> = {
  "bytes that are exchanged for others": async (worker) => {
    const { keys: [key] } = await stored(worker, "r2");
    assert.ok(key !== undefined);
    const object = await worker.bucket.get(key);
    assert.ok(object !== null);
    const bytes = new Uint8Array(await object.arrayBuffer());
    bytes[bytes.length - 1] = (bytes.at(-1) ?? 0) ^ 1;
    await worker.bucket.put(key, bytes, { httpMetadata: object.httpMetadata ?? {}, customMetadata: object.customMetadata ?? {} });
  },
  "an object that nothing names": (worker) => worker.bucket.put("uploads/2026/11/stray.png", "stray"),
  "an image that is marked as deleted": async (worker) => {
    const { ids: [id] } = await stored(worker, "d1");
    await worker.db.prepare("UPDATE stillstore_images SET status = 'deleting' WHERE id = ?1").bind(id).run();
  },
};

async function stored(worker: RunningWorker, storage: "r2" | "d1"): Promise<{ ids: string[]; keys: string[] }> {
  const { results } = await worker.db
    .prepare("SELECT id, storage_key FROM stillstore_images WHERE status = 'stored' AND storage = ?1")
    .bind(storage)
    .all<{ id: string; storage_key: string }>();
  return { ids: results.map(({ id }) => id), keys: results.map((row) => row.storage_key) };
}

describe("chaos", { concurrency: true }, () => {
  for (const seed of SEEDS) {
    test(`nothing is lost in ${SECONDS} seconds of kills and faults, seed ${seed}`, async (t) => {
      const { counts, violations } = await runChaos({ seconds: SECONDS, seed });
      t.diagnostic(JSON.stringify(counts));
      assert.deepEqual(violations, []);
      for (const name of ["kills", "faults", "readsCompared", "listingsCompared", "runs", "reckonings"] as const) {
        assert.ok(counts[name] > 0, `${name}: ${JSON.stringify(counts)}`);
      }
    });
  }
});

for (const [damage, sabotage] of Object.entries(DAMAGE)) {
  test(`${damage}: found`, async () => {
    const settings = { seconds: SABOTAGED_SECONDS, seed: 1, sabotage: async (worker: RunningWorker) => void (await sabotage(worker)) };
    const { violationCount } = await runChaos(settings);
    assert.notEqual(violationCount, 0);
  });
}
