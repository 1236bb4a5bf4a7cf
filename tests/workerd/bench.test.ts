// The bench's own arithmetic: `npm run bench` itself takes too long to be a test.
import assert from "node:assert/strict";
import { test } from "node:test";

import { modulesOf } from "../../bench/contenders.ts";
import { interleaved, median, quantile, ratioOf, shareOf, summaryOf } from "../../bench/measure.ts";
import type { Sample } from "../../bench/measure.ts";
import { dollarsPerMillion, readPrices } from "../../bench/prices.ts";
import { picture } from "../../bench/report/svg.ts";
import { targetResults, variantTable } from "../../bench/report/figures.ts";

const samples = (...rates: number[]): Sample[] => rates.map((rate) => ({ rate, cpuMs: 1_000 / rate, set: 0 }));

test("medians and quartiles fall between values where they must", () => {
  assert.equal(median([5, 1, 3]), 3);
  assert.equal(median([4, 1, 3, 2]), 2.5);
  assert.equal(quantile([10, 20, 30, 40, 50], 0.25), 20);
  assert.equal(quantile([1, 2], 0.25), 1.25);
  assert.throws(() => median([]));
  assert.deepEqual(summaryOf(samples(10, 40, 20)), { median: 20, low: 15, high: 30, cpuMs: 50, rounds: 3 });
});

test("a ratio is that of the medians, its interval that of rounds drawn anew, the same each time", () => {
  const ratio = ratioOf(samples(10, 30, 20), samples(20, 20, 40));
  assert.deepEqual(ratio, { rate: 1, low: 0.5, high: 1.5, cpu: 1 });
  assert.equal(ratioOf([{ rate: 1, cpuMs: undefined, set: 0 }], samples(2)).cpu, undefined);

  const rates = Array.from({ length: 200 }, (_, round) => 100 + (round % 40));
  const scattered = ratioOf(samples(...rates), samples(...rates.toReversed()));
  assert.deepEqual(scattered, ratioOf(samples(...rates), samples(...rates.toReversed())));
  assert.ok(scattered.low < 0.99 && scattered.low > 0.9 && scattered.high > 1.01 && scattered.high < 1.1, JSON.stringify(scattered));
});

test("a machine that slows down in some rounds does not widen the interval of a ratio", () => {
  const rates = Array.from({ length: 100 }, (_, round) => 100 + (round % 50));
  const { rate, low, high } = ratioOf(samples(...rates.map((slow) => 0.9 * slow)), samples(...rates));
  for (const end of [rate, low, high]) assert.ok(Math.abs(end - 0.9) < 1e-9);
});

test("processes that differ widen the interval of a ratio, however many rounds each has", () => {
  const rounds = Array.from({ length: 100 }, (_, round) => ({ rate: 100, cpuMs: undefined, set: round % 5 }));
  const own = rounds.map((sample) => ({ ...sample, rate: 80 + 5 * sample.set }));
  const { rate, low, high } = ratioOf(own, rounds);
  assert.deepEqual({ rate, low, high }, { rate: 0.9, low: 0.8, high: 1 });
  const { low: lowOfOne, high: highOfOne } = ratioOf(own.map((sample) => ({ ...sample, set: 0 })), rounds);
  assert.ok(lowOfOne >= 0.85 && highOfOne <= 0.95);
});

test("sets of processes share the rounds out, none twice and none left", () => {
  const shares = (rounds: number, sets: number) => Array.from({ length: sets }, (_, set) => shareOf(rounds, set, sets));
  assert.deepEqual(shares(270, 5), [54, 54, 54, 54, 54]);
  assert.deepEqual(shares(7, 5), [2, 2, 1, 1, 1]);
  assert.deepEqual(shares(3, 5), [1, 1, 1, 0, 0]);
  assert.deepEqual(shares(7, 7), [1, 1, 1, 1, 1, 1, 1]);
});

test("rounds begin with another contender each", async () => {
  const order: string[] = [];
  const taken = await interleaved(["a", "b"], 2, async (name, round) => {
    order.push(name);
    return round;
  });
  assert.deepEqual([order.join(""), taken], ["abba", { a: [0, 1], b: [0, 1] }]);
});

test("targets are held against the contender that they name", () => {
  const row = {
    name: "serve",
    title: "Serve <1>",
    unit: "requests/s",
    targets: [{ against: "limit" as const, atLeast: 0.9 }, { against: "typescript" as const, atLeast: 1.5 }],
    samples: { limit: samples(100), promises: samples(90), stillstore: samples(80), typescript: samples(50) },
  };
  assert.deepEqual(targetResults(row).map(({ met }) => met), [false, true]);
  assert.match(picture([row], "a & b"), /^<svg [^]*Serve &lt;1>[^]*>0\.80<[^]*a &amp; b[^]*<\/svg>\n$/);
});

test("a variant is compared with limit, and Stillstore with it", () => {
  const about = { name: "upload", title: "Upload", unit: "MB/s", targets: [] };
  const own = { limit: samples(100), promises: samples(90), stillstore: samples(60), typescript: samples(50) };
  const { lines } = variantTable([{ ...about, samples: own }, { ...about, samples: { ...own, "limit-digests": samples(80) } }]);
  const [ofLimit, ofVariant] = ["0.80 (0.80-0.80)", "0.75 (0.75-0.75)"];
  assert.deepEqual(lines, [["Upload", "limit-digests", "MB/s", "80.0 ±0.0", ofLimit, "0.80", ofVariant, "0.75"]]);
});

test("prices are those of src/prices.rs", () => {
  const prices = readPrices();
  const usage = { r2ClassA: 1, r2ClassB: 1, d1RowsRead: 1_000, d1RowsWritten: 2 };
  assert.equal(dollarsPerMillion(usage, prices), prices.r2ClassA + prices.r2ClassB + 1_000 * prices.d1RowsRead + 2 * prices.d1RowsWritten);
  assert.ok(prices.r2ClassA > prices.r2ClassB && prices.d1RowsWritten > prices.d1RowsRead);
  assert.throws(() => readPrices("pub const R2_CLASS_A: Money = 4;"));
});

test("the contenders can be bundled", () => {
  for (const name of ["limit", "limit-digests", "promises", "typescript", "hello-javascript"] as const) {
    assert.match(String(modulesOf(name)["worker/index.js"]?.contents), /export/);
  }
});
