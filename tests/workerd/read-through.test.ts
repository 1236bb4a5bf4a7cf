// Images are read before a run has moved them, and the source is asked whether it can go: real HTTP, R2, D1 and S3 endpoint, with a host
// between that fails.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, afterEach, before, test } from "node:test";

import { ask, pngOf, remove, serve } from "./flows.ts";
import type { Answer } from "./flows.ts";
import { freePort } from "./harness/free-port.ts";
import { projectDir } from "./harness/project.ts";
import { S3Host } from "./harness/s3-host.ts";
import { S3_CREDENTIALS, startWorker } from "./harness/worker.ts";
import type { RunningWorker } from "./harness/worker.ts";
import { act, acted, digest } from "./migrations.ts";

const PNG = readFileSync(join(projectDir, "tests/fixtures/images/rgb.png"));
/** Longer than what is held. */
const LARGE = pngOf(9 << 20, 1);
const READERS = 32;
const PREFIX = "pics/";
const HOUR_MS = 3_600_000;

let old: RunningWorker;
let host: S3Host;
let persist: string;
let worker: RunningWorker;

before(async () => {
  const s3Port = await freePort();
  old = await startWorker({ vars: { ENABLE_R2_STORAGE: "true" }, s3Port });
  host = await S3Host.start(s3Port);
  persist = await mkdtemp(join(tmpdir(), "stillstore-read-through-"));
  worker = await start();
});
afterEach(async () => {
  host.trouble = () => undefined;
  host.asked.length = 0;
  await worker.faults.clear();
});
after(async () => {
  await Promise.all([worker?.stop(), old?.stop()]);
  host.stop();
  await rm(persist, { recursive: true, force: true });
});

function start(): Promise<RunningWorker> {
  const endpoint = `${host.origin}/cdn-cgi/local/r2/s3`;
  const source = { kind: "bucket", name: "old", endpoint, bucket: "stillstore-images", prefix: PREFIX, visibility: "public" };
  return startWorker({
    persist,
    faults: true,
    vars: {
      ENABLE_R2_STORAGE: "true",
      READ_THROUGH: "old",
      MIGRATION_SOURCES: JSON.stringify([source]),
      S3_SOURCE_OLD_ACCESS_KEY_ID: S3_CREDENTIALS.accessKeyId,
      S3_SOURCE_OLD_SECRET_ACCESS_KEY: S3_CREDENTIALS.secretAccessKey,
    },
  });
}

/** As anyone reads it. */
async function read(key: string): Promise<Answer> {
  const response = await worker.fetch(`/images/${key.split("/").map(encodeURIComponent).join("/")}`);
  const body = new Uint8Array(await response.arrayBuffer());
  return { status: response.status, headers: response.headers, body, json: () => JSON.parse(new TextDecoder().decode(body)) };
}

async function assertRead(key: string, bytes: Uint8Array): Promise<void> {
  const answer = await read(key);
  assert.equal(answer.status, 200, `${key}: ${answer.status < 400 ? "" : JSON.stringify(answer.json())}`);
  assert.equal(digest(answer.body ?? new Uint8Array()), digest(bytes), key);
}

