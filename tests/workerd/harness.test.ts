// Proves that the harness does what the other tests rely on.
import assert from "node:assert/strict";
import { readlinkSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";

import { Response as WorkerResponse } from "miniflare";

import { Client } from "./client.ts";
import { sourceWorker } from "./harness/modules.ts";
import { readWranglerConfig } from "./harness/project.ts";
import { ProviderStub, imageInJson } from "./harness/provider-stub.ts";
import { API_TOKEN, startWorker } from "./harness/worker.ts";
import type { RunningWorker } from "./harness/worker.ts";
import { picture } from "./harness/picture-variations.ts";

const WASM_PAGE_BYTES = 65_536;

describe("the built Worker", () => {
  let worker: RunningWorker;
  before(async () => {
    worker = await startWorker();
  });
  after(() => worker.stop());

  test("answers over HTTP", async () => {
    const response = await worker.fetch("/");
    assert.ok(response.status < 500, `status ${response.status}`);
  });

  test("tells the size of its wasm memory", async () => {
    const bytes = await worker.wasmMemoryBytes();
    assert.ok(bytes > 0 && bytes % WASM_PAGE_BYTES === 0, `${bytes} bytes`);
  });

  test("is not intercepted unless asked", async () => {
    await assert.rejects(worker.faults.calls(), /faults: true/);
  });

  test("has the migrations of the project applied", async () => {
    const table = readWranglerConfig().d1_databases?.[0]?.migrations_table;
    assert.ok(table !== undefined);
    assert.ok(await worker.db.prepare(`SELECT count(*) AS applied FROM ${table}`).first());
  });
});

describe("settings", () => {
  const showEnv = sourceWorker(`export default {
    fetch(request, env) {
      const show = (value) => (typeof value === "string" ? value : value.constructor.name);
      return Response.json(Object.entries(env).map(([name, value]) => [name, show(value)]));
    },
  }`);
  const envOf = async (worker: RunningWorker) => Object.fromEntries((await (await worker.fetch("/")).json()) as []);

  test("by default are those of wrangler.toml and a token", async (t) => {
    const worker = await startWorker({ worker: showEnv });
    t.after(() => worker.stop());
    const { vars } = readWranglerConfig();
    assert.deepEqual(await envOf(worker), { ...vars, API_TOKEN, DB: "D1Database", R2_IMAGES: "R2Bucket", MIGRATIONS: "WorkerQueue" });
  });

  test("change vars, take bindings away, and keep class names under interception", async (t) => {
    const worker = await startWorker({
      worker: showEnv,
      vars: { API_TOKEN: undefined, ENABLE_R2_STORAGE: "false", EXTRA: "1" },
      bindings: { OTHER: { type: "kv", id: "other" } },
      r2: false,
      queue: false,
      faults: true,
      ai: () => new WorkerResponse("unused"),
    });
    t.after(() => worker.stop());
    const env = await envOf(worker);
    assert.equal(env.API_TOKEN, undefined);
    assert.equal(env.R2_IMAGES, undefined);
    assert.equal(env.MIGRATIONS, undefined);
    assert.equal(env.HARNESS_FAULTS, undefined);
    assert.deepEqual(
      { ENABLE_R2_STORAGE: env.ENABLE_R2_STORAGE, EXTRA: env.EXTRA, OTHER: env.OTHER, DB: env.DB, AI: env.AI },
      { ENABLE_R2_STORAGE: "false", EXTRA: "1", OTHER: "KvNamespace", DB: "D1Database", AI: "Ai" },
    );
    assert.throws(() => worker.bucket, /without a bucket/);
    assert.throws(() => worker.queue, /without a queue/);
  });
});

describe("a persist directory", () => {
  let directory: string;
  before(async () => {
    directory = await mkdtemp(join(tmpdir(), "stillstore-harness-"));
  });
  after(() => rm(directory, { recursive: true }));

  test("keeps what was written when workerd is killed, and applies each migration once", async (t) => {
    const writer = sourceWorker(`export default {
      async fetch(request, env) {
        await env.R2_IMAGES.put("kept", "bytes");
        await env.DB.prepare("INSERT INTO kept (text) VALUES ('row; with -- marks')").run();
        return new Response("done");
      },
    }`);
    const migrations = [
      { name: "0001_kept.sql", sql: "-- a; comment\nCREATE TABLE kept (text TEXT);\n-- the end" },
      { name: "0002_seen.sql", sql: "CREATE TABLE seen (text TEXT);\nINSERT INTO seen VALUES ('once')" },
    ];
    const settings = { worker: writer, persist: directory, migrations };
    const first = await startWorker(settings);
    t.after(() => first.stop());
    assert.equal(await (await first.fetch("/")).text(), "done");
    await first.kill();
    await assert.rejects(first.fetch("/"));

    const second = await startWorker(settings);
    t.after(() => second.stop());
    assert.equal(await (await second.bucket.get("kept"))?.text(), "bytes");
    assert.equal(await second.db.prepare("SELECT text FROM kept").first("text"), "row; with -- marks");
    assert.equal(await second.db.prepare("SELECT count(*) AS count FROM seen").first("count"), 1);
  });
});

describe("what a Worker does outside its bindings", () => {
  test("is answered by fetchMock", async (t) => {
    const worker = await startWorker({
      worker: sourceWorker(`export default { fetch: () => fetch("https://outside.example/path") }`),
      fetchMock: (request) => new WorkerResponse(`mocked ${request.url}`),
    });
    t.after(() => worker.stop());
    assert.equal(await (await worker.fetch("/")).text(), "mocked https://outside.example/path");
  });

  test("is collected when it is logged", async (t) => {
    const worker = await startWorker({
      worker: sourceWorker(`export default {
        fetch() {
          console.log(JSON.stringify({ event: "served", bytes: 3 }));
          console.error("plain text");
          return new Response("ok");
        },
      }`),
    });
    t.after(() => worker.stop());
    const awaited = worker.waitForLog((line) => line.level === "error");
    await worker.fetch("/");
    assert.equal((await awaited).message, "plain text");
    assert.deepEqual(worker.logs()[0]?.event, { event: "served", bytes: 3 });
  });

  test("is handed on, and not kept, when someone asks for each line", async (t) => {
    const { promise: handedOn, resolve } = Promise.withResolvers<string>();
    const worker = await startWorker({
      worker: sourceWorker(`export default { fetch() { console.error("plain text"); return new Response("ok"); } }`),
      onLog: ({ level, message }) => resolve(`${level}: ${message}`),
    });
    t.after(() => worker.stop());
    await worker.fetch("/");
    assert.deepEqual([await handedOn, worker.logs()], ["error: plain text", []]);
  });

  test("shows when its wasm memory grows", async (t) => {
    // (module (memory (export "memory") 1) (func (export "grow") (param i32) (result i32) local.get 0 memory.grow))
    const wasm = Uint8Array.from(
      Buffer.from("0061736d0100000001060160017f017f0302010005030100010711" +
        "02066d656d6f72790200" + "0467726f770000" + "0a0801060020004000" + "0b", "hex"),
    );
    const source = `import module from "./index_bg.wasm";
      const { grow } = new WebAssembly.Instance(module).exports;
      export default { fetch: () => Response.json(grow(3)) };`;
    const worker = await startWorker({ worker: sourceWorker(source, wasm) });
    t.after(() => worker.stop());
    assert.equal(await worker.wasmMemoryBytes(), WASM_PAGE_BYTES);
    await worker.fetch("/");
    assert.equal(await worker.wasmMemoryBytes(), 4 * WASM_PAGE_BYTES);
  });
});

test("the AI binding answers with a value, a stream of bytes, or an exception", async (t) => {
  const worker = await startWorker({
    worker: sourceWorker(`export default {
      async fetch(request, env) {
        const model = new URL(request.url).pathname.slice(1);
        try {
          const answer = await env.AI.run(model, { prompt: "a lake" });
          return answer instanceof ReadableStream ? new Response(answer) : Response.json(answer);
        } catch (error) {
          return new Response(error.name + ": " + error.message, { status: 500 });
        }
      },
    }`),
    async ai(request) {
      const { model, input } = (await request.json()) as { model: string; input: { prompt: string } };
      if (model === "json") return WorkerResponse.json({ prompt: input.prompt });
      if (model === "bytes") return new WorkerResponse(new Uint8Array([1, 2, 3]));
      return new WorkerResponse("no such model", { status: 400 });
    },
    faults: true,
  });
  t.after(() => worker.stop());
  assert.deepEqual(await (await worker.fetch("/json")).json(), { prompt: "a lake" });
  assert.deepEqual(new Uint8Array(await (await worker.fetch("/bytes")).arrayBuffer()), new Uint8Array([1, 2, 3]));
  assert.equal(await (await worker.fetch("/none")).text(), "InferenceUpstreamError: no such model");
  await worker.faults.set({ binding: "AI", method: "run", when: "before", message: "down" });
  assert.equal(await (await worker.fetch("/json")).text(), "Error: run: down");
  assert.deepEqual((await worker.faults.calls()).map(({ subject, outcome }) => `${subject} ${outcome}`), [
    "json ok", "bytes ok", "none failed", "json failed",
  ]);
});

test("what crosses into wasm and out of it is counted to the byte", async (t) => {
  const provider = await ProviderStub.start();
  t.after(() => provider.stop());
  const image = Array.from({ length: 20 }, (_, index) => picture(index, 300_000)).find(({ name }) => name.endsWith(".png"));
  assert.ok(image !== undefined);
  const vars = { IMAGE_PROVIDER: "openai", OPENAI_BASE_URL: provider.baseUrl };
  const worker = await startWorker({ vars, wasmTraffic: true });
  t.after(() => worker.stop());
  await worker.fetch("/");
  await worker.wasmTraffic();

  const answer = imageInJson(image.bytes);
  provider.answer(answer);
  assert.equal((await new Client(worker).generate()).status, 200);
  const { bytesIn, bytesOut, callsIn, callsOut } = await worker.wasmTraffic();
  const few = 20_000;
  const [answered, stored] = [JSON.stringify(answer.body).length, image.bytes.length];
  assert.ok(bytesIn >= answered && bytesIn < answered + few, `${bytesIn} bytes into wasm`);
  assert.ok(bytesOut >= stored && bytesOut < stored + few, `${bytesOut} bytes out of wasm`);
  assert.ok(callsIn > 0 && callsOut > 0);
  assert.deepEqual(await worker.wasmTraffic(), { callsIn: 0, callsOut: 0, bytesIn: 0, bytesOut: 0 });
});

test("a bare Worker runs without the harness in front", async (t) => {
  const stack = "export default { fetch: () => Response.json(new Error().stack) }";
  const worker = await startWorker({ worker: sourceWorker(stack), bare: true });
  t.after(() => worker.stop());
  assert.doesNotMatch(await (await worker.fetch("/")).text(), /runtime/);
  assert.equal(worker.processIds.length, 1);
  const output = `/proc/${worker.processIds[0]}/fd/1`;
  if (process.platform === "linux") assert.equal(readlinkSync(output), "/dev/null", "nobody reads its log");
  await assert.rejects(worker.wasmMemoryBytes());
});
