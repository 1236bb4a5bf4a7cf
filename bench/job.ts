// A job is data and the cases that are measured on it. Running one takes it through its rounds, checks what came of each, and looks at
// memory.
import { CONTENDERS } from "./contenders.ts";
import type { Contender, Entrant, Variant } from "./contenders.ts";
import type { LoadClient } from "./load.ts";
import { interleaved, shareOf } from "./measure.ts";
import type { Sample } from "./measure.ts";
import { cpuMsOf, peakResidentBytesOf } from "./process.ts";
import { discard, open, prepare } from "./stage.ts";
import type { Opened, Stage } from "./stage.ts";
import type { RunningWorker, WorkerSettings } from "../tests/workerd/harness/worker.ts";

export type Scene<Seed> = { contender: Entrant; worker: RunningWorker; seed: Seed; load: LoadClient };

/** How much was done, in how long. */
export type Work = { units: number; seconds: number };

/** Stillstore's rate as a multiple of another's. */
export type Target = { against: "limit" | "typescript"; atLeast: number };

export type Case<Seed> = {
  name: string;
  title: string;
  unit: string;
  targets: Target[];
  rounds: number;
  measure(scene: Scene<Seed>): Promise<Work>;
  /** Throws unless the bytes are right. Outside of what is measured. */
  verify(scene: Scene<Seed>): Promise<void>;
};

export type Job<Seed> = {
  name: string;
  plantVars?: WorkerSettings["vars"];
  vars?: WorkerSettings["vars"];
  /** Each measurement gets data and a process of its own, since it uses the data up; otherwise {@link SETS} processes serve all rounds. */
  fresh?: true;
  /** Measured beside the contenders. */
  variants?: Variant[];
  plant(worker: RunningWorker): Promise<Seed>;
  cases: Case<Seed>[];
};

export type Row = Pick<Case<unknown>, "name" | "title" | "unit" | "targets"> & {
  samples: Record<Contender, Sample[]> & Partial<Record<Entrant, Sample[]>>;
};

/** The most that was held at once, in bytes. */
export type Memory = { wasm: number | undefined; resident: number | undefined };

export type JobResult = { rows: Row[]; memory: Record<Contender, Memory> };

/** How often the processes are started anew: two of one program differ by up to a tenth, for as long as they live. */
const SETS = 10;

/** V8 takes a few hundred requests to compile the JavaScript that they run; how a Worker starts is a job of its own. */
const WARM_UP_MS = 4_000;

type Tools = { load: LoadClient; say(text: string): void; maxRounds: number; quick: boolean };

export async function runJob<Seed>(job: Job<Seed>, { load, say, maxRounds, quick }: Tools): Promise<JobResult> {
  say(`${job.name}: preparing the data`);
  const stage = await prepare(job.plant, job);
  const entrants: Entrant[] = [...CONTENDERS, ...(job.variants ?? [])];
  const rows = job.cases.map(({ name, title, unit, targets }) => ({ name, title, unit, targets, samples: noSamples(entrants) }));
  const processes = new Processes(stage);
  const sets = job.fresh ? Math.min(maxRounds, Math.max(...job.cases.map(({ rounds }) => rounds))) : quick ? 1 : SETS;
  const sceneOf = async (contender: Entrant) => ({ contender, worker: await processes.of(contender), seed: stage.seed, load });
  for (let set = 0; set < sets; set += 1) {
    // Each set begins with another contender, to start and to measure.
    const order = [...entrants.slice(set % entrants.length), ...entrants.slice(0, set % entrants.length)];
    for (const contender of job.fresh ? [] : order) {
      say(`${job.name}: warming up ${contender}, ${set + 1} of ${sets}`);
      const scene = await sceneOf(contender);
      for (const end = performance.now() + WARM_UP_MS; performance.now() < end; ) await job.cases[0]?.measure(scene);
    }
    for (const [index, { title, measure, verify, rounds }] of job.cases.entries()) {
      const share = shareOf(Math.min(rounds, maxRounds), set, sets);
      const taken = await interleaved(order, share, async (contender, round): Promise<Sample> => {
        say(`${title}: ${contender}, ${round + 1} of ${share} rounds, ${set + 1} of ${sets} processes`);
        const scene = await sceneOf(contender);
        const sample = { ...(await sampleOf(scene, measure)), set };
        await verify(scene);
        if (job.fresh) await processes.close(contender);
        return sample;
      });
      for (const contender of entrants) rows[index]?.samples[contender]?.push(...taken[contender]);
    }
    for (const contender of entrants) await processes.close(contender);
  }
  const wasm = await peakWasmBytes(job, stage, load, say);
  discard(stage);
  const resident = processes.peakResidentBytes;
  const memory = CONTENDERS.map((name) => [name, { wasm: name === "stillstore" ? wasm : undefined, resident: resident[name] }]);
  return { rows, memory: Object.fromEntries(memory) };
}

function noSamples(entrants: Entrant[]): Row["samples"] {
  return Object.fromEntries(entrants.map((entrant) => [entrant, [] as Sample[]])) as Row["samples"];
}

/** The contenders' processes, one of each at most, and what they held in memory. */
class Processes {
  readonly peakResidentBytes: Partial<Record<Entrant, number>> = {};
  #stage;
  #opened = new Map<Entrant, Opened>();

  constructor(stage: Stage<unknown>) {
    this.#stage = stage;
  }

  /** Started when there is none, on data of its own. */
  async of(contender: Entrant): Promise<RunningWorker> {
    const known = this.#opened.get(contender);
    if (known !== undefined) return known.worker;
    const opened = await open(contender, this.#stage, { bare: true });
    this.#opened.set(contender, opened);
    await opened.worker.fetch("/");
    return opened.worker;
  }

  async close(contender: Entrant): Promise<void> {
    const opened = this.#opened.get(contender);
    if (opened === undefined) return;
    const bytes = peakResidentBytesOf(opened.worker.processIds);
    if (bytes !== undefined) this.peakResidentBytes[contender] = Math.max(bytes, this.peakResidentBytes[contender] ?? 0);
    this.#opened.delete(contender);
    await opened.close();
  }
}

async function sampleOf<Seed>(scene: Scene<Seed>, measure: Case<Seed>["measure"]): Promise<Omit<Sample, "set">> {
  const before = cpuMsOf(scene.worker.processIds);
  const { units, seconds } = await measure(scene);
  const after = cpuMsOf(scene.worker.processIds);
  const cpuMs = before === undefined || after === undefined ? undefined : (after - before) / units;
  return { rate: units / seconds, cpuMs };
}

/** Each case once more, behind the harness, which can look into the Worker. */
async function peakWasmBytes<Seed>(job: Job<Seed>, stage: Stage<Seed>, load: LoadClient, say: Tools["say"]): Promise<number> {
  say(`${job.name}: wasm memory`);
  let peak = 0;
  for (const { measure } of job.cases) {
    const { worker, close } = await open("stillstore", stage, {});
    await measure({ contender: "stillstore", worker, seed: stage.seed, load });
    peak = Math.max(peak, await worker.wasmMemoryBytes());
    await close();
  }
  return peak;
}
