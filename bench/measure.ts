// What is done with measurements.

/** One measurement: how much was done in a second, and the processor time that workerd took for one unit of it. */
export type Sample = { rate: number; cpuMs: number | undefined };

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
  /** Quartiles of the ratios of the rounds. */
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
  const ofRounds = samples.map(({ rate }, round) => rate / (others[round]?.rate ?? NaN));
  const [own, other] = [summaryOf(samples), summaryOf(others)];
  return {
    rate: own.median / other.median,
    low: quantile(ofRounds, 0.25),
    high: quantile(ofRounds, 0.75),
    cpu: own.cpuMs === undefined || other.cpuMs === undefined ? undefined : other.cpuMs / own.cpuMs,
  };
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
