// Storing in an R2 bucket: create-only, of the promised length, with the right digest, or not at all.
import { hex } from "./r2.js";
import { messageOf } from "./streams.js";

/** @import { Source } from "./streams.js" */

/** Length of the runs in which a source is copied; at most three are in memory. */
const COPY_RUN_BYTES = 256 << 10;

/** R2's code for bytes that do not have the checksum they were sent with. */
const BAD_DIGEST = "(10037)";

/**
 * @typedef {object} PutRequest
 * @property {string} key
 * @property {number} sizeBytes as promised by the sender
 * @property {string | null} sha256 as promised by the sender, in hexadecimal
 * @property {string | null} md5 of the bytes as they were where they come from, in hexadecimal
 * @property {R2HTTPMetadata} httpMetadata
 * @property {Record<string, string>} customMetadata
 */

/**
 * @typedef {{ outcome: "stored", sha256: string }
 *   | { outcome: "key-taken" }
 *   | { outcome: "source-failed", detail: string }
 *   | { outcome: "too-short", actualBytes: number }
 *   | { outcome: "too-long" }
 *   | { outcome: "checksum-mismatch", detail: string }
 *   | { outcome: "unavailable", detail: string }} Outcome
 */

/** An outcome on the way out of a put that came to nothing. */
export class Refusal {
  /** @param {Outcome} outcome */
  constructor(outcome) {
    this.outcome = outcome;
  }
}

/**
 * @param {R2Bucket} bucket
 * @param {string} requestJson a {@link PutRequest}
 * @param {Uint8Array | Source} body
 * @returns {Promise<string>} an {@link Outcome} as JSON
 */
export async function put(bucket, requestJson, body) {
  /** @type {PutRequest} */
  const request = JSON.parse(requestJson);
  try {
    const sha256 = await (body instanceof Uint8Array
      ? putBytes(bucket, request, body)
      : putSource(bucket, request, body));
    return JSON.stringify({ outcome: "stored", sha256 });
  } catch (error) {
    return JSON.stringify(error instanceof Refusal ? error.outcome : unavailable(error));
  }
}

/**
 * R2 computes the digest anyway and stores nothing that has another one, so that a promised digest is not computed here.
 * @param {R2Bucket} bucket
 * @param {PutRequest} request
 * @param {Uint8Array} bytes
 * @returns {Promise<string>} their SHA-256
 */
async function putBytes(bucket, request, bytes) {
  const sha256 = request.sha256 ?? hex(await crypto.subtle.digest("SHA-256", bytes));
  const stored = await settled(bucket.put(request.key, bytes, putOptions(request, sha256)));
  const object = storedObject(stored);
  if (object === null) await requireSameStored(bucket, request, sha256);
  else if (request.md5 !== null) await requireIntact(bucket, object, request, request.md5);
  return sha256;
}

/**
 * The last run is held back until the source has ended, since R2 may make the object visible as soon as it has the promised
 * number of bytes.
 * @param {R2Bucket} bucket
 * @param {PutRequest} request
 * @param {Source} source
 * @returns {Promise<string>} the SHA-256 of its bytes
 */
async function putSource(bucket, request, source) {
  if (request.sizeBytes === 0) {
    for await (const _ of promisedRuns(source, 0));
    return putBytes(bucket, request, new Uint8Array(0));
  }
  // A promised digest is enforced by R2; without one, only its MD5 says whether it holds what was sent.
  const hashes = new Hashes(request.sha256 === null ? ["SHA-256", "MD5"] : []);
  const upload = new Upload(request.sizeBytes, (stream) =>
    bucket.put(request.key, stream, putOptions(request, request.sha256)),
  );
  try {
    /** @type {Uint8Array | null} */
    let held = null;
    for await (const run of promisedRuns(source, request.sizeBytes)) {
      if (held !== null) await upload.write(held);
      await hashes.write(run);
      held = run;
    }
    const [computed = "", md5] = await hashes.finish();
    const sha256 = request.sha256 ?? computed;
    if (request.md5 !== null && md5 !== undefined && md5 !== request.md5) {
      throw new Refusal({ outcome: "checksum-mismatch", detail: `MD5 ${md5} instead of ${request.md5}` });
    }
    if (held !== null) await upload.write(held);
    const object = storedObject(await upload.finish());
    if (object === null) await requireSameStored(bucket, request, sha256);
    else await requireIntact(bucket, object, request, md5);
    return sha256;
  } catch (error) {
    await Promise.all([hashes.abandon(), upload.abandon()]);
    throw error;
  }
}

/**
 * The runs of `source`, of `sizeBytes` together.
 * @param {Source} source
 * @param {number} sizeBytes
 */
export async function* promisedRuns(source, sizeBytes) {
  let passedBytes = 0;
  try {
    for (;;) {
      const run = await source.next(COPY_RUN_BYTES).catch((error) => {
        throw new Refusal({ outcome: "source-failed", detail: messageOf(error) });
      });
      if (run === null) break;
      passedBytes += run.length;
      if (passedBytes > sizeBytes) throw new Refusal({ outcome: "too-long" });
      yield run;
    }
  } finally {
    source.cancel();
  }
  if (passedBytes < sizeBytes) throw new Refusal({ outcome: "too-short", actualBytes: passedBytes });
}

