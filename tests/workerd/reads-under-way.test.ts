// An embedded image that is moved or deleted while a reader is between two of its chunks.
import assert from "node:assert/strict";
import { after, before, beforeEach, test } from "node:test";

import { bytesOf } from "./client.ts";
import { pngOf, remove } from "./flows.ts";
import { startWorker } from "./harness/worker.ts";
import type { RunningWorker } from "./harness/worker.ts";
import { acted, embed } from "./migrations.ts";
import type { Original } from "./migrations.ts";

const MIB = 1 << 20;
const NEXT_CHUNK = "SELECT data FROM stillstore_chunks WHERE write_id = ?1";

let worker: RunningWorker;
let image: Original;

before(async () => {
  worker = await startWorker({ vars: { ENABLE_R2_STORAGE: "false" }, faults: true });
});
after(() => worker.stop());

beforeEach(async () => {
  // No two places look alike behind the header.
  const bytes = pngOf(3 * MIB + 12_345).map((byte, place) => (place < 1_000 ? byte : Math.imul(place, 2_654_435_761) >>> 24));
  [image] = (await embed(worker, [bytes])) as [Original];
});

/** Begins to read the image, and lets `happen` what happens while the query for a further chunk is held. */
async function readWhile(happen: () => Promise<void>, headers: Record<string, string> = {}): Promise<Buffer> {
  await worker.faults.set({ binding: "DB", matching: NEXT_CHUNK, when: "hang" });
  const response = await worker.fetch(`/images/${image.id}`, { headers });
  await worker.faults.untilHeld();
  await happen();
  await worker.faults.clear();
  return bytesOf(response);
}

/** Leaves the image in the bucket alone. */
async function moveOut(): Promise<void> {
  const { runId } = await acted(worker, { action: "migrate", source: "embedded" });
  const { result } = await acted(worker, { action: "cleanup", source: "embedded", force: true, runId, confirmRunId: runId });
  assert.equal(result.cleaned, 1);
}

async function moveOutAndBack(): Promise<void> {
  await moveOut();
  const { result } = await acted(worker, { action: "rollback", source: "embedded", deleteFromR2: true });
  assert.equal(result.rolledBack, 1);
}

for (const move of [moveOut, moveOutAndBack]) {
  test(`a read goes on after ${move.name}`, async () => {
    assert.ok((await readWhile(move)).equals(image.bytes));
    await remove(worker, image.id);
  });

  test(`a read of a range goes on after ${move.name}`, async () => {
    const [first, last] = [MIB - 5, 3 * MIB + 7];
    const part = await readWhile(move, { range: `bytes=${first}-${last}` });
    assert.ok(part.equals(image.bytes.subarray(first, last + 1)));
    await remove(worker, image.id);
  });
}

test("a read of an image that is deleted breaks off", async () => {
  const reading = readWhile(async () => {
    assert.equal((await remove(worker, image.id)).status, 204);
  });
  await assert.rejects(reading);
  assert.equal((await worker.fetch(`/images/${image.id}`)).status, 410);
});
