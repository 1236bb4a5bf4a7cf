// What `limit` does to store, and the digests: SHA-256 of what is stored, which R2 is told; of a long stream SHA-256 and MD5, compared.
import { bodyOf, putHashed } from "./digests.ts";
import { moveAll } from "./pages.ts";

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

function migrate(env: Env): Promise<Response> {
  return moveAll(env, ({ storage_key: key, content_type: contentType, sha256 }, bytes) =>
    env.R2_IMAGES.put(key, bytes, { httpMetadata: { contentType }, sha256 }),
  );
}
