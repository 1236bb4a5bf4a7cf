// What must hold whenever clients and hand rest: every image is read, every object is accounted for, the counters agree.
import assert from "node:assert/strict";

import { imageKeys, letTimePassAndSweep } from "../tests/workerd/invariants.ts";
import type { Album } from "./album.ts";
import type { Application } from "./application.ts";
import type { Operator } from "./operator.ts";
import type { World } from "./world.ts";

const READERS = 8;
const SOURCES = ["embedded", "images"];

export class Reckoning {
  #world: World;
  #album: Album;
  #application: Application;
  #operator: Operator;

  constructor(world: World, album: Album, application: Application, operator: Operator) {
    this.#world = world;
    this.#album = album;
    this.#application = application;
    this.#operator = operator;
  }

  /** A lull: nobody is at work, and nothing fails. */
  async reckon(): Promise<void> {
    await this.#operator.settle();
    await this.#readAll();
    await this.#accountForObjects();
    await this.#assertCounters();
    this.#world.chronicle.count("reckonings");
  }

  /** All that was moved comes back and goes out again; then the sweep leaves what is named, and nothing else. */
  async conclude(): Promise<void> {
    await this.reckon();
    for (const source of SOURCES) await this.#completed({ action: "rollback", source, deleteFromR2: true });
    await this.reckon();
    await this.#application.assertAsWritten();
    for (const source of SOURCES) await this.#completed({ action: "migrate", source });
    for (const source of SOURCES) {
      const { result } = await this.#completed({ action: "validate", source, checkIntegrity: true });
      assert.ok(result.isValid, `${source} is valid: ${JSON.stringify(result)}`);
    }
    await this.reckon();
    await this.#sweep();
    await this.reckon();
  }

  async #completed(body: object): Promise<any> {
    const run = await this.#operator.complete(body);
    assert.equal(run.state, "completed", JSON.stringify(run));
    return run;
  }

  async #readAll(): Promise<void> {
    const waiting: (() => Promise<void>)[] = this.#application.ids.map((id) => () => this.#application.assertShown(id));
    for (const image of this.#album.images) {
      waiting.push(() =>
        this.#album.compare(image, async () => {
          const answer = await this.#world.ask("GET", `/images/${image.id}`);
          if (answer.status === 410) return "gone";
          assert.equal(answer.status, 200, image.id);
          return answer.body;
        }),
      );
    }
    const reader = async () => {
      for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) await next();
    };
    await Promise.all(Array.from({ length: READERS }, reader));
  }

  /** Each object is named by a row or by the journal, and each name has its object. */
  async #accountForObjects(): Promise<void> {
    const { db } = this.#world.worker;
    const keys = new Set(await imageKeys(this.#world.worker));
    const { results: rows } = await db
      .prepare("SELECT storage_key AS key, status, storage FROM stillstore_images WHERE status <> 'deleted'")
      .all<{ key: string; status: string; storage: string }>();
    const { results: moves } = await db
      .prepare("SELECT storage_key AS key, stage FROM stillstore_moves WHERE source <> 'embedded'")
      .all<{ key: string; stage: string }>();
    const named = new Set([...rows, ...moves].map(({ key }) => key));
    assert.deepEqual([...keys].filter((key) => !named.has(key)), [], "each object is named");
    const promised = [
      ...rows.filter(({ status, storage }) => status === "stored" && storage === "r2"),
      ...moves.filter(({ stage }) => stage !== "restored"),
    ];
    assert.deepEqual(promised.filter(({ key }) => !keys.has(key)), [], "each name has its object");
    const inFlight = await db.prepare("SELECT count(*) AS n FROM stillstore_runs WHERE in_flight <> '[]'").first("n");
    assert.equal(inFlight, 0, "no run that has ended is putting objects");
  }

  async #assertCounters(): Promise<void> {
    const { db } = this.#world.worker;
    const all = async (sql: string) => (await db.prepare(sql).all()).results;
    assert.deepEqual(
      await all("SELECT status, storage, sum(images) AS n FROM stillstore_counters GROUP BY 1, 2 HAVING n <> 0 ORDER BY 1, 2"),
      await all("SELECT status, storage, count(*) AS n FROM stillstore_images GROUP BY 1, 2 ORDER BY 1, 2"),
      "the counters of images",
    );
    assert.deepEqual(
      await all("SELECT source, stage, items AS n FROM stillstore_move_counters WHERE items <> 0 ORDER BY 1, 2"),
      await all("SELECT source, stage, count(*) AS n FROM stillstore_moves GROUP BY 1, 2 ORDER BY 1, 2"),
      "the counters of moves",
    );
  }

  /** A sweep removes 100 images and 32 blobs. */
  async #sweep(): Promise<void> {
    const sql = "SELECT (SELECT count(*) FROM stillstore_images WHERE status IN ('pending', 'deleting')) + \
      (SELECT count(*) FROM stillstore_blobs WHERE owner_id IS NULL) AS n";
    const left = (await this.#world.worker.db.prepare(sql).first<number>("n")) ?? 0;
    for (let sweeps = 0; sweeps <= left / 32 + 1; sweeps += 1) await letTimePassAndSweep(this.#world.worker);
    assert.equal(await this.#world.worker.db.prepare(sql).first("n"), 0, "nothing is left unfinished");
  }
}
