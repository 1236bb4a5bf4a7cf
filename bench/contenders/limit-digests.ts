// What `limit` does to store, and the digests: SHA-256 of what is stored, which R2 is told; of a long stream SHA-256 and MD5, compared.
import { bodyOf, putHashed } from "./digests.ts";
import { decoded, pagesOf, readPage } from "./pages.ts";
import type { Page } from "./pages.ts";

type Env = { DB: D1Database; R2_IMAGES: R2Bucket; OPENAI_BASE_URL: string };

export default {
  async fetch(request: Request, env: Env): Promise<Response> {
    const { pathname } = new URL(request.url);
    if (pathname === "/api/images") return upload(request, env);
    if (pathname === "/api/generate-image") return generate(request, env);
    if (pathname === "/api/migrate-images") return migrate(env);
    return new Response("ok");
  },
};

async function upload(request: Request, env: Env): Promise<Response> {
  const sizeBytes = Number(request.headers.get("content-length"));
  return stored(env, 201, await bodyOf(request, sizeBytes), sizeBytes);
}

async function generate(request: Request, env: Env): Promise<Response> {
  const { prompt } = await request.json<{ prompt: string }>();
  const answer = await fetch(`${env.OPENAI_BASE_URL}/images/generations`, { method: "POST", body: JSON.stringify({ prompt }) });
  const { data } = await answer.json<{ data: { b64_json: string }[] }>();
  const bytes = Uint8Array.fromBase64(data[0]!.b64_json);
  return stored(env, 200, bytes, bytes.byteLength);
}

async function stored(env: Env, status: number, body: Uint8Array | ReadableStream, sizeBytes: number): Promise<Response> {
  const id = crypto.randomUUID();
  const key = `uploads/${id}`;
  await putHashed(env.R2_IMAGES, key, body, sizeBytes, {});
  await env.DB.prepare("INSERT INTO bench_images (id, storage_key) VALUES (?1, ?2)").bind(id, key).run();
  return Response.json({ id, key }, { status });
}

async function migrate(env: Env): Promise<Response> {
  const list = `SELECT id, storage_key, content_type, embedded_write_id, size_bytes, sha256 FROM stillstore_images
    WHERE status = 'stored' AND storage = 'd1'`;
  const { results } = await env.DB.prepare(list).all<Page[number] & { sha256: string }>();
  const pages = pagesOf(results) as (typeof results)[];
  let next = readPage(env, pages[0] ?? []);
  for (const [index, page] of pages.entries()) {
    const chunks = await next;
    next = readPage(env, pages[index + 1] ?? []);
    await Promise.all(
      page.map(({ storage_key: key, content_type: contentType, embedded_write_id: writeId, sha256 }) =>
        env.R2_IMAGES.put(key, decoded(chunks.get(writeId)!), { httpMetadata: { contentType }, sha256 }),
      ),
    );
    const update = "UPDATE stillstore_images SET storage = 'r2' WHERE id IN (SELECT value FROM json_each(?1))";
    await env.DB.prepare(update).bind(JSON.stringify(page.map(({ id }) => id))).run();
  }
  return Response.json({ migrated: results.length });
}
