// The figures of a run as lines of text, one table for each kind.
import type { Ceiling } from "../ceiling.ts";
import { CONTENDERS, STARTERS, VARIANTS } from "../contenders.ts";
import type { Contender, Starter } from "../contenders.ts";
import type { Cost, OperationCosts, TableCosts } from "../costs.ts";
import type { Memory, Row } from "../job.ts";
import type { CodecsRow } from "../jobs/codecs.ts";
import type { Start } from "../jobs/start.ts";
import { ratioOf, summaryOf } from "../measure.ts";
import type { Ratio, Sample } from "../measure.ts";
import { dollarsPerMillion } from "../prices.ts";
import type { Prices } from "../prices.ts";

/** Whom Stillstore is compared with. */
const OTHERS = CONTENDERS.filter((name) => name !== "stillstore");

export type Table = { title: string; head: string[]; lines: string[][] };

export function throughputTable(rows: Row[]): Table {
  return {
    title: "Throughput: medians (and half of the distance between quartiles), ratios of medians (and 95 % intervals)",
    head: ["job", "unit", ...CONTENDERS, ...OTHERS.map((name) => `/ ${name}`), ...OTHERS.map((name) => `CPU / ${name}`), "target"],
    lines: rows.map((row) => {
      const rates = CONTENDERS.map((name) => rateText(row.samples[name]));
      const ratios = OTHERS.map((name) => ratioOf(row.samples.stillstore, row.samples[name]));
      const cpu = ratios.map(({ cpu }) => (cpu === undefined ? "" : cpu.toFixed(2)));
      return [row.title, row.unit, ...rates, ...ratios.map(ratioText), ...cpu, targetText(row)];
    }),
  };
}

/** What one thing costs by itself: the language, or the digests. */
export function variantTable(rows: Row[]): Table {
  return {
    title: "One thing apart: medians, ratios of medians (and 95 % intervals)",
    head: ["job", "variant", "unit", "median", "/ limit", "CPU / limit", "Stillstore / variant", "CPU / variant"],
    lines: rows.flatMap(({ title, unit, samples }) =>
      VARIANTS.flatMap((name) => {
        const variant = samples[name];
        if (variant === undefined) return [];
        const [ofLimit, ofVariant] = [ratioOf(variant, samples.limit), ratioOf(samples.stillstore, variant)];
        const cells = [ofLimit, ofVariant].flatMap((ratio) => [ratioText(ratio), ratio.cpu?.toFixed(2) ?? ""]);
        return [[title, name, unit, rateText(variant), ...cells]];
      }),
    ),
  };
}

/** Whether Stillstore reaches each of the targets. */
export function targetResults(row: Row): { against: string; atLeast: number; ratio: Ratio; met: boolean }[] {
  return row.targets.map(({ against, atLeast }) => {
    const ratio = ratioOf(row.samples.stillstore, row.samples[against]);
    return { against, atLeast, ratio, met: ratio.rate >= atLeast };
  });
}

export function codecsTable(rows: CodecsRow[]): Table {
  return {
    title: "Variants: processor time beside sharp's on one thread (and the middle half of the ratios), PSNR against sharp's picture, memory of the codecs",
    head: ["variant", "ours, ms", "sharp, ms", "/ sharp", "PSNR, dB", "wasm, MB", "target"],
    lines: rows.map(({ title, ours, sharp, ratio, low, high, psnr, wasmBytes, target }) => {
      const result = `at most ${target}: ${ratio <= target ? "met" : "MISSED"}`;
      const text = `${ratio.toFixed(2)} (${low.toFixed(2)}-${high.toFixed(2)})`;
      return [title, ours.toFixed(0), sharp.toFixed(0), text, psnr.toFixed(1), (wasmBytes / 1e6).toFixed(1), result];
    }),
  };
}

