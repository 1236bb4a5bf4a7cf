// What must hold whenever clients and fault injector rest: every image is read, every object is accounted for, the counters agree.
import assert from "node:assert/strict";

import { letTimePassAndSweep, objectKeys } from "../tests/workerd/invariants.ts";
import type { Application } from "./application.ts";
import type { Client } from "./client.ts";
import { CHUNK_BYTES } from "./model.ts";
import type { KeptImage, Model } from "./model.ts";
import type { Operator } from "./operator.ts";
import { BUCKET, LINKS } from "./outside.ts";
import type { Outside } from "./outside.ts";
import type { Retoucher } from "./retoucher.ts";
import type { Studio } from "./studio.ts";
import type { World } from "./world.ts";

const READERS = 8;
/** What the keys of variants begin with. */
const VARIANTS = "stillstore/variants/";
const SOURCES = ["embedded", "images"];
/** What no run moves. */
const EXPIRED = "expired";

type ImageRow = { id: string; status: string; storage: string; sha256: string; visibility: string };

// What may be in two homes is removed once more, by the sweep.
const UNFINISHED_DELETIONS = `SELECT removed.value AS id, status FROM json_each(?1) AS removed
  LEFT JOIN stillstore_images AS image ON image.id = removed.value
  WHERE NOT ifnull(status = 'deleted' OR status = 'deleting' AND labels = '{}'
    AND coalesce(filename, context, persona_id, session_id, participant_id, table_id, generation) IS NULL AND (two_homes = 1 OR size_bytes IS NULL), 0)`;
const IMAGES_WITHOUT_MOVE = `SELECT id FROM stillstore_images WHERE source IS NOT NULL AND status = 'stored' AND NOT EXISTS
  (SELECT 1 FROM stillstore_moves AS move WHERE move.source <> 'embedded' AND image_id = id AND stage <> 'restored')`;

const MOVES_WITHOUT_IMAGE = `SELECT image_id FROM stillstore_moves AS move WHERE move.source <> 'embedded' AND stage <> 'restored'
  AND catalogue = 'present' AND NOT EXISTS (SELECT 1 FROM stillstore_images WHERE id = image_id AND status = 'stored')`;

// An owner is given with the image's row and taken with it, so that the sweep never looks at these.
const MISOWNED_BLOBS = `SELECT write_id, object_key, blob.owner_id, status FROM stillstore_blobs AS blob
  LEFT JOIN stillstore_images ON id = blob.owner_id WHERE blob.owner_id IS NOT NULL AND NOT ifnull(status = 'deleting' OR status = 'stored' AND embedded_write_id = write_id, 0)
  AND NOT EXISTS (SELECT 1 FROM stillstore_variants WHERE storage_key = object_key)`;
const IMAGES_WITHOUT_BLOB = `SELECT id, storage, embedded_write_id FROM stillstore_images
  WHERE status = 'stored' AND (storage = 'd1' OR embedded_write_id IS NOT NULL) AND NOT EXISTS (
    SELECT 1 FROM stillstore_blobs WHERE write_id = embedded_write_id AND owner_id = id AND stored_at_ms IS NOT NULL)`;
const CHUNKS_WITHOUT_BLOB = `SELECT write_id, count(*) AS chunks FROM stillstore_chunks
  WHERE write_id NOT IN (SELECT write_id FROM stillstore_blobs) GROUP BY write_id`;
// What is claimed is being added, or was given up and is the sweep's to give back.
const USAGE = `SELECT owner_id, bytes - ifnull((SELECT sum(bytes) FROM stillstore_usage_claims AS claim WHERE claim.owner_id = usage.owner_id), 0) AS bytes
  FROM stillstore_usage AS usage ORDER BY 1`;
const USED = `SELECT owner_id, ifnull((SELECT sum(size_bytes) FROM stillstore_images AS image WHERE image.owner_id = usage.owner_id AND status = 'stored'), 0)
  + ifnull((SELECT sum(size_bytes) FROM stillstore_variants AS variant WHERE variant.owner_id = usage.owner_id AND state = 'stored'), 0) AS bytes
  FROM stillstore_usage AS usage ORDER BY 1`;
const LINES_OF_ENDED_RUNS = `SELECT run_id, count(*) AS slices FROM stillstore_run_lines
  WHERE run_id NOT IN (SELECT id FROM stillstore_runs WHERE state = 'failed') GROUP BY run_id`;

export class Audit {
  #world: World;
  #model: Model;
  #application: Application;
  #outside: Outside | undefined;
  #operator: Operator;
  #clients: Client[];
  #studios: Studio[];
  #retoucher: Retoucher;

  constructor(world: World, model: Model, application: Application, outside: Outside | undefined, operator: Operator, clients: Client[], studios: Studio[], retoucher: Retoucher) {
    this.#world = world;
    this.#model = model;
    this.#application = application;
    this.#outside = outside;
    this.#operator = operator;
    this.#clients = clients;
    this.#studios = studios;
    this.#retoucher = retoucher;
  }

