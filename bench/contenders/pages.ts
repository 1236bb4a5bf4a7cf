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
