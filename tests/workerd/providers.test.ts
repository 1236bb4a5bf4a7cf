// The provider `openai` against a server that answers as scripted.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, beforeEach, describe, test } from "node:test";
import { crc32 } from "node:zlib";

import { Client, bytesOf, pathOf, problemOf, sha256, storedKeys } from "./client.ts";
import type { GeneratedImage, Image, Problem } from "./harness/api-types.ts";
import { projectDir } from "./harness/project.ts";
import {
  ProviderStub, imageAtUrl, imageInJson, moderationRefusal, providerError, rateLimited,
} from "./harness/provider-stub.ts";
import type { Answer } from "./harness/provider-stub.ts";
import { startWorker } from "./harness/worker.ts";
import type { RunningWorker } from "./harness/worker.ts";

const PNG = readFileSync(join(projectDir, "tests/fixtures/images/rgb.png"));
const KEY = "sk-only-for-the-provider";
const PROMPT = "a clockmaker's confidential garden";

let provider: ProviderStub;
/** By what they are started with, so that each is started once. */
const started = new Map<string, Promise<RunningWorker>>();
before(async () => {
  provider = await ProviderStub.start();
});
beforeEach(() => provider.reset());
after(async () => {
  for (const worker of started.values()) await (await worker).stop();
  await provider.stop();
});

const DEFAULTS = { OPENAI_IMAGE_MODEL: "gpt-image-1", IMAGE_PROVIDER: "openai", PROVIDER_TIMEOUT_MS: "60000" };

async function workerWith(vars: Partial<typeof DEFAULTS> = {}): Promise<{ worker: RunningWorker; client: Client }> {
  const settings = { ...DEFAULTS, ...vars };
  const name = JSON.stringify(settings);
  const starting =
    started.get(name) ??
    startWorker({ vars: { ...settings, OPENAI_BASE_URL: provider.baseUrl, OPENAI_API_KEY: KEY } });
  started.set(name, starting);
  const worker = await starting;
  return { worker, client: new Client(worker) };
}

/** A whole image with a chunk of random bytes in it. */
function wholePng(sizeBytes: number): Buffer {
  const data = Buffer.concat([Buffer.from("raNd"), randomBytes(sizeBytes - PNG.length - 12)]);
  const [length, checksum] = [Buffer.alloc(4), Buffer.alloc(4)];
  length.writeUInt32BE(data.length - 4);
  checksum.writeUInt32BE(crc32(data));
  const afterHeader = 8 + 25;
  return Buffer.concat([PNG.subarray(0, afterHeader), length, data, checksum, PNG.subarray(afterHeader)]);
}

const generate = (client: Client, fields = {}) => client.generate({ prompt: PROMPT, ...fields });

