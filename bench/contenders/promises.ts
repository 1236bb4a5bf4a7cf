// The least JavaScript that keeps what Stillstore promises of each answer: digests that R2 enforces, a row before and after a put, all
// headers, a line of log for each request and each call of R2. No policy, no checks, no fallback, no recovery.
import { bodyOf, putHashed } from "./digests.ts";
import { moveAll } from "./pages.ts";
import { answerSent } from "./sent.ts";

type Env = { DB: D1Database; R2_IMAGES: R2Bucket; API_TOKEN: string; OPENAI_BASE_URL: string };

type Row = { storage: string; storage_key: string; content_type: string; size_bytes: number; sha256: string; created_at_ms: number };

type Answered = { route: string; response: Response };

const COLUMNS = "id, status, storage, storage_key, content_type, size_bytes, sha256, visibility, filename, created_at_ms, version";
const SELECT = `SELECT ${COLUMNS} FROM stillstore_images WHERE id = ?1`;
// Looked up for the row, not joined to it, which takes a fifteenth of a read longer.
const SELECT_BYTES = `SELECT ${COLUMNS}, CASE WHEN storage = 'd1' THEN
  (SELECT data FROM stillstore_chunks WHERE write_id = embedded_write_id AND chunk_index = 0) END AS data
  FROM stillstore_images WHERE id = ?1`;
const RESERVE = `INSERT INTO stillstore_images (id, status, storage, storage_key, content_type, visibility, labels, version, created_at_ms,
  updated_at_ms) VALUES (?1, 'pending', 'r2', ?2, 'image/png', 'public', '{}', 1, ?3, ?3)`;
const COMMIT = `UPDATE stillstore_images SET status = 'stored', size_bytes = ?2, sha256 = ?3, version = 2, updated_at_ms = ?4
  WHERE id = ?1 RETURNING *`;

export default {
  async fetch(request: Request, env: Env): Promise<Response> {
    const started = Date.now();
    const { pathname } = new URL(request.url);
    const { route, response } = await answer(request, env, pathname);
    log({ event: "request", method: request.method, route, status: response.status, outcome: "ok", duration_ms: Date.now() - started });
    return response;
  },
};

async function answer(request: Request, env: Env, pathname: string): Promise<Answered> {
  if (pathname.startsWith("/images/")) return { route: "serve-image", response: await serve(request, env, pathname.slice("/images/".length)) };
  if (pathname === "/api/images") return { route: "upload-image", response: await upload(request, env) };
  if (pathname === "/api/generate-image") return { route: "generate-image", response: await generate(request, env) };
  if (pathname === "/api/migrate-images") return { route: "migrate-images", response: await migrate(env) };
  const response = await answerSent(request, env, new URL(request.url), true);
  return response === undefined ? { route: "none", response: new Response("ok") } : { route: "sent", response };
}

function log(fields: object): void {
  console.log(JSON.stringify({ ...fields, request_id: crypto.randomUUID() }));
}

function logStorage(operation: string, key: string, bytes: number, started: number): void {
  log({ event: "storage", operation, backend: "r2", bucket: "R2_IMAGES", key, bytes, duration_ms: Date.now() - started, outcome: "ok" });
}

async function serve(request: Request, env: Env, id: string): Promise<Response> {
  const isPlain = !request.headers.has("range") && !request.headers.has("if-none-match");
  const statement = env.DB.prepare(isPlain ? SELECT_BYTES : SELECT).bind(id);
  const row = (await statement.first<Row & { data?: string }>())!;
  const etag = `"${row.sha256}"`;
  const headers: Record<string, string> = {
    etag,
    "last-modified": new Date(row.created_at_ms).toUTCString(),
    "cache-control": "public, max-age=31536000, immutable",
    "x-request-id": crypto.randomUUID(),
    "x-content-type-options": "nosniff",
    "access-control-allow-origin": "*",
  };
  if (request.headers.get("if-none-match") === etag) return new Response(null, { status: 304, headers });
  Object.assign(headers, {
    "content-type": row.content_type,
    "accept-ranges": "bytes",
    "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; img-src data:; sandbox",
    "cross-origin-resource-policy": "cross-origin",
    "cache-tag": id,
  });
  if (row.storage === "d1") return new Response(Uint8Array.fromBase64(row.data!), { headers });
  const started = Date.now();
  const object = (await env.R2_IMAGES.get(row.storage_key, { range: request.headers }))!;
  logStorage("get", row.storage_key, object.size, started);
  if (isPlain) return new Response(object.body, { headers });
  const { offset, length } = object.range as { offset: number; length: number };
  headers["content-range"] = `bytes ${offset}-${offset + length - 1}/${object.size}`;
  return new Response(object.body, { status: 206, headers });
}

async function upload(request: Request, env: Env): Promise<Response> {
  const sizeBytes = Number(request.headers.get("content-length"));
  return stored(env, 201, await bodyOf(request, sizeBytes), sizeBytes);
}

async function generate(request: Request, env: Env): Promise<Response> {
  const { prompt } = await request.json<{ prompt: string }>();
  const answer = await fetch(`${env.OPENAI_BASE_URL}/images/generations`, { method: "POST", body: JSON.stringify({ prompt }) });
  const { data } = await answer.json<{ data: { b64_json: string }[] }>();
  log({ event: "generation", provider: "openai", outcome: "ok" });
  const bytes = Uint8Array.fromBase64(data[0]!.b64_json);
  return stored(env, 200, bytes, bytes.byteLength);
}

/** A row, the object, and the row's other half. */
async function stored(env: Env, status: number, body: Uint8Array | ReadableStream, sizeBytes: number): Promise<Response> {
  const id = crypto.randomUUID();
  const key = `uploads/${id}`;
  await env.DB.prepare(RESERVE).bind(id, key, Date.now()).run();
  const started = Date.now();
  const sha256 = await putHashed(env.R2_IMAGES, key, body, sizeBytes, { onlyIf: { etagDoesNotMatch: "*" } });
  logStorage("put", key, sizeBytes, started);
  const record = await env.DB.prepare(COMMIT).bind(id, sizeBytes, sha256, Date.now()).first();
  return Response.json(record, { status, headers: { "x-request-id": crypto.randomUUID(), "x-content-type-options": "nosniff" } });
}

/** As `limit` does it, with R2 told the digest of each object, and a line of log for it. */
function migrate(env: Env): Promise<Response> {
  return moveAll(env, async ({ storage_key: key, content_type: contentType, sha256 }, bytes) => {
    const started = Date.now();
    const options = { httpMetadata: { contentType }, sha256, customMetadata: { sha256 }, onlyIf: { etagDoesNotMatch: "*" } };
    await env.R2_IMAGES.put(key, bytes, options);
    logStorage("put", key, bytes.byteLength, started);
  });
}
