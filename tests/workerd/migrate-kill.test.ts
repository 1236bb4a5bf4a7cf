// workerd is killed at random moments of runs that move images there and back, while clients read them all the time.
import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";

import { ask } from "./flows.ts";
import { startWorker } from "./harness/worker.ts";
import type { RunningWorker } from "./harness/worker.ts";
import { imageKeys } from "./invariants.ts";
import { acted, assertHomes, assertReadable, checkedReceipt, digest, plant, takeUp, untilState } from "./migrations.ts";
import type { Original } from "./migrations.ts";
import { randomNumbers } from "./random.ts";

const IMAGES = 500;
const KILLS = Number(process.env.MIGRATION_KILLS ?? 10);
const READERS = 8;
/** From the moment that a run is at work. A run of 500 images takes several of these. */
const LONGEST_LIFE_MS = 800;
/** Short invocations: while one is at work, the simulated stores leave the local Worker little time for anybody else. */
const VARS = { MIGRATION_OPERATIONS: "60" };

/** What is asked for whenever the run before has ended. */
const TURNS = [{ action: "migrate" }, { action: "rollback", deleteFromR2: true }];

test(`${IMAGES} images survive ${KILLS} kills of the runs that move them`, async (t) => {
  const seed = Number(process.env.KILL_SEED ?? Math.floor(Math.random() * 2 ** 32));
  t.diagnostic(`KILL_SEED=${seed} repeats the choices`);
  const random = randomNumbers(seed);
  const persist = await mkdtemp(join(tmpdir(), "stillstore-migrate-kill-"));
  t.after(() => rm(persist, { recursive: true, force: true }));

  let originals: Original[] = [];
  let turn = 0;
  let reads = 0;
  const moved: (number | null)[] = [];
  for (let kill = 0; kill < KILLS; kill += 1) {
    const worker = await startWorker({ persist, vars: VARS });
    moved.push(await worker.db.prepare("SELECT count(*) AS n FROM stillstore_moves WHERE stage = 'moved'").first<number>("n"));
    if (kill === 0) originals = await plant(worker, IMAGES);
    const killed = new AbortController();
    const readers = Array.from({ length: READERS }, async (_, reader) => {
      reads += await read(worker, originals, randomNumbers(seed + kill * READERS + reader), killed.signal);
    });
    const atWork = Promise.withResolvers<void>();
    const work = goOn(worker, () => turn++, atWork.resolve, killed.signal);
    await Promise.race([atWork.promise, work]);
    await sleep(random() * LONGEST_LIFE_MS);
    const dying = worker.kill();
    killed.abort();
    await Promise.all([dying, work, ...readers]);
  }
  t.diagnostic(`${reads} reads, ${turn} runs begun; images moved at the starts: ${moved}`);
  assert.ok(reads > KILLS, "the readers got somewhere");

  const worker = await startWorker({ persist, vars: VARS });
  t.after(() => worker.stop());
  await takeUp(worker);
  const { run } = (await ask(worker, "GET", "/api/migrate-images")).json();
  if (run !== null) await assertSound(worker, (await untilState(worker, run.id)).id);
  await assertReadable(worker, originals);
  const { runId } = await acted(worker, { action: "migrate", background: true });
  await untilState(worker, runId);
  await assertSound(worker, runId);
  await assertHomes(worker, { r2: IMAGES, d1: 0 });
  assert.deepEqual((await imageKeys(worker)).sort(), originals.map(({ key }) => key).sort(), "an object an image, no orphan");
  const moves = "SELECT count(*) AS entries, count(DISTINCT image_id) AS images FROM stillstore_moves WHERE stage = 'moved'";
  assert.deepEqual(await worker.db.prepare(moves).first(), { entries: IMAGES, images: IMAGES });
  await assertReadable(worker, originals);
});

/** Has the run under way taken up, or begins the next one, until the Worker is gone. */
async function goOn(
  worker: RunningWorker,
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
      const body = run?.action === "migrate" ? TURNS[1] : TURNS[0];
      await acted(worker, { ...body, background: true });
      nextTurn();
    }
  } catch (error) {
    if (!killed.aborted) throw error;
  }
}

/** Reads images until the Worker is gone; every answer that arrives is the image. */
async function read(worker: RunningWorker, originals: Original[], random: () => number, killed: AbortSignal): Promise<number> {
  for (let reads = 0; ; ) {
    const original = originals[Math.floor(random() * originals.length)];
    assert.ok(original !== undefined);
    let answer;
    try {
      answer = await ask(worker, "GET", `/images/${original.id}`);
    } catch (error) {
      if (killed.aborted) return reads;
      throw error;
    }
    if (answer.body === undefined && killed.aborted) return reads;
    assert.equal(answer.status, 200, `${original.id}: ${new TextDecoder().decode(answer.body)}`);
    assert.equal(digest(answer.body ?? new Uint8Array()), original.sha256, original.id);
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
