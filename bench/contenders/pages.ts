// Moving embedded images by the page.

type Env = { DB: D1Database; R2_IMAGES: R2Bucket };

export type Image = {
  id: string;
  storage_key: string;
  content_type: string;
  embedded_write_id: string;
  size_bytes: number;
  sha256: string;
};
type Page = Image[];

/** An isolate has 128 MB; a page is there as text and as bytes, and the next one beside it: 8 MB x (4/3 + 1) x 2 = 37 MB. */
const PAGE_BYTES = 8_000_000;

/** Moves all: pages of a few megabytes, the next one read while the objects of this one are put, all at once. */
export async function moveAll(env: Env, put: (image: Image, bytes: Uint8Array) => Promise<unknown>): Promise<Response> {
  const list = `SELECT id, storage_key, content_type, embedded_write_id, size_bytes, sha256 FROM stillstore_images
    WHERE status = 'stored' AND storage = 'd1'`;
  const { results } = await env.DB.prepare(list).all<Image>();
  const pages = pagesOf(results);
  let next = readPage(env, pages[0] ?? []);
  for (const [index, page] of pages.entries()) {
    const chunks = await next;
    next = readPage(env, pages[index + 1] ?? []);
    await Promise.all(page.map((image) => put(image, decoded(chunks.get(image.embedded_write_id)!))));
    const update = "UPDATE stillstore_images SET storage = 'r2' WHERE id IN (SELECT value FROM json_each(?1))";
    await env.DB.prepare(update).bind(JSON.stringify(page.map(({ id }) => id))).run();
  }
  return Response.json({ migrated: results.length });
}

/** The rows in pages of a bounded number of bytes, at least one row each. */
function pagesOf(rows: Page): Page[] {
  const pages: Page[] = [];
  let bytes = PAGE_BYTES;
  for (const row of rows) {
    if (bytes + row.size_bytes > PAGE_BYTES) {
      pages.push([]);
      bytes = 0;
    }
    pages.at(-1)?.push(row);
    bytes += row.size_bytes;
  }
  return pages;
}

/** Their chunks, by write. */
async function readPage(env: Env, page: Page): Promise<Map<string, string[]>> {
  const chunks = new Map<string, string[]>();
  if (page.length === 0) return chunks;
  const sql = `SELECT write_id, data FROM json_each(?1) CROSS JOIN stillstore_chunks ON write_id = value ORDER BY write_id, chunk_index`;
  const writes = JSON.stringify(page.map(({ embedded_write_id: id }) => id));
  const { results } = await env.DB.prepare(sql).bind(writes).all<{ write_id: string; data: string }>();
  for (const { write_id: id, data } of results) chunks.set(id, [...(chunks.get(id) ?? []), data]);
  return chunks;
}

/** The bytes of an image's chunks. */
export function decoded(chunks: string[]): Uint8Array {
  if (chunks.length === 1) return Uint8Array.fromBase64(chunks[0]!);
  const parts = chunks.map((chunk) => Uint8Array.fromBase64(chunk));
  const bytes = new Uint8Array(parts.reduce((size, part) => size + part.length, 0));
  let filled = 0;
  for (const part of parts) {
    bytes.set(part, filled);
    filled += part.length;
  }
  return bytes;
}