export function memoryTable(memory: Record<string, Record<Contender, Memory>>): Table {
  return {
    title: "Memory: peak of wasm in Stillstore, and peak resident set of workerd, in MB",
    head: ["job", "wasm", ...CONTENDERS],
    lines: Object.entries(memory).map(([job, of]) => [
      job,
      megabytes(of.stillstore.wasm),
      ...CONTENDERS.map((name) => megabytes(of[name].resident)),
    ]),
  };
}

export function startTable(start: Record<Starter, Start>): Table {
  return {
    title: "Start: milliseconds to the answer of the first request and of the second, processor time of workerd until the first",
    head: ["Worker", "bundle, KB gzipped", "first", "quartiles", "second", "CPU"],
    lines: STARTERS.map((name) => {
      const { gzipBytes, first, second, cpu } = start[name];
      const quartiles = `${first.low.toFixed(1)}-${first.high.toFixed(1)}`;
      return [name, (gzipBytes / 1e3).toFixed(1), first.median.toFixed(1), quartiles, second.toFixed(1), cpu?.toFixed(0) ?? ""];
    }),
  };
}

export function costTable(costs: OperationCosts[], prices: Prices): Table {
  return {
    title: `Costs of one operation, counted; dollars for a million at list prices of ${prices.date}`,
    head: ["operation", "contender", ...COST_HEAD],
    lines: costs.flatMap(({ title, of }) => CONTENDERS.map((name) => [title, name, ...costCells(of[name], prices)])),
  };
}

export function growthTable(costs: TableCosts[], prices: Prices): Table {
  return {
    title: "Costs of one operation of Stillstore, by the images in the catalogue",
    head: ["operation", "images", ...COST_HEAD],
    lines: (["serve", "upload", "migrate"] as const).flatMap((operation) =>
      costs.map((of) => [OPERATION_TITLES[operation], String(of.images), ...costCells(of[operation], prices)]),
    ),
  };
}

const OPERATION_TITLES = { serve: "Serve from D1", upload: "Upload 100 KB", migrate: "Migrate, an image of all" };

const COST_HEAD = [
  "D1 rows read",
  "written",
  "D1 calls",
  "R2 class A",
  "class B",
  "bytes into wasm",
  "out of it",
  "calls into wasm",
  "out of it",
  "$ per million",
];

function costCells(cost: Cost, prices: Prices): string[] {
  const { d1RowsRead, d1RowsWritten, d1Calls, r2ClassA, r2ClassB, bytesIn, bytesOut, callsIn, callsOut } = cost;
  const counts = [d1RowsRead, d1RowsWritten, d1Calls, r2ClassA, r2ClassB].map((count) => String(Number(count.toFixed(2))));
  const traffic = [bytesIn, bytesOut, callsIn, callsOut].map((count) => count.toFixed(0));
  return [...counts, ...traffic, dollarsPerMillion(cost, prices).toFixed(2)];
}

export function ceilingTable(ceilings: Ceiling[]): Table {
  return {
    title: "What the client can ask for at most, of a server that answers without looking",
    head: ["answer", "connections", "requests/s"],
    lines: ceilings.map(({ bytes, connections, rate }) => [`${bytes} bytes`, String(connections), rate.toFixed(0)]),
  };
}

function rateText(samples: Sample[]): string {
  const { median, low, high } = summaryOf(samples);
  const digits = median < 100 ? 1 : 0;
  return `${median.toFixed(digits)} ±${((high - low) / 2).toFixed(digits)}`;
}

function ratioText({ rate, low, high }: Ratio): string {
  return `${rate.toFixed(2)} (${low.toFixed(2)}-${high.toFixed(2)})`;
}

function targetText(row: Row): string {
  const texts = targetResults(row).map(({ against, atLeast, met }) => `${atLeast} of ${against}: ${met ? "met" : "MISSED"}`);
  return texts.join(", ");
}

function megabytes(bytes: number | undefined): string {
  return bytes === undefined ? "" : (bytes / 1e6).toFixed(1);
}
