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
  const upload = /^\/uploads\/([0-9a-f-]{36})$/.exec(url.pathname)?.[1];
  if (request.method === "PUT" && upload !== undefined) return putUpload(request, env, url, upload);
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
    case "POST /uploads/presign":
      return presign(request, env, url);
    case "POST /uploads/confirm":
      return confirmUpload(request, env);
  }
  const session = /^\/sessions\/([\w-]{1,128})\/frames$/.exec(url.pathname)?.[1];
  if (request.method === "POST" && session !== undefined) return uploadFrames(request, env, session);
  return Response.json({ error: "not found" }, { status: 404 });
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

async function presign(request: Request, env: Env, url: URL): Promise<Response> {
  const { content_type: contentType } = await request.json<{ content_type?: unknown }>();
  if (typeof contentType !== "string" || !contentType.startsWith("image/")) {
    return Response.json({ error: "content_type must be an image's" }, { status: 400 });
  }
  const id = crypto.randomUUID();
  await env.DB.prepare("INSERT INTO bench_uploads (id) VALUES (?)").bind(id).run();
  const expires = Math.floor(Date.now() / 1000) + 3600;
  const signature = await sign(env, `${id}:${expires}`);
  const put = `${url.origin}/uploads/${id}?expires=${expires}&signature=${signature}`;
  return Response.json({ asset_id: id, object_key: `uploads/${id}`, upload: { url: put, headers: { "content-type": contentType } } });
}

async function putUpload(request: Request, env: Env, url: URL, id: string): Promise<Response> {
  const expires = url.searchParams.get("expires") ?? "";
  const isSigned = url.searchParams.get("signature") === (await sign(env, `${id}:${expires}`));
  if (!isSigned || Number(expires) * 1000 < Date.now()) return Response.json({ error: "forbidden" }, { status: 403 });
  const contentType = request.headers.get("content-type") ?? "image/png";
  await env.R2_IMAGES.put(`uploads/${id}`, request.body, { httpMetadata: { contentType } });
  return Response.json({ id });
}

async function confirmUpload(request: Request, env: Env): Promise<Response> {
  const { asset_id: id } = await request.json<{ asset_id?: unknown }>();
  if (typeof id !== "string") return Response.json({ error: "asset_id is required" }, { status: 400 });
  const upload = await env.DB.prepare("SELECT id FROM bench_uploads WHERE id = ?").bind(id).first();
  if (upload === null) return Response.json({ error: "not found" }, { status: 404 });
  const object = await env.R2_IMAGES.head(`uploads/${id}`);
  if (object === null) return Response.json({ error: "nothing was uploaded" }, { status: 409 });
  await env.DB.prepare("DELETE FROM bench_uploads WHERE id = ?").bind(id).run();
  return saveImage(env, id, object.key, 200);
}

async function uploadFrames(request: Request, env: Env, session: string): Promise<Response> {
  const form = await request.formData();
  let stored = 0;
  for (const [name, file] of form) {
    if (typeof file === "string") continue;
    const key = `frames/${session}/${name.padStart(4, "0")}.png`;
    await env.R2_IMAGES.put(key, await file.arrayBuffer(), { httpMetadata: { contentType: file.type } });
    await env.DB.prepare("INSERT INTO bench_images (id, storage_key) VALUES (?, ?)").bind(crypto.randomUUID(), key).run();
    stored += 1;
  }
  return Response.json({ stored }, { status: 201 });
}

async function sign(env: Env, message: string): Promise<string> {
  const encoder = new TextEncoder();
  const key = await crypto.subtle.importKey("raw", encoder.encode(env.API_TOKEN), { name: "HMAC", hash: "SHA-256" }, false, ["sign"]);
  const signature = await crypto.subtle.sign("HMAC", key, encoder.encode(message));
  return [...new Uint8Array(signature)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
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
