// The Worker built with the feature `conformance`, with bindings that misbehave when a test asks for it.
import { builtWorker, sourceWorker } from "../harness/modules.ts";
import type { Modules } from "../harness/modules.ts";
import { startWorker } from "../harness/worker.ts";
import type { RunningWorker, WorkerSettings } from "../harness/worker.ts";

/** A model that answers as its input says, and a bucket whose puts go wrong as the key says. */
const ENTRY = `
import Worker from "./built/index.js";

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

const ai = {
  async run(model, input, options) {
    if (input.throws) throw new Error(input.throws);
    if (input.hangs) await new Promise((_, reject) => options.signal.addEventListener("abort", reject));
    if (input.json) return { model, echo: input.json };
    if (!options.returnRawResponse) throw new Error("the answer would be read without a limit");
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
  createMultipartUpload: (...args) => bucket.createMultipartUpload(...args),
  resumeMultipartUpload: (...args) => bucket.resumeMultipartUpload(...args),
  async put(key, body, options) {
    if (key.includes("fails-early")) throw new Error("put: Try again (10001)");
    if (key.includes("refuses-early") && (await bucket.head(key)) !== null) return null;
    const object = await bucket.put(key, body, options);
    if (key.includes("fails-late")) throw new Error("put: Try again (10001)");
    if (key.includes("damages")) return { size: object.size, checksums: { md5: new ArrayBuffer(16) } };
    return object;
  },
});

const environments = new WeakMap();

export default {
  ...Worker,
  fetch(request, bound, ctx) {
    let env = environments.get(bound);
    if (env === undefined) {
      env = { ...bound, AI: ai, R2_IMAGES: misbehaving(bound.R2_IMAGES) };
      environments.set(bound, env);
    }
    return Worker.fetch(request, env, ctx);
  },
};
`;

export function startConformance(settings: WorkerSettings = {}): Promise<RunningWorker> {
  const worker: Modules = sourceWorker(ENTRY);
  for (const [path, module] of Object.entries(builtWorker("build-conformance"))) {
    worker[path.replace("worker/", "worker/built/")] = module;
  }
  return startWorker({ ...settings, worker });
}
