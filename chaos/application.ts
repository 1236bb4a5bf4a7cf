// An application with pictures in a table of its own, which it shows, adds to and writes in while they are moved under it.
import assert from "node:assert/strict";

import { picture } from "../tests/workerd/harness/picture-variations.ts";
import type { RunningWorker } from "../tests/workerd/harness/worker.ts";
import { APPLICATION_TABLE, digest } from "../tests/workerd/migrations.ts";
import { Choices } from "./choices.ts";
import type { World } from "./world.ts";

const FIRST_ROWS = 60;
const MOST_ROWS = 120;
const LARGE_EVERY = 30;
const LARGE_BYTES = 2_100_000;
/** A row may be put back, and moved to the same URL again, between its reading and that of its URL, but not for ever. */
const MOST_LOOKS = 8;

type Row = { id: string; image_url: string | null; image_data: string | null; prompt: string };
type Expected = { sha256: string; data: string; url: string | null; prompts: Set<string> };

export class Application {
  #world: World;
  #choices: Choices;
  #expected = new Map<string, Expected>();
  #made = 0;

  constructor(world: World, seed: number) {
    this.#world = world;
    this.#choices = new Choices(seed);
  }

  get ids(): string[] {
    return [...this.#expected.keys()];
  }

  async create(worker: RunningWorker): Promise<void> {
    await worker.db.prepare(APPLICATION_TABLE).run();
    while (this.#made < FIRST_ROWS) await this.#insert(worker);
  }

  async operate(): Promise<void> {
    const operation = this.#choices.weighted({ show: 20, add: this.#made < MOST_ROWS ? 1 : 0, write: 2 });
    const id = this.#choices.one(this.ids) ?? "";
    if (operation === "show") await this.assertShown(id);
    if (operation === "add") await this.#world.beside("a new row", (worker) => this.#insert(worker));
    if (operation === "write") await this.#write(id);
  }

  /** A row that may be there already, when a kill hid the answer. */
  async #insert(worker: RunningWorker): Promise<void> {
    const index = this.#made;
    const id = `row-${String(index).padStart(5, "0")}`;
    const { bytes } = picture(index, index % LARGE_EVERY === 0 ? LARGE_BYTES : 0);
    const encoded = bytes.toString("base64");
    // Each second value cannot be made again from its image.
    const data = index % 2 === 0 ? encoded : `${encoded.slice(0, 8)} ${encoded.slice(8)}`;
    const url = index % 3 === 0 ? null : `/pictures/${id}`;
    await worker.db
      .prepare("INSERT OR IGNORE INTO images (id, image_data, image_url, prompt) VALUES (?1, ?2, ?3, 'none')")
      .bind(id, data, url)
      .run();
    this.#made += 1;
    this.#expected.set(id, { sha256: digest(bytes), data, url, prompts: new Set(["none"]) });
  }

  async #write(id: string): Promise<void> {
    const prompt = `prompt ${this.#choices.whole(0, 1_000_000)}`;
    const prompts = this.#expected.get(id)?.prompts;
    prompts?.add(prompt);
    await this.#world.beside("a prompt", (worker) =>
      worker.db.prepare("UPDATE images SET prompt = ?2 WHERE id = ?1").bind(id, prompt).run(),
    );
    prompts?.clear();
    prompts?.add(prompt);
  }

  /** That the row shows its picture, as an application looks for it: by its URL, else in its data. */
  async assertShown(id: string): Promise<void> {
    const expected = this.#expected.get(id);
    assert.ok(expected !== undefined);
    for (let look = 1; look <= MOST_LOOKS; look += 1) {
      const row = await this.#row(id);
      const path = row.image_url?.match(/\/images\/[0-9a-f-]{36}$/)?.[0];
      if (path === undefined) {
        assert.equal(row.image_data, expected.data, `${id} has its data, as it was`);
        return this.#world.chronicle.count("readsCompared");
      }
      assert.ok(row.image_data === null || row.image_data === expected.data, `the data of ${id}`);
      const answer = await this.#world.ask("GET", path, { headers: { authorization: "" } });
      if (answer.status === 200) {
        assert.equal(digest(answer.body), expected.sha256, `${id} shows another picture`);
        this.#world.chronicle.count("bytesCompared", answer.body.byteLength);
        return this.#world.chronicle.count("readsCompared");
      }
      assert.ok([404, 410].includes(answer.status), `${id} was answered with ${answer.status}`);
    }
    assert.fail(`${id} named nothing that is there ${MOST_LOOKS} times`);
  }

  async #row(id: string): Promise<Row> {
    const sql = "SELECT id, image_url, image_data, prompt FROM images WHERE id = ?1";
    // What a write has replaced since is right too: the answers of the two may come in another order than they were made in.
    const prompts = new Set(this.#expected.get(id)?.prompts);
    const row = await this.#world.beside(`the row ${id}`, (worker) => worker.db.prepare(sql).bind(id).first<Row>());
    assert.ok(row !== null, `the row ${id} is there`);
    const isRight = prompts.has(row.prompt) || this.#expected.get(id)?.prompts.has(row.prompt);
    assert.ok(isRight, `${id} keeps its prompt: ${row.prompt}, not ${[...prompts].join(" or ")}`);
    return row;
  }

  /** That every value is what the application wrote. */
  async assertAsWritten(): Promise<void> {
    for (const [id, { data, url }] of this.#expected) {
      const { image_data, image_url } = await this.#row(id);
      assert.ok(image_data === data, `the data of ${id} are as they were`);
      assert.equal(image_url, url, `the URL of ${id} is as it was`);
    }
    const columns = "SELECT count(*) AS n FROM images WHERE r2_key IS NOT NULL OR migration_status IS NOT NULL OR migrated_at IS NOT NULL";
    assert.equal(await this.#world.beside("the rows", (worker) => worker.db.prepare(columns).first("n")), 0);
  }
}
