// An application's table of base64 images, the built-in source `images`, and what the application must find in it at every moment.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";

import { projectDir } from "./harness/project.ts";
import type { RunningWorker } from "./harness/worker.ts";
import { objectKeys } from "./invariants.ts";
import { digest } from "./migrations.ts";

const JPEG = readFileSync(join(projectDir, "tests/fixtures/images/baseline.jpg"));
const COLUMNS = "id, image_url, image_data, r2_key, migration_status, migrated_at, prompt";
const ROWS_AT_ONCE = 100;
const READERS = 8;

type Row = { id: string; image_url: string | null; image_data: string | null; migration_status: string | null };

export class ApplicationTable {
  #worker: RunningWorker;
  #before: Row[] = [];
  #digests = new Map<string, string>();

  private constructor(worker: RunningWorker) {
    this.#worker = worker;
  }

  static async create(worker: RunningWorker): Promise<ApplicationTable> {
    await worker.db
      .prepare(
        `CREATE TABLE images (id TEXT PRIMARY KEY NOT NULL, image_url TEXT, image_data TEXT, image_mime_type TEXT, r2_key TEXT,
           migration_status TEXT, migrated_at INTEGER, prompt TEXT)`,
      )
      .run();
    return new ApplicationTable(worker);
  }

  /** The same table behind another Worker over the same database. */
  behind(worker: RunningWorker): ApplicationTable {
    const table = new ApplicationTable(worker);
    table.#before = this.#before;
    table.#digests = this.#digests;
    return table;
  }

  get ids(): string[] {
    return [...this.#digests.keys()];
  }

  /** Replaces the rows by `count` others; each second value cannot be had from its image. */
  async fill(count: number): Promise<void> {
    await this.#worker.db.prepare("DELETE FROM images").run();
    this.#digests.clear();
    const insert = this.#worker.db.prepare("INSERT INTO images (id, image_data, image_url, prompt) VALUES (?1, ?2, ?3, 'a cat')");
    const rows = Array.from({ length: count }, (_, index) => {
      const id = `image-${String(index).padStart(5, "0")}`;
      const bytes = pictureOf(index);
      this.#digests.set(id, digest(bytes));
      const encoded = bytes.toString("base64");
      return insert.bind(id, index % 2 ? `${encoded.slice(0, 8)} ${encoded.slice(8)}` : encoded, index % 3 ? "/old.jpg" : null);
    });
    for (let from = 0; from < count; from += ROWS_AT_ONCE) await this.#worker.db.batch(rows.slice(from, from + ROWS_AT_ONCE));
    this.#before = await this.#rows();
  }

  async #rows(): Promise<Row[]> {
    return (await this.#worker.db.prepare(`SELECT ${COLUMNS} FROM images ORDER BY id`).all<Row>()).results;
  }

  /** What an application shows that prefers the copy's URL; undefined when the connection broke. */
  async read(id: string): Promise<string | undefined> {
    const row = await this.#worker.db.prepare(`SELECT ${COLUMNS} FROM images WHERE id = ?1`).bind(id).first<Row>();
    assert.ok(row !== null, `${id} is there`);
    return this.#shown(row);
  }

  async #shown(row: Row): Promise<string | undefined> {
    const path = row.image_url?.match(/\/images\/[0-9a-f-]{36}$/)?.[0];
    if (path === undefined) {
      assert.ok(row.image_data !== null, `${row.id} has its data`);
      return digest(Buffer.from(row.image_data, "base64"));
    }
    const response = await this.#worker.fetch(path);
    const bytes = new Uint8Array(await response.arrayBuffer());
    // A rollback may have come between the row and the URL: an application reads the row again then.
    if (response.status === 404) {
      const again = await this.#worker.db.prepare(`SELECT ${COLUMNS} FROM images WHERE id = ?1`).bind(row.id).first<Row>();
      assert.ok(again !== null && again.image_url !== row.image_url, `${row.id} names what is not there`);
      return this.#shown(again);
    }
    assert.equal(response.status, 200, `${row.id}: ${new TextDecoder().decode(bytes)}`);
    return digest(bytes);
  }

  /** That the row shows its picture. */
  async assertShown(id: string): Promise<void> {
    assert.equal(await this.read(id), this.#digests.get(id), id);
  }

  /** That each row shows its picture, and no data but the application's. */
  async assertReadable(): Promise<void> {
    const waiting = this.ids;
    const reader = async () => {
      for (let id = waiting.pop(); id !== undefined; id = waiting.pop()) await this.assertShown(id);
    };
    await Promise.all(Array.from({ length: READERS }, reader));
    for (const [index, { id, image_data: data }] of (await this.#rows()).entries()) {
      assert.ok(data === null || data === this.#before[index]?.image_data, `the data of ${id}`);
    }
  }

  /** That every value is as it was, and nothing saved is left. */
  async assertAsBefore(): Promise<void> {
    assert.deepEqual(await this.#rows(), this.#before);
    assert.deepEqual(await this.#savedKeys(), []);
  }

  async assertMoved({ originals }: { originals: boolean }): Promise<void> {
    const rows = await this.#rows();
    for (const { id, image_data: data, migration_status: status } of rows) {
      assert.deepEqual([status, data !== null], ["completed", originals], id);
    }
    assert.equal((await this.#savedKeys()).length, originals ? 0 : Math.floor(rows.length / 2));
  }

  /** That the journal's counters are right. */
  async assertCounted(): Promise<void> {
    const stages = "SELECT stage, count(*) AS items FROM stillstore_moves GROUP BY stage ORDER BY stage";
    const counted = "SELECT stage, items FROM stillstore_move_counters WHERE items <> 0 ORDER BY stage";
    const all = async (sql: string) => (await this.#worker.db.prepare(sql).all()).results;
    assert.deepEqual(await all(counted), await all(stages));
  }

  async #savedKeys(): Promise<string[]> {
    return (await objectKeys(this.#worker)).filter((key) => key.startsWith("stillstore/originals/"));
  }
}

/** A JPEG with a comment of its own. */
function pictureOf(index: number): Buffer {
  return Buffer.concat([JPEG.subarray(0, 2), Buffer.from([0xff, 0xfe, 0, 4, index >> 8, index & 0xff]), JPEG.subarray(2)]);
}
