// A user who sends images by grants, in parts and as frames, asks for other sizes, and asks again until it is answered.
import assert from "node:assert/strict";

import type { Asset, FramesAnswer, MultipartUpload, PresignedUpload, Shoot } from "../tests/workerd/harness/api-types.ts";
import { picture } from "../tests/workerd/harness/picture-variations.ts";
import { digest } from "../tests/workerd/migrations.ts";
import { Choices } from "./choices.ts";
import { assertAnswer } from "./client.ts";
import type { KeptImage, Model } from "./model.ts";
import { tokenOf } from "./token.ts";
import { Unanswered, untilAnswered } from "./world.ts";
import type { Answered, World } from "./world.ts";

/** Keeps what a lull has to read within a second or two. */
const MOST_IMAGES = 30;
const LARGEST_BYTES = 400_000;
/** The smallest part that R2 takes, and what comes after it. */
const PART_BYTES = 5 * 1024 * 1024;
const LARGEST_REST_BYTES = 1_000_000;
const MOST_FRAMES = 6;
const WIDTHS = [640, 1080];
const BUSY = "session-busy";

export class Studio {
  #name: string;
  #world: World;
  #model: Model;
  #choices: Choices;
  /** Says who it is: what it makes counts for its limits. */
  #asUser: { authorization: string };
  #shoot: string | undefined;
  #assets: KeptImage[] = [];
  #frames = new Map<number, KeptImage>();
  #nextFrame = 0;
  /** What each variant was at first, by image and form. */
  #variants = new Map<string, string>();

  constructor(name: string, world: World, model: Model, seed: number) {
    this.#name = name;
    this.#world = world;
    this.#model = model;
    this.#choices = new Choices(seed);
    this.#asUser = { authorization: `Bearer ${tokenOf(name)}` };
  }

