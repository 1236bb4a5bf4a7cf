// From the start of workerd to its first answer, and the size of what is deployed.
import { Client } from "../../tests/workerd/client.ts";
import { STARTERS, buildCrate, gzipBytesOf, modulesOf } from "../contenders.ts";
import type { Starter } from "../contenders.ts";
import { interleaved, median, quantile } from "../measure.ts";
import { cpuMsOf } from "../process.ts";
import { discard, open, prepare } from "../stage.ts";

/** In milliseconds. */
export type Start = {
  gzipBytes: number;
  /** From the answer of the first request: median and quartiles. */
  first: { median: number; low: number; high: number };
  /** The request after it. */
  second: number;
  /** Processor time of workerd from its start to the first answer. */
  cpu: number | undefined;
};

type Sample = { first: number; second: number; cpu: number | undefined };

export async function measureStart(rounds: number, say: (text: string) => void): Promise<Record<Starter, Start>> {
  say("start: building hello-world in Rust");
  await buildCrate("hello");
  const stage = await prepare(async (worker) => {
    await new Client(worker).stored(new Uint8Array(await (await fetch(PIXEL)).arrayBuffer()));
    return null;
  });
  const samples = await interleaved(STARTERS, rounds, async (name, round): Promise<Sample> => {
    say(`start: round ${round + 1} of ${rounds}, ${name}`);
    const { worker, close } = await open(name, stage, { bare: true });
    const ask = async () => {
      const start = performance.now();
      const answer = await worker.fetch("/");
      await answer.arrayBuffer();
      return performance.now() - start;
    };
    const first = await ask();
    const cpu = cpuMsOf(worker.processIds);
    const second = await ask();
    await close();
    return { first, second, cpu };
  });
  discard(stage);
  return Object.fromEntries(STARTERS.map((name) => [name, startOf(name, samples[name])])) as Record<Starter, Start>;
}

const PIXEL = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";

function startOf(name: Starter, samples: Sample[]): Start {
  const firsts = samples.map(({ first }) => first);
  const cpu = samples.flatMap(({ cpu: ms }) => ms ?? []);
  return {
    gzipBytes: gzipBytesOf(modulesOf(name)),
    first: { median: median(firsts), low: quantile(firsts, 0.25), high: quantile(firsts, 0.75) },
    second: median(samples.map(({ second }) => second)),
    cpu: cpu.length === 0 ? undefined : median(cpu),
  };
}
