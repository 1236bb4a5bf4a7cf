// Moving embedded images into R2.
import assert from "node:assert/strict";

import { acted, embed, runOf } from "../../tests/workerd/migrations.ts";
import type { RunningWorker } from "../../tests/workerd/harness/worker.ts";
import type { Case, Job, Scene } from "../job.ts";
import { AUTHORIZED, md5, randomImage, verifyObjects } from "./images.ts";

/** How often a run is asked whether it is done; how long it took is what it says itself. */
const POLL_MS = 100;
/** Objects read back whole, of those whose digests are compared. */
const READ_BACK = 10;

/** The images' MD5 digests by their keys to be. */
type Seed = Map<string, string>;

export function migrate(images: number, sizeBytes: number, rounds: number, name: string): Job<Seed> {
  return {
    name: "migrate",
    plantVars: { ENABLE_R2_STORAGE: "false" },
    async plant(worker) {
      const seed: Seed = new Map();
      for (let index = 0; index < images; index += 1) {
        const [original] = await embed(worker, [randomImage(sizeBytes)]);
        if (original !== undefined) seed.set(original.key, md5(original.bytes));
      }
      return seed;
    },
    fresh: true,
    cases: [migrateCase(images, sizeBytes, rounds, name)],
    variants: ["limit-digests"],
  };
}

function migrateCase(images: number, sizeBytes: number, rounds: number, name: string): Case<Seed> {
  const size = sizeBytes < 1_000_000 ? `${sizeBytes / 1_000} KB` : `${sizeBytes / 1_000_000} MB`;
  return {
    name,
    title: `Migrate ${images} x ${size}`,
    unit: "images/s",
    targets: [
      { against: "limit", atLeast: 0.85 },
      { against: "typescript", atLeast: 2.5 },
    ],
    rounds,
    async measure({ contender, worker }) {
      const seconds = contender === "stillstore" ? await runSeconds(worker, images) : await requestSeconds(worker, images);
      return { units: images, seconds };
    },
    verify,
  };
}

async function requestSeconds(worker: RunningWorker, images: number): Promise<number> {
  const start = performance.now();
  const answer = await worker.fetch("/api/migrate-images", { method: "POST", headers: AUTHORIZED });
  assert.deepEqual(await answer.json(), { migrated: images });
  return (performance.now() - start) / 1_000;
}

/** As a caller has it by default: the request works for a while, then the queue goes on. */
async function runSeconds(worker: RunningWorker, images: number): Promise<number> {
  const start = Date.now();
  const { runId } = await acted(worker, { action: "migrate", source: "embedded" });
  let run = await runOf(worker, runId);
  while (run.finishedAt === null) {
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    run = await runOf(worker, runId);
  }
  assert.deepEqual([run.state, run.progress.succeeded], ["completed", images]);
  return (Date.parse(run.finishedAt) - start) / 1_000;
}

async function verify({ worker, seed }: Scene<Seed>): Promise<void> {
  const keys = await verifyObjects(worker, (key) => seed.get(key));
  assert.equal(keys.length, seed.size);
  for (let index = 0; index < READ_BACK; index += 1) {
    const key = keys[Math.floor((index * keys.length) / READ_BACK)] ?? "";
    const object = await worker.bucket.get(key);
    assert.ok(object !== null, key);
    assert.equal(md5(new Uint8Array(await object.arrayBuffer())), seed.get(key), key);
  }
  const left = await worker.db.prepare("SELECT count(*) AS images FROM stillstore_images WHERE storage <> 'r2'").first("images");
  assert.equal(left, 0);
}
