// The pictures that the gallery has, kept while one looks at a single picture.
import { call } from "../api/client.ts";
import type { Image, ImagePage, StorageKind } from "../api/types.ts";

/** The filters of a listing that are text, by their names in the API. */
export const TEXT_FILTERS = ["search", "context", "personaId", "sessionId", "ownerId", "createdFrom", "createdTo"] as const;

export type Filters = Partial<Record<(typeof TEXT_FILTERS)[number], string>> & { storage?: StorageKind };

export type Gallery = {
  filters: Filters;
  images: Image[];
  /** Undefined on the last page, null before the first. */
  cursor: string | null | undefined;
  scrollTop: number;
  listening: Set<() => void>;
  error: unknown;
  /** Whether many images were looked through for nothing, and more are left. */
  isPaused: boolean;
  loading: Promise<void> | undefined;
};

const PAGE_SIZE = 100;
/** A search that finds nothing in so many pages waits until one asks it to go on. */
const EMPTY_PAGES = 10;

let gallery = empty({});

function empty(filters: Filters): Gallery {
  return { filters, images: [], cursor: null, scrollTop: 0, listening: new Set(), error: undefined, isPaused: false, loading: undefined };
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
  from.isPaused = false;
  try {
    for (let pages = 0, before = from.images.length; pages < EMPTY_PAGES; pages += 1) {
      const cursor = from.cursor ?? undefined;
      const query = { ...from.filters, limit: PAGE_SIZE, ...(cursor === undefined ? {} : { cursor }) };
      // Without `key` the answer is a page.
      const page = (await call("list-images", { query })) as ImagePage;
      const known = new Set(from.images.map(({ id }) => id));
      from.images = [...from.images, ...page.images.filter(({ id }) => !known.has(id))];
      from.cursor = page.nextCursor;
      from.error = undefined;
      if (from.cursor === undefined || from.images.length > before) return;
    }
    from.isPaused = true;
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
