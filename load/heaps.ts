// The JavaScript heaps of the isolates in workerd, through its inspector: the Worker's own, and those of the D1 and R2 simulators.
// The Worker's is collected first: what the next collection frees, 5 to 20 MB under load, would hide what is held.
import { once } from "node:events";

import { WebSocket } from "undici";

import type { RunningWorker } from "../tests/workerd/harness/worker.ts";

export type Heaps = {
  /** Bytes in use behind a collection: objects, what V8 holds for workerd, and array buffers other than wasm memory. */
  worker: number;
  /** Those of all other isolates, with what their next collections free. */
  simulators: number;
};

type Usage = { usedSize: number; embedderHeapUsedSize: number; backingStorageSize: number };
type Isolate = { id: string; webSocketDebuggerUrl: string };

/** As workerd calls the isolate of a Worker of ours. */
const WORKER_PREFIX = "core:user:";

export class HeapProbe {
  #sessions: { isWorker: boolean; session: Session }[] = [];
  #worker: RunningWorker;

  private constructor(worker: RunningWorker) {
    this.#worker = worker;
  }

  /** @param worker with its inspector open */
  static async open(worker: RunningWorker): Promise<HeapProbe> {
    const probe = new HeapProbe(worker);
    const isolates = (await (await fetch(new URL("/json", await worker.inspectorUrl()))).json()) as Isolate[];
    for (const { id, webSocketDebuggerUrl } of isolates) {
      probe.#sessions.push({ isWorker: id.startsWith(WORKER_PREFIX), session: await Session.open(webSocketDebuggerUrl) });
    }
    return probe;
  }

  /** @throws when workerd is gone */
  async read(): Promise<Heaps> {
    const heaps: Heaps = { worker: 0, simulators: 0 };
    const read = async ({ isWorker, session }: { isWorker: boolean; session: Session }) => {
      if (isWorker) await this.#collect(session);
      const { usedSize, embedderHeapUsedSize, backingStorageSize } = (await session.ask("Runtime.getHeapUsage")) as Usage;
      heaps[isWorker ? "worker" : "simulators"] += usedSize + embedderHeapUsedSize + backingStorageSize;
    };
    await Promise.all(this.#sessions.map(read));
    return heaps;
  }

  close(): void {
    for (const { session } of this.#sessions) session.close();
  }

  /** V8 collects in a task of its own, which workerd comes to with the next request to that isolate. */
  async #collect(session: Session): Promise<void> {
    let isCollected = false;
    const collected = session.ask("HeapProfiler.collectGarbage").finally(() => (isCollected = true));
    const wake = async () => {
      while (!isCollected) await this.#worker.wasmMemoryBytes();
    };
    await Promise.all([collected, wake()]);
  }
}

type Answer = { id?: number; result?: unknown; error?: { message: string } };

/** Of the inspector with one isolate. */
class Session {
  #socket: WebSocket;
  #requests = 0;
  #pending = new Map<number, PromiseWithResolvers<unknown>>();

  static async open(url: string): Promise<Session> {
    const socket = new WebSocket(url);
    await once(socket as unknown as EventTarget, "open");
    return new Session(socket);
  }

  private constructor(socket: WebSocket) {
    this.#socket = socket;
    socket.addEventListener("message", ({ data }: { data: string }) => this.#settle(JSON.parse(data) as Answer));
    socket.addEventListener("close", () => {
      for (const { reject } of this.#pending.values()) reject(new Error("workerd ended under load"));
    });
  }

  /** @throws when workerd is gone, or refuses */
  ask(method: string): Promise<unknown> {
    if (this.#socket.readyState !== WebSocket.OPEN) return Promise.reject(new Error("workerd ended under load"));
    this.#requests += 1;
    const answer = Promise.withResolvers<unknown>();
    this.#pending.set(this.#requests, answer);
    this.#socket.send(JSON.stringify({ id: this.#requests, method }));
    return answer.promise;
  }

  close(): void {
    this.#socket.close();
  }

  #settle({ id, result, error }: Answer): void {
    const answer = id === undefined ? undefined : this.#pending.get(id);
    if (id === undefined || answer === undefined) return;
    this.#pending.delete(id);
    if (error === undefined) answer.resolve(result);
    else answer.reject(new Error(`workerd's inspector: ${error.message}`));
  }
}
