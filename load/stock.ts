// The images that are there before the load: of all sizes, in both homes of bytes.
import assert from "node:assert/strict";

import { randomImage } from "../bench/jobs/images.ts";
import { Client, sha256 } from "../tests/workerd/client.ts";
import { startWorker } from "../tests/workerd/harness/worker.ts";
import type { RunningWorker } from "../tests/workerd/harness/worker.ts";

export type Home = "r2" | "d1";
export type Stocked = { id: string; bytes: Uint8Array<ArrayBuffer>; sha256: string; home: Home };

const COUNTS: Record<Home, number> = { r2: 40, d1: 8 };
const SMALLEST_BYTES = 1_024;
/** Embedded, it takes two chunks. */
const LARGEST_BYTES = 2_000_000;

/** Puts images into the database that `directory` holds, by a Worker that is told to embed them. */
export async function stockEmbedded(directory: string): Promise<Stocked[]> {
  const worker = await startWorker({ persist: directory, vars: { ENABLE_R2_STORAGE: "false" } });
  try {
    return await stock(worker, "d1");
  } finally {
    await worker.stop();
  }
}

/** Uploads images whose sizes are evenly spread by their logarithm. */
export async function stock(worker: RunningWorker, home: Home): Promise<Stocked[]> {
  const client = new Client(worker);
  const stocked: Stocked[] = [];
  for (let index = 0; index < COUNTS[home]; index += 1) {
    const share = index / (COUNTS[home] - 1);
    const bytes = randomImage(Math.round(SMALLEST_BYTES * (LARGEST_BYTES / SMALLEST_BYTES) ** share));
    const record = await client.stored(bytes);
    assert.equal(record.storage, home);
    stocked.push({ id: record.id, bytes, sha256: sha256(bytes), home });
  }
  return stocked;
}
