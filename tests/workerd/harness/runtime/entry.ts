// The main module of a Worker under test: it runs the built Worker with its bindings intercepted, and has a second
// entry point, on a socket of its own, through which the test process looks in and plans faults.
import { codecInstances, wasmMemoryBytes } from "./wasm-memory.ts";
import { takeWasmTraffic } from "./wasm-traffic.ts";
import { WorkerEntrypoint } from "cloudflare:workers";

import worker from "../worker/index.js";
import type { Fault } from "../fault-plan.ts";
import { Ai } from "./ai.ts";
import { interceptBindings } from "./bindings.ts";
import { calls, forgetCalls, setFaults } from "./faults.ts";

export * from "../worker/index.js";

/** Bindings for this module, which the Worker does not see. */
type HarnessEnv = { HARNESS_FAULTS?: string; HARNESS_AI?: Fetcher; HARNESS_CACHE?: Fetcher; HARNESS_WASM_TRAFFIC?: string };

type Handlers = Required<Pick<ExportedHandler<any>, "fetch" | "queue" | "scheduled">>;

export default class extends WorkerEntrypoint<HarnessEnv> {
  override fetch(request: Request) {
    return this.#handler("fetch")(request as Parameters<Handlers["fetch"]>[0]);
  }

  override queue(batch: MessageBatch) {
    return this.#handler("queue")(batch);
  }

  override scheduled(controller: ScheduledController) {
    return this.#handler("scheduled")(controller);
  }

  /** A Worker is an object of handlers, or, as worker-build makes it, a class. */
  #handler<K extends keyof Handlers>(name: K): (event: Parameters<Handlers[K]>[0]) => any {
    const env = workerEnvironment(this.env);
    if (typeof worker === "function") {
      const instance = new worker(this.ctx, env);
      return (event) => instance[name](event);
    }
    return (event) => worker[name](event, env, this.ctx);
  }
}

/** The Worker keeps what it made of an environment while it is handed the same one, as the platform does. */
const environments = new WeakMap<HarnessEnv, Record<string, unknown>>();

function workerEnvironment(harnessEnv: HarnessEnv): Record<string, unknown> {
  const known = environments.get(harnessEnv);
  if (known !== undefined) return known;
  const { HARNESS_FAULTS, HARNESS_AI, HARNESS_CACHE: _, HARNESS_WASM_TRAFFIC: __, ...bindings } = harnessEnv;
  const env = HARNESS_AI === undefined ? bindings : { ...bindings, AI: new Ai(HARNESS_AI) };
  const made = HARNESS_FAULTS === undefined ? env : interceptBindings(env);
  environments.set(harnessEnv, made);
  return made;
}

export class HarnessControl extends WorkerEntrypoint<HarnessEnv> {
  override async fetch(request: Request): Promise<Response> {
    const route = `${request.method} ${new URL(request.url).pathname}`;
    if (this.env.HARNESS_FAULTS === undefined && !route.includes("/wasm-")) {
      return new Response("the Worker was started without `faults: true`", { status: 409 });
    }
    switch (route) {
      case "PUT /faults":
        setFaults(await request.json<Fault[]>());
        return Response.json(null);
      case "GET /calls":
        return Response.json(calls());
      case "DELETE /calls":
        forgetCalls();
        return Response.json(null);
      case "GET /wasm-memory":
        return Response.json(wasmMemoryBytes() ?? null);
      case "GET /wasm-codecs":
        return Response.json(codecInstances());
      case "DELETE /wasm-traffic":
        return Response.json(takeWasmTraffic());
      default:
        return new Response("no such control", { status: 404 });
    }
  }
}