/** The move is recorded after the answer went out. */
async function untilMoved(key: string): Promise<string> {
  for (let attempt = 0; attempt < 500; attempt += 1) {
    const id = await worker.db.prepare("SELECT image_id FROM stillstore_moves WHERE item_id = ?1").bind(key).first<string>("image_id");
    if (id !== null) return id;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  throw new Error(`${key} was not moved`);
}

/** An hour and more goes by, after which claims that nobody gave back are taken over. */
async function letTimePass(): Promise<void> {
  await worker.db.prepare("UPDATE stillstore_read_throughs SET lease_expires_at_ms = lease_expires_at_ms - ?1").bind(2 * HOUR_MS).run();
  await worker.scheduled();
}

async function claims(): Promise<number> {
  return Number(await worker.db.prepare("SELECT count(*) AS claims FROM stillstore_read_throughs").first("claims"));
}

test("a stampede fetches an image once, and the copy outlives the other bucket", async () => {
  const key = `${PREFIX}2024/ü & 日本+.png`;
  await old.bucket.put(key, PNG);
  const before = await worker.wasmMemoryBytes();
  await Promise.all(Array.from({ length: READERS }, () => assertRead(key, PNG)));
  await untilMoved(key);
  assert.equal(host.reads.length, 1, JSON.stringify(host.asked));
  host.trouble = () => ({ status: 500 });
  await assertRead(key, PNG);
  const copy = await worker.bucket.get(key);
  assert.equal(digest(new Uint8Array((await copy?.arrayBuffer()) ?? new ArrayBuffer(0))), digest(PNG));
  assert.ok((await worker.wasmMemoryBytes()) - before < 8 << 20);
});

test("a long image is stored first, and streams past wasm memory", async () => {
  const key = `${PREFIX}large.png`;
  await old.bucket.put(key, LARGE);
  const before = await worker.wasmMemoryBytes();
  await Promise.all(Array.from({ length: 4 }, () => assertRead(key, LARGE)));
  assert.equal(host.reads.length, 1);
  assert.ok((await worker.wasmMemoryBytes()) - before < 4 << 20, `${await worker.wasmMemoryBytes()} after ${before}`);
});

for (const [name, trouble] of [
  ["dies in the middle", { breakAfter: 60 }],
  ["promises more than it sends", { longerBy: 10 }],
  ["answers with 503", { status: 503 }],
] as const) {
  for (const [kind, bytes] of [["short", PNG], ["long", LARGE]] as const) {
    test(`of a ${kind} image nothing stays when the other bucket ${name}, and a later read has it`, async () => {
      const key = `${PREFIX}${kind}/${name}.png`;
      await old.bucket.put(key, bytes);
      host.trouble = ({ isListing }) => (isListing ? undefined : trouble);
      const answer = await read(key);
      assert.deepEqual([answer.status, answer.json().code], [503, "source-unavailable"]);
      assert.equal(await worker.bucket.head(key), null);
      assert.equal(await claims(), 0);
      host.trouble = () => undefined;
      await worker.db.prepare("UPDATE stillstore_read_misses SET until_ms = 0").run();
      await assertRead(key, bytes);
      await untilMoved(key);
    });
  }
}

test("other bytes than the ETag says are refused", async () => {
  const key = `${PREFIX}lie.png`;
  await old.bucket.put(key, LARGE);
  host.trouble = ({ isListing }) => (isListing ? undefined : { otherBytes: true });
  assert.ok((await read(key)).status >= 400);
  assert.equal(await worker.bucket.head(key), null);
});

test("whoever reads while workerd is killed in the middle of a put reads it afterwards", async () => {
  const key = `${PREFIX}killed.png`;
  await old.bucket.put(key, PNG);
  await worker.faults.set({ binding: "R2_IMAGES", method: "put", matching: key, when: "hang" });
  await assertRead(key, PNG);
  await worker.faults.untilHeld();
  await worker.kill();
  worker = await start();
  assert.equal(await claims(), 1, "the claim names the key");
  assert.equal((await read(key)).status, 503, "the dead reader has its lease");
  await letTimePass();
  assert.equal(await claims(), 0);
  await assertRead(key, PNG);
  await untilMoved(key);
});

test("an object that was put and not recorded is removed by the sweep, and copied again", async () => {
  const key = `${PREFIX}unrecorded.png`;
  await old.bucket.put(key, PNG);
  await worker.faults.set({ binding: "DB", method: "batch", matching: "INSERT INTO stillstore_moves", when: "hang" });
  await assertRead(key, PNG);
  await worker.faults.untilHeld();
  await worker.kill();
  worker = await start();
  assert.ok((await worker.bucket.head(key)) !== null, "the put has happened");
  await letTimePass();
  assert.equal(await worker.bucket.head(key), null);
  await assertRead(key, PNG);
  await untilMoved(key);
});

test("whoever reads while a rollback takes the image out of the catalogue is told that there is none, not that it was deleted", async () => {
  const key = `${PREFIX}put-back.png`;
  await old.bucket.put(key, PNG);
  await assertRead(key, PNG);
  const id = await untilMoved(key);
  await worker.faults.set({ binding: "R2_IMAGES", method: "get", matching: key, when: "hang" });
  const reading = serve(worker, id);
  await worker.faults.untilHeld();
  await acted(worker, { action: "rollback", source: "old", imageIds: [key], deleteFromR2: true });
  await worker.faults.clear();
  const answer = await reading;
  assert.deepEqual([answer.status, answer.json().code], [404, "image-not-found"]);
});

test("what was deleted stays deleted", async () => {
  const key = `${PREFIX}deleted.png`;
  await old.bucket.put(key, PNG);
  await assertRead(key, PNG);
  const id = await untilMoved(key);
  assert.equal((await remove(worker, id)).status, 204);
  assert.deepEqual([(await read(key)).status, (await serve(worker, id)).status], [410, 410]);
  assert.equal(host.reads.length, 1);
});

test("the bucket can go once all of it is copied, all copies are right and nobody reads through", async () => {
  await old.bucket.put(`${PREFIX}notes.txt`, "notes");
  const complete = async (quietHours?: number) => {
    const run = await acted(worker, { action: "complete" as "validate", source: "old", quietHours });
    return run.result as unknown as { isComplete: boolean; open: string[]; left: number; verified: number; wrong: number };
  };
  const first = await complete();
  assert.deepEqual(first.open, ["left-at-source", "read-through"], JSON.stringify(first));
  assert.equal((await acted(worker, { action: "migrate", source: "old" })).state, "completed");
  await worker.db.prepare("UPDATE stillstore_read_counters SET last_at_ms = last_at_ms - ?1").bind(30 * HOUR_MS).run();
  const second = await complete();
  assert.deepEqual([second.isComplete, second.left, second.wrong, second.open], [true, 0, 0, []], JSON.stringify(second));
  assert.deepEqual((await complete(40)).open, ["read-through"]);

  await worker.bucket.delete(`${PREFIX}notes.txt`);
  await worker.bucket.put(`${PREFIX}large.png`, pngOf(LARGE.length, 2));
  const third = await complete();
  assert.deepEqual([third.open, third.wrong, third.verified], [["not-verified"], 2, second.verified - 2], JSON.stringify(third));

  host.trouble = ({ isListing }) => (isListing ? { status: 403 } : undefined);
  const refused = await act(worker, { action: "complete", source: "old" });
  assert.equal(refused.json().success, false, "a bucket that cannot be listed is not said to be copied");
});
