// What one operation costs at the bindings and between JavaScript and wasm, counted rather than measured.
import assert from "node:assert/strict";

import { Client } from "../tests/workerd/client.ts";
import type { Call } from "../tests/workerd/harness/fault-plan.ts";
import { ProviderStub, imageInJson } from "../tests/workerd/harness/provider-stub.ts";
import type { RunningWorker } from "../tests/workerd/harness/worker.ts";
import type { WasmTraffic } from "../tests/workerd/harness/wasm-traffic.ts";
import { acted, embed, plant, runOf, untilLogged } from "../tests/workerd/migrations.ts";
import { CONTENDERS } from "./contenders.ts";
import type { Contender } from "./contenders.ts";
import { AUTHORIZED, randomImage, wholeImage } from "./jobs/images.ts";
import { discard, open, prepare } from "./stage.ts";
import type { Usage } from "./prices.ts";

/** Of one operation, or for each item of a run. */
export type Cost = Usage & { d1Calls: number } & WasmTraffic;

export type OperationCosts = { title: string; of: Record<Contender, Cost> };

const CLASS_B = new Set(["get", "head"]);
const SERVED_BYTES = 100_000;
const UPLOADED_BYTES = 10_000_000;
const MIGRATED = 20;
const MIGRATED_BYTES = 200_000;

type Seed = { inBucket: string; embedded: string };
type Ask = (worker: RunningWorker, seed: Seed, contender: Contender) => Promise<void>;

const OPERATIONS: { title: string; ask: Ask; items?: number }[] = [
  { title: "Serve 100 KB from R2", ask: (worker, { inBucket }) => serve(worker, inBucket, 200) },
  { title: "A range of it", ask: (worker, { inBucket }) => serve(worker, inBucket, 206, { range: "bytes=20000-39999" }) },
  { title: "304", ask: notModified },
  { title: "Serve 100 KB from D1", ask: (worker, { embedded }) => serve(worker, embedded, 200) },
  { title: "Generate 1.5 MB", ask: generate },
  { title: "Upload 10 MB", ask: upload },
  { title: `Migrate, an image of ${MIGRATED} x 200 KB`, ask: migrate, items: MIGRATED },
];

export async function measureCosts(say: (text: string) => void): Promise<OperationCosts[]> {
  const provider = await ProviderStub.start();
  const answer = imageInJson(wholeImage(1_500_000));
  const vars = { IMAGE_PROVIDER: "openai", OPENAI_BASE_URL: provider.baseUrl };
  const plantAll = async (worker: RunningWorker): Promise<Seed> => {
    const { id: embedded } = await new Client(worker).stored(randomImage(SERVED_BYTES));
    for (let index = 1; index < MIGRATED; index += 1) await embed(worker, [randomImage(MIGRATED_BYTES)]);
    return { embedded, inBucket: "" };
  };
  const stage = await prepare(plantAll, { plantVars: { ENABLE_R2_STORAGE: "false" }, vars });
  const costs = OPERATIONS.map(({ title }): OperationCosts => ({ title, of: {} as Record<Contender, Cost> }));
  for (const contender of CONTENDERS) {
    for (const [index, { title, ask, items = 1 }] of OPERATIONS.entries()) {
      say(`costs: ${title}, ${contender}`);
      const { worker, close } = await open(contender, stage, { faults: true, wasmTraffic: true });
      provider.reset();
      provider.answer(answer);
      const seed = { ...stage.seed, inBucket: await putInBucket(worker) };
      await worker.fetch("/");
      await worker.faults.forgetCalls();
      await worker.wasmTraffic();
      await ask(worker, seed, contender);
      const cost = costOf(await worker.faults.calls(), await worker.wasmTraffic(), items);
      const entry = costs[index];
      if (entry !== undefined) entry.of[contender] = cost;
      await close();
    }
  }
  discard(stage);
  await provider.stop();
  return costs;
}

/** Puts an image into the bucket as Stillstore would have it, past the Worker, which may be another one. */
async function putInBucket(worker: RunningWorker): Promise<string> {
  const { db, bucket } = worker;
  const [image] = await plant(worker, 1);
  assert.ok(image !== undefined);
  const bytes = randomImage(SERVED_BYTES);
  const object = await bucket.put(image.key, bytes);
  const digest = Buffer.from(await crypto.subtle.digest("SHA-256", bytes)).toString("hex");
  assert.equal(object.size, SERVED_BYTES);
  const sql = "UPDATE stillstore_images SET storage = 'r2', size_bytes = ?2, sha256 = ?3 WHERE id = ?1";
  await db.prepare(sql).bind(image.id, SERVED_BYTES, digest).run();
  return image.id;
}

