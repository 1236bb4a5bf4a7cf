// Memory over the time of a run.
import { residentBytesOf } from "../bench/process.ts";
import type { RunningWorker } from "../tests/workerd/harness/worker.ts";
import { HeapProbe } from "./heaps.ts";

export type MemorySample = {
  /** Since the load began. */
  seconds: number;
  /** Of workerd with the D1 and R2 simulators in it; undefined where the system does not tell. */
  residentBytes: number | undefined;
  /** Of the Worker: it never shrinks. */
  wasmBytes: number;
  /** As `Heaps` says. */
  workerHeapBytes: number;
  simulatorHeapBytes: number;
};

const SAMPLE_MS = 5_000;

/** Takes samples from its start to its end, the first and the last while nothing else is asked of the Worker. */
export class MemoryWatch {
  readonly samples: MemorySample[] = [];
  #worker: RunningWorker;
  #probe: HeapProbe;
  #startMs = Date.now();
  #taking = Promise.resolve();
  #timer: NodeJS.Timeout;

  static async start(worker: RunningWorker): Promise<MemoryWatch> {
    const watch = new MemoryWatch(worker, await HeapProbe.open(worker));
    await watch.#taking;
    return watch;
  }

  private constructor(worker: RunningWorker, probe: HeapProbe) {
    this.#worker = worker;
    this.#probe = probe;
    this.#take();
    this.#timer = setInterval(() => this.#take(), SAMPLE_MS).unref();
  }

  /** @throws what kept a sample from being taken */
  async stop(): Promise<MemorySample[]> {
    clearInterval(this.#timer);
    this.#take();
    await this.#taking;
    this.#probe.close();
    return this.samples;
  }

  #take(): void {
    this.#taking = this.#taking.then(async () => {
      const [wasmBytes, heaps] = await Promise.all([this.#worker.wasmMemoryBytes(), this.#probe.read()]);
      this.samples.push({
        seconds: (Date.now() - this.#startMs) / 1_000,
        residentBytes: residentBytesOf(this.#worker.processIds),
        wasmBytes,
        workerHeapBytes: heaps.worker,
        simulatorHeapBytes: heaps.simulators,
      });
    });
    // Seen by `stop`.
    this.#taking.catch(() => {});
  }
}
