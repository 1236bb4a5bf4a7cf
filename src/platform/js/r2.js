// Reading, listing and deleting in an R2 bucket, one call an operation. `r2_put.js` stores.

/**
 * An object and its body, or the `length` bytes of it from `offset`; `null` when there is none.
 * @param {R2Bucket} bucket
 * @param {string} key
 * @param {number} [offset]
 * @param {number} [length]
 * @returns {Promise<[sizeBytes: number, sha256: string | null, body: ReadableStream] | null>} the size is that of the whole object
 */
export async function get(bucket, key, offset, length) {
  const object = await bucket.get(key, length === undefined ? {} : { range: { offset, length } });
  return object === null ? null : [object.size, digestOf(object), object.body];
}

/**
 * @param {R2Bucket} bucket
 * @param {string} key
 * @returns {Promise<string | null>} what {@link infoOf} gives, as JSON
 */
export async function head(bucket, key) {
  const object = await bucket.head(key);
  return object === null ? null : JSON.stringify(infoOf(object));
}

/**
 * @param {R2Bucket} bucket
 * @param {string} key
 */
export async function remove(bucket, key) {
  await bucket.delete(key);
}

/**
 * Removes up to 1,000 objects in one operation.
 * @param {R2Bucket} bucket
 * @param {string} keysJson
 */
export async function removeAll(bucket, keysJson) {
  await bucket.delete(JSON.parse(keysJson));
}

/**
 * A page of at most `limit` objects; R2 may answer with fewer although more follow.
 * @param {R2Bucket} bucket
 * @param {string} prefix
 * @param {string | undefined} startAfter
 * @param {number} limit
 * @returns {Promise<string>} `{objects, truncated}` as JSON
 */
export async function list(bucket, prefix, startAfter, limit) {
  const page = await bucket.list({ prefix, startAfter, limit, include: ["httpMetadata", "customMetadata"] });
  return JSON.stringify({ objects: page.objects.map(infoOf), truncated: page.truncated });
}

/** @param {R2Object} object */
function infoOf(object) {
  const { sha256: _, ...metadata } = object.customMetadata ?? {};
  return {
    key: object.key,
    sizeBytes: object.size,
    contentType: object.httpMetadata?.contentType ?? "application/octet-stream",
    sha256: digestOf(object),
    storedAtMs: object.uploaded.getTime(),
    metadata,
  };
}

/**
 * The digest that R2 was given, or that was taken of a stream while it passed; in hexadecimal.
 * @param {R2Object} object
 */
function digestOf(object) {
  const { sha256 } = object.checksums;
  return sha256 === undefined ? (object.customMetadata?.sha256 ?? null) : hex(sha256);
}

/** @param {ArrayBuffer} bytes */
export function hex(bytes) {
  return new Uint8Array(bytes).toHex();
}
