// A job is data and the cases that are measured on it. Running one takes it through its rounds, checks what came of each, and looks at
// memory.
import { CONTENDERS } from "./contenders.ts";
import type { Contender, Entrant, Variant } from "./contenders.ts";
import type { LoadClient } from "./load.ts";
import { interleaved } from "./measure.ts";
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
  /** Each measurement gets data and a process of its own, since it uses the data up. */
  fresh?: true;
  measure(scene: Scene<Seed>): Promise<Work>;
  /** Throws unless the bytes are right. Outside of what is measured. */
  verify(scene: Scene<Seed>): Promise<void>;
};

export type Job<Seed> = {
  name: string;
  plantVars?: WorkerSettings["vars"];
  vars?: WorkerSettings["vars"];
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

const WARM_UP_MS = 2_000;

type Tools = { load: LoadClient; say(text: string): void; maxRounds: number };

export async function runJob<Seed>(job: Job<Seed>, { load, say, maxRounds }: Tools): Promise<JobResult> {
  say(`${job.name}: preparing the data`);
  const stage = await prepare(job.plant, job);
  const entrants: Entrant[] = [...CONTENDERS, ...(job.variants ?? [])];
  const resident: Partial<Record<Entrant, number>> = {};
  const noteResident = (contender: Entrant, { worker }: Opened) => {
    const bytes = peakResidentBytesOf(worker.processIds);
    if (bytes !== undefined) resident[contender] = Math.max(bytes, resident[contender] ?? 0);
  };

  const kept: Partial<Record<Entrant, Opened>> = {};
  const openWarm = async (contender: Entrant) => {
    const opened = await open(contender, stage, { bare: true });
    await opened.worker.fetch("/");
    return opened;
  };
  const [first] = job.cases.filter(({ fresh }) => !fresh);
  for (const contender of first === undefined ? [] : entrants) {
    const opened = await openWarm(contender);
    // V8 takes a few hundred requests to compile what they run; how a Worker starts is a job of its own.
    for (const end = performance.now() + WARM_UP_MS; performance.now() < end; ) {
      await first?.measure({ contender, worker: opened.worker, seed: stage.seed, load });
    }
    kept[contender] = opened;
  }

  const rows: Row[] = [];
  for (const { measure, verify, fresh, rounds: wanted, ...about } of job.cases) {
    const rounds = Math.min(wanted, maxRounds);
    const samples = await interleaved(entrants, rounds, async (contender, round) => {
      say(`${about.title}: round ${round + 1} of ${rounds}, ${contender}`);
      const opened = (fresh ? undefined : kept[contender]) ?? (await openWarm(contender));
      const scene = { contender, worker: opened.worker, seed: stage.seed, load };
      const sample = await sampleOf(scene, measure);
      await verify(scene);
      if (fresh) {
        noteResident(contender, opened);
        await opened.close();
      }
      return sample;
    });
    rows.push({ ...about, samples });
  }
  for (const [contender, opened] of Object.entries(kept) as [Entrant, Opened][]) {
    noteResident(contender, opened);
    await opened.close();
  }
  const wasm = await peakWasmBytes(job, stage, load, say);
  discard(stage);
  const memory = CONTENDERS.map((name) => [name, { wasm: name === "stillstore" ? wasm : undefined, resident: resident[name] }]);
  return { rows, memory: Object.fromEntries(memory) };
}

async function sampleOf<Seed>(scene: Scene<Seed>, measure: Case<Seed>["measure"]): Promise<Sample> {
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