describe("an image", () => {
  test("comes as base64 within the answer", async () => {
    const { worker, client } = await workerWith();
    provider.answer(imageInJson(PNG, { usage: { total_tokens: 1234 } }));
    const body = (await (await generate(client)).json()) as GeneratedImage;
    assert.deepEqual(
      { provider: body.generation.provider, model: body.generation.metadata.model, totalTokens: body.generation.metadata.totalTokens, fallback: body.fallback },
      { provider: "openai", model: "gpt-image-1", totalTokens: 1234, fallback: false },
    );
    assert.deepEqual(
      { sha256: body.image.sha256, originalUrl: body.originalUrl },
      { sha256: sha256(PNG), originalUrl: body.imageUrl },
    );
    assert.deepEqual(await bytesOf(await worker.fetch(pathOf(body.imageUrl))), PNG);
  });

  test("comes whole whatever its length, and however its base64 is written", async () => {
    const { worker, client } = await workerWith();
    const revised_prompt = "a gar\u{e7}on\u2019s garden \u{1f33b}";
    for (const sizeBytes of [40_000, 49_152, 49_155, 1_600_000, 6_000_000]) {
      const image = wholePng(sizeBytes);
      const base64 = image.toString("base64");
      for (const [written, encoded] of Object.entries({
        plain: base64,
        "in lines": base64.replaceAll(/.{76}/g, "$&\\n"),
        escaped: base64.replaceAll("/", "\\/").replaceAll("+", "\\u002b"),
        "as a data URL": `data:image/png;base64,${base64}`,
      })) {
        const body = `{"data":[{"revised_prompt":${JSON.stringify(revised_prompt)},"b64_json":"${encoded}"}],"usage":{"total_tokens":5}}`;
        provider.answer({ body, headers: { "content-type": "application/json" } });
        const answer = (await (await generate(client)).json()) as GeneratedImage;
        const { totalTokens, revisedPrompt } = answer.generation.metadata;
        assert.deepEqual(
          { totalTokens, revisedPrompt, sha256: answer.image.sha256 },
          { totalTokens: 5, revisedPrompt: revised_prompt, sha256: sha256(image) },
          `${sizeBytes} ${written}`,
        );
        assert.deepEqual(await bytesOf(await worker.fetch(pathOf(answer.imageUrl))), image);
      }
    }
  });

  test("comes by its URL, to which no key goes", async () => {
    const { worker, client } = await workerWith({ OPENAI_IMAGE_MODEL: "dall-e-3" });
    const url = provider.file("garden.png", { headers: { "content-type": "image/png" }, body: PNG });
    provider.answer(imageAtUrl(url));
    const body = (await (await generate(client)).json()) as GeneratedImage;
    assert.deepEqual({ originalUrl: body.originalUrl, sha256: body.image.sha256 }, { originalUrl: url, sha256: sha256(PNG) });
    assert.notEqual(body.imageUrl, url);
    assert.deepEqual(await bytesOf(await worker.fetch(pathOf(body.imageUrl))), PNG);
    const [asked, fetched] = provider.requests;
    assert.deepEqual([asked?.path, fetched?.path], ["/v1/images/generations", "/files/garden.png"]);
    assert.deepEqual([asked?.headers.authorization, fetched?.headers.authorization], [`Bearer ${KEY}`, undefined]);
  });
});

describe("the request", () => {
  const fields = { size: "1792x1024", quality: "hd", style: "vivid" };
  for (const [model, expected] of [
    ["gpt-image-1", { n: 1, size: "1536x1024", quality: "high", output_format: "png" }],
    ["gpt-image-2", { n: 1, size: "1792x1024", quality: "high", output_format: "png" }],
    ["dall-e-3", { n: 1, size: "1792x1024", quality: "hd", style: "vivid", response_format: "b64_json" }],
    ["dall-e-2", { n: 1, size: "1024x1024", response_format: "b64_json" }],
    ["another-model", { size: "1792x1024" }],
  ] as const) {
    test(`names what ${model} takes`, async () => {
      const { client } = await workerWith({ OPENAI_IMAGE_MODEL: model });
      provider.answer(imageInJson(PNG));
      assert.equal((await generate(client, fields)).status, 200);
      const [request, ...others] = provider.requests;
      assert.deepEqual([request?.method, others.length], ["POST", 0]);
      assert.equal(request?.headers["content-type"], "application/json");
      assert.deepEqual(request?.json(), { model, prompt: PROMPT, ...expected });
    });
  }
});

const JPEG = readFileSync(join(projectDir, "tests/fixtures/images/baseline.jpg"));

