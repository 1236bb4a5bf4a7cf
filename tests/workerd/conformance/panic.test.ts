// A panic ends its own request, and the next one gets an instance that knows nothing of it.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { serve, upload, pngOf } from "../flows.ts";
import type { RunningWorker } from "../harness/worker.ts";
import { startConformance } from "./server.ts";

const PANICS = 3;

let worker: RunningWorker;
before(async () => {
  worker = await startConformance();
});
after(() => worker.stop());

test("after a panic the next request is answered, and so are those after it", async () => {
  const before = await upload(worker, pngOf(1_000, 1));
  assert.equal(before.status, 201);
  for (let panics = 0; panics < PANICS; panics += 1) {
    const panicked = await worker.fetch("/conformance/panic");
    assert.equal(panicked.status, 500);
    await panicked.body?.cancel();
    const answer = await serve(worker, before.json().id);
    assert.equal(answer.status, 200);
    assert.equal(answer.body?.byteLength, 1_000);
    assert.equal((await upload(worker, pngOf(2_000, panics))).status, 201);
  }
  assert.ok(worker.logs().some(({ message }) => message.includes("panicked at")), "the panic is in the log");
  const traps = worker.logs().filter(({ message }) => message.startsWith("Critical RuntimeError"));
  assert.equal(traps.length, PANICS, "what a task throws is an error event, at which the instance is given up");
});