  get #sources(): string[] {
    return this.#outside === undefined ? SOURCES : [...SOURCES, LINKS, BUCKET];
  }

  /** A lull: nobody is at work, and nothing fails. */
  async check(): Promise<void> {
    await this.#operator.settle();
    await this.#retoucher.settle();
    await this.#outside?.settle();
    for (const client of this.#clients) await client.settle();
    for (const studio of this.#studios) await studio.settle();
    await this.#readAll();
    await this.#accountForRows();
    await this.#accountForObjects();
    await this.#accountForBlobs();
    await this.#assertCounters();
    this.#world.chronicle.count("audits");
  }

  /** All that was moved comes back and goes out again; then the sweep leaves what is named, and nothing else. */
  async conclude(): Promise<void> {
    await this.check();
    // An object's copy is removed only while the two are the same.
    if (this.#outside !== undefined) await this.#completed({ action: "migrate", source: BUCKET });
    for (const source of this.#sources) await this.#completed({ action: "rollback", source, deleteFromR2: true });
    await this.#outside?.assertPutBack();
    await this.check();
    await this.#application.assertAsWritten();
    for (const source of this.#sources) await this.#completed({ action: "migrate", source });
    await this.#outside?.assertMoved();
    for (const source of this.#sources) {
      const { result } = await this.#completed({ action: "validate", source, checkIntegrity: true });
      assert.ok(result.isValid, `${source} is valid: ${JSON.stringify(result)}`);
    }
    await this.check();
    await this.#sweep();
    await this.check();
  }

  async #completed(body: object): Promise<any> {
    const run = await this.#operator.complete(body);
    const failures = run.result.errors.filter(({ reason }: { reason: string }) => reason !== EXPIRED);
    assert.deepEqual(failures, [], JSON.stringify(run));
    assert.match(run.state, /^completed/, JSON.stringify(run));
    return run;
  }

  async #readAll(): Promise<void> {
    const waiting: (() => Promise<void>)[] = this.#application.ids.map((id) => () => this.#application.assertShown(id));
    for (const image of this.#model.images) {
      waiting.push(() => this.#read(image));
      for (let edge = CHUNK_BYTES; edge < (image.bytes?.byteLength ?? 0); edge += CHUNK_BYTES) {
        waiting.push(() => this.#read(image, [edge - 1, edge]), () => this.#read(image, [edge, edge]));
      }
    }
    const reader = async () => {
      for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) await next();
    };
    await Promise.all(Array.from({ length: READERS }, reader));
  }

  #read(image: KeptImage, range?: [number, number]): Promise<void> {
    const headers: Record<string, string> = range === undefined ? {} : { range: `bytes=${range.join("-")}` };
    const read = async () => {
      const answer = await this.#world.ask("GET", `/images/${image.id}`, { headers });
      if (answer.status === 410) return "gone";
      assert.equal(answer.status, range === undefined ? 200 : 206, image.id);
      return answer.body;
    };
    return this.#model.compare(image, read, range);
  }

  /** Each stored row is an image that somebody made and nobody deleted; each deletion left its tombstone, or its row to the sweep. */
  async #accountForRows(): Promise<void> {
    const { db } = this.#world.worker;
    const sql = "SELECT id, status, storage, sha256, visibility FROM stillstore_images WHERE status = 'stored' AND source IS NULL";
    const { results } = await db.prepare(sql).all<ImageRow>();
    for (const row of results) {
      const image = this.#model.find(row.id);
      // The copy of an object that is another by now stays an image.
      if (image === undefined && this.#outside?.hasHad(row.sha256)) continue;
      assert.ok(image !== undefined, `nobody made the image of the row ${JSON.stringify(row)}`);
      assert.notEqual(image.fate, "deleted", `somebody deleted the image of the row ${JSON.stringify(row)}`);
      assert.deepEqual(
        { sha256: row.sha256, visibility: row.visibility },
        { sha256: image.sha256, visibility: image.visibility },
        `the row ${JSON.stringify(row)}`,
      );
    }
    const removed = JSON.stringify(this.#model.images.filter(({ isRemoved }) => isRemoved).map(({ id }) => id));
    const { results: unfinished } = await db.prepare(UNFINISHED_DELETIONS).bind(removed).all();
    assert.deepEqual(unfinished, [], "what was deleted with success has a tombstone, or is left to the sweep");
    assert.deepEqual(await this.#rows(IMAGES_WITHOUT_MOVE), [], "an image that was moved out of a table has its move");
    assert.deepEqual(await this.#rows(MOVES_WITHOUT_IMAGE), [], "a move that is in the catalogue has its image");
  }

  /** Each embedded object is its image's, each image that names one has it whole, and no part lies about. */
  async #accountForBlobs(): Promise<void> {
    assert.deepEqual(await this.#rows(MISOWNED_BLOBS), [], "an embedded object belongs to an image that names it");
    assert.deepEqual(await this.#rows(IMAGES_WITHOUT_BLOB), [], "an image that names an embedded object has it");
    assert.deepEqual(await this.#rows(CHUNKS_WITHOUT_BLOB), [], "a chunk belongs to an embedded object");
    assert.deepEqual(await this.#rows(LINES_OF_ENDED_RUNS), [], "the lines of a run that has ended are in its receipt");
  }

  async #rows(sql: string): Promise<unknown[]> {
    return (await this.#world.worker.db.prepare(sql).all()).results;
  }

  /** Each object is named by a row or by the journal, and each name has its object. */
  async #accountForObjects(): Promise<void> {
    const { db } = this.#world.worker;
    const keys = new Set((await objectKeys(this.#world.worker)).filter((key) => !key.startsWith("stillstore/") || key.startsWith(VARIANTS)));
    const { results: rows } = await db
      .prepare("SELECT storage_key AS key, status, storage FROM stillstore_images WHERE status <> 'deleted'")
      .all<{ key: string; status: string; storage: string }>();
    const { results: moves } = await db
      .prepare("SELECT storage_key AS key, stage FROM stillstore_moves WHERE source <> 'embedded'")
      .all<{ key: string; stage: string }>();
    // A grant names what is put for it, and a variant what is made, before it is there.
    const { results: grants } = await db.prepare("SELECT storage_key AS key FROM stillstore_uploads").all<{ key: string }>();
    const { results: variants } = await db
      .prepare("SELECT storage_key AS key, state, storage FROM stillstore_variants")
      .all<{ key: string; state: string; storage: string }>();
    // A reader names what it is about to put.
    const { results: readers } = await db
      .prepare("SELECT storage_key AS key FROM stillstore_read_throughs WHERE storage_key IS NOT NULL")
      .all<{ key: string }>();
    const named = new Set([...rows, ...moves, ...grants, ...variants, ...readers].map(({ key }) => key));
    assert.deepEqual([...keys].filter((key) => !named.has(key)), [], "each object is named");
    const promised = [
      ...rows.filter(({ status, storage }) => status === "stored" && storage === "r2"),
      ...moves.filter(({ stage }) => stage !== "restored"),
      ...variants.filter(({ state, storage }) => state === "stored" && storage === "r2"),
    ];
    assert.deepEqual(promised.filter(({ key }) => !keys.has(key)), [], "each name has its object");
    const inFlight = await db.prepare("SELECT count(*) AS n FROM stillstore_runs WHERE in_flight <> '[]'").first("n");
    assert.equal(inFlight, 0, "no run that has ended is putting objects");
  }

  async #assertCounters(): Promise<void> {
    assert.deepEqual(
      await this.#rows(
        "SELECT status, storage, fallback, images, bytes FROM stillstore_counters WHERE images <> 0 OR bytes <> 0 ORDER BY 1, 2, 3",
      ),
      await this.#rows(
        "SELECT iif(source IS NULL, 'stored', 'moved') AS status, storage, fallback_reason IS NOT NULL AS fallback, count(*) AS images, sum(size_bytes) AS bytes \
         FROM stillstore_images WHERE status = 'stored' GROUP BY 1, 2, 3 ORDER BY 1, 2, 3",
      ),
      "the counters of images",
    );
    assert.deepEqual(
      await this.#rows("SELECT source, stage, items AS n FROM stillstore_move_counters WHERE items <> 0 ORDER BY 1, 2"),
      await this.#rows("SELECT source, stage, count(*) AS n FROM stillstore_moves GROUP BY 1, 2 ORDER BY 1, 2"),
      "the counters of moves",
    );
    assert.deepEqual(await this.#rows(USAGE), await this.#rows(USED), "what users have counts for their limits");
  }

  /** A sweep removes 100 images and 32 blobs, and looks at so many grants and variants. */
  async #sweep(): Promise<void> {
    const sql = "SELECT (SELECT count(*) FROM stillstore_images WHERE status IN ('pending', 'deleting')) + \
      (SELECT count(*) FROM stillstore_blobs WHERE owner_id IS NULL) + (SELECT count(*) FROM stillstore_uploads WHERE state <> 'confirmed') + \
      (SELECT count(*) FROM stillstore_variants WHERE state = 'making' OR state = 'leaving') AS n";
    const left = (await this.#world.worker.db.prepare(sql).first<number>("n")) ?? 0;
    for (let sweeps = 0; sweeps <= left / 32 + 2; sweeps += 1) await letTimePassAndSweep(this.#world.worker);
    assert.equal(await this.#world.worker.db.prepare(sql).first("n"), 0, "nothing is left unfinished");
  }
}
