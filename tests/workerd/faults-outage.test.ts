// R2 and D1 away for longer than a call.
import assert from "node:assert/strict";
import { after, before, beforeEach, describe, test } from "node:test";

import { ask, generate, pngOf, remove, serve, upload } from "./flows.ts";
import type { Answer } from "./flows.ts";
import type { Fault } from "./harness/fault-plan.ts";
import { startWorker } from "./harness/worker.ts";
import type { RunningWorker } from "./harness/worker.ts";
import { assertInvariants, assertSwept, clean, letTimePassAndSweep, objectKeys, sha256 } from "./invariants.ts";

const BYTES = pngOf(10_000, 1);
const R2_PUT = { binding: "R2_IMAGES", method: "put", persistent: true } as const;
const BLOB_PUT = { binding: "DB", matching: "INSERT INTO stillstore_blobs", persistent: true } as const;
const EVERY_SHAPE = ["before", "after", "hang"] as const;

let worker: RunningWorker;
before(async () => {
  worker = await startWorker({ faults: true, vars: { STORE_TIMEOUT_MS: "300" } });
});
after(() => worker.stop());
beforeEach(() => clean(worker));

describe("an R2 that takes nothing", () => {
  for (const when of EVERY_SHAPE) {
    test(`puts images into D1 when every put fails: ${when}`, async () => {
      const reason = when === "hang" ? "store-timeout" : "store-unavailable";
      const fallbacksBefore = await metric("storage_fallbacks_total");
      await worker.faults.set({ ...R2_PUT, when });

      const generated = await generate(worker, "outage");
      assert.equal(generated.status, 200);
      const { id, sha256: expected, storage } = generated.json().image;
      assert.equal(storage, "d1");
      assert.deepEqual(
        { ...generated.json().storage, details: undefined },
        { type: "d1", r2Key: null, details: undefined, fallbackReason: reason },
      );
      assert.equal(generated.json().fallbackReason, reason);
      const uploaded = await upload(worker, BYTES);
      assert.deepEqual([uploaded.status, uploaded.json().storage, uploaded.json().fallbackReason], [201, "d1", reason]);

      const { event } = await worker.waitForLog(
        ({ event }) => event?.event === "fallback" && event.request_id === generated.headers.get("x-request-id"),
      );
      assert.equal(event?.reason, reason);
      assert.equal(await metric("storage_fallbacks_total"), fallbacksBefore + 2);
      assert.equal(sha256((await serve(worker, id)).body ?? new Uint8Array()), expected, "readable while R2 is away");

      await worker.faults.clear();
      await assertInvariants(worker);
      for (const image of [id, uploaded.json().id]) assert.equal((await remove(worker, image)).status, 204);
      await assertInvariants(worker);
      assert.deepEqual(await objectKeys(worker), [], "a twin in the bucket goes with its image");
      await letTimePassAndSweep(worker);
      await assertSwept(worker);
    });
  }

  test("and takes an image after all once it was deleted: the sweep removes it again", async () => {
    await worker.faults.set({ ...R2_PUT, when: "hang" });
    const { id, key, fallbackReason } = (await upload(worker, BYTES)).json();
    assert.equal(fallbackReason, "store-timeout");
    assert.equal((await remove(worker, id)).status, 204);
    assert.deepEqual(await objectKeys(worker), []);

    await worker.bucket.put(key, BYTES);
    await assertInvariants(worker);
    assert.equal((await serve(worker, id)).status, 410);
    assert.equal((await remove(worker, id)).status, 204, "again");
    await worker.bucket.put(key, BYTES);
    await letTimePassAndSweep(worker);
    await assertSwept(worker);
    assert.deepEqual(await objectKeys(worker), []);
  });

  for (const when of ["before", "after"] as const) {
    test(`and a D1 that takes no bytes: 503, and nothing half-stored: ${when}`, async () => {
      await worker.faults.set({ ...R2_PUT, when }, { ...BLOB_PUT, when });
      const answers = [await generate(worker, "outage"), await upload(worker, BYTES)];
      for (const answer of answers) assertProblem(answer, "storage-unavailable");
      await worker.faults.clear();
      assert.deepEqual((await ask(worker, "GET", "/api/images")).json().images, [], "nothing is readable");
      await assertInvariants(worker);
      await letTimePassAndSweep(worker);
      await assertSwept(worker);
      assert.deepEqual(await objectKeys(worker), []);

      assert.equal((await generate(worker, "outage")).status, 200, "the key is free again");
    });
  }
});

