// Objects that are put in parts in an R2 bucket.
import { Refusal, Upload, promisedRuns, unavailable } from "./r2_put.js";

/** @import { Source } from "./streams.js" */
/** @import { Outcome } from "./r2_put.js" */

/** R2's code for an upload that is not there. */
const NO_SUCH_UPLOAD = "(10024)";

/** R2's codes for parts that are too small, are not there, do not fit each other, or are named wrongly. */
const PARTS_REFUSED = ["(10011)", "(10025)", "(10048)", "(10031)"];

/**
 * @typedef {Outcome
 *   | { outcome: "done", etag: string }
 *   | { outcome: "no-such-upload", detail: string }
 *   | { outcome: "parts-refused", detail: string }} PartsOutcome
 */

/**
 * @param {R2Bucket} bucket
 * @param {string} key
 * @param {string} optionsJson R2MultipartOptions
 * @returns {Promise<string>} the upload's id
 */
export async function create(bucket, key, optionsJson) {
  const upload = await bucket.createMultipartUpload(key, JSON.parse(optionsJson));
  return upload.uploadId;
}

/**
 * @param {R2Bucket} bucket
 * @param {string} key
 * @param {string} uploadId
 * @param {number} partNumber
 * @param {number} sizeBytes as promised by the sender
 * @param {Uint8Array | Source} body
 * @returns {Promise<string>} a {@link PartsOutcome} as JSON
 */
export function putPart(bucket, key, uploadId, partNumber, sizeBytes, body) {
  return outcomeOf(async () => {
    const upload = bucket.resumeMultipartUpload(key, uploadId);
    if (body instanceof Uint8Array) return (await upload.uploadPart(partNumber, body)).etag;
    return (await putSource(sizeBytes, body, (stream) => upload.uploadPart(partNumber, stream))).etag;
  });
}

/**
 * @param {R2Bucket} bucket
 * @param {string} key
 * @param {string} uploadId
 * @param {string} partsJson R2UploadedPart[]
 * @returns {Promise<string>} a {@link PartsOutcome} as JSON
 */
export function complete(bucket, key, uploadId, partsJson) {
  return outcomeOf(async () => {
    const object = await bucket.resumeMultipartUpload(key, uploadId).complete(JSON.parse(partsJson));
    return object.etag;
  });
}

/**
 * @param {R2Bucket} bucket
 * @param {string} key
 * @param {string} uploadId
 * @returns {Promise<string>} a {@link PartsOutcome} as JSON
 */
export function abort(bucket, key, uploadId) {
  return outcomeOf(async () => {
    await bucket.resumeMultipartUpload(key, uploadId).abort();
    return "";
  });
}

/**
 * The last run is held back until the source has ended, since R2 takes the part once it has the promised number of bytes.
 * @template T
 * @param {number} sizeBytes
 * @param {Source} source
 * @param {(stream: ReadableStream) => Promise<T>} put
 * @returns {Promise<T>}
 */
async function putSource(sizeBytes, source, put) {
  const upload = new Upload(sizeBytes, put);
  try {
    /** @type {Uint8Array | null} */
    let held = null;
    for await (const run of promisedRuns(source, sizeBytes)) {
      if (held !== null) await upload.write(held);
      held = run;
    }
    if (held !== null) await upload.write(held);
    const stored = await upload.finish();
    if ("error" in stored) throw stored.error;
    return stored.value;
  } catch (error) {
    await upload.abandon();
    throw error;
  }
}

/**
 * @param {() => Promise<string>} work answers with an etag
 * @returns {Promise<string>} a {@link PartsOutcome} as JSON
 */
async function outcomeOf(work) {
  return JSON.stringify(await work().then((etag) => ({ outcome: "done", etag }), failureOf));
}

/**
 * @param {unknown} error
 * @returns {PartsOutcome}
 */
function failureOf(error) {
  if (error instanceof Refusal) return error.outcome;
  const { detail } = unavailable(error);
  if (detail.includes(NO_SUCH_UPLOAD)) return { outcome: "no-such-upload", detail };
  if (PARTS_REFUSED.some((code) => detail.includes(code))) return { outcome: "parts-refused", detail };
  return { outcome: "unavailable", detail };
}
