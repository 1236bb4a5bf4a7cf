// An application's own table of base64 images: out to R2 while it keeps working, and back to the very rows that were there.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { startWorker } from "./harness/worker.ts";
import type { RunningWorker } from "./harness/worker.ts";
import { picture } from "./harness/picture-variations.ts";
import type { Picture } from "./harness/picture-variations.ts";
import { pathOf } from "./client.ts";
import { imageKeys } from "./invariants.ts";
import { APPLICATION_TABLE, acted, untilState } from "./migrations.ts";
import type { Asked, Ended, Results } from "./migrations.ts";

/** What CI has time for; 1,000 by hand. */
const PICTURES = Number(process.env.LEGACY_PICTURES ?? 300);
/** Over what a row may hold in production: local databases hold it, and it must be handled all the same. */
const LARGE_BYTES = 2_100_000;
const LARGE_EVERY = 50;
const ROWS_AT_ONCE = 20;

/** How applications have written an image into a column. */
const FORMS: ((picture: Picture) => string | ArrayBuffer)[] = [
  ({ bytes }) => bytes.toString("base64"),
  ({ bytes, contentType }) => `data:${contentType};base64,${bytes.toString("base64")}`,
  ({ bytes }) => bytes.toString("base64").replaceAll(/.{76}/g, "$&\r\n"),
  ({ bytes }) => bytes.toString("base64").replaceAll("=", ""),
  ({ bytes }) => bytes.toString("base64url"),
  ({ bytes }) => Uint8Array.from(bytes).buffer,
  ({ bytes, contentType }) =>
    contentType === "image/svg+xml" ? `data:${contentType},${encodeURIComponent(bytes.toString())}` : ` ${bytes.toString("base64")}\n`,
];

const BROKEN: Record<string, string> = {
  "broken-words": "this is no picture!",
  "broken-text": Buffer.from("neither is this").toString("base64"),
  "broken-empty": "",
  "broken-cut": picture(0).bytes.subarray(0, -20).toString("base64"),
  "broken-url": "data:image/png;base64",
};

let worker: RunningWorker;
const pictures = new Map<string, Picture>();

before(async () => {
  worker = await startWorker({});
  await worker.db.prepare(APPLICATION_TABLE).run();
  const insert = worker.db.prepare(
    `INSERT INTO images (id, session_id, persona_id, image_url, image_data, image_mime_type, prompt, status, created_at, updated_at,
       migration_status) VALUES (?1, ?2, 'p', ?3, ?4, ?5, ?6, 'completed', 1700000000, 1700000001, ?7)`,
  );
  const rows = [];
  for (let index = 0; index < PICTURES; index += 1) {
    const one = picture(index, index % LARGE_EVERY === 0 ? LARGE_BYTES : 0);
    const id = `image-${String(index).padStart(5, "0")}`;
    pictures.set(id, one);
    const form = FORMS[index % FORMS.length] ?? (() => "");
    const url = index % 3 === 0 ? null : `/pictures/${id}`;
    rows.push(insert.bind(id, `s${index % 7}`, url, form(one), one.contentType, `prompt ${index}`, index % 2 ? "pending" : null));
  }
  for (const [id, data] of Object.entries(BROKEN)) rows.push(insert.bind(id, "s", null, data, "image/png", "", null));
  rows.push(insert.bind("without-data", "s", "https://elsewhere.example/a.png", null, null, "", null));
  for (let at = 0; at < rows.length; at += ROWS_AT_ONCE) await worker.db.batch(rows.slice(at, at + ROWS_AT_ONCE));
});
after(() => worker.stop());

type Row = Record<string, unknown>;

async function rows(): Promise<Row[]> {
  const all: Row[] = [];
  for (;;) {
    const { results } = await worker.db
      .prepare("SELECT * FROM images WHERE id > ?1 ORDER BY id LIMIT 20")
      .bind(String(all.at(-1)?.id ?? ""))
      .all<Row>();
    if (results.length === 0) return all;
    all.push(...results);
  }
}

/** Every value of every column, with its type, as SQLite writes it. */
async function literals(): Promise<Row[]> {
  const columns = (await worker.db.prepare("SELECT name FROM pragma_table_info('images')").all<{ name: string }>()).results;
  const exact = (name: string) => `CASE typeof(${name}) WHEN 'blob' THEN hex(${name}) WHEN 'real' THEN printf('%!.26g', ${name}) ELSE ${name} END`;
  const values = columns.map(({ name }) => `typeof(${name}) || ':' || ${exact(name)} AS ${name}`);
  const all: Row[] = [];
  for (;;) {
    const { results } = await worker.db
      .prepare(`SELECT id AS at, ${values.join(", ")} FROM images WHERE id > ?1 ORDER BY id LIMIT 20`)
      .bind(String(all.at(-1)?.at ?? ""))
      .all<Row>();
    if (results.length === 0) return all;
    all.push(...results);
  }
}

async function run<const A extends keyof Results>(body: Asked<A>): Promise<Ended<A>> {
  const { runId } = await acted(worker, { source: "images", background: true, ...body });
  return (await untilState(worker, runId)) as Ended<A>;
}