  async operate(): Promise<void> {
    const isFull = this.#assets.length + this.#frames.size >= MOST_IMAGES;
    const operation = this.#choices.weighted({
      send: isFull ? 0 : 12, lie: 2, leave: 2, sendInParts: isFull || !this.#world.usesR2 ? 0 : 1, sendFrames: isFull ? 0 : 8,
      replaceFrame: 3, empty: isFull ? 4 : 1, remove: isFull ? 12 : 4, variant: 25,
    });
    await this[`_${operation}`]();
  }

  async _send(): Promise<void> {
    const { contentType, bytes } = this.#picture();
    const upload = await this.#granted(contentType, bytes);
    await this.#put(upload, bytes);
    this.#keepAsset(await this.#confirm(upload), bytes);
  }

  /** Sends other bytes than it promised. */
  async _lie(): Promise<void> {
    const { contentType, bytes } = this.#picture();
    const upload = await this.#granted(contentType, Buffer.concat([bytes, Buffer.from(" ")]));
    const answer = await untilAnswered(() => this.#world.ask("PUT", pathOf(upload.upload.url), { headers: upload.upload.headers, body: bytes }));
    assertAnswer(answer, 422);
  }

  /** Sends the bytes, and never confirms them. */
  async _leave(): Promise<void> {
    const { contentType, bytes } = this.#picture();
    const upload = await this.#granted(contentType, bytes);
    if (this.#choices.chance(0.7)) await this.#put(upload, bytes);
  }

  async _sendInParts(): Promise<void> {
    const { contentType, bytes } = this.#picture(PART_BYTES + this.#choices.whole(1, LARGEST_REST_BYTES));
    // Some formats take no remark.
    if (bytes.length <= PART_BYTES) return;
    const wanted = { shoot_id: await this.#inShoot(), filename: "large", content_type: contentType, file_size: bytes.length };
    const begun = await this.#post("/uploads/multipart", wanted);
    assertAnswer(begun, 201);
    const { asset_id: id } = begun.json() as MultipartUpload;
    const path = `/uploads/multipart/${id}`;
    const parts = [bytes.subarray(0, PART_BYTES), bytes.subarray(PART_BYTES)];
    const headers = { ...this.#asUser, "content-type": "application/octet-stream" };
    for (const number of this.#choices.chance(0.5) ? [1, 2] : [2, 1, 2]) {
      const body = parts[number - 1] ?? Buffer.alloc(0);
      assertAnswer(await untilAnswered(() => this.#world.ask("PUT", `${path}/${number}`, { headers, body: new Uint8Array(body) })), 200);
    }
    const completed = await untilAnswered(() => this.#post(path, { sha256: digest(bytes) }));
    assertAnswer(completed, 200);
    this.#keepAsset(completed.json() as Asset, bytes);
  }

  async _sendFrames(): Promise<void> {
    const first = this.#nextFrame;
    const frames = Array.from({ length: this.#choices.whole(1, MOST_FRAMES) }, () => this.#picture().bytes);
    this.#nextFrame += frames.length;
    await this.#sendFrames(new Map(frames.map((bytes, index) => [first + index, bytes])), "");
  }

  /** One whose bytes may be in two homes keeps its key for an hour, and the frame that is to replace it is told to wait. */
  async _replaceFrame(): Promise<void> {
    const number = this.#choices.one([...this.#frames.keys()]);
    const image = this.#frames.get(number ?? -1);
    if (number === undefined || image === undefined) return;
    const { bytes } = this.#picture();
    // Formats that take no remark have one picture each, and that in the place of itself is no other.
    const isAnother = digest(bytes) !== image.sha256;
    if (isAnother && image.fate === "stored") image.fate = "doubtful";
    this.#frames.delete(number);
    await this.#sendFrames(new Map([[number, bytes]]), "?replace=true");
    if (isAnother && this.#frames.has(number)) this.#model.delete(image);
    if (!isAnother) this.#frames.set(number, image);
  }

  /** Sends the form until each of its frames is there, or is told that its session or its key is busy. */
  async #sendFrames(frames: Map<number, Buffer>, query: string): Promise<void> {
    const answer = await untilAnswered(async () => {
      const form = new FormData();
      for (const [number, bytes] of frames) form.set(`frame_${number}`, new Blob([new Uint8Array(bytes)]));
      const answer = await this.#world.ask("POST", `/sessions/${this.#name}/frames${query}`, { headers: this.#asUser, body: form });
      if (answer.status !== 207) return answer;
      const refused = (answer.json() as FramesAnswer).frames.filter(({ code }) => code !== undefined && code !== BUSY);
      if (refused.length === 0) return answer;
      for (const { code, frameNumber } of refused) {
        assert.match(String(code), /^(storage|database)-unavailable$/, `frame ${frameNumber} of ${answer.request}`);
      }
      throw new Unanswered(`${answer.request}: ${refused.length} frames`, undefined);
    });
    if (answer.status === 409 && answer.json().code === BUSY) return;
    assert.ok([201, 207].includes(answer.status), `${answer.request}: ${new TextDecoder().decode(answer.body)}`);
    for (const { frameNumber, image, code } of (answer.json() as FramesAnswer).frames) {
      if (code === BUSY) continue;
      const bytes = frames.get(frameNumber ?? -1);
      assert.ok(image !== undefined && bytes !== undefined, `frame ${frameNumber} was sent`);
      this.#frames.set(frameNumber ?? -1, this.#model.find(image.id) ?? this.#model.keep(image, bytes));
    }
  }

  /** No frame can be read from the answer on. */
  async _empty(): Promise<void> {
    const leaving = [...this.#frames.values()];
    for (const image of leaving) image.fate = image.fate === "stored" ? "doubtful" : image.fate;
    const answer = await untilAnswered(() => this.#world.ask("DELETE", `/sessions/${this.#name}/frames`, { headers: this.#asUser }));
    assert.ok([200, 202, 404].includes(answer.status), `${answer.request}: ${answer.status}`);
    this.#frames.clear();
    for (const image of leaving) this.#model.delete(image);
  }

  async _remove(): Promise<void> {
    const frame = this.#choices.one([...this.#frames]);
    const image = this.#choices.chance(0.3) ? frame?.[1] : this.#choices.one(this.#assets);
    if (image === undefined) return;
    image.fate = "doubtful";
    const answer = await untilAnswered(() => this.#world.ask("DELETE", `/api/images/${image.id}`, { headers: this.#asUser }));
    // A tombstone has no owner: who asks again after an answer that was lost is told that there is no such image of theirs.
    if (answer.status !== 404) assertAnswer(answer, 204);
    this.#model.delete(image);
    image.isRemoved = true;
    this.#assets = this.#assets.filter((other) => other !== image);
    if (image === frame?.[1]) this.#frames.delete(frame[0]);
  }

  /** The same image in the same form is the same bytes, whoever makes them and however often. */
  async _variant(): Promise<void> {
    const image = this.#model.any(this.#choices);
    if (image === undefined) return;
    const query = `w=${this.#choices.one(WIDTHS)}&fm=${this.#choices.one(["jpeg", "png"])}&fallback=original`;
    await this.#compareVariant(image, query);
  }

  /** In a lull: each variant once more. */
  async settle(): Promise<void> {
    for (const form of [...this.#variants.keys()]) {
      const [id = "", query = ""] = form.split("?");
      const image = this.#model.find(id);
      if (image === undefined || image.fate === "deleted") this.#variants.delete(form);
      else await this.#compareVariant(image, query);
    }
  }

  async #compareVariant(image: KeptImage, query: string): Promise<void> {
    const form = `${image.id}?${query}`;
    await this.#model.compare(image, async () => {
      const answer = await this.#world.ask("GET", `/images/${form}`);
      if (answer.status === 410) return "gone";
      assertAnswer(answer, 200);
      const made = digest(answer.body);
      assert.equal(this.#variants.get(form) ?? made, made, `the variant ${form} is what it was`);
      this.#variants.set(form, made);
      this.#world.chronicle.count("variantsCompared");
      return "there";
    });
  }

  #picture(remarkBytes = Math.floor((this.#choices.whole(0, 1_000) / 1_000) ** 4 * LARGEST_BYTES)): { contentType: string; bytes: Buffer } {
    const { contentType, bytes } = picture(this.#choices.whole(0, 1_000_000), remarkBytes);
    return { contentType, bytes };
  }

  async #granted(contentType: string, promised: Buffer): Promise<PresignedUpload & { shoot_id: string }> {
    const shoot_id = await this.#inShoot();
    const promises = this.#choices.chance(0.5) ? { file_size: promised.length } : { sha256: digest(promised) };
    const answer = await this.#post("/uploads/presign", { shoot_id, filename: "a", content_type: contentType, ...promises });
    assertAnswer(answer, 200);
    return { ...(answer.json() as PresignedUpload), shoot_id };
  }

  async #put({ upload: { url, headers } }: PresignedUpload, bytes: Buffer): Promise<void> {
    assertAnswer(await untilAnswered(() => this.#world.ask("PUT", pathOf(url), { headers, body: new Uint8Array(bytes) })), 200);
  }

  async #confirm({ asset_id, object_key, shoot_id }: PresignedUpload & { shoot_id: string }): Promise<Asset> {
    const answer = await untilAnswered(() => this.#post("/uploads/confirm", { asset_id, object_key, shoot_id }));
    assertAnswer(answer, 200);
    return answer.json() as Asset;
  }

  #keepAsset({ id, download_url: url }: Asset, bytes: Buffer): void {
    const visibility = "private";
    this.#assets.push(this.#model.keep({ id, sha256: digest(bytes), visibility, url }, new Uint8Array(bytes)));
  }

  async #inShoot(): Promise<string> {
    if (this.#shoot === undefined) {
      const answer = await this.#post("/shoots", { name: this.#name });
      assertAnswer(answer, 201);
      this.#shoot = (answer.json() as Shoot).id;
    }
    return this.#shoot;
  }

  #post(path: string, fields: object): Promise<Answered> {
    const headers = { ...this.#asUser, "content-type": "application/json" };
    return this.#world.ask("POST", path, { headers, body: JSON.stringify(fields) });
  }
}

function pathOf(url: string): string {
  const { pathname, search } = new URL(url);
  return pathname + search;
}
