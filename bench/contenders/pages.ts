// Reading embedded images by the page.

export type Page = { id: string; storage_key: string; content_type: string; embedded_write_id: string; size_bytes: number }[];

/** An isolate has 128 MB; a page is there as text and as bytes, and the next one beside it: 8 MB x (4/3 + 1) x 2 = 37 MB. */
const PAGE_BYTES = 8_000_000;

/** The rows in pages of a bounded number of bytes, at least one row each. */
export function pagesOf(rows: Page): Page[] {
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
export async function readPage(env: { DB: D1Database }, page: Page): Promise<Map<string, string[]>> {
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
