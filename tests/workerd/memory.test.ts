// The largest images go through the Worker without going through its wasm memory. docs/memory.md repeats what this prints.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { request } from "node:http";
import type { IncomingMessage } from "node:http";
import { join } from "node:path";
import { Readable } from "node:stream";
import { json } from "node:stream/consumers";
import { pipeline } from "node:stream/promises";
import { test } from "node:test";
import { setImmediate } from "node:timers/promises";
import { crc32 } from "node:zlib";

import { Client, STORAGE_MODES } from "./client.ts";
import { projectDir } from "./harness/project.ts";
import { ProviderStub, imageAtUrl, imageInJson } from "./harness/provider-stub.ts";
import { API_TOKEN, startWorker } from "./harness/worker.ts";

const MIB = 1 << 20;
const MAX_WASM_BYTES = 16 * MIB;
const RUN_BYTES = MIB;

const PNG_FILE = join(projectDir, "tests/fixtures/images/rgb.png");
/** Signature and `IHDR`. */
const PNG_HEADER_BYTES = 33;
/** Length, type and checksum. */
const PNG_CHUNK_FRAME_BYTES = 12;

/** What a provider sends is checked within wasm memory: as base64, then decoded in the same place; and room to spare. */
const MAX_WASM_BYTES_GENERATING = 36 * MIB;
const LARGEST_GENERATED = 20_971_520;

/** The largest upload that each store takes (README.md, Limits). */
const LARGEST = { r2: 100_000_000, d1: 26_214_400 };

for (const { storage, vars } of STORAGE_MODES) {
  const size = LARGEST[storage];
  test(`${size} bytes in and out of ${storage} leave wasm memory under ${MAX_WASM_BYTES} bytes`, async (context) => {
    const worker = await startWorker({ vars });
    context.after(() => worker.stop());
    const startBytes = await worker.wasmMemoryBytes();

    const sent = createHash("sha256");
    const upload = request(new URL("/api/images", worker.url), {
      method: "POST",
      headers: { authorization: `Bearer ${API_TOKEN}`, "content-length": size },
    });
    const answered = once(upload, "response") as Promise<[IncomingMessage]>;
    await pipeline(Readable.from(hashed(imageRuns(size), sent)), upload);
    const [answer] = await answered;
    const record = (await json(answer)) as { id: string; size: number; sha256: string; storage: string };
    assert.equal(answer.statusCode, 201, JSON.stringify(record));
    const digest = sent.digest("hex");
    assert.deepEqual(
      { size: record.size, sha256: record.sha256, storage: record.storage },
      { size, sha256: digest, storage },
    );
    const uploadBytes = await worker.wasmMemoryBytes();

    const read = await worker.fetch(`/images/${record.id}`);
    assert.equal(read.headers.get("content-length"), String(size));
    const received = createHash("sha256");
    assert.ok(read.body !== null);
    for await (const run of read.body) received.update(run);
    assert.equal(received.digest("hex"), digest);
    const readBytes = await worker.wasmMemoryBytes();

    context.diagnostic(`wasm memory: ${startBytes} at start, ${uploadBytes} after the upload, ${readBytes} after the read`);
    assert.ok(uploadBytes < MAX_WASM_BYTES, `${uploadBytes} bytes after the upload`);
    assert.ok(readBytes < MAX_WASM_BYTES, `${readBytes} bytes after the read`);
  });
}

test(`a page of 100 images with the longest prompts leaves it under ${MAX_WASM_BYTES}`, async (context) => {
  const worker = await startWorker();
  context.after(() => worker.stop());
  const client = new Client(worker);
  const prompt = "\u{1f98a}".repeat(32_000);
  for (let made = 0; made < 100; made += 4) {
    const response = await client.generate({ prompt, n: 4, size: "256x256" });
    assert.equal(response.status, 200, await response.text());
  }
  const response = await client.call("GET", "/api/images?limit=100");
  const { images } = (await response.json()) as { images: { generation: { prompt: string; prompt_cut: boolean } }[] };
  assert.equal(images.length, 100);
  for (const { generation } of images) {
    assert.deepEqual([[...generation.prompt].length, generation.prompt_cut], [4000, true]);
  }
  const bytes = await worker.wasmMemoryBytes();
  context.diagnostic(`wasm memory: ${bytes} bytes`);
  assert.ok(bytes < MAX_WASM_BYTES, `${bytes} bytes`);
});

