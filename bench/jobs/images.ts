// Images to measure with, and whether they came through.
import assert from "node:assert/strict";
import { createHash, randomFillSync } from "node:crypto";

import { picture } from "../../tests/workerd/harness/picture-variations.ts";
import { pngOf } from "../../tests/workerd/flows.ts";
import { API_TOKEN } from "../../tests/workerd/harness/worker.ts";
import type { RunningWorker } from "../../tests/workerd/harness/worker.ts";

export const AUTHORIZED = { authorization: `Bearer ${API_TOKEN}` };

/** Bytes that begin like a PNG and are like no others. */
export function randomImage(sizeBytes: number): Uint8Array<ArrayBuffer> {
  const bytes = pngOf(sizeBytes);
  const pixelBytes = pngOf(1_000).findLastIndex((byte) => byte !== 0) + 1;
  randomFillSync(bytes, pixelBytes);
  return bytes;
}

/** A PNG that is whole, for those who look. */
export function wholeImage(sizeBytes: number): Buffer {
  for (let index = 0; ; index += 1) {
    const { contentType, bytes } = picture(index, sizeBytes);
    if (contentType === "image/png") return bytes;
  }
}

export function md5(bytes: Uint8Array): string {
  return createHash("md5").update(bytes).digest("hex");
}

/** Checks every object that is no receipt: the digest that R2 made of the bytes it holds. Answers with the keys. */
export async function verifyObjects(worker: RunningWorker, expected: (key: string) => string | undefined): Promise<string[]> {
  const keys: string[] = [];
  let cursor: string | undefined;
  do {
    const page = await worker.bucket.list({ cursor });
    for (const { key, etag } of page.objects.filter((object) => !object.key.startsWith("stillstore/"))) {
      assert.equal(etag, expected(key), `the bytes of ${key}`);
      keys.push(key);
    }
    cursor = page.truncated ? page.cursor : undefined;
  } while (cursor !== undefined);
  return keys;
}

/** Checks and removes what was stored, so that it does not fill the disk. */
export async function verifyStored(worker: RunningWorker, digest: string, atLeast: number): Promise<void> {
  const keys = await verifyObjects(worker, () => digest);
  assert.ok(keys.length >= atLeast, `${keys.length} objects stored`);
  for (let from = 0; from < keys.length; from += 1_000) await worker.bucket.delete(keys.slice(from, from + 1_000));
}
