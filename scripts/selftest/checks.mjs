// What `npm run selftest` does to a running Worker, service by service. Each check leaves nothing behind but a run and its receipt.
import { createHash, randomBytes, randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";

import { isLoopback } from "../loopback.mjs";
import { pngOf } from "./picture.mjs";
import { CheckFailed, Skipped } from "./session.mjs";

/** @typedef {import("./session.mjs").Session} Session */
/** @typedef {{ name: string, run: (session: Session) => Promise<string> }} Check */

/** Where the queue has not worked by then, cron is left, every ten minutes. */
const QUEUE_TIMEOUT_MS = 30_000;
const ORIGIN = "https://selftest.example";

/** @type {Check[]} */
export const CHECKS = [
  { name: "Worker", run: worker },
  { name: "token", run: token },
  { name: "database", run: database },
  { name: "configuration", run: configuration },
  { name: "bucket", run: bucket },
  { name: "store and read", run: storeAndRead },
  { name: "signed URL", run: signedUrl },
  { name: "public domain", run: publicDomain },
  { name: "presigned upload", run: presignedUpload },
  { name: "browsers (CORS)", run: browsers },
  { name: "queue", run: queue },
  { name: "image provider", run: provider },
];

/** @param {Session} session */
async function worker(session) {
  const { name, version } = await session.json("GET", "/");
  if (name !== "Stillstore") throw new CheckFailed("something else answers there", "Check --url.");
  return `version ${version}`;
}

/** @param {Session} session */
async function token(session) {
  const { caller } = await session.json("GET", "/api/caller");
  if (caller !== "operator") throw new CheckFailed("the token is a user's", "Give the Worker's API_TOKEN.");
  return "is the operator's";
}

/** @param {Session} session */
async function database(session) {
  const { services } = await session.health();
  if (services.database !== "healthy") {
    throw new CheckFailed("D1 does not answer", "Check the binding DB, and run `npx wrangler d1 migrations apply DB --remote`.");
  }
  return "D1 answers";
}

/** @param {Session} session */
async function configuration(session) {
  const { configuration } = await session.health();
  const problems = configuration.map((/** @type {{ variable: string, rule: string }} */ { variable, rule }) => `${variable} ${rule}`);
  if (problems.length > 0) throw new CheckFailed(problems.join("; "), "Correct these variables and deploy again.");
  return "every variable can be used";
}

/** @param {Session} session */
async function bucket(session) {
  const { services } = await session.health();
  if (services.r2_storage === "disabled") throw new Skipped('ENABLE_R2_STORAGE is not "true": images go into the database');
  if (services.r2_storage === "error") throw new CheckFailed("R2 does not answer", "Check the binding R2_IMAGES, and Cloudflare's status page.");
  return "R2 answers by its binding";
}

/**
 * Stores an image, works with it, and deletes it. What went wrong first is what is told.
 * @param {Session} session
 * @param {string} query
 * @param {Buffer} bytes
 * @param {(image: any) => Promise<string>} work
 */
async function withImage(session, query, bytes, work) {
  const image = await session.json("POST", `/api/images?filename=selftest.png&context=selftest${query}`, bytes);
  let told;
  try {
    told = await work(image);
  } catch (error) {
    await session.remove(image.id).catch(() => {});
    throw error;
  }
  await session.remove(image.id);
  return told;
}

/** @param {Session} session */
async function storeAndRead(session) {
  const bytes = pngOf(randomBytes(16));
  const sha256 = createHash("sha256").update(bytes).digest("hex");
  return withImage(session, `&sha256=${sha256}`, bytes, async (image) => {
    if (image.fallbackReason !== undefined) {
      throw new CheckFailed(`R2 did not take it (${image.fallbackReason}), so it went into the database`, "Look at the log line with event `storage`.");
    }
    const read = await session.bytes(`/images/${image.id}`);
    if (!read.equals(bytes)) throw new CheckFailed("other bytes came back", "Report this with the log.");
    const { images } = await session.json("GET", "/api/images?limit=10");
    if (!images.some((/** @type {{ id: string }} */ { id }) => id === image.id)) throw new CheckFailed("the list does not have it", "Report this with the log.");
    return `put, read back, compared, listed and deleted ${bytes.byteLength} bytes in ${image.storage === "r2" ? "R2" : "the database"}`;
  });
}

/** @param {Session} session */
async function signedUrl(session) {
  return withImage(session, "&visibility=private", pngOf(randomBytes(16)), async (image) => {
    const bare = await session.send("GET", `/images/${image.id}`, { token: false });
    if (bare.status !== 403) throw new CheckFailed(`a private image was answered with ${bare.status} to anyone`, "Report this as a weakness.");
    const { url } = await session.json("POST", `/api/images/${image.id}/signed-url`, { expiresInSeconds: 60 });
    const { pathname, search } = new URL(url);
    const signed = await session.send("GET", pathname + search, { token: false });
    if (signed.status !== 200) throw new CheckFailed(`the signed URL was answered with ${signed.status}`, "Check SIGNING_KEY and the clock.");
    return "opens a private image, which nothing else does";
  });
}

/** @param {Session} session */
async function publicDomain(session) {
  const { publicUrl, r2Status } = await session.json("GET", "/api/migrate-images");
  if (publicUrl === null || r2Status !== "connected") throw new Skipped("R2_PUBLIC_URL is not set, or R2 is not used");
  const bytes = pngOf(randomBytes(16));
  return withImage(session, "", bytes, async (image) => {
    const remedy = "Connect the domain to the bucket in Cloudflare's dashboard (R2, Settings, Custom Domains), or correct R2_PUBLIC_URL.";
    const answer = await session.outside(image.url);
    if (answer.status !== 200) throw new CheckFailed(`${new URL(image.url).host} answered ${answer.status}`, remedy);
    if (!Buffer.from(await answer.arrayBuffer()).equals(bytes)) throw new CheckFailed("the domain serves other bytes", remedy);
    return `${new URL(image.url).host} serves the bucket`;
  });
}

/** @param {Session} session */
async function presignedUpload(session) {
  const bytes = pngOf(randomBytes(16));
  const shoot = await session.json("POST", "/shoots", { name: "selftest" });
  try {
    const asked = { shoot_id: shoot.id, filename: "selftest.png", content_type: "image/png", file_size: bytes.byteLength };
    const { asset_id, object_key, upload } = await session.json("POST", "/uploads/presign", asked);
    const isDirect = new URL(upload.url).host !== session.url.host;
    session.s3Url = isDirect ? upload.url : undefined;
    const { "content-length": _, ...headers } = upload.headers;
    const sent = await session.outside(upload.url, { method: upload.method, headers, body: bytes });
    if (!sent.ok) {
      const remedy = isDirect ? "Check R2_ACCESS_KEY_ID, R2_SECRET_ACCESS_KEY, R2_ACCOUNT_ID and R2_BUCKET_NAME: the key must write objects of this bucket." : "Look at the log.";
      throw new CheckFailed(`the presigned PUT was answered with ${sent.status}`, remedy);
    }
    await session.json("POST", "/uploads/confirm", { asset_id, shoot_id: shoot.id, object_key });
    return isDirect ? "went to R2's S3 endpoint by the access key" : "went by way of the Worker: R2_ACCESS_KEY_ID is not set";
  } finally {
    await session.send("DELETE", `/shoots/${shoot.id}`);
  }
}

/** @param {Session} session */
async function browsers(session) {
  await preflight(session, new URL("/api/images", session.url).href, "POST", "authorization,content-type", "Correct cors-policy.json and deploy again.");
  if (session.s3Url === undefined || isLoopback(new URL(session.s3Url).hostname)) return "may use the Worker from other sites";
  await preflight(session, session.s3Url, "PUT", "content-type", "Run `npm run deploy`, which gives the bucket the rules of cors-policy.json.");
  return "may use the Worker and the bucket from other sites";
}

/**
 * @param {Session} session
 * @param {string} url
 * @param {string} method
 * @param {string} headers
 * @param {string} remedy
 */
async function preflight(session, url, method, headers, remedy) {
  const asked = { "Origin": ORIGIN, "Access-Control-Request-Method": method, "Access-Control-Request-Headers": headers };
  const answer = await session.outside(url, { method: "OPTIONS", headers: asked });
  const allowed = answer.headers.get("Access-Control-Allow-Origin");
  const methods = answer.headers.get("Access-Control-Allow-Methods") ?? "";
  if (allowed === null) throw new CheckFailed(`${new URL(url).host} allows no script of ${ORIGIN}`, `If only your own sites may, that is as it should be. Else: ${remedy}`);
  if (!methods.includes(method)) throw new CheckFailed(`${new URL(url).host} allows no ${method}`, remedy);
}

/** @param {Session} session */
async function queue(session) {
  const { r2Configured } = await session.json("GET", "/api/migrate-images");
  const { services } = await session.health();
  if (!r2Configured || services.r2_storage === "error") throw new Skipped("without a bucket that answers there are no runs");
  const begun = await session.json("POST", "/api/migrate-images", { action: "validate", source: "embedded", sampleSize: 1, background: true });
  const deadlineMs = Date.now() + QUEUE_TIMEOUT_MS;
  for (;;) {
    const { state } = await session.json("GET", `/api/migrate-images/runs/${begun.runId}`);
    if (state !== "running") return `worked on a run of one image; it is ${state}`;
    if (Date.now() > deadlineMs) {
      throw new CheckFailed("the run has not been worked on", "Bind a queue as MIGRATIONS with a consumer. Without it cron works on runs, every ten minutes.");
    }
    await sleep(250);
  }
}

/** @param {Session} session */
async function provider(session) {
  if (!session.generates) throw new Skipped("asks a provider, which may cost money: --generate does it");
  const headers = { "Idempotency-Key": randomUUID() };
  const answer = await session.json("POST", "/api/generate-image", { prompt: "a small grey square", personaId: "selftest", visibility: "private" }, headers);
  await session.remove(answer.image.id);
  if (answer.generation.fallback) throw new CheckFailed(`${answer.generation.provider} stood in: ${answer.fallbackReason}`, "Check the key and model of the first provider.");
  return `${answer.generation.provider} made an image`;
}
