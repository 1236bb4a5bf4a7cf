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
  assert.deepEqual({ method: first?.method, path: first?.path }, { method: "POST", path: "/v1/images/generations" });
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

test("refuses what OpenAI's schema forbids, whatever is scripted", async () => {
  for (const [request, param, code] of [
    [{ model: "gpt-image-1.5", prompt: "a", response_format: "b64_json" }, "response_format", "unknown_parameter"],
    [{ model: "gpt-image-1.5", prompt: "a", size: "1536x864" }, "size", "invalid_value"],
    [{ model: "gpt-image-2", prompt: "a", size: "1920x1080" }, "size", "invalid_value"],
    [{ model: "gpt-image-2", prompt: "a", size: "3840x2176" }, "size", "invalid_value"],
    [{ model: "gpt-image-2", prompt: "a", size: "800x800" }, "size", "invalid_value"],
    [{ model: "gpt-image-2", prompt: "a", size: "3072x1008" }, "size", "invalid_value"],
    [{ model: "gpt-image-2", prompt: "a".repeat(32_001) }, "prompt", "string_above_max_length"],
    [{ model: "gpt-image-2", prompt: "a", background: "transparent" }, null, "invalid_value"],
    [{ model: "gpt-image-2.5-flare", prompt: "a", background: "transparent", output_format: "jpeg" }, "background", "invalid_value"],
    [{ model: "gpt-image-2", prompt: "a", output_compression: 50 }, "output_compression", "invalid_value"],
    [{ model: "gpt-image-2", prompt: "a", output_format: "webp", output_compression: 101 }, "output_compression", "invalid_value"],
    [{ model: "gpt-image-2", prompt: "a", n: 0 }, "n", "invalid_value"],
    [{ model: "dall-e-3", prompt: "a", n: 2 }, "n", "invalid_value"],
    [{ model: "dall-e-3", prompt: "a", output_format: "png" }, "output_format", "unknown_parameter"],
    [{ model: "dall-e-3", prompt: "a".repeat(4001) }, "prompt", "string_above_max_length"],
    [{ model: "dall-e-2", prompt: "a", style: "vivid" }, "style", "unknown_parameter"],
    [{ model: "gpt-image-2" }, "prompt", "missing_required_parameter"],
  ] as const) {
    provider.answer(imageInJson(image));
    const response = await fetch(`${provider.baseUrl}/images/generations`, { method: "POST", body: JSON.stringify(request) });
    const { error } = (await response.json()) as any;
    assert.deepEqual(
      { status: response.status, param: error.param, code: error.code },
      { status: 400, param, code },
      JSON.stringify(request).slice(0, 99),
    );
  }
  for (const request of [
    { model: "gpt-image-2", prompt: "a", n: 4, size: "3840x2160", background: "opaque", output_format: "jpeg", output_compression: 0 },
    { model: "gpt-image-2.5-flare", prompt: "a", background: "transparent", output_format: "webp", output_compression: 100 },
  ]) {
    provider.reset();
    provider.answer(imageInJson(image));
    const response = await fetch(`${provider.baseUrl}/images/generations`, { method: "POST", body: JSON.stringify(request) });
    assert.equal(response.status, 200, JSON.stringify(request));
  }
});

test("refuses edits that OpenAI's schema forbids", async () => {
  const edit = async (fields: Record<string, string | Blob>) => {
    provider.reset();
    provider.answer(imageInJson(image));
    const form = new FormData();
    for (const [name, value] of Object.entries(fields)) form.set(name, value);
    const response = await fetch(`${provider.baseUrl}/images/edits`, { method: "POST", body: form });
    return response.status === 200 ? undefined : ((await response.json()) as any).error.param;
  };
  const png = new Blob([image], { type: "image/png" });
  const gif = new Blob([image], { type: "image/gif" });
  const good = { model: "gpt-image-2", prompt: "a", image: png };
  assert.equal(await edit({ ...good, mask: png, n: "1", size: "1024x1024", quality: "high", output_format: "jpeg" }), undefined);
  for (const [fields, param] of [
    [{ model: "gpt-image-2", prompt: "a" }, "image"],
    [{ model: "gpt-image-2", image: png }, "prompt"],
    [{ ...good, image: gif }, "image"],
    [{ ...good, image: "a text" }, "image"],
    [{ ...good, mask: gif }, "mask"],
    [{ ...good, response_format: "b64_json" }, "response_format"],
    [{ ...good, style: "vivid" }, "style"],
    [{ ...good, size: "7x7" }, "size"],
    [{ ...good, n: "many" }, "n"],
    [{ ...good, model: "dall-e-3" }, "model"],
  ] as [Record<string, string | Blob>, string][]) {
    assert.equal(await edit(fields), param, JSON.stringify(fields));
  }
  const response = await fetch(`${provider.baseUrl}/images/edits`, { method: "POST", body: "{}", headers: { "content-type": "application/json" } });
  assert.equal(response.status, 400);
});
