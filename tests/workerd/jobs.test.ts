// Jobs on the real bindings: the local queue and its dead letters, and an image server that is held to its vendor's published schema.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, beforeEach, describe, test } from "node:test";

import { Client, STORAGE_MODES, bytesOf, pathOf, problemOf } from "./client.ts";
import type { Batch, BatchMade, Image, Job, JobPage, PresignedUpload, Shoot } from "./harness/api-types.ts";
import { projectDir } from "./harness/project.ts";
import { ProviderStub, imageInJson, moderationRefusal, providerError } from "./harness/provider-stub.ts";
import { startWorker } from "./harness/worker.ts";
import type { RunningWorker } from "./harness/worker.ts";

const JPEG = new Uint8Array(readFileSync(join(projectDir, "tests/fixtures/images/baseline.jpg")));
const PNG = new Uint8Array(readFileSync(join(projectDir, "tests/fixtures/images/rgb.png")));

let provider: ProviderStub;
before(async () => {
  provider = await ProviderStub.start();
});
after(() => provider.stop());
beforeEach(() => provider.reset());

const editing = () => ({ EDIT_PROVIDER: "openai", OPENAI_BASE_URL: provider.baseUrl, OPENAI_API_KEY: "sk-test", EDIT_MODEL: "gpt-image-2" });

async function upload(client: Client, bytes = JPEG): Promise<string> {
  const response = await client.call("POST", "/api/images", { body: bytes });
  return ((await response.json()) as Image).id;
}

async function make(client: Client, fields: object): Promise<Job> {
  const headers = { "content-type": "application/json" };
  const response = await client.call("POST", "/jobs", { headers, body: JSON.stringify({ prompt: "warmer light", ...fields }) });
  const job = (await response.json()) as Job;
  assert.equal(response.status, 202, JSON.stringify(job));
  return job;
}

const describeJob = async (client: Client, id: string) => (await (await client.call("GET", `/jobs/${id}`)).json()) as Job;

/** The job when it has ended: within a minute, since a retry waits for 5 to 8 seconds. */
async function ended(client: Client, id: string): Promise<Job> {
  const deadline = Date.now() + 60_000;
  for (;;) {
    const job = await describeJob(client, id);
    if (!["queued", "processing"].includes(job.status)) return job;
    assert.ok(Date.now() < deadline, JSON.stringify(job));
    await new Promise((done) => setTimeout(done, 20));
  }
}

/** Waits until the editor was asked. */
async function asked(): Promise<void> {
  const deadline = Date.now() + 20_000;
  while (provider.requests.length === 0) {
    assert.ok(Date.now() < deadline, "the editor is not asked");
    await new Promise((done) => setTimeout(done, 10));
  }
}