describe("the file", () => {
  test("is a transparent PNG where the model has such", async () => {
    const { worker, client } = await workerWith({ OPENAI_IMAGE_MODEL: "gpt-image-2.5-flare" });
    provider.answer(imageInJson(PNG));
    const made = (await (await generate(client, { background: "transparent", size: "2160x3840" })).json()) as GeneratedImage;
    assert.deepEqual(await bytesOf(await worker.fetch(pathOf(made.imageUrl))), PNG);
    assert.deepEqual(
      { background: made.generation.metadata.background, outputFormat: made.generation.metadata.outputFormat, size: made.generation.size },
      { background: "transparent", outputFormat: null, size: "2160x3840" },
    );
    const sent = { n: 1, size: "2160x3840", background: "transparent", output_format: "png" };
    assert.deepEqual(provider.requests[0]?.json(), { model: "gpt-image-2.5-flare", prompt: PROMPT, ...sent });
  });

  test("is a JPEG as compressed as asked", async () => {
    const { worker, client } = await workerWith({ OPENAI_IMAGE_MODEL: "gpt-image-2" });
    provider.answer(imageInJson(JPEG));
    const made = (await (await generate(client, { outputFormat: "jpeg", outputCompression: 60, size: "1536x864" })).json()) as GeneratedImage;
    const stored = await worker.fetch(pathOf(made.imageUrl));
    assert.equal(stored.headers.get("content-type"), "image/jpeg");
    assert.deepEqual(await bytesOf(stored), JPEG);
    assert.match(made.image.key, /\.jpg$/);
    const sent = { n: 1, size: "1536x864", output_format: "jpeg", output_compression: 60 };
    assert.deepEqual(provider.requests[0]?.json(), { model: "gpt-image-2", prompt: PROMPT, ...sent });
  });

  test("that no provider makes is 400 with its field", async () => {
    const transparent = { background: "transparent" };
    for (const [settings, fields, field, asked] of [
      [{ OPENAI_IMAGE_MODEL: "gpt-image-2" }, transparent, "background", 1],
      [{ OPENAI_IMAGE_MODEL: "gpt-image-2", IMAGE_PROVIDER: "openai,placeholder" }, transparent, "background", 1],
      [{ OPENAI_IMAGE_MODEL: "dall-e-3" }, { outputFormat: "png" }, "outputFormat", 0],
      [{ IMAGE_PROVIDER: "placeholder" }, { outputFormat: "webp", outputCompression: 5 }, "outputFormat", 0],
    ] as const) {
      const { worker, client } = await workerWith(settings);
      const before = await storedKeys(worker);
      provider.reset();
      const response = await generate(client, fields);
      const problem = (await response.json()) as Problem;
      assert.deepEqual(
        { status: response.status, code: problem.code, field: problem.field },
        { status: 400, code: "invalid-field", field },
        JSON.stringify(settings),
      );
      assert.match(problem.detail, /no configured provider has/);
      assert.equal(provider.requests.length, asked);
      assert.deepEqual(await storedKeys(worker), before);
    }
  });

  test("is made by the provider of the list that can", async () => {
    const { client } = await workerWith({ IMAGE_PROVIDER: "placeholder,openai" });
    provider.answer(imageInJson(JPEG));
    const made = (await (await generate(client, { outputFormat: "jpeg" })).json()) as GeneratedImage;
    assert.deepEqual(
      { provider: made.generation.provider, fallbackReason: made.fallbackReason },
      { provider: "openai", fallbackReason: "placeholder: field-unsupported" },
    );
  });
});

