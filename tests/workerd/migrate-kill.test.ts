// workerd is killed at random moments of runs that move images there and back, while clients read them all the time.
import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import type { TestContext } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";

import { ApplicationTable } from "./application-table.ts";
import { ask } from "./flows.ts";
import { startWorker } from "./harness/worker.ts";
import type { RunningWorker } from "./harness/worker.ts";
import { imageKeys } from "./invariants.ts";
import { acted, assertHomes, assertReadable, checkedReceipt, digest, plant, takeUp, untilState } from "./migrations.ts";
import type { Original } from "./migrations.ts";
import { randomNumbers } from "./random.ts";

const READERS = 8;
/** From the moment that a run is at work. A run of 500 images takes several of these. */
const LONGEST_LIFE_MS = 800;
/** Short invocations: while one is at work, the simulated stores leave the local Worker little time for anybody else. */
const VARS = { MIGRATION_OPERATIONS: "60" };

/** What is moved there and back. */
type Subject = {
  source: string;
  images: number;
  kills: number;
  plant(worker: RunningWorker): Promise<void>;
  /** Reads one of the images, which must be what it was. */
  readOne(worker: RunningWorker, random: () => number): Promise<void>;
  assertReadable(worker: RunningWorker): Promise<void>;
  /** That all are in the bucket, once. */
  assertMoved(worker: RunningWorker): Promise<void>;
};

let originals: Original[] = [];
let table: ApplicationTable | undefined;

const SUBJECTS: Subject[] = [
  {
    source: "embedded",
    images: 500,
    kills: Number(process.env.MIGRATION_KILLS ?? 10),
    plant: async (worker) => {
      originals = await plant(worker, 500);
    },
    readOne: async (worker, random) => {
      const original = originals[Math.floor(random() * originals.length)];
      assert.ok(original !== undefined);
      const answer = await ask(worker, "GET", `/images/${original.id}`);
      if (answer.body === undefined) throw new Error("the connection broke");
      assert.equal(answer.status, 200, `${original.id}: ${new TextDecoder().decode(answer.body)}`);
      assert.equal(digest(answer.body), original.sha256, original.id);
    },
    assertReadable: (worker) => assertReadable(worker, originals),
    assertMoved: async (worker) => {
      await assertHomes(worker, { r2: originals.length, d1: 0 });
      assert.deepEqual((await imageKeys(worker)).sort(), originals.map(({ key }) => key).sort(), "an object an image, no orphan");
    },
  },
  {
    source: "images",
    images: 200,
    // What CI has time for.
    kills: Number(process.env.MIGRATION_KILLS ?? 2),
    plant: async (worker) => {
      table = await ApplicationTable.create(worker);
      await table.fill(200);
    },
    readOne: async (worker, random) => {
      const own = tableBehind(worker);
      const id = own.ids[Math.floor(random() * own.ids.length)];
      assert.ok(id !== undefined);
      await own.assertShown(id);
    },
    assertReadable: (worker) => tableBehind(worker).assertReadable(),
    assertMoved: async (worker) => {
      await tableBehind(worker).assertMoved({ originals: true });
      await tableBehind(worker).assertCounted();
      const { results } = await worker.db.prepare("SELECT r2_key FROM images ORDER BY 1").all<{ r2_key: string }>();
      assert.deepEqual((await imageKeys(worker)).sort(), results.map((row) => row.r2_key), "an object a row, no orphan");
    },
  },
];

function tableBehind(worker: RunningWorker): ApplicationTable {
  assert.ok(table !== undefined);
  return table.behind(worker);
}

for (const subject of SUBJECTS) {
  const { source, images, kills } = subject;
  test(`${images} images of ${source} survive ${kills} kills of the runs that move them`, (t) => survive(subject, t));
}

