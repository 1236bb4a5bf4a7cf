// The JavaScript heaps of the isolates in workerd, through its inspector: the Worker's own, and those of the D1 and R2 simulators.
import { once } from "node:events";

import { WebSocket } from "undici";

export type Heaps = {
  /** Bytes in use: objects, what V8 holds for workerd, and array buffers other than wasm memory. */
  worker: number;
  /** Those of all other isolates. */
  simulators: number;
};

type Usage = { usedSize: number; embedderHeapUsedSize: number; backingStorageSize: number };
type Isolate = { id: string; webSocketDebuggerUrl: string };

/** As workerd calls the isolate of a Worker of ours. */
const WORKER_PREFIX = "core:user:";

export class HeapProbe {
  #sessions: { isWorker: boolean; socket: WebSocket }[] = [];
  #requests = 0;

  /** @param inspector `RunningWorker.inspectorUrl` */
  static async open(inspector: URL): Promise<HeapProbe> {
    const probe = new HeapProbe();
    const isolates = (await (await fetch(new URL("/json", inspector))).json()) as Isolate[];
    for (const { id, webSocketDebuggerUrl } of isolates) {
      const socket = new WebSocket(webSocketDebuggerUrl);
      await once(socket as unknown as EventTarget, "open");
      probe.#sessions.push({ isWorker: id.startsWith(WORKER_PREFIX), socket });
    }
    return probe;
  }

  async read(): Promise<Heaps> {
    const heaps: Heaps = { worker: 0, simulators: 0 };
    const usages = await Promise.all(this.#sessions.map(({ socket }) => this.#usageOf(socket)));
    this.#sessions.forEach(({ isWorker }, index) => {
      const { usedSize = 0, embedderHeapUsedSize = 0, backingStorageSize = 0 } = usages[index] ?? {};
      heaps[isWorker ? "worker" : "simulators"] += usedSize + embedderHeapUsedSize + backingStorageSize;
    });
    return heaps;
  }

  close(): void {
    for (const { socket } of this.#sessions) socket.close();
  }

  /** @throws when workerd is gone */
  #usageOf(socket: WebSocket): Promise<Usage> {
    this.#requests += 1;
    const id = this.#requests;
    const answered = new AbortController();
    const usage = new Promise<Usage>((resolve, reject) => {
      const fail = () => reject(new Error("workerd ended under load"));
      if (socket.readyState !== WebSocket.OPEN) return fail();
      socket.addEventListener("close", fail, { signal: answered.signal });
      const listen = ({ data }: { data: string }) => {
        const message = JSON.parse(data) as { id?: number; result: Usage };
        if (message.id === id) resolve(message.result);
      };
      socket.addEventListener("message", listen, { signal: answered.signal });
      socket.send(JSON.stringify({ id, method: "Runtime.getHeapUsage" }));
    });
    return usage.finally(() => answered.abort());
  }
}
