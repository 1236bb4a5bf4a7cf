// Many embedded images of real formats go out to R2 and come back: while their originals stay, and after they were dropped.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { startWorker } from "./harness/worker.ts";
import type { RunningWorker } from "./harness/worker.ts";
import { picture } from "./harness/picture-variations.ts";
import { imageKeys } from "./invariants.ts";
import { acted, assertHomes, assertReadable, digest, embed, untilState } from "./migrations.ts";
import type { Asked, Ended, Original, Results } from "./migrations.ts";

/** What CI has time for; 1,000 by hand. */
const PICTURES = Number(process.env.EMBEDDED_PICTURES ?? 150);
const LARGE_BYTES = 2_100_000;
const LARGE_EVERY = 50;

let worker: RunningWorker;
const originals: Original[] = [];

before(async () => {
  worker = await startWorker({ vars: { ENABLE_R2_STORAGE: "false" } });
  for (let index = 0; index < PICTURES; index += 1) {
    const { name, bytes } = picture(index, index % LARGE_EVERY === 0 ? LARGE_BYTES : 0);
    originals.push(...(await embed(worker, [new Uint8Array(bytes)], `filename=${name}`)));
  }
});
after(() => worker.stop());

async function run<const A extends keyof Results>(body: Asked<A>): Promise<Ended<A>> {
  const { runId } = await acted(worker, { source: "embedded", background: true, ...body });
  const ended = await untilState(worker, runId);
  assert.equal(ended.state, "completed", JSON.stringify(ended));
  return ended as Ended<A>;
}

/** All that a move may not change. */
async function rows(): Promise<unknown[]> {
  const { results } = await worker.db.prepare("SELECT * FROM stillstore_images ORDER BY id").all<Record<string, unknown>>();
  return results.map(({ version: _, updated_at_ms: __, embedded_write_id: ___, two_homes: ____, ...rest }) => rest);
}

async function assertMoved(): Promise<void> {
  await assertHomes(worker, { r2: PICTURES, d1: 0 });
  assert.deepEqual((await imageKeys(worker)).sort(), originals.map(({ key }) => key).sort());
  for (const { key, sha256 } of originals) {
    const object = await worker.bucket.get(key);
    assert.equal(digest(new Uint8Array((await object?.arrayBuffer()) ?? [])), sha256, key);
  }
  await assertReadable(worker, originals);
}

async function assertBack(before: unknown[]): Promise<void> {
  assert.deepEqual(await rows(), before);
  const homes = await worker.db.prepare("SELECT DISTINCT two_homes FROM stillstore_images").all();
  assert.deepEqual(homes.results, [{ two_homes: 1 }]);
  assert.deepEqual(await imageKeys(worker), []);
  await assertHomes(worker, { r2: 0, d1: PICTURES });
  await assertReadable(worker, originals);
}

for (const drops of [false, true]) {
  test(`images go out and come back ${drops ? "after their originals were dropped" : "while their originals are there"}`, async () => {
    const before = await rows();
    const moved = await run({ action: "migrate" });
    assert.equal(moved.result.migrated, PICTURES);
    if (drops) assert.equal((await run({ action: "cleanup", force: true, runId: moved.id, confirmRunId: moved.id })).result.cleaned, PICTURES);
    const chunks = await worker.db.prepare("SELECT count(*) AS n FROM stillstore_chunks").first<number>("n");
    assert.equal(chunks === 0, drops);
    await assertMoved();
    assert.ok((await run({ action: "validate", checkIntegrity: true })).result.isValid);
    assert.equal((await run({ action: "rollback", deleteFromR2: true })).result.rolledBack, PICTURES);
    await assertBack(before);
  });
}
