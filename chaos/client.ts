// A client that makes, reads, lists and deletes images, and never asks for two things at once.
import assert from "node:assert/strict";

import type { Image } from "../tests/workerd/harness/api-types.ts";
import { picture } from "../tests/workerd/harness/picture-variations.ts";
import { digest } from "../tests/workerd/migrations.ts";
import { Attempts } from "./attempts.ts";
import { Choices } from "./choices.ts";
import { CHUNK_BYTES } from "./model.ts";
import type { KeptImage, Model } from "./model.ts";
import { Unanswered } from "./world.ts";
import type { Answered, World } from "./world.ts";

/** Keeps what a lull has to read within a second or two. */
const MOST_IMAGES = 40;
const LARGEST_BYTES = 2_500_000;
const REPLAYED_KEYS = 5;
const RETRY_MS = 100;
const END_LEASE = "UPDATE stillstore_idempotency SET lease_expires_at_ms = 0 WHERE key_digest = ?1 AND state = 'claimed'";

export class Client {
  #name: string;
  #world: World;
  #model: Model;
  #choices: Choices;
  #own: KeptImage[] = [];
  #attempts = new Attempts();
  #keys: { key: string; image: KeptImage }[] = [];
  #made = 0;

  constructor(name: string, world: World, model: Model, seed: number) {
    this.#name = name;
    this.#world = world;
    this.#model = model;
    this.#choices = new Choices(seed);
  }

