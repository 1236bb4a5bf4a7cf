// Uploads by grants, and frames in a form, as `limit` and `promises` do them.
import { putHashed } from "./digests.ts";

type Env = { DB: D1Database; R2_IMAGES: R2Bucket; API_TOKEN: string };

/** As many puts as a Worker may have connections. */
const AT_ONCE = 6;
const LOOKED_AT_BYTES = 65_536;

/** Undefined for another path. `isPromised` adds what Stillstore promises: signatures, digests that R2 enforces, a look at the bytes. */
export async function answerSent(request: Request, env: Env, url: URL, isPromised: boolean): Promise<Response | undefined> {
  if (url.pathname === "/uploads/presign") return presign(env, url, isPromised);
  if (url.pathname === "/uploads/confirm") return confirm(request, env, isPromised);
  if (url.pathname.startsWith("/uploads/")) return put(request, env, url, isPromised);
  if (url.pathname.startsWith("/sessions/")) return frames(request, env, url, isPromised);
  return undefined;
}

async function presign(env: Env, url: URL, isPromised: boolean): Promise<Response> {
  const id = crypto.randomUUID();
  await env.DB.prepare("INSERT INTO bench_uploads (id) VALUES (?1)").bind(id).run();
  const path = `/uploads/${id}`;
  const query = isPromised ? `?signature=${await signature(env, path)}` : "";
  return Response.json({ asset_id: id, object_key: path, upload: { url: `${url.origin}${path}${query}`, headers: {} } });
}

async function put(request: Request, env: Env, { pathname, searchParams }: URL, isPromised: boolean): Promise<Response> {
  const key = pathname.slice(1);
  if (!isPromised) {
    await env.R2_IMAGES.put(key, request.body);
    return new Response("ok");
  }
  if (searchParams.get("signature") !== (await signature(env, pathname))) return new Response("refused", { status: 403 });
  const bytes = new Uint8Array(await request.arrayBuffer());
  await putHashed(env.R2_IMAGES, key, bytes, bytes.byteLength, { onlyIf: { etagDoesNotMatch: "*" } });
  return new Response("ok");
}

async function confirm(request: Request, env: Env, isPromised: boolean): Promise<Response> {
  const { asset_id: id } = await request.json<{ asset_id: string }>();
  const key = `uploads/${id}`;
  const size = isPromised ? await lookAt(env, key) : (await env.R2_IMAGES.head(key))!.size;
  await env.DB.batch([
    env.DB.prepare("INSERT INTO bench_images (id, storage_key) VALUES (?1, ?2)").bind(id, key),
    env.DB.prepare("DELETE FROM bench_uploads WHERE id = ?1").bind(id),
  ]);
  return Response.json({ id, file_size: size });
}

/** Reads the beginning of an object, and answers with its length. */
async function lookAt(env: Env, key: string): Promise<number> {
  const object = (await env.R2_IMAGES.get(key, { range: { offset: 0, length: LOOKED_AT_BYTES } }))!;
  await object.arrayBuffer();
  return object.size;
}

async function frames(request: Request, env: Env, url: URL, isPromised: boolean): Promise<Response> {
  const prefix = url.pathname.split("/")[2];
  const files = [...(await request.formData())] as [string, File][];
  for (let from = 0; from < files.length; from += AT_ONCE) {
    const puts = files.slice(from, from + AT_ONCE).map(async ([name, file]) => {
      const bytes = new Uint8Array(await file.arrayBuffer());
      const key = `frames/${prefix}/${name}`;
      if (isPromised) await putHashed(env.R2_IMAGES, key, bytes, bytes.byteLength, { onlyIf: { etagDoesNotMatch: "*" } });
      else await env.R2_IMAGES.put(key, bytes);
    });
    await Promise.all(puts);
  }
  const insert = env.DB.prepare("INSERT INTO bench_images (id, storage_key) VALUES (?1, ?2)");
  await env.DB.batch(files.map(([name]) => insert.bind(crypto.randomUUID(), `frames/${prefix}/${name}`)));
  return Response.json({ stored: files.length }, { status: 201 });
}

async function signature(env: Env, message: string): Promise<string> {
  const algorithm = { name: "HMAC", hash: "SHA-256" };
  const key = await crypto.subtle.importKey("raw", new TextEncoder().encode(env.API_TOKEN), algorithm, false, ["sign"]);
  return new Uint8Array(await crypto.subtle.sign("HMAC", key, new TextEncoder().encode(message))).toHex();
}
