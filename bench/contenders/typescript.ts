// What a competent developer writes in an afternoon from the documentation of R2 and D1: it checks the token and the request, answers
// ranges and conditions as R2's own examples do, and migrates in pages, a few images at a time.

type Env = { DB: D1Database; R2_IMAGES: R2Bucket; API_TOKEN: string; OPENAI_BASE_URL: string };

type Row = { id: string; storage: string; storage_key: string; content_type: string; sha256: string; embedded_write_id: string | null };

const PAGE_ROWS = 10;
const CONCURRENCY = 5;
const CACHE_CONTROL = "public, max-age=31536000, immutable";

export default {
  async fetch(request: Request, env: Env): Promise<Response> {
    try {
      return await route(request, env);
    } catch (error) {
      console.error(error);
      return Response.json({ error: "internal error" }, { status: 500 });
    }
  },
};

async function route(request: Request, env: Env): Promise<Response> {
  const url = new URL(request.url);
  const image = /^\/images\/([0-9a-f-]{36})$/.exec(url.pathname);
  if (request.method === "GET" && image?.[1] !== undefined) return serveImage(request, env, image[1]);
  if (request.headers.get("authorization") !== `Bearer ${env.API_TOKEN}`) {
    return Response.json({ error: "unauthorized" }, { status: 401 });
  }
  switch (`${request.method} ${url.pathname}`) {
    case "POST /api/images":
      return uploadImage(request, env);
    case "POST /api/generate-image":
      return generateImage(request, env);
    case "POST /api/migrate-images":
      return migrateImages(env);
    default:
      return Response.json({ error: "not found" }, { status: 404 });
  }
}

async function serveImage(request: Request, env: Env, id: string): Promise<Response> {
  const row = await env.DB.prepare("SELECT * FROM stillstore_images WHERE id = ? AND status = 'stored'").bind(id).first<Row>();
  if (row === null) return Response.json({ error: "not found" }, { status: 404 });
  if (row.storage === "d1") return serveEmbedded(env, row);

  const object = await env.R2_IMAGES.get(row.storage_key, { range: request.headers, onlyIf: request.headers });
  if (object === null) return Response.json({ error: "not found" }, { status: 404 });
  const headers = new Headers();
  object.writeHttpMetadata(headers);
  headers.set("etag", object.httpEtag);
  headers.set("cache-control", CACHE_CONTROL);
  if (!("body" in object)) return new Response(null, { status: 304, headers });
  if (!request.headers.has("range")) return new Response(object.body, { headers });
  const { offset = 0, length = object.size } = object.range as { offset?: number; length?: number };
  headers.set("content-range", `bytes ${offset}-${offset + length - 1}/${object.size}`);
  return new Response(object.body, { status: 206, headers });
}

async function serveEmbedded(env: Env, row: Row): Promise<Response> {
  const headers = { "content-type": row.content_type, "cache-control": CACHE_CONTROL, etag: `"${row.sha256}"` };
  return new Response(await readEmbedded(env, row), { headers });
}

async function readEmbedded(env: Env, row: Row): Promise<Uint8Array> {
  const { results } = await env.DB.prepare("SELECT data FROM stillstore_chunks WHERE write_id = ? ORDER BY chunk_index")
    .bind(row.embedded_write_id)
    .all<{ data: string }>();
  return concatenate(results.map(({ data }) => base64ToBytes(data)));
}

function base64ToBytes(base64: string): Uint8Array {
  const binary = atob(base64);
  const bytes = new Uint8Array(binary.length);
  for (let i = 0; i < binary.length; i++) bytes[i] = binary.charCodeAt(i);
  return bytes;
}

function concatenate(parts: Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((size, part) => size + part.length, 0));
  let offset = 0;
  for (const part of parts) {
    whole.set(part, offset);
    offset += part.length;
  }
  return whole;
}

async function uploadImage(request: Request, env: Env): Promise<Response> {
  if (request.body === null) return Response.json({ error: "no body" }, { status: 400 });
  const id = crypto.randomUUID();
  const contentType = request.headers.get("content-type") ?? "image/png";
  const object = await env.R2_IMAGES.put(`uploads/${id}`, request.body, { httpMetadata: { contentType } });
  return saveImage(env, id, object.key, 201);
}

async function generateImage(request: Request, env: Env): Promise<Response> {
  const { prompt } = await request.json<{ prompt?: unknown }>();
  if (typeof prompt !== "string" || prompt === "") return Response.json({ error: "prompt is required" }, { status: 400 });
  const response = await fetch(`${env.OPENAI_BASE_URL}/images/generations`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ prompt, n: 1, size: "1024x1024" }),
  });
  if (!response.ok) return Response.json({ error: "the provider failed" }, { status: 502 });
  const { data } = await response.json<{ data: { b64_json: string }[] }>();
  if (data[0] === undefined) return Response.json({ error: "the provider sent no image" }, { status: 502 });
  const id = crypto.randomUUID();
  const object = await env.R2_IMAGES.put(`generated/${id}.png`, base64ToBytes(data[0].b64_json), {
    httpMetadata: { contentType: "image/png", cacheControl: CACHE_CONTROL },
  });
  return saveImage(env, id, object.key, 200);
}

async function saveImage(env: Env, id: string, key: string, status: number): Promise<Response> {
  await env.DB.prepare("INSERT INTO bench_images (id, storage_key) VALUES (?, ?)").bind(id, key).run();
  return Response.json({ id, key, imageUrl: `/images/${id}` }, { status });
}

async function migrateImages(env: Env): Promise<Response> {
  let migrated = 0;
  for (;;) {
    const { results } = await env.DB.prepare("SELECT * FROM stillstore_images WHERE storage = 'd1' AND status = 'stored' LIMIT ?")
      .bind(PAGE_ROWS)
      .all<Row>();
    if (results.length === 0) return Response.json({ migrated });
    for (let i = 0; i < results.length; i += CONCURRENCY) {
      await Promise.all(results.slice(i, i + CONCURRENCY).map((row) => migrateImage(env, row)));
    }
    migrated += results.length;
  }
}

async function migrateImage(env: Env, row: Row): Promise<void> {
  const bytes = await readEmbedded(env, row);
  await env.R2_IMAGES.put(row.storage_key, bytes, { httpMetadata: { contentType: row.content_type } });
  await env.DB.prepare("UPDATE stillstore_images SET storage = 'r2' WHERE id = ?").bind(row.id).run();
}
