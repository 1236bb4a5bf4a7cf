/** What worker-build makes; `scripts/build.mjs` says where it is. */
declare module "worker-build" {
  import type { WorkerEntrypoint } from "cloudflare:workers";

  const Worker: new (ctx: object, env: object) => Required<Pick<WorkerEntrypoint, "fetch" | "queue" | "scheduled">>;
  export default Worker;
}

/** The codecs, which `scripts/build.mjs` puts beside the main module. */
declare module "*/codecs.wasm" {
  const module: WebAssembly.Module;
  export default module;
}
