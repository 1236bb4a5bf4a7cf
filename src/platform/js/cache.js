// The cache in front of the Worker (Workers Cache), which only a deployed Worker has.
import * as workers from "cloudflare:workers";

/**
 * Makes the cache forget what carries any of the tags, everywhere. Throws when it did not take that: a purge over the rate limit resolves,
 * without success. A Worker without the cache in front has nothing to purge.
 * @param {string[]} tags
 */
export async function purge(tags) {
  const cache = /** @type {{ purge?: (options: { tags: string[] }) => Promise<unknown> } | undefined} */ (
    Reflect.get(workers, "cache")
  );
  if (typeof cache?.purge !== "function") return;
  const result = /** @type {{ success?: unknown, errors?: unknown } | undefined} */ (await cache.purge({ tags }));
  if (result?.success !== true) throw new Error(`the cache refused a purge: ${JSON.stringify(result?.errors ?? null)}`);
}