for (const { storage, vars } of STORAGE_MODES) {
  describe(`jobs with images in ${storage}`, () => {
    let worker: RunningWorker;
    let client: Client;
    before(async () => {
      worker = await startWorker({ vars: { ...vars, ...editing() }, faults: true });
      client = new Client(worker);
    });
    after(() => worker.stop());
    beforeEach(() => worker.faults.clear());

    test("the queue carries a job to a worker, and the picture lies beside its original", async () => {
      provider.answer(imageInJson(PNG, { usage: { total_tokens: 7 } }));
      const asset = await upload(client);
      const mask = await upload(client, PNG);
      const { id } = await make(client, { asset_id: asset, tier: "premium", size: "1024x1024", mask_id: mask });
      const job = await ended(client, id);
      assert.equal(job.status, "completed", JSON.stringify(job));
      assert.equal(job.output_path, `outputs/${id}.png`);
      assert.deepEqual(job.events.map(({ state }) => state), ["queued", "processing", "completed"]);
      assert.equal(job.events[2]?.storage_type, storage);
      assert.deepEqual(await bytesOf(await worker.fetch(pathOf(job.output_url ?? ""))), Buffer.from(PNG));
      const [request] = provider.requests;
      assert.equal(request?.path, "/v1/images/edits");
      const type = String(request?.headers["content-type"]);
      const form = await new Response(new Uint8Array(request?.body ?? []), { headers: { "content-type": type } }).formData();
      const texts = [...form].filter(([, value]) => typeof value === "string");
      assert.deepEqual(Object.fromEntries(texts), {
        model: "gpt-image-2", prompt: "warmer light", n: "1", size: "1024x1024", quality: "high", output_format: "jpeg",
      });
      assert.deepEqual(new Uint8Array(await (form.get("image") as File).arrayBuffer()), JPEG);
      assert.deepEqual(new Uint8Array(await (form.get("mask") as File).arrayBuffer()), PNG);
      if (storage === "r2") assert.equal((await worker.bucket.head(`outputs/${id}.png`))?.size, PNG.length);
    });

    test("a cause that passes is tried again by the queue after a wait", async () => {
      provider.answer(providerError(503, "server_error", "overloaded"), imageInJson(PNG));
      const { id } = await make(client, { asset_id: await upload(client) });
      const job = await ended(client, id);
      assert.deepEqual([job.status, job.attempts], ["completed", 2], JSON.stringify(job));
      assert.equal(job.events[2]?.error, "provider-unavailable");
      assert.ok((job.events[3]?.duration_ms ?? 0) >= 5000, JSON.stringify(job.events));
    });

    test("a cause that stays ends a job at once", async () => {
      provider.answer(moderationRefusal());
      const job = await ended(client, (await make(client, { asset_id: await upload(client) })).id);
      assert.deepEqual([job.status, job.attempts, job.error_code], ["failed", 1, "moderation-refused"]);
    });

    test("a cancelled job makes no image although its editor answers", async () => {
      const { promise, resolve } = Promise.withResolvers<void>();
      provider.answer({ ...imageInJson(PNG), after: promise });
      const { id } = await make(client, { asset_id: await upload(client) });
      await asked();
      const cancelled = await client.call("DELETE", `/jobs/${id}`);
      assert.equal(((await cancelled.json()) as Job).status, "cancelled");
      resolve();
      await worker.waitForLog(({ event }) => event?.event === "job" && event.job_id === id);
      assert.equal((await describeJob(client, id)).status, "cancelled");
      const made = await worker.db.prepare("SELECT count(*) AS n FROM stillstore_images WHERE status = 'stored' AND storage_key = ?").bind(`outputs/${id}.png`).first("n");
      assert.equal(made, 0);
    });

    test("the same message at once and again makes one output", async () => {
      provider.answer(imageInJson(PNG), imageInJson(JPEG), imageInJson(JPEG));
      const { id } = await make(client, { asset_id: await upload(client) });
      for (let copy = 0; copy < 4; copy += 1) await worker.queue.send({ kind: "job", jobId: id });
      assert.equal((await ended(client, id)).status, "completed");
      await worker.queue.send({ kind: "job", jobId: id });
      await new Promise((done) => setTimeout(done, 300));
      assert.equal(provider.requests.length, 1);
      const { results } = await worker.db.prepare("SELECT id FROM stillstore_images WHERE storage_key LIKE ?").bind(`outputs/${id}.%`).all();
      assert.equal(results.length, 1);
    });

    test("listings show jobs by state and asset", async () => {
      provider.answer(imageInJson(PNG));
      const asset = await upload(client);
      const { id } = await make(client, { asset_id: asset });
      await ended(client, id);
      for (const query of [`asset_id=${asset}`, "status=completed&limit=1"]) {
        const page = (await (await client.call("GET", `/jobs?${query}`)).json()) as JobPage;
        assert.equal(page.jobs[0]?.id, id, query);
      }
      const problem = await problemOf(await client.call("GET", "/jobs?status=done"));
      assert.deepEqual(problem, { status: 400, code: "invalid-field" });
    });
  });
}

describe("dead letters", () => {
  let worker: RunningWorker;
  let client: Client;
  before(async () => {
    // As wrangler.toml has it, a message is given up after two and a half minutes.
    worker = await startWorker({ vars: editing(), faults: true, queueRetries: 0 });
    client = new Client(worker);
  });
  after(() => worker.stop());

  test("a job whose messages all fail is a failed job", async () => {
    const asset = await upload(client);
    await worker.faults.set({ binding: "DB", matching: "attempts + 1", when: "before", persistent: true });
    const { id } = await make(client, { asset_id: asset });
    const job = await ended(client, id);
    assert.deepEqual([job.status, job.error_code, job.attempts], ["failed", "dead-lettered", 0], JSON.stringify(job));
    assert.equal(provider.requests.length, 0);
  });
});