describe("a long prompt", () => {
  const longest = "\u{1f98a}".repeat(32_000);

  test("of 32,000 characters goes to the provider whole, and is kept", async () => {
    const { client } = await workerWith({ OPENAI_IMAGE_MODEL: "gpt-image-2" });
    provider.answer(imageInJson(PNG));
    const made = (await (await generate(client, { prompt: longest })).json()) as GeneratedImage;
    assert.equal(provider.requests[0]?.json().prompt, longest);
    assert.equal(made.generation.prompt, longest);
    const record = (await (await client.call("GET", `/api/images/${made.image.id}`)).json()) as Image;
    assert.equal(record.generation?.prompt, longest);
  });

  test("is 400 with its field where it is longer than we or the provider take", async () => {
    for (const [model, prompt, asked] of [
      ["gpt-image-2", `${longest}x`, 0],
      ["dall-e-3", longest.slice(0, 2 * 4001), 0],
      ["dall-e-2", longest.slice(0, 2 * 1001), 0],
    ] as const) {
      const { client } = await workerWith({ OPENAI_IMAGE_MODEL: model });
      provider.reset();
      const response = await generate(client, { prompt });
      const problem = (await response.json()) as Problem;
      assert.deepEqual(
        { status: response.status, code: problem.code, field: problem.field },
        { status: 400, code: "invalid-field", field: "prompt" },
        model,
      );
      assert.equal(provider.requests.length, asked);
    }
    const { client } = await workerWith({ OPENAI_IMAGE_MODEL: "another-model" });
    const message = "Invalid 'prompt': string too long. Expected a string with maximum length 77, but got a string with length 99 instead.";
    const error = { message, type: "invalid_request_error", param: "prompt", code: "string_above_max_length" };
    provider.answer({ status: 400, body: { error } });
    const problem = (await (await generate(client, { prompt: "x".repeat(99) })).json()) as Problem;
    assert.deepEqual({ status: problem.status, field: problem.field }, { status: 400, field: "prompt" });
    assert.match(problem.detail, /^prompt must be at most 77 characters for this provider; /);
  });
});

describe("several images", () => {
  const keyed = (client: Client, n: number, key: string) => client.generate({ prompt: PROMPT, n }, { "idempotency-key": key });

  test("are asked for one by one, and each is kept", async () => {
    const { worker, client } = await workerWith();
    const images = [wholePng(40_000), wholePng(50_000), wholePng(60_000)];
    provider.answer(...images.map((image) => imageInJson(image)));
    const made = (await (await keyed(client, 3, "three")).json()) as GeneratedImage;
    assert.deepEqual(provider.requests.map((request) => request.json().n), [1, 1, 1]);
    assert.deepEqual(
      { imageUrl: made.imageUrl, image: made.image },
      { imageUrl: made.images[0]?.imageUrl, image: made.images[0]?.image },
    );
    for (const [index, { imageUrl, image }] of made.images.entries()) {
      assert.equal(image.sha256, sha256(images[index]!));
      assert.deepEqual(await bytesOf(await worker.fetch(pathOf(imageUrl))), images[index]);
    }
    const again = await keyed(client, 3, "three");
    assert.equal(again.headers.get("idempotency-replayed"), "true");
    assert.deepEqual([await again.json(), provider.requests.length], [made, 3]);
  });

  test("are all there or it is no success", async () => {
    const { worker, client } = await workerWith();
    provider.answer(imageInJson(wholePng(40_000)), imageInJson(wholePng(40_000)), providerError(500, "server_error", "down"));
    const partly = await keyed(client, 4, "four");
    const problem = (await partly.json()) as Problem;
    const { code, images = [] } = problem;
    assert.deepEqual({ status: partly.status, code, images: images.length }, { status: 502, code: "provider-unavailable", images: 2 });
    for (const { imageUrl, image } of images) {
      assert.equal(sha256(await bytesOf(await worker.fetch(pathOf(imageUrl)))), image.sha256);
    }
    provider.answer(imageInJson(wholePng(40_000)), imageInJson(wholePng(40_000)));
    const whole = (await (await keyed(client, 4, "four")).json()) as GeneratedImage;
    assert.equal(provider.requests.length, 5);
    assert.deepEqual(whole.images.slice(0, 2), problem.images);
    assert.equal(new Set(whole.images.map(({ image }) => image.id)).size, 4);
  });

  test("take no more memory the more they are", async (context) => {
    const { worker, client } = await workerWith({ OPENAI_IMAGE_MODEL: "gpt-image-1.5" });
    const largest = () => imageInJson(wholePng(20_971_520));
    provider.answer(largest());
    assert.equal((await generate(client)).status, 200);
    const forOne = await worker.wasmMemoryBytes();
    provider.answer(largest(), largest());
    assert.equal((await generate(client, { n: 2 })).status, 200);
    const forTwo = await worker.wasmMemoryBytes();
    provider.answer(largest(), largest(), largest(), largest());
    const response = await generate(client, { n: 4 });
    assert.equal(response.status, 200, await response.clone().text());
    assert.equal(((await response.json()) as GeneratedImage).images.length, 4);
    const forFour = await worker.wasmMemoryBytes();
    context.diagnostic(`wasm memory: ${forOne} bytes for one image of 20 MiB, ${forTwo} for two, ${forFour} for four`);
    assert.ok(forTwo <= forOne + 1024 * 1024 && forFour <= forTwo + 1024 * 1024, `${forOne}, ${forTwo}, ${forFour} bytes`);
  });
});

