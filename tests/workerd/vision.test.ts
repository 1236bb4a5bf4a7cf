// Descriptions and analyses on the real bindings: the codecs in wasm, the queue, and a server that chats about pictures.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";

import { Client } from "./client.ts";
import type { Image, Job } from "./harness/api-types.ts";
import { projectDir } from "./harness/project.ts";
import { ProviderStub } from "./harness/provider-stub.ts";
import { startWorker } from "./harness/worker.ts";
import type { RunningWorker } from "./harness/worker.ts";

type Picture = { frameNumber?: number; text?: string; thumbhash?: string; sharpness?: number; nearDuplicateOf?: number; dominantColors?: { color: string }[] };
type Analysis = { provider: string; summaries: string[]; pictures: Picture[] };

const picture = (name: string) => new Uint8Array(readFileSync(join(projectDir, "docs/images", name)));
/** An instance of the codecs that took more is thrown away; the Worker's own memory holds no pixels. */
const MAX_WASM_BYTES = 16 << 20;

async function ended(client: Client, id: string): Promise<Job> {
  const deadline = Date.now() + 60_000;
  for (;;) {
    const job = (await (await client.call("GET", `/jobs/${id}`)).json()) as Job;
    if (!["queued", "processing"].includes(job.status)) return job;
    assert.ok(Date.now() < deadline, JSON.stringify(job));
    await new Promise((done) => setTimeout(done, 20));
  }
}

async function addFrames(client: Client, frames: Uint8Array[]): Promise<void> {
  const form = new FormData();
  for (const [number, bytes] of frames.entries()) form.set(`frame_${number}`, new Blob([new Uint8Array(bytes)]));
  assert.equal((await client.call("POST", "/sessions/s/frames", { body: form })).status, 201);
}

async function looked(client: Client, path: string): Promise<Job> {
  const asked = await client.call("POST", path);
  assert.equal(asked.status, 202);
  const job = await ended(client, ((await asked.json()) as Job).id);
  assert.equal(job.status, "completed", JSON.stringify(job));
  return job;
}

describe("without a model", () => {
  let worker: RunningWorker;
  let client: Client;
  before(async () => {
    worker = await startWorker({ vars: { ENABLE_R2_STORAGE: "true" } });
    client = new Client(worker);
  });
  after(() => worker.stop());

  test("an image is measured by the codecs", async () => {
    const { id } = (await (await client.call("POST", "/api/images", { body: picture("cat-before.jpg") })).json()) as Image;
    await looked(client, `/images/${id}/describe`);
    const found = (await (await client.call("GET", `/images/${id}/description`)).json()) as Analysis;
    const [cat] = found.pictures;
    assert.ok(Buffer.from(cat?.thumbhash ?? "", "base64").length > 5 && (cat?.sharpness ?? 0) > 100, JSON.stringify(found));
    assert.match(cat?.dominantColors?.[0]?.color ?? "", /^#[0-9a-f]{6}$/);
  });

  test("a session of 40 frames goes through the queue slice by slice, and near-duplicates are found", async () => {
    const kinds = [picture("cat-before.jpg"), picture("moon-before.jpg")];
    await addFrames(client, Array.from({ length: 40 }, (_, number) => kinds[number % 2] ?? new Uint8Array()));
    const job = await looked(client, "/sessions/s/analyze");
    assert.equal(job.events.filter(({ state }) => state === "processing").length, 3, JSON.stringify(job.events));
    const { pictures, provider } = (await (await client.call("GET", "/sessions/s/analysis")).json()) as Analysis;
    assert.deepEqual([provider, pictures.map(({ frameNumber }) => frameNumber)], ["builtin", Array.from({ length: 40 }, (_, at) => at)]);
    assert.deepEqual(pictures.slice(0, 4).map(({ nearDuplicateOf }) => nearDuplicateOf), [undefined, undefined, 0, 1]);
    const wasmBytes = await worker.wasmMemoryBytes();
    assert.ok(wasmBytes <= MAX_WASM_BYTES, `wasm memory: ${wasmBytes}`);
    assert.ok((await client.call("DELETE", "/sessions/s/frames")).ok);
    assert.equal(await worker.db.prepare("SELECT count(*) AS n FROM stillstore_analyses WHERE session_id IS NOT NULL").first("n"), 0);
  });
});

describe("with a model", () => {
  let worker: RunningWorker;
  let client: Client;
  let provider: ProviderStub;
  before(async () => {
    provider = await ProviderStub.start();
    worker = await startWorker({ vars: { VISION_PROVIDER: "openai", OPENAI_BASE_URL: provider.baseUrl, OPENAI_API_KEY: "sk-test", ENABLE_R2_STORAGE: "true" } });
    client = new Client(worker);
  });
  after(async () => {
    await worker.stop();
    await provider.stop();
  });

  test("the frames go to it in batches, and its texts are kept", async () => {
    const answer = (images: number) => {
      const entries = Array.from({ length: images }, (_, at) => ({ index: at + 1, text: `picture ${at + 1}`, tags: ["a"] }));
      return { body: { choices: [{ message: { content: JSON.stringify({ summary: `${images} pictures`, images: entries }) } }] } };
    };
    provider.answer(answer(16), answer(1));
    await addFrames(client, Array.from({ length: 17 }, () => picture("moon-before.jpg")));
    await looked(client, "/sessions/s/analyze");
    const found = (await (await client.call("GET", "/sessions/s/analysis")).json()) as Analysis;
    assert.deepEqual(found.summaries, ["16 pictures", "1 pictures"]);
    assert.deepEqual([found.pictures[15]?.text, found.pictures[16]?.text], ["picture 16", "picture 1"]);
    const [request] = provider.requests;
    assert.equal(request?.path, "/v1/chat/completions");
    const parts = JSON.parse(Buffer.from(request?.body ?? []).toString()).messages[1].content;
    assert.equal(parts[1].image_url.url, `data:image/jpeg;base64,${Buffer.from(picture("moon-before.jpg")).toString("base64")}`);
  });
});
