// The model: which images there are, and what must come of reading each.
import assert from "node:assert/strict";

import { digest } from "../tests/workerd/migrations.ts";
import type { Chronicle } from "./chronicle.ts";
import type { Choices } from "./choices.ts";

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
  /** Unknown until the first read of an image that a provider made. */
  bytes: Uint8Array | undefined;
};

export class Album {
  readonly images: KeptImage[] = [];
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

  /** An image that somebody was told of. */
  keep(record: any, bytes: Uint8Array | undefined): KeptImage {
    const { id, sha256, visibility, url } = record;
    if (bytes !== undefined) assert.equal(sha256, digest(bytes), `${id} was stored as other bytes than were sent`);
    const { pathname, search } = new URL(url);
    const image: KeptImage = { id, sha256, visibility, signedPath: pathname + search, fate: "stored", bytes };
    this.images.push(image);
    return image;
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
    const before = image.fate;
    const came = await read();
    if (came === "gone") {
      assert.notEqual(image.fate, "stored", `${image.id} is gone though nobody deleted it`);
      image.fate = "deleted";
      return;
    }
    assert.notEqual(before, "deleted", `${image.id} is there after its deletion`);
    if (came !== "there") this.#compareBytes(image, came, range);
    this.#chronicle.count("readsCompared");
  }

  #compareBytes(image: KeptImage, came: Uint8Array, range?: [number, number]): void {
    this.#chronicle.count("bytesCompared", came.byteLength);
    if (range === undefined && image.bytes === undefined) {
      assert.equal(digest(came), image.sha256, `${image.id} is not what was stored`);
      image.bytes = came;
      return;
    }
    if (image.bytes === undefined) return;
    const expected = range === undefined ? image.bytes : image.bytes.subarray(range[0], range[1] + 1);
    assert.ok(Buffer.compare(came, expected) === 0, `${image.id} is not what was stored: ${came.byteLength} bytes, range ${range}`);
  }
}
