import assert from "node:assert/strict";
import { after, before, beforeEach, test } from "node:test";

import {
  ProviderStub, imageAtUrl, imageInJson, moderationRefusal, rateLimited,
} from "./harness/provider-stub.ts";

const image = new Uint8Array([0x89, 0x50, 0x4e, 0x47]);

let provider: ProviderStub;
before(async () => {
  provider = await ProviderStub.start();
});
after(() => provider.stop());
beforeEach(() => provider.reset());

const generate = () =>
  fetch(`${provider.baseUrl}/images/generations`, {
    method: "POST",
    headers: { authorization: "Bearer key" },
    body: JSON.stringify({ prompt: "a lake" }),
  });

test("answers in the order scripted and remembers the requests", async () => {
  provider.answer(rateLimited(7), moderationRefusal(), imageInJson(image, { usage: { total_tokens: 9 } }));
  const limited = await generate();
  assert.deepEqual([limited.status, limited.headers.get("retry-after")], [429, "7"]);
  const refused = await generate();
  assert.deepEqual([refused.status, ((await refused.json()) as any).error.code], [400, "moderation_blocked"]);
  const generated = (await (await generate()).json()) as any;
  assert.deepEqual(Buffer.from(generated.data[0].b64_json, "base64"), Buffer.from(image));
  assert.equal(generated.usage.total_tokens, 9);
  assert.equal((await generate()).status, 500);

  const [first] = provider.requests;
  assert.equal(provider.requests.length, 4);
  assert.deepEqual([first?.method, first?.path], ["POST", "/v1/images/generations"]);
  assert.equal(first?.headers.authorization, "Bearer key");
  assert.deepEqual(first?.json(), { prompt: "a lake" });
});

test("serves the image an answer links to", async () => {
  const url = provider.file("lake.png", { headers: { "content-type": "image/png" }, body: image });
  provider.answer(imageAtUrl(url));
  const generated = (await (await generate()).json()) as any;
  const file = await fetch(generated.data[0].url);
  assert.equal(file.headers.get("content-type"), "image/png");
  assert.deepEqual(new Uint8Array(await file.arrayBuffer()), image);
});

test("breaks the connection in the middle of a body", async () => {
  provider.answer({ body: image, truncateAfterBytes: 2 });
  const response = await generate();
  assert.equal(response.headers.get("content-length"), "4");
  await assert.rejects(response.arrayBuffer());
});

test("holds an answer back", async () => {
  const { promise, resolve } = Promise.withResolvers<void>();
  provider.answer({ body: "late", after: promise });
  let answered = false;
  const response = generate().finally(() => (answered = true));
  while (provider.requests.length === 0) await new Promise((done) => setTimeout(done, 5));
  assert.equal(answered, false);
  resolve();
  assert.equal(await (await response).text(), "late");
});
