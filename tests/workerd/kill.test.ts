// workerd is killed at random moments while clients are at work; what was acknowledged is there after the restart.
import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";

import { generate, pngOf, remove, serve, upload } from "./flows.ts";
import type { Answer } from "./flows.ts";
import { startWorker } from "./harness/worker.ts";
import type { RunningWorker } from "./harness/worker.ts";
import { assertInvariants, assertSwept, letTimePassAndSweep, sha256 } from "./invariants.ts";
import { randomNumbers } from "./random.ts";

const KILLS = 15;
const CLIENTS = 4;
/** Some kills hit the first requests, some a Worker that has answered this often; counted, for machines of every speed. */
const MOST_ANSWERS = 24;
/** Spreads the kills over the moments of a request. */
const LONGEST_PAUSE_MS = 40;
const LARGEST_UPLOAD_BYTES = 2_500_000;

/** What the clients were told. An id is in neither while nobody was told whether its deletion happened. */
type Acknowledged = { stored: Map<string, string>; deleted: Set<string>; answers: number };

test(`what was acknowledged survives ${KILLS} kills`, async (t) => {
  const seed = Number(process.env.KILL_SEED ?? Math.floor(Math.random() * 2 ** 32));
  t.diagnostic(`KILL_SEED=${seed} repeats the choices`);
  const random = randomNumbers(seed);
  const persist = await mkdtemp(join(tmpdir(), "stillstore-kill-"));
  t.after(() => rm(persist, { recursive: true, force: true }));

  const acknowledged: Acknowledged = { stored: new Map(), deleted: new Set(), answers: 0 };
  for (let kill = 0; kill < KILLS; kill += 1) {
    const worker = await startWorker({ persist, vars: { ENABLE_R2_STORAGE: String(random() < 0.6) } });
    await assertKept(worker, acknowledged);
    const killed = new AbortController();
    const clients = Array.from({ length: CLIENTS }, (_, client) =>
      work(worker, acknowledged, randomNumbers(seed + kill * CLIENTS + client + 1), killed.signal, `${kill}-${client}`),
    );
    const enough = acknowledged.answers + Math.floor(random() * MOST_ANSWERS);
    while (acknowledged.answers < enough) await sleep(1);
    await sleep(random() * LONGEST_PAUSE_MS);
    const dying = worker.kill();
    killed.abort();
    await Promise.all([dying, ...clients]);
  }

  const worker = await startWorker({ persist });
  t.after(() => worker.stop());
  t.diagnostic(`${acknowledged.stored.size} images kept, ${acknowledged.deleted.size} deleted`);
  t.diagnostic(`rows before the sweep: ${JSON.stringify(await countByStatus(worker))}`);
  assert.ok(acknowledged.stored.size > 0 && acknowledged.deleted.size > 0, "the clients got somewhere");
  await assertKept(worker, acknowledged);
  await assertInvariants(worker);
  // A sweep removes 32 blobs and 100 images: twice that is more than the clients can have left behind.
  for (let sweep = 0; sweep < 2; sweep += 1) await letTimePassAndSweep(worker);
  await assertSwept(worker);
  await assertKept(worker, acknowledged);
  await assertInvariants(worker);
});

/** One client: generates, uploads and deletes until the Worker is gone. */
async function work(
  worker: RunningWorker,
  acknowledged: Acknowledged,
  random: () => number,
  killed: AbortSignal,
  name: string,
): Promise<void> {
  const { stored, deleted } = acknowledged;
  const mine: string[] = [];
  for (let request = 0; !killed.aborted; request += 1) {
    const choice = random();
    const victim = choice < 0.3 ? mine.shift() : undefined;
    if (victim !== undefined) {
      stored.delete(victim);
      const answer = await unlessKilled(remove(worker, victim), killed);
      if (answer !== undefined) {
        deleted.add(victim);
        acknowledged.answers += 1;
      }
      continue;
    }
    const filler = Math.floor(random() * 256);
    const bytes = pngOf(100 + Math.floor(random() ** 3 * LARGEST_UPLOAD_BYTES), filler);
    const isUpload = choice < 0.8;
    const answer = await unlessKilled(isUpload ? upload(worker, bytes) : generate(worker, `${name}-${request}`), killed);
    if (answer === undefined) continue;
    const image = isUpload ? answer.json() : answer.json().image;
    if (isUpload) assert.equal(image.sha256, sha256(bytes));
    stored.set(image.id, image.sha256);
    acknowledged.answers += 1;
    mine.push(image.id);
  }
}

/** The answer, which is a success; undefined when the Worker was killed before it was all there. */
async function unlessKilled(asked: Promise<Answer>, killed: AbortSignal): Promise<Answer | undefined> {
  let answer: Answer;
  try {
    answer = await asked;
  } catch (error) {
    if (killed.aborted) return undefined;
    throw error;
  }
  if (answer.body === undefined && killed.aborted) return undefined;
  if (answer.status >= 300 && killed.aborted) return undefined;
  assert.ok(answer.status < 300, `${answer.status} ${new TextDecoder().decode(answer.body)}`);
  return answer;
}

async function assertKept(worker: RunningWorker, { stored, deleted }: Acknowledged): Promise<void> {
  for (const [id, expected] of stored) {
    const answer = await serve(worker, id);
    assert.equal(answer.status, 200, `${id} was acknowledged`);
    assert.equal(sha256(answer.body ?? new Uint8Array()), expected, `${id} is whole`);
  }
  for (const id of deleted) assert.equal((await serve(worker, id)).status, 410, `${id} was deleted`);
}

async function countByStatus(worker: RunningWorker): Promise<Record<string, unknown>[]> {
  const sql = "SELECT status, storage, count(*) AS images FROM stillstore_images GROUP BY status, storage";
  return (await worker.db.prepare(sql).all()).results;
}
