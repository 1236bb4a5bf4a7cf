// The model: which images there are, and what must come of reading each.
import assert from "node:assert/strict";

import type { Image } from "../tests/workerd/harness/api-types.ts";
import { digest } from "../tests/workerd/migrations.ts";
import type { Choices } from "./choices.ts";
import type { Chronicle } from "./chronicle.ts";

/** The database keeps an image in parts of so many bytes. */
export const CHUNK_BYTES = 1024 * 1024;

/**
 * - `stored`: its owner was told so; it is there, whole.
 * - `doubtful`: its deletion was asked for; it is whole, or gone for good.
 * - `deleted`: somebody was told that it is gone.
 */
export type Fate = "stored" | "doubtful" | "deleted";

export type KeptImage = {
  id: string;
  sha256: string;
  visibility: "public" | "private";
  /** Opens a private image. */
  signedPath: string;
  fate: Fate;
  /** Its DELETE was answered with success. */
  isRemoved: boolean;
  /** Unknown until the first read of an image that a provider made, and dropped with its deletion. */
  bytes: Uint8Array | undefined;
};

export class Model {
  readonly images: KeptImage[] = [];
  #byId = new Map<string, KeptImage>();
  #chronicle: Chronicle;

  constructor(chronicle: Chronicle) {
    this.#chronicle = chronicle;
  }

  /** What is there, or may be. */
  present(): KeptImage[] {
    return this.images.filter(({ fate }) => fate !== "deleted");
  }

  stored(): KeptImage[] {
    return this.images.filter(({ fate }) => fate === "stored");
  }

  find(id: string): KeptImage | undefined {
    return this.#byId.get(id);
  }

  /** An image that somebody was told of. */
  keep(record: Pick<Image, "id" | "sha256" | "visibility" | "url">, bytes: Uint8Array | undefined): KeptImage {
    const { id, sha256, visibility, url } = record;
    assert.ok(sha256 !== null, `${id} is stored, and has a digest`);
    if (bytes !== undefined) assert.equal(sha256, digest(bytes), `${id} was stored as other bytes than were sent`);
    assert.equal(this.find(id), undefined, `${id} was given to two images`);
    const { pathname, search } = new URL(url);
    const image: KeptImage = { id, sha256, visibility, signedPath: pathname + search, fate: "stored", isRemoved: false, bytes };
    this.images.push(image);
    this.#byId.set(id, image);
    return image;
  }

  /** Somebody was told that the image is gone. */
  delete(image: KeptImage): void {
    image.fate = "deleted";
    image.bytes = undefined;
  }

  /** Any image, deleted ones now and then. */
  any(choices: Choices): KeptImage | undefined {
    return choices.one(choices.chance(0.9) ? this.present() : this.images);
  }

  /**
   * Reads, and holds the answer against the fates before and after.
   * @param read what came: bytes, nothing but the word that they are there, or `gone`
   */
  async compare(image: KeptImage, read: () => Promise<Uint8Array | "there" | "gone">, range?: [number, number]): Promise<void> {
    const { fate: before, bytes: expected } = image;
    const came = await read();
    if (came === "gone") {
      assert.notEqual(image.fate, "stored", `${image.id} is gone though nobody deleted it`);
      this.delete(image);
      return;
    }
    assert.notEqual(before, "deleted", `${image.id} is there after its deletion`);
    if (came !== "there") this.#compareBytes(image, expected, came, range);
    this.#chronicle.count("readsCompared");
  }

  /** @param whole as it was known when the read began: the image may be deleted by now */
  #compareBytes(image: KeptImage, whole: Uint8Array | undefined, came: Uint8Array, range?: [number, number]): void {
    this.#chronicle.count("bytesCompared", came.byteLength);
    if (whole === undefined) {
      assert.ok(range === undefined, `${image.id} is read whole before it is read in parts`);
      assert.equal(digest(came), image.sha256, `${image.id} is not what was stored`);
      if (image.fate !== "deleted") image.bytes = came;
      return;
    }
    const expected = range === undefined ? whole : whole.subarray(range[0], range[1] + 1);
    assert.ok(Buffer.compare(came, expected) === 0, `${image.id} is not what was stored: ${came.byteLength} bytes, range ${range}`);
  }
}