async function serve(worker: RunningWorker, id: string, status: number, headers: Record<string, string> = {}): Promise<void> {
  const answer = await worker.fetch(`/images/${id}`, { headers });
  await answer.arrayBuffer();
  assert.equal(answer.status, status);
}

async function notModified(worker: RunningWorker, { inBucket }: Seed): Promise<void> {
  const answer = await worker.fetch(`/images/${inBucket}`);
  await answer.arrayBuffer();
  await worker.faults.forgetCalls();
  await worker.wasmTraffic();
  await serve(worker, inBucket, 304, { "if-none-match": answer.headers.get("etag") ?? "" });
}

async function generate(worker: RunningWorker): Promise<void> {
  const answer = await new Client(worker).generate();
  assert.equal(answer.status, 200, await answer.text());
}

async function upload(worker: RunningWorker): Promise<void> {
  const answer = await new Client(worker).upload(randomImage(UPLOADED_BYTES));
  assert.ok(answer.ok, await answer.text());
}

async function migrate(worker: RunningWorker, _: Seed, contender: Contender): Promise<void> {
  if (contender !== "stillstore") {
    const answer = await worker.fetch("/api/migrate-images", { method: "POST", headers: AUTHORIZED });
    assert.deepEqual(await answer.json(), { migrated: MIGRATED });
    return;
  }
  const answer = await acted(worker, { action: "migrate", source: "embedded" });
  assert.equal(answer.state, "completed");
}

function costOf(calls: Call[], traffic: WasmTraffic, items: number): Cost {
  assert.deepEqual(calls.filter(({ outcome }) => outcome !== "ok"), []);
  const bucket = calls.filter(({ binding, method }) => binding === "R2_IMAGES" && method !== "delete");
  const database = calls.filter(({ binding }) => binding === "DB");
  const rows = (field: "rowsRead" | "rowsWritten") => database.reduce((sum, call) => sum + (call[field] ?? 0), 0);
  const { callsIn, callsOut, bytesIn, bytesOut } = traffic;
  const cost = {
    r2ClassA: bucket.filter(({ method }) => !CLASS_B.has(method)).length,
    r2ClassB: bucket.filter(({ method }) => CLASS_B.has(method)).length,
    d1RowsRead: rows("rowsRead"),
    d1RowsWritten: rows("rowsWritten"),
    d1Calls: database.length,
    callsIn,
    callsOut,
    bytesIn,
    bytesOut,
  };
  return Object.fromEntries(Object.entries(cost).map(([name, value]) => [name, value / items])) as Cost;
}

/** What an image costs Stillstore in a table of so many. */
export type TableCosts = { images: number; serve: Cost; upload: Cost; migrate: Cost; migrateSeconds: number };

export async function costsByTable(sizes: number[], say: (text: string) => void): Promise<TableCosts[]> {
  const costs: TableCosts[] = [];
  for (const images of sizes) {
    say(`costs: ${images} images`);
    const stage = await prepare(async (worker) => plant(worker, images));
    const { worker, close } = await open("stillstore", stage, { faults: true, wasmTraffic: true });
    const counted = async (items: number, work: () => Promise<void>) => {
      await worker.faults.forgetCalls();
      await worker.wasmTraffic();
      await work();
      return costOf(await worker.faults.calls(), await worker.wasmTraffic(), items);
    };
    const middle = stage.seed[Math.floor(images / 2)]?.id ?? "";
    const serveCost = await counted(1, () => serve(worker, middle, 200));
    const uploadCost = await counted(1, async () => void (await new Client(worker).stored(randomImage(SERVED_BYTES))));
    let seconds = 0;
    const migrateCost = await counted(images, async () => {
      const { runId } = await acted(worker, { action: "migrate", source: "embedded", background: true });
      await untilLogged(worker, runId, ["completed", "completed_with_errors", "failed"]);
      const { state, progress, createdAt, finishedAt } = await runOf(worker, runId);
      assert.deepEqual([state, progress.succeeded], ["completed", images]);
      seconds = (Date.parse(finishedAt ?? "") - Date.parse(createdAt)) / 1_000;
    });
    await close();
    discard(stage);
    costs.push({ images, serve: serveCost, upload: uploadCost, migrate: migrateCost, migrateSeconds: seconds });
  }
  return costs;
}
