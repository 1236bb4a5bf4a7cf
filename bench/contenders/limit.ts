// The least JavaScript that moves the bytes: no checks, no policy, no catalogue, no recovery. What the platform allows.
import { decoded, moveAll } from "./pages.ts";
import { answerSent } from "./sent.ts";

type Env = { DB: D1Database; R2_IMAGES: R2Bucket; API_TOKEN: string; OPENAI_BASE_URL: string };

type Row = { storage: string; storage_key: string; content_type: string; sha256: string; embedded_write_id: string | null };

export default {
  async fetch(request: Request, env: Env): Promise<Response> {
    const url = new URL(request.url);
    const { pathname } = url;
    if (pathname.startsWith("/images/")) return serve(request, env, pathname.slice("/images/".length));
    if (pathname === "/api/images") return upload(request, env);
    if (pathname === "/api/generate-image") return generate(request, env);
    if (pathname === "/api/migrate-images") return migrate(env);
    return (await answerSent(request, env, url, false)) ?? new Response("ok");
  },
};

async function serve(request: Request, env: Env, id: string): Promise<Response> {
  const sql = "SELECT storage, storage_key, content_type, sha256, embedded_write_id FROM stillstore_images WHERE id = ?1";
  const row = (await env.DB.prepare(sql).bind(id).first<Row>())!;
  const etag = `"${row.sha256}"`;
  if (request.headers.get("if-none-match") === etag) return new Response(null, { status: 304, headers: { etag } });
  const headers = new Headers({ etag, "content-type": row.content_type });
  if (row.storage === "d1") return new Response(await embeddedBytes(env, row.embedded_write_id!), { headers });
  const object = (await env.R2_IMAGES.get(row.storage_key, { range: request.headers }))!;
  if (!request.headers.has("range")) return new Response(object.body, { headers });
  const { offset, length } = object.range as { offset: number; length: number };
  headers.set("content-range", `bytes ${offset}-${offset + length - 1}/${object.size}`);
  return new Response(object.body, { status: 206, headers });
}

async function embeddedBytes(env: Env, writeId: string): Promise<Uint8Array> {
  const sql = "SELECT data FROM stillstore_chunks WHERE write_id = ?1 ORDER BY chunk_index";
  const { results } = await env.DB.prepare(sql).bind(writeId).all<{ data: string }>();
  return decoded(results.map(({ data }) => data));
}

async function upload(request: Request, env: Env): Promise<Response> {
  const id = crypto.randomUUID();
  await env.R2_IMAGES.put(`uploads/${id}`, request.body);
  return stored(env, id, `uploads/${id}`);
}

async function generate(request: Request, env: Env): Promise<Response> {
  const { prompt } = await request.json<{ prompt: string }>();
  const answer = await fetch(`${env.OPENAI_BASE_URL}/images/generations`, { method: "POST", body: JSON.stringify({ prompt }) });
  const { data } = await answer.json<{ data: { b64_json: string }[] }>();
  const id = crypto.randomUUID();
  await env.R2_IMAGES.put(`generated/${id}`, Uint8Array.fromBase64(data[0]!.b64_json));
  return stored(env, id, `generated/${id}`);
}

async function stored(env: Env, id: string, key: string): Promise<Response> {
  await env.DB.prepare("INSERT INTO bench_images (id, storage_key) VALUES (?1, ?2)").bind(id, key).run();
  return Response.json({ id, key });
}

function migrate(env: Env): Promise<Response> {
  return moveAll(env, ({ storage_key: key, content_type: contentType }, bytes) =>
    env.R2_IMAGES.put(key, bytes, { httpMetadata: { contentType } }),
  );
}
