// The pictures that the gallery has, kept while one looks at a single picture.
import { call } from "../api/client.ts";
import type { Image, ImagePage, StorageKind } from "../api/types.ts";

export type Filters = { personaId?: string; sessionId?: string; storage?: StorageKind };

export type Gallery = {
  filters: Filters;
  images: Image[];
  /** Undefined on the last page, null before the first. */
  cursor: string | null | undefined;
  scrollTop: number;
  listening: Set<() => void>;
  error: unknown;
  loading: Promise<void> | undefined;
};

const PAGE_SIZE = 100;

let gallery = empty({});

function empty(filters: Filters): Gallery {
  return { filters, images: [], cursor: null, scrollTop: 0, listening: new Set(), error: undefined, loading: undefined };
}

/** The gallery of these filters: the one that is there, or a new one. */
export function galleryOf(filters: Filters): Gallery {
  if (JSON.stringify(filters) !== JSON.stringify(gallery.filters)) gallery = empty(filters);
  return gallery;
}

/** Something was added, or somebody else asks. */
export function forgetGallery(): void {
  gallery = empty({});
}

/** Loads the next page, unless one is under way or none is left. */
export function loadMore(from: Gallery): Promise<void> {
  if (from.cursor === undefined) return Promise.resolve();
  from.loading ??= nextPage(from).finally(() => {
    from.loading = undefined;
    changed(from);
  });
  changed(from);
  return from.loading;
}

async function nextPage(from: Gallery): Promise<void> {
  try {
    const cursor = from.cursor ?? undefined;
    const query = { ...from.filters, limit: PAGE_SIZE, ...(cursor === undefined ? {} : { cursor }) };
    // Without `key` the answer is a page.
    const page = (await call("list-images", { query })) as ImagePage;
    const known = new Set(from.images.map(({ id }) => id));
    from.images = [...from.images, ...page.images.filter(({ id }) => !known.has(id))];
    from.cursor = page.nextCursor;
    from.error = undefined;
  } catch (error) {
    from.error = error;
  }
}

/** Takes deleted pictures out. */
export function takeOut(ids: Iterable<string>): void {
  const gone = new Set(ids);
  gallery.images = gallery.images.filter(({ id }) => !gone.has(id));
  changed(gallery);
}

function changed(from: Gallery): void {
  for (const listener of from.listening) listener();
}
