// Objects that are too long for one put are copied in parts: real HTTP, R2 and S3 endpoint, with kills and a host between that fails.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, afterEach, before, test } from "node:test";

import { pngOf } from "./flows.ts";
import { freePort } from "./harness/free-port.ts";
import { S3Host } from "./harness/s3-host.ts";
import { S3_CREDENTIALS, startWorker } from "./harness/worker.ts";
import type { RunningWorker } from "./harness/worker.ts";
import { acted, checkedReceipt, digest, takeUp, untilState } from "./migrations.ts";

const MIB = 1 << 20;
/** A part of 64 MiB and a shorter one. */
const LONG = pngOf(110_000_007, 3);
const PART_BYTES = 64 * MIB;
const PREFIX = "films/";
const KEY = `${PREFIX}long & ü.png`;

let old: RunningWorker;
let host: S3Host;
let persist: string;
let worker: RunningWorker;

before(async () => {
  for (let at = 1_000; at < LONG.length; at += 4_096) LONG[at] = Math.imul(at, 2_654_435_761) >>> 24;
  const s3Port = await freePort();
  old = await startWorker({ vars: { ENABLE_R2_STORAGE: "true" }, s3Port });
  host = await S3Host.start(s3Port);
  persist = await mkdtemp(join(tmpdir(), "stillstore-in-parts-"));
  worker = await start();
  await old.bucket.put(KEY, LONG, { httpMetadata: { contentType: "image/png" }, customMetadata: { author: "jane" } });
  await old.bucket.put(`${PREFIX}short.png`, pngOf(1_000));
});
afterEach(async () => {
  host.trouble = () => undefined;
  host.asked.length = 0;
  await worker.faults.clear();
  await worker.faults.forgetCalls();
});
after(async () => {
  await Promise.all([worker?.stop(), old?.stop()]);
  host.stop();
  await rm(persist, { recursive: true, force: true });
});

function start(): Promise<RunningWorker> {
  const endpoint = `${host.origin}/cdn-cgi/local/r2/s3`;
  const source = { kind: "bucket", name: "old", endpoint, bucket: "stillstore-images", prefix: PREFIX };
  return startWorker({
    persist,
    faults: true,
    vars: {
      ENABLE_R2_STORAGE: "true",
      MIGRATION_SOURCES: JSON.stringify([source]),
      S3_SOURCE_OLD_ACCESS_KEY_ID: S3_CREDENTIALS.accessKeyId,
      S3_SOURCE_OLD_SECRET_ACCESS_KEY: S3_CREDENTIALS.secretAccessKey,
    },
  });
}

/** The parts that were read, by their first bytes; the look at the object's beginning is none. */
function parts(): number[] {
  const ranges = host.reads.map(({ range }) => /^bytes=(\d+)-(\d+)$/.exec(range ?? ""));
  return ranges.flatMap((range) => (range !== null && Number(range[2]) - Number(range[1]) >= MIB ? [Number(range[1])] : []));
}

async function assertCopied(): Promise<void> {
  const copy = await worker.bucket.get(KEY);
  assert.ok(copy !== null);
  assert.equal(copy.customMetadata?.author, "jane");
  const hash = createHash("sha256");
  for await (const run of copy.body as unknown as AsyncIterable<Uint8Array>) hash.update(run);
  const sha256 = hash.digest("hex");
  assert.equal(sha256, digest(LONG));
  const known = "SELECT (SELECT sha256 FROM stillstore_moves WHERE item_id = ?1) AS moved, (SELECT sha256 FROM stillstore_images WHERE source_item = ?1) AS image";
  assert.deepEqual(await worker.db.prepare(known).bind(KEY).first(), { moved: sha256, image: sha256 });
}

async function putBack(): Promise<void> {
  const back = await acted(worker, { action: "rollback", source: "old", deleteFromR2: true });
  assert.deepEqual([back.result.rolledBack, back.result.failed], [2, 0], JSON.stringify(back));
  assert.equal(await worker.bucket.head(KEY), null);
}

