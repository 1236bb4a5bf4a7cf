// The module "cloudflare:workers" with a cache that can be purged, as a deployed Worker has it: the test process answers for it.
import { env } from "cloudflare:workers";

// @ts-expect-error The types have one value for the module, which has named exports.
export * from "cloudflare:workers";

export const cache = {
  async purge(options: unknown): Promise<unknown> {
    const answers = (env as { HARNESS_CACHE: Fetcher }).HARNESS_CACHE;
    const response = await answers.fetch("http://cache/", { method: "POST", body: JSON.stringify(options) });
    if (!response.ok) throw new Error(await response.text());
    return response.json();
  },
};