test("the built-in provider draws 3840x2160 in little memory", async (context) => {
  const { worker, client } = await workerWith({ IMAGE_PROVIDER: "placeholder", OPENAI_IMAGE_MODEL: "gpt-image-2" });
  const made = (await (await generate(client, { size: "3840x2160", n: 2 })).json()) as GeneratedImage;
  const { width, height } = made.generation.metadata;
  assert.deepEqual({ width, height, images: made.images.length }, { width: 3840, height: 2160, images: 2 });
  assert.notEqual(made.images[0]?.image.sha256, made.images[1]?.image.sha256);
  const bytes = await worker.wasmMemoryBytes();
  context.diagnostic(`wasm memory: ${bytes} bytes after two pictures of 3840x2160, of ${made.image.size} bytes`);
  assert.ok(bytes < 8 * 1024 * 1024, `${bytes} bytes`);
  assert.equal((await bytesOf(await worker.fetch(pathOf(made.imageUrl)))).length, made.image.size);
});

const hangs: Answer = { after: new Promise(() => {}) };
const page: Answer = { headers: { "content-type": "text/html" }, body: "<html>Hello</html>" };
const truncated = imageInJson(PNG.subarray(0, -40));

type Failure = { name: string; answer: Answer; status: number; code: string; retryAfter?: string };
const FAILURES: Failure[] = [
  { name: "a refusal by moderation", answer: moderationRefusal(), status: 422, code: "prompt-refused" },
  { name: "a rate limit", answer: rateLimited(17), status: 429, code: "provider-rate-limited", retryAfter: "17" },
  { name: "a wrong key", answer: providerError(401, "invalid_api_key", KEY), status: 502, code: "provider-rejected" },
  { name: "an empty account", answer: providerError(429, "insufficient_quota", "Pay."), status: 502, code: "provider-rejected" },
  { name: "a failing server", answer: providerError(500, "server_error", PROMPT), status: 502, code: "provider-unavailable" },
  { name: "a truncated PNG", answer: truncated, status: 502, code: "provider-image-invalid" },
  { name: "text for an image", answer: imageInJson(Buffer.from("<html>")), status: 502, code: "provider-image-invalid" },
  { name: "a page with status 200", answer: page, status: 502, code: "provider-answer-empty" },
  { name: "no data", answer: { body: { created: 1, data: [] } }, status: 502, code: "provider-answer-empty" },
  { name: "a broken connection", answer: { ...imageInJson(PNG), truncateAfterBytes: 99 }, status: 502, code: "provider-unavailable" },
  { name: "a server that hangs", answer: hangs, status: 504, code: "provider-timeout" },
];

const timeoutFor = (answer: Answer) => (answer === hangs ? { PROVIDER_TIMEOUT_MS: "1000" } : {});

