// The Worker built with the feature `conformance`, in workerd with real R2 and D1.
import { readFileSync } from "node:fs";
import { join } from "node:path";

import { convertV4MiniflareOptions, Miniflare } from "miniflare";

import { applyMigrations } from "../harness/migrations.ts";
import { projectDir, readMigrations } from "../harness/project.ts";

const buildDir = join(projectDir, "build-conformance");

/**
 * Runs the Worker as it is, with a model that answers as its input says, and a bucket whose puts misbehave as the key
 * says.
 */
const ENTRY = `
import { WorkerEntrypoint } from "cloudflare:workers";
import Worker from "./index.js";

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

const ai = {
  async run(model, input, options) {
    if (input.throws) throw new Error(input.throws);
    if (input.hangs) await new Promise((_, reject) => options.signal.addEventListener("abort", reject));
    if (input.json) return { model, echo: input.json };
    const body = new ReadableStream({
      async pull(controller) {
        if (input.stalls) await sleep(60_000);
        controller.enqueue(new Uint8Array(input.bytes));
        controller.close();
      },
    });
    if (input.stream) return body;
    const type = input.type ?? "image/png";
    return new Response(input.text ?? body, { status: input.status ?? 200, headers: { "content-type": type } });
  },
};

const misbehaving = (bucket) => ({
  get: (...args) => bucket.get(...args),
  head: (...args) => bucket.head(...args),
  list: (...args) => bucket.list(...args),
  delete: (...args) => bucket.delete(...args),
  async put(key, body, options) {
    if (key.includes("fails-early")) throw new Error("put: Try again (10001)");
    if (key.includes("refuses-early") && (await bucket.head(key)) !== null) return null;
    const object = await bucket.put(key, body, options);
    if (key.includes("fails-late")) throw new Error("put: Try again (10001)");
    if (key.includes("damages")) return { size: object.size, checksums: { md5: new ArrayBuffer(16) } };
    return object;
  },
});

export default class extends WorkerEntrypoint {
  fetch(request) {
    const env = { ...this.env, AI: ai, R2_IMAGES: misbehaving(this.env.R2_IMAGES) };
    return new Worker(this.ctx, env).fetch(request);
  }
}
`;

export interface Server {
  url: (path: string) => URL;
  /** The number in the only column of the only row. */
  count: (sql: string) => Promise<number>;
  stop: () => Promise<void>;
}

export async function startServer(outbound?: (request: Request) => Promise<Response>): Promise<Server> {
  const worker = new Miniflare(
    convertV4MiniflareOptions({
      modules: [
        { type: "ESModule", path: "entry.js", contents: ENTRY },
        { type: "ESModule", path: "index.js", contents: readFileSync(join(buildDir, "index.js"), "utf8") },
        { type: "CompiledWasm", path: "index_bg.wasm", contents: readFileSync(join(buildDir, "index_bg.wasm")) },
      ],
      compatibilityDate: "2026-11-17",
      r2Buckets: ["R2_IMAGES"],
      d1Databases: ["DB"],
      bindings: { CONFORMANCE_TEXT: "t\u00e4xt", CONFORMANCE_FLAG: true, CONFORMANCE_NUMBER: 12 },
      unsafeDirectSockets: [{ host: "127.0.0.1", port: 0 }],
      ...(outbound === undefined ? {} : { outboundService: outbound }),
    } as Parameters<typeof convertV4MiniflareOptions>[0]),
  );
  await worker.ready;
  const base = await worker.unsafeGetDirectURL();
  const database = await worker.getD1Database("DB");
  await applyMigrations(database, readMigrations("migrations"));
  return {
    url: (path) => new URL(path, base),
    count: async (sql) => Number((await database.prepare(sql).raw())[0]?.[0]),
    stop: () => worker.dispose(),
  };
}