for (const form of ["base64", "a URL"]) {
  test(`a provider's ${LARGEST_GENERATED} bytes as ${form} leave it under ${MAX_WASM_BYTES_GENERATING}`, async (context) => {
    const provider = await ProviderStub.start();
    context.after(() => provider.stop());
    const vars = { IMAGE_PROVIDER: "openai", OPENAI_BASE_URL: provider.baseUrl };
    const worker = await startWorker({ vars });
    context.after(() => worker.stop());

    const image = wholePng(LARGEST_GENERATED);
    provider.answer(form === "base64" ? imageInJson(image) : imageAtUrl(provider.file("image.png", { body: image })));
    const response = await new Client(worker).generate();
    assert.equal(response.status, 200, await response.text());
    const bytes = await worker.wasmMemoryBytes();
    context.diagnostic(`wasm memory: ${bytes} after a provider's image as ${form}`);
    assert.ok(bytes < MAX_WASM_BYTES_GENERATING, `${bytes} bytes`);
  });
}

const HOSTILE = 8;

test(`${HOSTILE} of a provider's worst answers at once leave it under ${MAX_WASM_BYTES_GENERATING}`, async (context) => {
  const provider = await ProviderStub.start();
  context.after(() => provider.stop());
  const vars = { IMAGE_PROVIDER: "openai", OPENAI_BASE_URL: provider.baseUrl };
  const worker = await startWorker({ vars });
  context.after(() => worker.stop());

  const image = imageInJson(wholePng(LARGEST_GENERATED));
  let allAsked = () => {};
  const after = new Promise<void>((resolve) => (allAsked = resolve));
  const answers = [image, { ...image, chunked: true }, { body: noisyAnswer() }, { body: noisyAnswer(), chunked: true }];
  provider.answer(...Array.from({ length: HOSTILE }, (_, index) => ({ ...answers[index % answers.length], after })));
  const client = new Client(worker);
  const responses = Array.from({ length: HOSTILE }, (_, index) => client.generate({ prompt: `number ${index}` }));
  while (provider.requests.length < HOSTILE) await setImmediate();
  allAsked();

  const statuses = (await Promise.all(responses)).map(({ status }) => status).sort();
  const bytes = await worker.wasmMemoryBytes();
  context.diagnostic(`wasm memory: ${bytes} after ${HOSTILE} answers at once`);
  assert.deepEqual(statuses, [200, 200, 200, 200, 502, 502, 502, 502]);
  assert.ok(bytes < MAX_WASM_BYTES_GENERATING, `${bytes} bytes`);
});

/** As long as an answer may be, with a small image behind strings that are too short for one. */
function noisyAnswer(): string {
  const image = wholePng(60_000).toString("base64");
  const noise = `"${"x".repeat(40_000)}",`.repeat(690);
  return `{"noise":[${noise}0],"data":[{"b64_json":"${image}"}]}`;
}

/** A PNG whose chunks are all whole, one of them as large as the size takes. */
function wholePng(size: number): Buffer {
  const png = readFileSync(PNG_FILE);
  const chunk = Buffer.alloc(size - png.byteLength);
  const dataBytes = chunk.byteLength - PNG_CHUNK_FRAME_BYTES;
  chunk.writeUInt32BE(dataBytes);
  chunk.write("teSt", 4);
  chunk.writeUInt32BE(crc32(chunk.subarray(4, 8 + dataBytes)), 8 + dataBytes);
  return Buffer.concat([png.subarray(0, PNG_HEADER_BYTES), chunk, png.subarray(PNG_HEADER_BYTES)]);
}

/** A PNG's header with bytes behind it, no two runs alike. */
function* imageRuns(size: number): Generator<Buffer> {
  const png = readFileSync(PNG_FILE);
  for (let at = 0; at < size; at += RUN_BYTES) {
    const run = Buffer.alloc(Math.min(RUN_BYTES, size - at), `run at ${at};`);
    if (at === 0) png.copy(run);
    yield run;
  }
}

function* hashed(runs: Iterable<Buffer>, hash: ReturnType<typeof createHash>): Generator<Buffer> {
  for (const run of runs) {
    hash.update(run);
    yield run;
  }
}