describe("nothing is stored after", () => {
  for (const { name, answer, status, code, retryAfter } of FAILURES) {
    test(`${name}: ${status} ${code}, and one call`, async () => {
      const { worker, client } = await workerWith(timeoutFor(answer));
      const before = await storedKeys(worker);
      provider.answer(answer);
      const response = await generate(client);
      if (retryAfter !== undefined) assert.equal(response.headers.get("retry-after"), retryAfter);
      const text = await response.clone().text();
      assert.ok(!text.includes(KEY) && !text.includes(PROMPT), text);
      assert.deepEqual(await problemOf(response), { status, code });
      assert.equal(provider.requests.length, 1);
      assert.deepEqual(await storedKeys(worker), before);
    });
  }

  test("an image that is not at its URL", async () => {
    const { client } = await workerWith();
    for (const [answer, code] of [
      [{ status: 404 }, "provider-unavailable"],
      [{ body: PNG.subarray(0, -40) }, "provider-image-invalid"],
      [{ body: PNG, truncateAfterBytes: 60 }, "provider-unavailable"],
      [{ headers: { "content-type": "image/png" }, body: "<html>expired</html>" }, "provider-image-invalid"],
      [{ body: Buffer.alloc(20_971_521) }, "provider-image-invalid"],
    ] satisfies [Answer, string][]) {
      provider.answer(imageAtUrl(provider.file("gone.png", answer)));
      assert.deepEqual(await problemOf(await generate(client)), { status: 502, code });
    }
  });
});

test("a rate limit that ends at once is sat out, once", async () => {
  const { client } = await workerWith();
  const { body, status } = rateLimited(0);
  const soon = { status: status ?? 429, body: body ?? "", headers: { "retry-after-ms": "5" } };
  provider.answer(soon, imageInJson(PNG));
  assert.equal((await generate(client)).status, 200);
  provider.reset();
  provider.answer(soon, soon, imageInJson(PNG));
  assert.deepEqual(await problemOf(await generate(client)), { status: 429, code: "provider-rate-limited" });
  assert.equal(provider.requests.length, 2);
});

describe("with openai,placeholder", () => {
  for (const [name, answer, reason] of [
    ["a failing server", providerError(500, "server_error", "down"), "openai: provider-unavailable"],
    ["a rate limit", rateLimited(17), "openai: provider-rate-limited"],
    ["a truncated PNG", truncated, "openai: provider-truncated-image"],
    ["a server that hangs", hangs, "openai: provider-timeout"],
  ] as const) {
    test(`the placeholder helps out after ${name}`, async () => {
      const { client } = await workerWith({ IMAGE_PROVIDER: "openai,placeholder", ...timeoutFor(answer) });
      provider.answer(answer);
      const body = (await (await generate(client)).json()) as GeneratedImage;
      assert.deepEqual(
        { fallback: body.fallback, fallbackReason: body.fallbackReason, provider: body.generation.provider },
        { fallback: true, fallbackReason: reason, provider: "placeholder" },
      );
    });
  }

  test("a refusal by moderation is final", async () => {
    const { client } = await workerWith({ IMAGE_PROVIDER: "openai,placeholder" });
    provider.answer(moderationRefusal());
    assert.deepEqual(await problemOf(await generate(client)), { status: 422, code: "prompt-refused" });
  });
});

test("neither key nor prompt reaches the log", async () => {
  const { worker, client } = await workerWith({ IMAGE_PROVIDER: "openai,placeholder" });
  const answers: Answer[] = [
    imageInJson(PNG), moderationRefusal(), providerError(500, "server_error", `${PROMPT} ${KEY}`),
    providerError(400, "invalid_value", `Wrong: ${PROMPT}`), imageAtUrl(`http://${KEY}.invalid/?prompt=${PROMPT}`),
  ];
  for (const answer of answers) {
    provider.answer(answer);
    await (await generate(client)).arrayBuffer();
  }
  await client.generate({ prompt: PROMPT, size: "1x1" }, { "x-request-id": "last" });
  await worker.waitForLog(({ event }) => event?.event === "request" && event.request_id === "last");
  const lines = worker.logs().map(({ message }) => message);
  assert.ok(lines.filter((line) => line.includes('"event":"generation"')).length >= answers.length);
  for (const line of lines) {
    assert.ok(!line.includes(KEY) && !line.includes(PROMPT) && !line.includes("clockmaker"), line);
  }
});