test("a job goes on after workerd was killed in the middle of it", async (t) => {
  const persist = await mkdtemp(join(tmpdir(), "stillstore-jobs-"));
  t.after(() => rm(persist, { recursive: true }));
  // A lease lasts as long as the provider and the stores may take, and a minute.
  const settings = { persist, vars: { ...editing(), ENABLE_R2_STORAGE: "true" } };
  provider.answer({ ...imageInJson(PNG), after: new Promise(() => {}) });
  const first = await startWorker(settings);
  const asset = await upload(new Client(first));
  const { id } = await make(new Client(first), { asset_id: asset });
  await asked();
  await first.kill();
  const second = await startWorker(settings);
  t.after(() => second.stop());
  const client = new Client(second);
  assert.equal((await describeJob(client, id)).status, "processing");
  await second.db.prepare("UPDATE stillstore_jobs SET lease_expires_at_ms = 1, due_at_ms = 1").run();
  provider.answer(imageInJson(PNG));
  await second.scheduled();
  const job = await ended(client, id);
  assert.deepEqual([job.status, job.attempts], ["completed", 2], JSON.stringify(job));
});

describe("jobs without a configured editor", () => {
  let worker: RunningWorker;
  let client: Client;
  before(async () => {
    worker = await startWorker({ vars: { ENABLE_R2_STORAGE: "true" } });
    client = new Client(worker);
  });
  after(() => worker.stop());

  test("the codecs make an upright image", async () => {
    const asset = await upload(client, new Uint8Array(readFileSync(join(projectDir, "tests/fixtures/images/rotated.jpg"))));
    const job = await ended(client, (await make(client, { asset_id: asset })).id);
    assert.deepEqual([job.status, job.events[2]?.provider], ["completed", "builtin"], JSON.stringify(job));
    const output = (await (await client.call("GET", `/api/images/${job.output_id}`)).json()) as Image;
    assert.deepEqual([output.width, output.height, output.content_type], [24, 40, "image/jpeg"]);
  });

  test("a batch makes an output for each asset of a shoot", async () => {
    const post = async (path: string, fields: object) => {
      const headers = { "content-type": "application/json", "idempotency-key": `batch-${path}` };
      return await client.call("POST", path, { headers, body: JSON.stringify(fields) });
    };
    const { id: shoot } = (await (await post("/shoots", { name: "Garden" })).json()) as Shoot;
    const assets: string[] = [];
    for (let number = 0; number < 12; number += 1) {
      const file = { shoot_id: shoot, filename: `${number}.png`, content_type: "image/png" };
      const upload = (await (await post("/uploads/presign", file)).json()) as PresignedUpload;
      const form = new FormData();
      for (const [name, value] of Object.entries(upload.fields)) form.set(name, value);
      form.set("file", new Blob([PNG]));
      assert.ok((await worker.fetch(pathOf(upload.url), { method: "POST", body: form })).ok);
      assert.ok((await post("/uploads/confirm", { asset_id: upload.asset_id, object_key: upload.object_key, shoot_id: shoot })).ok);
      assets.push(upload.asset_id);
    }
    const made = await post(`/shoots/${shoot}/jobs`, { prompt: "clearer" });
    const { id, total } = (await made.json()) as BatchMade;
    assert.deepEqual([made.status, total], [202, 12]);
    const again = (await (await post(`/shoots/${shoot}/jobs`, { prompt: "clearer" })).json()) as BatchMade;
    assert.deepEqual([again.id, again.total], [id, 12]);
    const deadline = Date.now() + 60_000;
    for (;;) {
      const batch = (await (await client.call("GET", `/batches/${id}`)).json()) as Batch;
      if (batch.completed === 12) break;
      assert.ok(Date.now() < deadline && batch.failed === 0, JSON.stringify(batch));
      await new Promise((done) => setTimeout(done, 50));
    }
    const { jobs } = (await (await client.call("GET", `/jobs?batch_id=${id}&limit=100`)).json()) as JobPage;
    assert.deepEqual(jobs.map((job) => job.asset_id).sort(), assets.sort());
    const outputs = await worker.db.prepare("SELECT count(*) AS n, count(DISTINCT parent_id) AS parents FROM stillstore_images WHERE parent_id IS NOT NULL AND status = 'stored' AND collection_id = ?").bind(shoot).first();
    assert.deepEqual(outputs, { n: 12, parents: 12 });
  });
});
