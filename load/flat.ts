// Whether memory stays flat from minute 2 of ten to the end, and whether the Worker keeps nothing of the whole.
import type { MemorySample } from "./memory.ts";

/** The part of a run in which memory may still grow: two minutes of ten. */
export const WARM_UP_SHARE = 0.2;
/** A shorter run has too few minutes to draw a line through. */
export const MIN_JUDGED_SECONDS = 300;

/** Four pages of 64 KiB: it grows whenever more is held at once than ever before, by a page at least, and never shrinks. */
const MAX_WASM_GROWTH_BYTES = 4 * 65_536;
/** Code that is compiled when first run, and pools; a leak of an object for each request is at least 12 bytes of some 100,000 requests. */
const MAX_IDLE_GROWTH_BYTES = 1_000_000;
/** Bytes a minute; docs/bench/notes.md says why so much. */
const MAX_HEAP_GROWTH = 500_000;
const MAX_RESIDENT_GROWTH = 5_000_000;

export type Verdict = { what: string; rule: string; measured: string; met: boolean };

/** Nothing for a run that is too short. */
export function verdictsOf(samples: MemorySample[], seconds: number): Verdict[] {
  if (seconds < MIN_JUDGED_SECONDS) return [];
  const judged = samples.filter((sample) => sample.seconds >= seconds * WARM_UP_SHARE);
  const wasm = judged.map(({ wasmBytes }) => wasmBytes);
  const [first = NaN, last = NaN] = [wasm[0], wasm.at(-1)];
  const heapGrowth = growthOf(lowestOfMinutes(judged, ({ workerHeapBytes }) => workerHeapBytes));
  const idleGrowth = (samples.at(-1)?.workerHeapBytes ?? NaN) - (samples[0]?.workerHeapBytes ?? NaN);
  const verdicts = [
    {
      what: "wasm memory of the Worker",
      rule: `at the end, at most ${MAX_WASM_GROWTH_BYTES} bytes more`,
      measured: `${last - first} bytes more`,
      met: last - first <= MAX_WASM_GROWTH_BYTES,
    },
    {
      what: "heap of the Worker, with nothing to do",
      rule: `after the load, at most ${MAX_IDLE_GROWTH_BYTES} bytes more than before it`,
      measured: `${idleGrowth} bytes more`,
      met: idleGrowth <= MAX_IDLE_GROWTH_BYTES,
    },
    growthVerdict("heap of the Worker, lowest of each minute", heapGrowth, MAX_HEAP_GROWTH),
  ];
  const resident = judged.flatMap(({ seconds, residentBytes }) => (residentBytes === undefined ? [] : [{ seconds, bytes: residentBytes }]));
  if (resident.length > 0) verdicts.push(growthVerdict("resident set of workerd", growthOf(resident), MAX_RESIDENT_GROWTH));
  return verdicts;
}

function growthVerdict(what: string, bytesPerMinute: number, most: number): Verdict {
  const text = (bytes: number) => `${(bytes / 1e6).toFixed(2)} MB a minute`;
  return { what, rule: `grows by less than ${text(most)}`, measured: text(bytesPerMinute), met: bytesPerMinute < most };
}

type Point = { seconds: number; bytes: number };

/** Of each whole minute the least: the others hold more of what is under way. The last, cut short, has few, and one with nothing to do. */
function lowestOfMinutes(samples: MemorySample[], bytesOf: (sample: MemorySample) => number): Point[] {
  const wholeMinutes = Math.floor((samples.at(-1)?.seconds ?? 0) / 60);
  const lowest = new Map<number, Point>();
  for (const sample of samples) {
    const minute = Math.floor(sample.seconds / 60);
    if (minute >= wholeMinutes) break;
    const point = { seconds: sample.seconds, bytes: bytesOf(sample) };
    if (point.bytes < (lowest.get(minute)?.bytes ?? Infinity)) lowest.set(minute, point);
  }
  return [...lowest.values()];
}

/** Slope of the line with the least squares of distances to the points, in bytes a minute. */
export function growthOf(points: Point[]): number {
  const mean = (values: number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;
  const [centre, level] = [mean(points.map(({ seconds }) => seconds)), mean(points.map(({ bytes }) => bytes))];
  const covariance = mean(points.map(({ seconds, bytes }) => (seconds - centre) * (bytes - level)));
  const variance = mean(points.map(({ seconds }) => (seconds - centre) ** 2));
  return (covariance / variance) * 60;
}
