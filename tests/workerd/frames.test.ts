// Frames in real sizes: many in one form, kept whole, listed, served and deleted.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";

import { Client, STORAGE_MODES, bytesOf, storedKeys } from "./client.ts";
import type { Clearing, FramePage, FramesAnswer } from "./harness/api-types.ts";
import { projectDir } from "./harness/project.ts";
import { startWorker } from "./harness/worker.ts";
import type { RunningWorker } from "./harness/worker.ts";

const JPEG = readFileSync(join(projectDir, "tests/fixtures/images/baseline.jpg"));
/** Frames stay outside wasm memory, but for the run that is looked through for the boundary. */
const MAX_WASM_BYTES = 16 << 20;

for (const { storage, vars } of STORAGE_MODES) {
  describe(`with images in ${storage}`, () => {
    let worker: RunningWorker;
    let client: Client;
    before(async () => {
      worker = await startWorker({ vars });
      client = new Client(worker);
    });
    after(() => worker.stop());

    for (const [frames, sizeBytes] of [[15, 100_000], [200, 500_000]] as const) {
      test(`${frames} frames of ${sizeBytes} bytes in one form`, async () => {
        const session = `run-${frames}`;
        const form = new FormData();
        for (let number = 1; number <= frames; number += 1) form.set(`frame_${number}`, new Blob([frame(number, sizeBytes)]));
        const sent = await client.call("POST", `/sessions/${session}/frames`, { body: form });
        const answer = (await sent.json()) as FramesAnswer;
        assert.deepEqual([sent.status, answer.stored, answer.refused], [201, frames, 0]);
        const wasmBytes = await worker.wasmMemoryBytes();
        assert.ok(wasmBytes <= MAX_WASM_BYTES, `wasm memory: ${wasmBytes}`);
        if (storage === "r2") {
          const { r2: keys } = await storedKeys(worker);
          assert.ok(keys.includes(`frames/${session}/0001.jpg`) && keys.includes(`frames/${session}/${String(frames).padStart(4, "0")}.jpg`));
        }
        const page = (await (await client.call("GET", `/sessions/${session}/frames?limit=100`)).json()) as FramePage;
        assert.deepEqual(page.frames.map(({ frameNumber }) => frameNumber), Array.from({ length: Math.min(frames, 100) }, (_, at) => at + 1));
        assert.deepEqual([page.interrupted, page.frames[0]?.storage], [false, storage]);
        const served = await client.call("GET", `/sessions/${session}/frames/${frames}`);
        assert.deepEqual(await bytesOf(served), Buffer.from(frame(frames, sizeBytes)));
        const deleted = await client.call("DELETE", `/sessions/${session}/frames`);
        assert.deepEqual([deleted.status, (await deleted.json()) as Clearing], [200, { deleted: frames, remaining: 0 }]);
        const left = Object.values(await storedKeys(worker)).flat();
        assert.deepEqual(left.filter((key) => key.startsWith(`frames/${session}/`)), []);
        assert.equal((await client.call("GET", `/sessions/${session}/frames/1`)).status, 404);
      });
    }

    test("more than a thousand frames go by the queue", async () => {
      for (const first of [0, 700]) {
        const form = new FormData();
        for (let number = first; number < first + 700; number += 1) form.set(`${number}`, new Blob([frame(number, JPEG.length + 100)]));
        const sent = await client.call("POST", "/sessions/many/frames", { body: form });
        assert.equal(sent.status, 201, await sent.text());
      }
      const told = await client.call("DELETE", "/sessions/many/frames");
      assert.deepEqual([told.status, (await told.json()) as Clearing], [202, { deleted: 1000, remaining: 400 }]);
      const left = () => worker.db.prepare("SELECT count(*) AS n FROM stillstore_images WHERE status = 'stored'").first("n");
      assert.equal(await left(), 0, "none can be read");
      for (;;) {
        const again = await client.call("DELETE", "/sessions/many/frames");
        if (again.status === 200) break;
        assert.equal(again.status, 202);
      }
      assert.deepEqual(Object.values(await storedKeys(worker)).flat(), []);
    });
  });
}

/** A JPEG of so many bytes, another for each number. */
function frame(number: number, sizeBytes: number): Uint8Array<ArrayBuffer> {
  const filler = Buffer.alloc(sizeBytes - JPEG.length);
  let at = 0;
  while (at < filler.length) {
    // Application segments of at most 65,535 bytes with their length; none is left with less than a marker and a length.
    const left = filler.length - at;
    const length = left <= 65_537 ? left : Math.min(65_537, left - 8);
    filler.writeUInt16BE(0xffef, at);
    filler.writeUInt16BE(length - 2, at + 2);
    if (length >= 8) filler.writeUInt32BE(number, at + 4);
    at += length;
  }
  return new Uint8Array(Buffer.concat([JPEG.subarray(0, 2), filler, JPEG.subarray(2)]));
}

test("a frame costs one class A operation, and its share of one D1 call for each fifty", async (context) => {
  const worker = await startWorker({ vars: { ENABLE_R2_STORAGE: "true" }, faults: true });
  context.after(() => worker.stop());
  const client = new Client(worker);
  for (const [session, frames, batches] of [["few", 15, 2], ["fifty", 50, 2], ["hundred", 100, 3]] as const) {
    await worker.faults.forgetCalls();
    const form = new FormData();
    for (let number = 1; number <= frames; number += 1) form.set(`${number}`, new Blob([frame(number, 20_000)]));
    const sent = await client.call("POST", `/sessions/${session}/frames`, { body: form });
    assert.equal(sent.status, 201, await sent.text());
    const calls = (await worker.faults.calls()).map(({ binding, method }) => `${binding}.${method}`);
    const count = (name: string) => calls.filter((call) => call === name).length;
    // One call begins the upload; the last commit ends it.
    assert.deepEqual([calls.length, count("R2_IMAGES.put"), count("DB.batch")], [frames + batches, frames, batches], session);
  }
});