async function survive(subject: Subject, t: TestContext): Promise<void> {
  const { source, images, kills } = subject;
  const seed = Number(process.env.KILL_SEED ?? Math.floor(Math.random() * 2 ** 32));
  t.diagnostic(`KILL_SEED=${seed} repeats the choices`);
  const random = randomNumbers(seed);
  const persist = await mkdtemp(join(tmpdir(), "stillstore-migrate-kill-"));
  t.after(() => rm(persist, { recursive: true, force: true }));

  let turn = 0;
  let reads = 0;
  const moved: (number | null)[] = [];
  for (let kill = 0; kill < kills; kill += 1) {
    const worker = await startWorker({ persist, vars: VARS });
    moved.push(await worker.db.prepare("SELECT count(*) AS n FROM stillstore_moves WHERE stage = 'moved'").first<number>("n"));
    if (kill === 0) await subject.plant(worker);
    const killed = new AbortController();
    const readers = Array.from({ length: READERS }, async (_, reader) => {
      reads += await read(worker, subject, randomNumbers(seed + kill * READERS + reader), killed.signal);
    });
    const atWork = Promise.withResolvers<void>();
    const work = goOn(worker, source, () => turn++, atWork.resolve, killed.signal);
    await Promise.race([atWork.promise, work]);
    await sleep(random() * LONGEST_LIFE_MS);
    const dying = worker.kill();
    killed.abort();
    await Promise.all([dying, work, ...readers]);
  }
  t.diagnostic(`${reads} reads, ${turn} runs begun; images moved at the starts: ${moved}`);
  assert.ok(reads > kills, "the readers got somewhere");

  const worker = await startWorker({ persist, vars: VARS });
  t.after(() => worker.stop());
  await takeUp(worker);
  const { run } = (await ask(worker, "GET", "/api/migrate-images")).json();
  if (run !== null) await assertSound(worker, (await untilState(worker, run.id)).id);
  await subject.assertReadable(worker);
  const { runId } = await acted(worker, { source, action: "migrate", background: true });
  await untilState(worker, runId);
  await assertSound(worker, runId);
  await subject.assertMoved(worker);
  const moves = "SELECT count(*) AS entries, count(DISTINCT image_id) AS images FROM stillstore_moves WHERE stage = 'moved'";
  assert.deepEqual(await worker.db.prepare(moves).first(), { entries: images, images });
  await subject.assertReadable(worker);
}

/** Has the run under way taken up, or begins the next one, until the Worker is gone. */
async function goOn(
  worker: RunningWorker,
  source: string,
  nextTurn: () => number,
  atWork: () => void,
  killed: AbortSignal,
): Promise<void> {
  try {
    await takeUp(worker);
    while (!killed.aborted) {
      const { run } = (await ask(worker, "GET", "/api/migrate-images")).json();
      if (run?.state === "running") {
        atWork();
        await sleep(20);
        continue;
      }
      const back = run?.action === "migrate";
      const body = back ? ({ action: "rollback", deleteFromR2: true } as const) : ({ action: "migrate" } as const);
      await acted(worker, { ...body, source, background: true });
      nextTurn();
    }
  } catch (error) {
    if (!killed.aborted) throw error;
  }
}

/** Reads images until the Worker is gone; every answer that arrives is the image. */
async function read(worker: RunningWorker, subject: Subject, random: () => number, killed: AbortSignal): Promise<number> {
  for (let reads = 0; ; ) {
    try {
      await subject.readOne(worker, random);
    } catch (error) {
      if (killed.aborted && !(error instanceof assert.AssertionError)) return reads;
      throw error;
    }
    reads += 1;
    if (killed.aborted) return reads;
  }
}

/** The run is complete, and handled no item twice. */
async function assertSound(worker: RunningWorker, runId: string): Promise<void> {
  const lines = await checkedReceipt(worker, runId);
  assert.deepEqual(lines.filter(({ verdict }) => verdict === "failed"), []);
  assert.equal(new Set(lines.map(({ id }) => id)).size, lines.length, "no item is handled twice");
}
