// A put that a run gave up, and that takes effect all the same.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { startWorker } from "./harness/worker.ts";
import type { RunningWorker } from "./harness/worker.ts";
import { assertInvariants, imageKeys } from "./invariants.ts";
import { act, acted, assertReadable, plant, runOf } from "./migrations.ts";

let worker: RunningWorker;
before(async () => {
  worker = await startWorker({ faults: true, queue: false, vars: { STORE_TIMEOUT_MS: "3000" } });
});
after(() => worker.stop());

test("a run's worker waits for a put that it gave up, so that it leaves no object when the run is cancelled", async () => {
  const images = await plant(worker, 1);
  await worker.faults.set({ binding: "R2_IMAGES", method: "put", when: "hang" });
  const migrate = act(worker, { action: "migrate" });
  const run = await untilGivenUp();
  await new Promise((resolve) => setTimeout(resolve, 500));
  const { results } = await worker.db.prepare("SELECT lease_token FROM stillstore_runs").all();
  assert.notEqual(results[0]?.lease_token, null, "nobody else may settle what may yet come to be");

  await worker.faults.clear();
  const answer = await migrate;
  assert.deepEqual([answer.status, answer.json().code], [503, "storage-unavailable"]);
  await acted(worker, { action: "cancel", runId: run });
  assert.equal((await runOf(worker, run)).state, "cancelled");
  assert.deepEqual(await imageKeys(worker), []);
  await assertReadable(worker, images);
  await assertInvariants(worker);
});

/** Waits until a run has written down that the bucket took nothing; its id. */
async function untilGivenUp(): Promise<string> {
  for (;;) {
    const { results } = await worker.db
      .prepare("SELECT id FROM stillstore_runs WHERE progress ->> 'stalls' > 0")
      .all<{ id: string }>();
    if (results[0] !== undefined) return results[0].id;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