test("a long object is copied in parts, past wasm memory, each part read once", async (t) => {
  const before = await worker.wasmMemoryBytes();
  const begun = await acted(worker, { action: "migrate", source: "old", background: true });
  const run = await untilState(worker, begun.runId);
  assert.equal(run.state, "completed", JSON.stringify(run));
  assert.deepEqual(parts(), [0, PART_BYTES]);
  const grown = (await worker.wasmMemoryBytes()) - before;
  t.diagnostic(`wasm memory grew by ${grown} bytes for ${LONG.length}`);
  assert.ok(grown < 4 * MIB, `${grown} bytes`);
  await assertCopied();
  assert.equal((await checkedReceipt(worker, run.id)).length, 2);
  const valid = await acted(worker, { action: "validate", source: "old", checkIntegrity: true });
  assert.deepEqual([valid.result.isValid, valid.result.valid], [true, 2], JSON.stringify(valid));
  await putBack();
});

test("a run whose workerd is killed between two parts goes on where it was", async () => {
  const second = Promise.withResolvers<void>();
  host.trouble = ({ range }) => {
    if (range?.startsWith(`bytes=${PART_BYTES}-`) !== true) return undefined;
    second.resolve();
    return { until: new Promise((resolve) => setTimeout(resolve, 60_000).unref()) };
  };
  const begun = await acted(worker, { action: "migrate", source: "old", background: true });
  await second.promise;
  // What the bucket has of a slice is known behind it only.
  await worker.kill();
  host.trouble = () => undefined;
  host.asked.length = 0;
  worker = await start();
  await takeUp(worker);
  const run = await untilState(worker, begun.runId);
  assert.equal(run.state, "completed", JSON.stringify(run));
  await assertCopied();
  await putBack();
});

for (const [name, trouble] of [
  ["dies in the middle of a part", { breakAfter: 30 * MIB }],
  ["promises more of a part than it sends", { longerBy: 10 }],
] as const) {
  test(`a host that ${name} costs that part only`, async () => {
    let failures = 0;
    host.trouble = ({ range }) => (range?.startsWith(`bytes=${PART_BYTES}-`) && failures++ === 0 ? trouble : undefined);
    const begun = await acted(worker, { action: "migrate", source: "old", background: true });
    const run = await untilState(worker, begun.runId);
    assert.equal(run.state, "completed", JSON.stringify(run));
    assert.deepEqual(parts(), [0, PART_BYTES, PART_BYTES]);
    await assertCopied();
    await putBack();
  });
}

for (const [method, call, when] of [
  ["uploadPart", 2, "after"],
  ["complete", 1, "before"],
  ["complete", 1, "after"],
] as const) {
  test(`R2 that fails ${when} its ${method} leaves a run that ends well`, async () => {
    await worker.faults.set({ binding: "R2_IMAGES", method, call, when });
    const begun = await acted(worker, { action: "migrate", source: "old", background: true });
    const run = await untilState(worker, begun.runId);
    assert.equal((await worker.faults.calls({ outcome: "failed" })).length, 1, "the call was made to fail");
    assert.ok(["completed", "completed_with_errors"].includes(run.state), JSON.stringify(run));
    if (run.state !== "completed") {
      const again = await acted(worker, { action: "migrate", source: "old", background: true });
      assert.equal((await untilState(worker, again.runId)).state, "completed");
    }
    await assertCopied();
    await putBack();
  });
}

test("an object that is written over between two parts is copied as it is then", async () => {
  const other = LONG.slice();
  other[LONG.length - 1] = 77;
  let changes = 0;
  host.trouble = async ({ range }) => {
    if (range?.startsWith(`bytes=${PART_BYTES}-`) !== true || changes++ > 0) return undefined;
    await old.bucket.put(KEY, other);
    return { status: 503 };
  };
  const begun = await acted(worker, { action: "migrate", source: "old", background: true });
  const run = await untilState(worker, begun.runId);
  if (run.state !== "completed") {
    const again = await acted(worker, { action: "migrate", source: "old", background: true });
    assert.equal((await untilState(worker, again.runId)).state, "completed");
  }
  const { results } = await worker.db.prepare("SELECT storage_key, sha256 FROM stillstore_moves WHERE item_id = ?1").bind(KEY).all();
  assert.deepEqual(results, [{ storage_key: KEY, sha256: digest(other) }]);
  const valid = await acted(worker, { action: "validate", source: "old", checkIntegrity: true });
  assert.deepEqual([valid.result.isValid, valid.result.valid], [true, 2], JSON.stringify(valid));
});
