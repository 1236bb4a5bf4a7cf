// The bench's measure of a Worker in Rust serves what the product does.
import assert from "node:assert/strict";
import { test } from "node:test";

import { pngOf, upload } from "../flows.ts";
import { startConformance } from "./server.ts";

test("an image in R2 with nothing but its row looked at", async (context) => {
  const worker = await startConformance({ vars: { ENABLE_R2_STORAGE: "true" } });
  context.after(() => worker.stop());
  const image = pngOf(1_000, 1);
  const stored = await upload(worker, image);
  assert.equal(stored.status, 201);
  const ask = async (headers: Record<string, string>, id = stored.json().id) => {
    const answer = await worker.fetch(`/conformance/limit/${id}`, { headers });
    return { status: answer.status, headers: answer.headers, body: Buffer.from(await answer.arrayBuffer()) };
  };

  const whole = await ask({});
  assert.equal(whole.status, 200);
  assert.deepEqual(whole.body, Buffer.from(image));
  const part = await ask({ range: "bytes=10-209" });
  assert.equal(part.status, 206);
  assert.equal(part.headers.get("content-range"), "bytes 10-209/1000");
  assert.deepEqual(part.body, Buffer.from(image.slice(10, 210)));
  const known = await ask({ "if-none-match": whole.headers.get("etag") ?? "" });
  assert.deepEqual([known.status, known.body.length], [304, 0]);
  for (const range of ["bytes=5", "bytes=3-2", "bytes=0-18446744073709551615"]) assert.equal((await ask({ range })).status, 400);
  assert.equal((await ask({}, crypto.randomUUID())).status, 404);
});

test("an embedded image comes with its row", async (context) => {
  const worker = await startConformance({ vars: { ENABLE_R2_STORAGE: "false" } });
  context.after(() => worker.stop());
  const image = pngOf(1_000, 2);
  const stored = await upload(worker, image);
  assert.equal(stored.status, 201);
  assert.equal(stored.json().storage, "d1");

  const answer = await worker.fetch(`/conformance/limit/${stored.json().id}`);
  assert.equal(answer.status, 200);
  assert.equal(answer.headers.get("content-type"), "image/png");
  assert.deepEqual(Buffer.from(await answer.arrayBuffer()), Buffer.from(image));
});
