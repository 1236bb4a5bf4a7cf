// What is done with measurements.
import { randomNumbers } from "../tests/workerd/random.ts";

/** One measurement: how much was done in a second, and the processor time that workerd took for one unit of it. */
export type Sample = {
  rate: number;
  cpuMs: number | undefined;
  /** The set of processes, one of each contender, that it was taken of. */
  set: number;
};

export type Summary = {
  median: number;
  /** Quartiles. */
  low: number;
  high: number;
  /** Median milliseconds of processor time for one unit; absent where the system does not tell. */
  cpuMs: number | undefined;
  rounds: number;
};

export type Ratio = {
  /** Of the medians of the rates. */
  rate: number;
  /** Ends of the interval that holds 95 of 100 such ratios, of processes and their rounds drawn anew from these ones. */
  low: number;
  high: number;
  /** Of the medians of the processor times, the other way round, so that more is better here too. */
  cpu: number | undefined;
};

/** Between the two nearest values where the position falls between them. */
export function quantile(values: number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  const position = (sorted.length - 1) * share;
  const below = sorted[Math.floor(position)];
  const above = sorted[Math.ceil(position)];
  if (below === undefined || above === undefined) throw new Error("no values");
  return below + (above - below) * (position - Math.floor(position));
}

export function median(values: number[]): number {
  return quantile(values, 0.5);
}

export function summaryOf(samples: Sample[]): Summary {
  const rates = samples.map(({ rate }) => rate);
  const cpu = samples.flatMap(({ cpuMs }) => cpuMs ?? []);
  return {
    median: median(rates),
    low: quantile(rates, 0.25),
    high: quantile(rates, 0.75),
    cpuMs: cpu.length === 0 ? undefined : median(cpu),
    rounds: samples.length,
  };
}

/** `samples` and `others` were taken in the same rounds, in the same order. */
export function ratioOf(samples: Sample[], others: Sample[]): Ratio {
  const [own, other] = [summaryOf(samples), summaryOf(others)];
  const redrawn = bootstrap(samples, others);
  return {
    rate: own.median / other.median,
    low: quantile(redrawn, 0.025),
    high: quantile(redrawn, 0.975),
    cpu: own.cpuMs === undefined || other.cpuMs === undefined ? undefined : other.cpuMs / own.cpuMs,
  };
}

const RESAMPLES = 1_000;

/**
 * Ratios of medians, of as many sets of processes as there are, drawn with replacement, and of as many rounds in each: two processes of one
 * program differ for as long as they live. A round is drawn whole: both rates, or neither.
 */
function bootstrap(samples: Sample[], others: Sample[]): number[] {
  const random = randomNumbers(1);
  const drawnFrom = <T>(values: T[]): T[] => values.map((value) => values[Math.floor(random() * values.length)] ?? value);
  const rounds = samples.map(({ rate, set }, round) => ({ own: rate, other: others[round]?.rate ?? NaN, set }));
  const sets = [...new Set(rounds.map(({ set }) => set))].map((set) => rounds.filter((round) => round.set === set));
  return Array.from({ length: RESAMPLES }, () => {
    const drawn = drawnFrom(sets).flatMap(drawnFrom);
    return median(drawn.map(({ own }) => own)) / median(drawn.map(({ other }) => other));
  });
}

/** How many of `rounds` the set `set` of `sets` takes; the first take one more where they cannot be shared out evenly. */
export function shareOf(rounds: number, set: number, sets: number): number {
  return Math.max(0, Math.ceil((rounds - set) / sets));
}

/** Measures each in turn, `rounds` times, beginning with another one each round, so that none has the better moments. */
export async function interleaved<Name extends string, T>(
  names: readonly Name[],
  rounds: number,
  measure: (name: Name, round: number) => Promise<T>,
): Promise<Record<Name, T[]>> {
  const taken = Object.fromEntries(names.map((name) => [name, [] as T[]])) as Record<Name, T[]>;
  for (let round = 0; round < rounds; round += 1) {
    const first = round % names.length;
    for (const name of [...names.slice(first), ...names.slice(0, first)]) taken[name].push(await measure(name, round));
  }
  return taken;
}