/**
 * A put whose bytes are written as they come.
 * @template T
 */
export class Upload {
  #sink;
  #settled;
  #failed = false;
  /** @type {Promise<unknown>} */
  #writing = Promise.resolve();

  /**
   * @param {number} sizeBytes
   * @param {(stream: ReadableStream) => Promise<T>} put
   */
  constructor(sizeBytes, put) {
    const fixed = new FixedLengthStream(sizeBytes);
    this.#sink = fixed.writable.getWriter();
    this.#sink.closed.catch(() => {});
    this.#settled = settled(put(fixed.readable));
    this.#settled.then((stored) => {
      this.#failed = "error" in stored;
    });
  }

  /**
   * Waits for the run before, so that the next one can be fetched meanwhile. Once R2 has answered, as when the key is
   * taken, runs go nowhere.
   * @param {Uint8Array} run
   */
  async write(run) {
    await this.#writing;
    if (this.#failed) valueOf(await this.#settled);
    this.#writing = Promise.race([this.#sink.write(run).catch(() => {}), this.#settled]);
  }

  async finish() {
    await this.#writing;
    this.#sink.close().catch(() => {});
    return this.#settled;
  }

  async abandon() {
    this.#sink.abort("the put was abandoned").catch(() => {});
    await this.#settled;
  }
}

/** Digests of the bytes that pass. */
class Hashes {
  #streams;
  #writers;

  /** @param {string[]} algorithms */
  constructor(algorithms) {
    this.#streams = algorithms.map((algorithm) => new crypto.DigestStream(algorithm));
    this.#writers = this.#streams.map((stream) => stream.getWriter());
    for (const stream of this.#streams) stream.digest.catch(() => {});
    for (const writer of this.#writers) writer.closed.catch(() => {});
  }

  /** @param {Uint8Array} run */
  async write(run) {
    await Promise.all(this.#writers.map((writer) => writer.write(run)));
  }

  /** @returns {Promise<string[]>} in hexadecimal, in the order of the algorithms */
  async finish() {
    await Promise.all(this.#writers.map((writer) => writer.close()));
    return Promise.all(this.#streams.map(async (stream) => hex(await stream.digest)));
  }

  async abandon() {
    await Promise.allSettled(this.#writers.map((writer) => writer.abort("the put was abandoned")));
  }
}

/**
 * @param {PutRequest} request
 * @param {string | null} sha256 enforced by R2 when known
 * @returns {R2PutOptions}
 */
function putOptions(request, sha256) {
  const { httpMetadata, customMetadata } = request;
  const createOnly = { onlyIf: { etagDoesNotMatch: "*" }, httpMetadata };
  return sha256 === null
    ? { ...createOnly, customMetadata }
    : { ...createOnly, customMetadata: { ...customMetadata, sha256 }, sha256 };
}

/**
 * @template T
 * @typedef {{ value: T } | { error: unknown }} Settled
 */

/**
 * @template T
 * @param {Promise<T>} put
 * @returns {Promise<Settled<T>>}
 */
function settled(put) {
  return put.then(
    (value) => ({ value }),
    (error) => ({ error }),
  );
}

/**
 * What R2 answered.
 * @template T
 * @param {Settled<T>} put
 */
function valueOf(put) {
  if ("error" in put) throw put.error;
  return put.value;
}

/**
 * What R2 stored, `null` when the key was taken.
 * @param {Settled<R2Object | null>} put
 */
function storedObject(put) {
  if ("value" in put) return put.value;
  const refused = unavailable(put.error);
  throw new Refusal(
    refused.detail.includes(BAD_DIGEST) ? { outcome: "checksum-mismatch", detail: refused.detail } : refused,
  );
}

/**
 * Removes a new object whose bytes are not those that were sent.
 * @param {R2Bucket} bucket
 * @param {R2Object} object
 * @param {PutRequest} request
 * @param {string | undefined} md5 of what was sent
 */
async function requireIntact(bucket, object, request, md5) {
  const held = object.checksums.md5 === undefined ? "unknown" : hex(object.checksums.md5);
  if (object.size === request.sizeBytes && (md5 ?? held) === held) return;
  await bucket.delete(request.key);
  const detail = `sent ${request.sizeBytes} bytes, MD5 ${md5}; R2 held ${object.size}, MD5 ${held}`;
  throw new Refusal({ outcome: "checksum-mismatch", detail });
}

/**
 * @param {R2Bucket} bucket
 * @param {PutRequest} request
 * @param {string} sha256
 */
async function requireSameStored(bucket, request, sha256) {
  const object = await bucket.get(request.key);
  if (object === null) throw new Error("the object that held the key is gone");
  const known = object.checksums.sha256;
  if (object.size !== request.sizeBytes || known !== undefined) {
    await object.body.cancel();
    if (object.size === request.sizeBytes && known !== undefined && hex(known) === sha256) return;
  } else {
    const digest = new crypto.DigestStream("SHA-256");
    await object.body.pipeTo(digest);
    if (hex(await digest.digest) === sha256) return;
  }
  throw new Refusal({ outcome: "key-taken" });
}

/**
 * @param {unknown} error
 * @returns {{ outcome: "unavailable", detail: string }}
 */
export function unavailable(error) {
  return { outcome: "unavailable", detail: messageOf(error) };
}