describe("an R2 that gives nothing", () => {
  test("reading is 503 until it answers again, and health is degraded", async () => {
    const { id } = (await upload(worker, BYTES)).json();
    await worker.faults.set({ binding: "R2_IMAGES", when: "before", persistent: true });
    assertProblem(await serve(worker, id), "storage-unavailable");
    const health = await ask(worker, "GET", "/health");
    assert.equal(health.status, 200);
    assert.equal(health.json().status, "degraded");
    assert.deepEqual(health.json().services, { database: "healthy", r2_storage: "error" });

    await worker.faults.clear();
    const served = await serve(worker, id);
    assert.equal(served.status, 200);
    assert.equal(sha256(served.body ?? new Uint8Array()), sha256(BYTES));
    assert.equal((await ask(worker, "GET", "/health")).json().status, "healthy");
  });

  test("deleting is 503, unreadable at once, and finished by the sweep", async () => {
    const { id } = (await upload(worker, BYTES)).json();
    await worker.faults.set({ binding: "R2_IMAGES", when: "before", persistent: true });
    assertProblem(await remove(worker, id), "storage-unavailable");
    assert.equal((await serve(worker, id)).status, 410);
    await letTimePassAndSweep(worker);
    assert.equal((await objectKeys(worker)).length, 1, "the bytes are still named by the row");
    await worker.faults.clear();
    await assertInvariants(worker);
    await letTimePassAndSweep(worker);
    await assertSwept(worker);
    assert.deepEqual(await objectKeys(worker), []);
  });
});

describe("a D1 that is down", () => {
  const down: Fault = { binding: "DB", when: "before", persistent: true };

  test("is 503 for everything that needs it, and works again after", async () => {
    const { id } = (await upload(worker, BYTES)).json();
    await worker.faults.set(down);
    const answers = [
      await generate(worker, "outage"),
      await upload(worker, BYTES),
      await serve(worker, id),
      await remove(worker, id),
      await ask(worker, "GET", "/api/images"),
      await ask(worker, "GET", `/api/images/${id}`),
      await ask(worker, "GET", "/api/migrate-images"),
    ];
    for (const answer of answers) assertProblem(answer, "database-unavailable");
    const health = await ask(worker, "GET", "/health");
    assert.equal(health.status, 503);
    assert.equal(health.json().status, "unhealthy");
    assert.deepEqual(health.json().services, { database: "unhealthy", r2_storage: "enabled" });

    await worker.faults.clear();
    assert.equal((await serve(worker, id)).status, 200);
    assert.equal((await ask(worker, "GET", "/health")).status, 200);
    await assertInvariants(worker);
    await letTimePassAndSweep(worker);
    await assertSwept(worker);
  });
});

function assertProblem(answer: Answer, code: string): void {
  assert.deepEqual([answer.status, answer.json().code], [503, code]);
  assert.equal(answer.headers.get("content-type"), "application/problem+json");
  assert.match(answer.headers.get("retry-after") ?? "", /^\d+$/);
}

async function metric(name: string): Promise<number> {
  const text = new TextDecoder().decode((await ask(worker, "GET", "/metrics")).body);
  return Number(text.split("\n").find((line) => line.startsWith(`${name} `))?.slice(name.length) ?? 0);
}
