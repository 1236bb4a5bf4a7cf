// The cache in front of the Worker (Workers Cache), which only a deployed Worker has.
import * as workers from "cloudflare:workers";

/**
 * Makes the cache forget what carries the tag, everywhere. A Worker without the cache in front has nothing to purge.
 * @param {string} tag
 */
export async function purge(tag) {
  const cache = /** @type {{ purge?: (options: { tags: string[] }) => Promise<unknown> } | undefined} */ (
    Reflect.get(workers, "cache")
  );
  if (typeof cache?.purge === "function") await cache.purge({ tags: [tag] });
}
