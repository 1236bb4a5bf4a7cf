// What tests of migrations ask of a Worker, and what they plant for it to move.
import assert from "node:assert/strict";
import { createHash, randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";

import { ask, serve, upload } from "./flows.ts";
import type { Answer } from "./flows.ts";
import type {
  BackupResult, CleanupResult, ControlAnswer, Line, MigrateResult, MigrationStats, RollbackResult, Run, RunAnswer, ValidateResult,
} from "./harness/api-types.ts";
import { projectDir } from "./harness/project.ts";
import type { RunningWorker } from "./harness/worker.ts";

const ROUTE = "/api/migrate-images";

const PIXEL = readFileSync(join(projectDir, "tests/fixtures/images/pixel.png"));
/** A parameter of D1 holds 2,000,000 bytes: 2,000 planted images are 700,000. */
const PLANTED_AT_ONCE = 2_000;
const POLL_MS = 20;
const READERS = 8;

/** An image as it was before any migration. */
export type Original = { id: string; key: string; bytes: Uint8Array; sha256: string };

/** Asks for an action. */
export function act(worker: RunningWorker, body: object): Promise<Answer> {
  return ask(worker, "POST", ROUTE, {
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  });
}

/** What each action that begins a run answers with. */
export type Results = {
  migrate: MigrateResult;
  validate: ValidateResult;
  rollback: RollbackResult;
  cleanup: CleanupResult;
  backup: BackupResult;
  restore: BackupResult;
};

export type Action = keyof Results | ControlAnswer["action"] | "stats";

export type AnswerTo<A extends Action> = A extends keyof Results
  ? Omit<RunAnswer, "result"> & { result: Results[A] }
  : A extends "stats"
    ? Omit<RunAnswer, "result"> & { result: MigrationStats }
    : ControlAnswer;

/** A run that has ended, with what its action answers with. */
export type Ended<A extends keyof Results> = Omit<Run, "result"> & { result: Results[A] };

/** An action with its parameters. */
export type Asked<A extends Action> = { action: A; [parameter: string]: unknown };

/** The answer to an action that is taken. */
export async function acted<const A extends Action>(worker: RunningWorker, body: Asked<A>): Promise<AnswerTo<A>> {
  const answer = await act(worker, body);
  assert.ok(answer.status < 300, `${JSON.stringify(body)}: ${answer.status} ${new TextDecoder().decode(answer.body)}`);
  return answer.json() as AnswerTo<A>;
}

/** The run object. */
export async function runOf(worker: RunningWorker, id: string): Promise<Run> {
  const answer = await ask(worker, "GET", `${ROUTE}/runs/${id}`);
  assert.equal(answer.status, 200);
  return answer.json() as Run;
}

/** What the run did to its items, from its receipt. */
export async function receiptOf(worker: RunningWorker, id: string): Promise<Answer> {
  const answer = await ask(worker, "GET", `${ROUTE}/runs/${id}/receipt`);
  assert.equal(answer.status, 200);
  return answer;
}

/** Asks until the run is in one of the states, by default those in which it ends. */
export async function untilState(
  worker: RunningWorker,
  id: string,
  states = ["cancelled", "completed", "completed_with_errors", "failed"],
): Promise<Run> {
  for (;;) {
    const run = await runOf(worker, id);
    if (states.includes(run.state)) return run;
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}

/** Waits, without asking, until a worker of the run says that it is in one of the states. */
export async function untilLogged(worker: RunningWorker, id: string, states: string[]): Promise<void> {
  await worker.waitForLog(({ event }) => event?.event === "run" && event.run_id === id && states.includes(String(event.outcome)));
}

/** Puts `count` small images into the database at once, past the Worker, each with bytes of its own. */
export async function plant(worker: RunningWorker, count: number): Promise<Original[]> {
  const planted: Original[] = [];
  const begin = Date.now() - count;
  for (let from = 0; from < count; from += PLANTED_AT_ONCE) {
    const rows = Array.from({ length: Math.min(PLANTED_AT_ONCE, count - from) }, (_, index) => {
      const bytes = Buffer.concat([PIXEL, Buffer.from(`image ${from + index}`)]);
      const id = randomUUID();
      const original = { id, key: `generated/2026/11/${id}.png`, bytes, sha256: digest(bytes) };
      planted.push(original);
      const write = id.replaceAll("-", "");
      return [id, original.key, write, bytes.toString("base64"), original.sha256, bytes.length, begin + from + index];
    });
    const parameter = JSON.stringify(rows);
    await worker.db.batch(PLANTING.map((sql) => worker.db.prepare(`${sql} FROM json_each(?1)`).bind(parameter)));
  }
  return planted;
}

const PLANTING = [
  `INSERT INTO stillstore_images (id, storage_key, embedded_write_id, sha256, size_bytes, created_at_ms, updated_at_ms, status,
     storage, content_type, visibility, labels, width, height, version)
   SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 4, value ->> 5, value ->> 6, value ->> 6, 'stored', 'd1', 'image/png',
     'public', '{}', 1, 1, 1`,
  `INSERT INTO stillstore_blobs (write_id, object_key, owner_id, content_type, metadata_json, created_at_ms, stored_at_ms,
     size_bytes, sha256)
   SELECT value ->> 2, value ->> 1, value ->> 0, 'image/png', '{}', value ->> 6, value ->> 6, value ->> 5, value ->> 4`,
  `INSERT INTO stillstore_chunks (write_id, chunk_index, data) SELECT value ->> 2, 0, value ->> 3`,
];

/** The table that needs no configuration. */
export const APPLICATION_TABLE = `CREATE TABLE images (
  id TEXT PRIMARY KEY NOT NULL, session_id TEXT, participant_id TEXT, table_id TEXT, persona_id TEXT, persona_title TEXT,
  image_url TEXT, image_data TEXT, image_mime_type TEXT, prompt TEXT, provider TEXT, status TEXT, r2_key TEXT,
  migration_status TEXT, migrated_at INTEGER, created_at INTEGER, updated_at INTEGER)`;

/** An application's table of `count` small images. */
export async function plantTable(worker: RunningWorker, count: number): Promise<void> {
  await worker.db.prepare(APPLICATION_TABLE).run();
  await worker.db
    .prepare(
      `WITH RECURSIVE row(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM row WHERE n < ?1)
       INSERT INTO images (id, image_data, image_mime_type) SELECT printf('image-%06d', n), ?2, 'image/png' FROM row`,
    )
    .bind(count, PIXEL.toString("base64"))
    .run();
}

/** Has cron take up whatever runs, as if its worker were long dead. */
export async function takeUp(worker: RunningWorker): Promise<void> {
  await worker.db.prepare("UPDATE stillstore_runs SET lease_expires_at_ms = 0 WHERE state = 'running'").run();
  await worker.scheduled();
}

/** Uploads images to a Worker that embeds them. */
export async function embed(worker: RunningWorker, images: Uint8Array<ArrayBuffer>[], query = ""): Promise<Original[]> {
  const embedded: Original[] = [];
  for (const bytes of images) {
    const answer = await upload(worker, bytes, query);
    assert.equal(answer.status, 201, new TextDecoder().decode(answer.body));
    const { id, storage } = answer.json();
    assert.equal(storage, "d1");
    const key = await worker.db.prepare("SELECT storage_key FROM stillstore_images WHERE id = ?1").bind(id).first<string>("storage_key");
    embedded.push({ id, key: key ?? "", bytes, sha256: digest(bytes) });
  }
  return embedded;
}

/** That each image is served as it was before any migration. */
export async function assertReadable(worker: RunningWorker, originals: Original[]): Promise<void> {
  const waiting = [...originals];
  const reader = async () => {
    for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
      const answer = await serve(worker, next.id);
      assert.equal(answer.status, 200, next.id);
      assert.equal(digest(answer.body ?? new Uint8Array()), next.sha256, next.id);
    }
  };
  await Promise.all(Array.from({ length: READERS }, reader));
}

/** Where the images are by their rows, by their objects and by the counters, which agree. */
export async function assertHomes(worker: RunningWorker, homes: { r2: number; d1: number }): Promise<void> {
  const { results } = await worker.db
    .prepare("SELECT storage, count(*) AS images, sum(size_bytes) AS bytes FROM stillstore_images WHERE status = 'stored' GROUP BY storage")
    .all<{ storage: "r2" | "d1"; images: number; bytes: number }>();
  const of = (storage: string) => results.find((row) => row.storage === storage) ?? { images: 0, bytes: 0 };
  assert.deepEqual({ r2: of("r2").images, d1: of("d1").images }, homes);
  const counted = await worker.db
    .prepare("SELECT storage, sum(images) AS images, sum(bytes) AS bytes FROM stillstore_counters WHERE status IN ('stored', 'moved') GROUP BY storage")
    .all<{ storage: string; images: number; bytes: number }>();
  for (const { storage, images, bytes } of counted.results) {
    assert.deepEqual(
      { images, bytes },
      { images: of(storage).images, bytes: of(storage).bytes },
      `the counters of ${storage}`,
    );
  }
  const stages = "SELECT stage, count(*) AS items FROM stillstore_moves GROUP BY stage ORDER BY stage";
  const countedStages = "SELECT stage, items FROM stillstore_move_counters WHERE items <> 0 ORDER BY stage";
  assert.deepEqual((await worker.db.prepare(countedStages).all()).results, (await worker.db.prepare(stages).all()).results);
}

/** That the receipt proves itself, as docs/receipts.md says. Answers with its lines. */
export async function checkedReceipt(worker: RunningWorker, runId: string): Promise<Line[]> {
  const { receipt } = await runOf(worker, runId);
  const { body } = await receiptOf(worker, runId);
  assert.ok(body !== undefined && receipt !== null);
  assert.deepEqual({ sha256: digest(body), bytes: body.byteLength }, { sha256: receipt.sha256, bytes: receipt.bytes });
  const text = new TextDecoder().decode(body);
  const lines = text.split("\n");
  assert.equal(lines.pop(), "", "it ends with a line end");
  const end = JSON.parse(lines.at(-1) ?? "");
  const beforeEnd = text.slice(0, text.length - (lines.at(-1) ?? "").length - 1);
  assert.deepEqual(end, { end: true, lines: lines.length - 2, sha256: digest(Buffer.from(beforeEnd)) });
  assert.deepEqual([JSON.parse(lines[0] ?? "").run, receipt.lines], [runId, lines.length - 2]);
  return lines.slice(1, -1).map((line) => JSON.parse(line));
}

export function digest(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}
