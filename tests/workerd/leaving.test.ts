// Local workerd goes on with the request of a client that has gone; the platform does so for what it was told to wait for.
import assert from "node:assert/strict";
import { test } from "node:test";

import { WORKER_MODULE, builtWorker } from "./harness/modules.ts";
import { startWorker } from "./harness/worker.ts";

/** Answers with what the Worker had the platform wait for: the status of each response, and whether it is the Worker's own. */
const OBSERVER = `
import Worker from "./built.js";
export default {
  async fetch(request, env) {
    const waited = [];
    const ctx = { waitUntil: (promise) => waited.push(promise) };
    const answer = await Worker.fetch(request, env, ctx);
    const responses = await Promise.all(waited);
    return Response.json(responses.map((response) => [response.status, response === answer]));
  },
};`;

test("the platform is told to wait for each answer", async () => {
  const { [WORKER_MODULE]: built, ...rest } = builtWorker("build");
  assert.ok(built !== undefined);
  const worker = await startWorker({
    bare: true,
    worker: { [WORKER_MODULE]: { type: "esm", contents: OBSERVER }, "worker/built.js": built, ...rest },
  });
  assert.deepEqual(await (await worker.fetch("/health")).json(), [[200, true]]);
  assert.deepEqual(await (await worker.fetch("/nowhere")).json(), [[404, true]]);
  await worker.stop();
});
