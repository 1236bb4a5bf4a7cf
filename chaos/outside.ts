// What lies outside: a host of links that an application's rows have, and another bucket. Both fail, break off and lie for a while at times.
import assert from "node:assert/strict";
import { createServer } from "node:http";
import type { Server, ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";

import { freePort } from "../tests/workerd/harness/free-port.ts";
import { picture } from "../tests/workerd/harness/picture-variations.ts";
import type { Picture } from "../tests/workerd/harness/picture-variations.ts";
import { S3Host } from "../tests/workerd/harness/s3-host.ts";
import type { Trouble } from "../tests/workerd/harness/s3-host.ts";
import { S3_CREDENTIALS, startWorker } from "../tests/workerd/harness/worker.ts";
import type { RunningWorker } from "../tests/workerd/harness/worker.ts";
import { digest } from "../tests/workerd/migrations.ts";
import { Choices } from "./choices.ts";
import type { World } from "./world.ts";

/** The sources that these are of. */
export const LINKS = "posts";
export const BUCKET = "old";

const FIRST_LINKS = 12;
const FIRST_OBJECTS = 8;
/** Keeps what a run has to look at within a second. */
const MOST = 24;
const PREFIX = "tree/";
const LARGE_BYTES = 300_000;
/** A row may be put back and moved again between its reading and that of its URL, but not for ever. */
const MOST_LOOKS = 8;
const TROUBLE_CHANCE = 0.5;
/** Longer than a reader needs to store what it read, when all is well. */
const LONGEST_READING_MS = 3_000;
const POLL_MS = 50;
/** What a reader of a key or of a row may be told at any time: the source was asked in vain a moment ago, or somebody else fetches it. */
const NOT_NOW = ["busy", "source-unavailable"];
const PUBLIC_ORIGIN = "http://localhost:8787";
/** The deadline of a link that nobody can fetch any more. */
const EXPIRED = "?X-Amz-Date=20200101T000000Z&X-Amz-Expires=60";
/** Ends what a reader that was killed had claimed, and lets what was asked for in vain be asked for again. */
const FORGET = ["UPDATE stillstore_read_throughs SET lease_expires_at_ms = 0", "UPDATE stillstore_read_misses SET until_ms = 0"];

type Link = { url: string; bytes: Buffer };

export class Outside {
  #world: World;
  #choices: Choices;
  #server: Server;
  #bucket: RunningWorker;
  #s3: S3Host;
  #isTroubled = false;
  /** The source that the Worker lets readers read through. */
  #readThrough = BUCKET;
  #pictures = new Map<string, Picture>();
  #links = new Map<string, Link>();
  /** The digests that the object of a key has had, the last one last. */
  #objects = new Map<string, string[]>();
  #made = 0;

  private constructor(world: World, seed: number, bucket: RunningWorker, s3: S3Host) {
    this.#world = world;
    this.#choices = new Choices(seed);
    this.#bucket = bucket;
    this.#s3 = s3;
    s3.trouble = () => this.#trouble();
    this.#server = createServer((request, response) => this.#answer(new URL(request.url ?? "/", "http://host").pathname, response));
  }

  static async start(world: World, seed: number): Promise<Outside> {
    const s3Port = await freePort();
    const bucket = await startWorker({ vars: { ENABLE_R2_STORAGE: "true" }, s3Port, onLog: () => {} });
    const outside = new Outside(world, seed, bucket, await S3Host.start(s3Port));
    await new Promise<void>((resolve) => outside.#server.listen(0, "127.0.0.1", resolve));
    return outside;
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    this.#server.close();
    this.#s3.stop();
    await this.#bucket.stop();
  }

  /** How the next Worker is told of these. It reads one of both through. */
  vars(): Record<string, string> {
    this.#readThrough = this.#choices.one([LINKS, BUCKET]) ?? BUCKET;
    const hosts = { "*": { perSecond: 100, concurrency: 8 } };
    const sources = [
      { kind: "url", name: LINKS, table: LINKS, id: "id", url: "picture", hosts, visibility: "public" },
      {
        kind: "bucket", name: BUCKET, endpoint: `${this.#s3.origin}/cdn-cgi/local/r2/s3`, bucket: "stillstore-images", prefix: PREFIX,
        visibility: "public",
      },
    ];
    return {
      FETCH_ALLOWED_HOSTS: this.#host,
      MIGRATION_SOURCES: JSON.stringify(sources),
      READ_THROUGH: this.#readThrough,
      // Rows have copies at two addresses of the Worker in turn.
      ...(this.#readThrough === LINKS ? { PUBLIC_ORIGIN } : {}),
      S3_SOURCE_OLD_ACCESS_KEY_ID: S3_CREDENTIALS.accessKeyId,
      S3_SOURCE_OLD_SECRET_ACCESS_KEY: S3_CREDENTIALS.secretAccessKey,
    };
  }

  get linkIds(): string[] {
    return [...this.#links.keys()];
  }

  get keys(): string[] {
    return [...this.#objects.keys()];
  }

  async create(worker: RunningWorker): Promise<void> {
    await worker.db.prepare(`CREATE TABLE ${LINKS} (id TEXT PRIMARY KEY NOT NULL, picture TEXT)`).run();
    for (let link = 0; link < FIRST_LINKS; link += 1) await this.#link(worker);
    for (let object = 0; object < FIRST_OBJECTS; object += 1) await this.#put();
  }

  /** For a while, every other answer of both is a failure or a lie. */
  async trouble(work: () => Promise<unknown>): Promise<void> {
    this.#isTroubled = true;
    await work();
    this.#isTroubled = false;
  }

  async operate(): Promise<void> {
    const isFull = this.#links.size + this.#objects.size >= MOST;
    const operation = this.#choices.weighted({ show: 10, read: 10, link: isFull ? 0 : 1, put: isFull ? 0 : 1, change: 1 });
    await this[`_${operation}`]();
  }

  async _show(): Promise<void> {
    await this.#assertShown(this.#choices.one(this.linkIds) ?? "");
  }

  async _read(): Promise<void> {
    await this.#assertRead(this.#choices.one(this.#readable) ?? "", false);
  }

  async _link(): Promise<void> {
    await this.#world.beside("a new link", (worker) => this.#link(worker));
  }

  async _put(): Promise<void> {
    await this.#put();
  }

  /** Puts another picture in the place of an object. */
  async _change(): Promise<void> {
    await this.#put(this.#choices.one(this.keys));
  }

  /** Whether the object of a key is, or was, these bytes. */
  hasHad(sha256: string): boolean {
    return [...this.#objects.values()].some((digests) => digests.includes(sha256));
  }

  /** In a lull: each row shows its picture, and each key is read. */
  async settle(): Promise<void> {
    this.#s3.asked.length = 0;
    const { db } = this.#world.worker;
    // Who is alive gives back what it claimed; the others were killed.
    const claims = () => db.prepare("SELECT count(*) AS claims FROM stillstore_read_throughs").first<number>("claims");
    for (const until = performance.now() + LONGEST_READING_MS; performance.now() < until && (await claims()) !== 0; ) await sleep(POLL_MS);
    await db.batch(FORGET.map((sql) => db.prepare(sql)));
    await this.#world.worker.scheduled();
    for (const id of this.linkIds) await this.#assertShown(id);
    for (const name of this.#readable) await this.#assertRead(name, true);
  }

  /** Every row has the link that it had. */
  async assertPutBack(): Promise<void> {
    for (const [id, { url }] of this.#links) assert.equal((await this.#row(id))?.picture, url, `the link of ${id} is as it was`);
  }

  /** Every link that can be fetched is an image's, and every object has a copy of its last state. */
  async assertMoved(): Promise<void> {
    for (const [id, { url }] of this.#links) {
      const { picture } = (await this.#row(id)) ?? {};
      assert.equal(picture === url, url.endsWith(EXPIRED), `${id} was moved unless its link has expired: ${picture}`);
    }
    const { db, bucket } = this.#world.worker;
    const sql = "SELECT storage_key AS key FROM stillstore_moves WHERE source = ?1 AND item_id = ?2";
    for (const [item, digests] of this.#objects) {
      const key = await db.prepare(sql).bind(BUCKET, item).first<string>("key");
      const copy = await bucket.get(key ?? "");
      assert.ok(copy !== null, `${item} has a copy, ${key}`);
      assert.equal(digest(new Uint8Array(await copy.arrayBuffer())), digests.at(-1), `the copy of ${item} is its last state`);
    }
  }

  /** What readers may name. */
  get #readable(): string[] {
    return this.#readThrough === LINKS ? this.linkIds : this.keys;
  }

  get #host(): string {
    return `127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  #trouble(): Trouble | undefined {
    if (!this.#isTroubled || !this.#choices.chance(TROUBLE_CHANCE)) return undefined;
    const troubles: Record<string, Trouble> = { status: { status: 503 }, denial: { status: 403 }, break: { breakAfter: 60 }, length: { longerBy: 10 }, lie: { otherBytes: true } };
    return troubles[this.#choices.weighted({ status: 3, denial: 1, break: 3, length: 1, lie: 2 })];
  }

  #answer(path: string, response: ServerResponse): void {
    const found = this.#pictures.get(path);
    if (found === undefined) return void response.writeHead(404).end();
    const { bytes, contentType } = found;
    const headers = { "content-type": contentType, "content-length": bytes.length };
    if (!this.#isTroubled || !this.#choices.chance(TROUBLE_CHANCE)) return void response.writeHead(200, headers).end(bytes);
    switch (this.#choices.weighted({ throttle: 3, failure: 2, forbidden: 1, gone: 1, cut: 3, lie: 2 })) {
      case "throttle":
        return void response.writeHead(429, { "retry-after": "1" }).end();
      case "failure":
        return void response.writeHead(500).end();
      case "forbidden":
        return void response.writeHead(403).end();
      case "gone":
        return void response.writeHead(404).end();
      case "cut":
        return void response.writeHead(200, headers).write(bytes.subarray(0, bytes.length / 2), () => response.destroy());
      case "lie":
        return void response.writeHead(200, { ...headers, "content-length": 5 }).end("Sorry");
    }
  }

  /** A row that may be there already, when a kill hid the answer. */
  async #link(worker: RunningWorker): Promise<void> {
    const index = this.#made;
    const id = `post-${String(index).padStart(5, "0")}`;
    const made = picture(index, index % 5 === 0 ? LARGE_BYTES : 0);
    this.#pictures.set(`/${id}`, made);
    const url = `http://${this.#host}/${id}${index % 6 === 5 ? EXPIRED : ""}`;
    await worker.db.prepare(`INSERT OR IGNORE INTO ${LINKS} VALUES (?1, ?2)`).bind(id, url).run();
    this.#made += 1;
    this.#links.set(id, { url, bytes: made.bytes });
  }

  async #put(key = `${PREFIX}ü ${this.#made}+.png`): Promise<void> {
    const index = this.#made++;
    const { bytes, contentType } = picture(index, index % 4 === 0 ? LARGE_BYTES : 0);
    const others = this.#objects.get(key) ?? [];
    this.#objects.set(key, [...others, digest(bytes)]);
    await this.#bucket.bucket.put(key, bytes, { httpMetadata: { contentType }, customMetadata: { index: String(index) } });
  }

  async #assertShown(id: string): Promise<void> {
    const { url, bytes } = this.#links.get(id) ?? { url: "", bytes: Buffer.alloc(0) };
    for (let look = 1; look <= MOST_LOOKS; look += 1) {
      const row = await this.#row(id);
      if (row?.picture === url) return;
      const path = row?.picture?.match(/\/images\/[0-9a-f-]{36}$/)?.[0];
      assert.ok(path !== undefined, `${id} has its link, or an image's: ${row?.picture}`);
      const answer = await this.#world.ask("GET", path, { headers: { authorization: "" } });
      if (answer.status === 200) {
        assert.equal(digest(answer.body), digest(bytes), `${id} shows another picture`);
        return this.#world.chronicle.count("readsCompared");
      }
      assert.ok([404, 410].includes(answer.status), `${id} was answered with ${answer.status}`);
    }
    assert.fail(`${id} named nothing that is there ${MOST_LOOKS} times`);
  }

  #row(id: string): Promise<{ picture: string | null } | null> {
    const sql = `SELECT picture FROM ${LINKS} WHERE id = ?1`;
    return this.#world.beside(`the row ${id}`, (worker) => worker.db.prepare(sql).bind(id).first());
  }

  /** Reads an object by its key, or a row's image by the row's id, moved or not. What was asked for in vain may be missing for five minutes. */
  async #assertRead(name: string, must: boolean): Promise<void> {
    const link = this.#links.get(name);
    const path = `/images/${name.split("/").map(encodeURIComponent).join("/")}`;
    const answer = await this.#world.ask("GET", path, { headers: { authorization: "" } }, NOT_NOW);
    if (!must && [404, 503].includes(answer.status)) return;
    if (link?.url.endsWith(EXPIRED) && answer.status === 404) return;
    assert.equal(answer.status, 200, `${name}: ${new TextDecoder().decode(answer.body.subarray(0, 500))}`);
    const digests = link === undefined ? this.#objects.get(name) : [digest(link.bytes)];
    assert.ok(digests?.includes(digest(answer.body)), `${name} was read as what it never was`);
    this.#world.chronicle.count("readsCompared");
  }
}