async function assertServed(): Promise<void> {
  for (const row of await rows()) {
    const original = pictures.get(String(row.id));
    if (original === undefined) continue;
    const response = await worker.fetch(pathOf(String(row.image_url)));
    assert.equal(response.status, 200, `${row.id}: ${row.image_url}`);
    assert.equal(response.headers.get("content-type"), original.contentType);
    assert.ok(original.bytes.equals(Buffer.from(await response.arrayBuffer())), `${row.id} is byte-identical`);
  }
}

test("the table goes out to R2 and comes back as it was", async () => {
  const snapshot = await rows();

  const dry = await run({ action: "migrate", dryRun: true });
  assert.equal(dry.result.migrated, PICTURES, JSON.stringify(dry));
  assert.deepEqual(dry.result.errors.map(({ id }: { id: string }) => id).sort(), Object.keys(BROKEN).sort());
  assert.deepEqual(await rows(), snapshot, "a dry run changes nothing");
  assert.deepEqual(await imageKeys(worker), []);

  const moved = await run({ action: "migrate" });
  assert.equal(moved.state, "completed_with_errors", JSON.stringify(moved));
  assert.deepEqual(
    { success: moved.result.success, migrated: moved.result.migrated },
    { success: false, migrated: PICTURES },
  );
  assert.equal((await imageKeys(worker)).length, PICTURES);
  await assertServed();
  for (const [index, row] of (await rows()).entries()) {
    const { image_url: _, r2_key: __, migration_status: ___, migrated_at: ____, ...rest } = row;
    const { image_url: url, r2_key: key, migration_status: status, migrated_at: at, ...before } = snapshot[index] ?? {};
    assert.deepEqual(rest, before, "everything else is as it was, the data too");
    if (pictures.has(String(row.id))) continue;
    assert.deepEqual(
      { image_url: row.image_url, r2_key: row.r2_key, migration_status: row.migration_status, migrated_at: row.migrated_at },
      { image_url: url, r2_key: key, migration_status: status, migrated_at: at },
      String(row.id),
    );
  }
  const valid = await run({ action: "validate", checkIntegrity: true });
  assert.equal(valid.result.isValid, true, JSON.stringify(valid.result));

  const back = await run({ action: "rollback", deleteFromR2: true });
  assert.equal(back.result.rolledBack, PICTURES, JSON.stringify(back.result));
  assert.deepEqual(await rows(), snapshot, "every value is back");
  assert.deepEqual(await imageKeys(worker), [], "nothing is left in the bucket");
});

test("rows whose data was dropped get it back character by character", async () => {
  const snapshot = await rows();
  const moved = await run({ action: "migrate" });
  const cleaned = await run({ action: "cleanup", force: true, runId: moved.id, confirmRunId: moved.id });
  assert.equal(cleaned.result.cleaned, PICTURES, JSON.stringify(cleaned.result));
  for (const row of await rows()) {
    if (pictures.has(String(row.id))) assert.equal(row.image_data, null);
  }
  await assertServed();
  const back = await run({ action: "rollback", deleteFromR2: true });
  assert.equal(back.result.rolledBack, PICTURES, JSON.stringify(back.result));
  assert.deepEqual(await rows(), snapshot);
});

test("rows that are lost come back from a backup, whatever they hold", async () => {
  await worker.db
    .prepare(
      `INSERT INTO images (id, image_data, prompt, created_at, updated_at, persona_title, provider) VALUES
         ('typed-1', x'', 'caf\u00e9 \u{1f9c0} "\\ \r\n', 9223372036854775807, 0.1, x'00ff', ''),
         ('typed-2', 'no picture', char(65533, 0, 31), -9007199254740993, 5e-324, NULL, 1.7976931348623157e308)`,
    )
    .run();
  const snapshot = await literals();
  const saved = await run({ action: "backup" });
  const total = PICTURES + Object.keys(BROKEN).length + 2;
  assert.deepEqual(
    { state: saved.state, saved: saved.result.saved, total: saved.result.total },
    { state: "completed", saved: total, total },
    JSON.stringify(saved.result),
  );

  await worker.db.prepare("DELETE FROM images WHERE image_data IS NOT NULL AND id <> 'image-00001'").run();
  await worker.db.prepare("UPDATE images SET image_data = NULL WHERE id = 'image-00001'").run();
  const restored = await run({ action: "restore", runId: saved.id });
  assert.deepEqual(
    { state: restored.state, restored: restored.result.restored },
    { state: "completed", restored: total },
    JSON.stringify(restored.result),
  );
  assert.deepEqual(await literals(), snapshot);

  const again = await run({ action: "restore", runId: saved.id });
  assert.deepEqual(
    { state: again.state, skipped: again.result.skipped },
    { state: "completed", skipped: total },
    JSON.stringify(again.result),
  );
  const staged = await worker.db.prepare("SELECT count(*) AS n FROM stillstore_blobs").first<number>("n");
  assert.equal(staged, 0, "nothing waits in the database");
});