  async operate(): Promise<void> {
    const isFull = this.#own.length >= MOST_IMAGES;
    const operation = this.#choices.weighted({
      upload: isFull ? 0 : 14, generate: isFull ? 0 : 6, replay: 2, garbage: 1, remove: isFull ? 30 : 9,
      read: 40, part: 10, unchanged: 6, head: 4, intrude: 4, describe: 5, list: 5,
    });
    await this[`_${operation}`]();
  }

  async _upload(): Promise<void> {
    const remarkBytes = Math.floor((this.#choices.whole(0, 1_000) / 1_000) ** 4 * LARGEST_BYTES);
    const bytes = new Uint8Array(picture(this.#choices.whole(0, 1_000_000), remarkBytes).bytes);
    const wanted = digest(bytes);
    const query = new URLSearchParams({ sessionId: this.#name, visibility: this.#choices.chance(0.25) ? "private" : "public" });
    const lies = this.#choices.chance(0.05);
    if (lies || this.#choices.chance(0.5)) query.set("sha256", lies ? digest(Buffer.from("others")) : wanted);
    const send = () => this.#world.ask("POST", `/api/images?${query}`, { body: bytes });
    if (lies) return assertAnswer(await send(), 422);
    this.#attempts.begin(wanted, bytes);
    const answer = await send().catch((error) => {
      // Says that nothing was stored. Without an answer, or without the database's, it may have been.
      if (error instanceof Unanswered && error.code === "storage-unavailable") this.#attempts.end(wanted);
      throw error;
    });
    this.#attempts.end(wanted);
    assertAnswer(answer, 201);
    this.#own.push(this.#model.keep(answer.json(), bytes));
  }

  /** Asks until it knows: the key makes that safe. */
  async _generate(): Promise<void> {
    const key = `${this.#name}-${this.#made++}`;
    const answer = await this.#generated(key);
    assertAnswer(answer, 200);
    const image = this.#model.keep(answer.json().image, undefined);
    this.#own.push(image);
    this.#keys.push({ key, image });
    if (this.#keys.length > REPLAYED_KEYS) this.#keys.shift();
  }

  async #generated(key: string): Promise<Answered> {
    for (;;) {
      const body = JSON.stringify({ prompt: `a lighthouse, ${key}`, personaId: "p", sessionId: this.#name, size: "256x256" });
      const headers = { "content-type": "application/json", "idempotency-key": key };
      const asked = this.#world.ask("POST", "/api/generate-image", { headers, body });
      const answer = await asked.catch((error) => {
        if (!(error instanceof Unanswered)) throw error;
      });
      if (answer !== undefined && answer.status !== 409) return answer;
      if (answer !== undefined) assert.equal(answer.json().code, "idempotency-in-progress");
      // The worker of the key's former request is dead, or answered.
      await this.#world.beside("the end of a lease", (worker) => worker.db.prepare(END_LEASE).bind(digest(Buffer.from(key))).run())
        .catch(() => {});
      await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
    }
  }

  async _replay(): Promise<void> {
    const made = this.#choices.one(this.#keys);
    if (made === undefined) return;
    const { fate } = made.image;
    const answer = await this.#generated(made.key);
    if (answer.status === 410) return assert.notEqual(fate, "stored", `${made.image.id} is gone though nobody deleted it`);
    assertAnswer(answer, 200);
    assert.equal(answer.json().image.id, made.image.id, "one key, one image");
  }

  async _garbage(): Promise<void> {
    assertAnswer(await this.#world.ask("POST", `/api/images?sessionId=${this.#name}`, { body: "no image" }), 415);
    assertAnswer(await this.#world.ask("POST", "/api/images?visibility=secret", { body: new Uint8Array(picture(1).bytes) }), 400);
  }

  async _remove(): Promise<void> {
    const image = this.#choices.one(this.#own);
    if (image === undefined) return;
    image.fate = "doubtful";
    assertAnswer(await this.#world.ask("DELETE", `/api/images/${image.id}`), 204);
    this.#model.delete(image);
    image.isRemoved = true;
    this.#own = this.#own.filter((other) => other !== image);
  }

  async _read(): Promise<void> {
    const image = this.#model.any(this.#choices);
    if (image === undefined) return;
    const opener = image.visibility === "private" && this.#choices.chance(0.5);
    await this.#model.compare(image, async () => {
      const answer = await (opener ? this.#asStranger(image.signedPath) : this.#world.ask("GET", `/images/${image.id}`));
      return bytesOrGone(answer, 200);
    });
  }

  async _part(): Promise<void> {
    const inChunks = () => this.#choices.one(this.#model.present().filter(({ bytes }) => (bytes?.byteLength ?? 0) > CHUNK_BYTES));
    const image = (this.#choices.chance(0.5) ? inChunks() : undefined) ?? this.#model.any(this.#choices);
    if (image?.bytes === undefined) return;
    const last = image.bytes.byteLength - 1;
    const from = this.#place(0, last);
    const to = this.#place(from, last);
    const headers = { range: `bytes=${from}-${to}`, ...(this.#choices.chance(0.2) ? { "if-range": `"${image.sha256}"` } : {}) };
    const read = async () => bytesOrGone(await this.#world.ask("GET", `/images/${image.id}`, { headers }), 206);
    await this.#model.compare(image, read, [from, to]);
  }

  /** Any place, but often one at which a chunk ends or begins. */
  #place(from: number, to: number): number {
    const edge = this.#choices.whole(1, to / CHUNK_BYTES) * CHUNK_BYTES + this.#choices.whole(-1, 1);
    return this.#choices.chance(0.5) && from <= edge && edge <= to ? edge : this.#choices.whole(from, to);
  }

  async _unchanged(): Promise<void> {
    const image = this.#model.any(this.#choices);
    if (image === undefined) return;
    await this.#model.compare(image, async () => {
      const headers = { "if-none-match": `"${image.sha256}"` };
      const answer = await this.#world.ask("GET", `/images/${image.id}`, { headers });
      return thereOrGone(answer, 304);
    });
  }

  async _head(): Promise<void> {
    const image = this.#model.any(this.#choices);
    if (image === undefined) return;
    await this.#model.compare(image, async () => {
      const answer = await this.#world.ask("HEAD", `/images/${image.id}`);
      if (answer.status === 200) assert.equal(answer.headers.get("etag"), `"${image.sha256}"`);
      return thereOrGone(answer, 200);
    });
  }

  /** A private image is not for somebody who has neither token nor signature. */
  async _intrude(): Promise<void> {
    const image = this.#choices.one(this.#model.images.filter(({ visibility }) => visibility === "private"));
    if (image === undefined) return;
    const answer = await this.#asStranger(`/images/${image.id}`);
    assert.ok([403, 410].includes(answer.status), `${image.id} is private, and was answered with ${answer.status}`);
  }

  #asStranger(path: string): Promise<Answered> {
    return this.#world.ask("GET", path, { headers: { authorization: "" } });
  }

  async _describe(): Promise<void> {
    const image = this.#model.any(this.#choices);
    if (image === undefined) return;
    await this.#model.compare(image, async () => {
      const answer = await this.#world.ask("GET", `/api/images/${image.id}`);
      if (answer.status === 200) {
        const { sha256, visibility, status } = answer.json();
        assert.deepEqual(
          { sha256, visibility, status },
          { sha256: image.sha256, visibility: image.visibility, status: "stored" },
          image.id,
        );
      }
      return thereOrGone(answer, 200);
    });
  }

  /** The listing has each image of this client, and no other but what came of an upload that nobody answered for. */
  async _list(): Promise<void> {
    const stored = this.#own.filter(({ fate }) => fate === "stored");
    const listed = new Map<string, any>();
    let cursor: string | undefined;
    do {
      const query = new URLSearchParams({ sessionId: this.#name, limit: "25", ...(cursor === undefined ? {} : { cursor }) });
      const answer = await this.#world.ask("GET", `/api/images?${query}`);
      assertAnswer(answer, 200);
      for (const record of answer.json().images) listed.set(record.id, record);
      cursor = answer.json().nextCursor;
    } while (cursor !== undefined);
    for (const { id, sha256 } of stored) assert.equal(listed.get(id)?.sha256, sha256, `${id} is listed`);
    for (const [id, record] of listed) {
      const image = this.#model.find(id);
      assert.notEqual(image?.fate, "deleted", `${id} is listed after its deletion`);
      // The outputs of jobs are kept by who asked for them.
      if (image === undefined && record.parentId === undefined) this.#adopt(record);
    }
    this.#world.chronicle.count("listingsCompared");
  }

  /** In a lull: what the listing has not got by now never becomes an image. */
  async settle(): Promise<void> {
    await this._list();
    this.#attempts.endAll();
  }

  #adopt(record: Image): void {
    const bytes = this.#attempts.end(record.sha256 ?? "");
    assert.ok(bytes !== undefined, `${record.id} is listed, which nobody made: ${record.sha256}`);
    this.#own.push(this.#model.keep(record, bytes));
  }
}

function bytesOrGone(answer: Answered, status: number): Uint8Array | "gone" {
  return thereOrGone(answer, status) === "gone" ? "gone" : answer.body;
}

function thereOrGone(answer: Answered, status: number): "there" | "gone" {
  if (answer.status === 410) return "gone";
  assertAnswer(answer, status);
  return "there";
}

export function assertAnswer(answer: Answered, status: number): void {
  assert.equal(answer.status, status, `${answer.request}: ${new TextDecoder().decode(answer.body.subarray(0, 500))}`);
}
