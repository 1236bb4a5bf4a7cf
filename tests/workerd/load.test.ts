// `npm run load` for some seconds, without memory's verdict, which takes minutes; and that it sees what it is there to see.
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { describe, test } from "node:test";

import { randomImage } from "../../bench/jobs/images.ts";
import { Checker } from "../../load/checker.ts";
import { memoryPicture } from "../../load/figure.ts";
import { growthOf, verdictsOf } from "../../load/flat.ts";
import { HeapProbe } from "../../load/heaps.ts";
import type { MemorySample } from "../../load/memory.ts";
import { MIN_CONNECTIONS, connectionsOf } from "../../load/mix.ts";
import { outcomeOf, problemsOf } from "../../load/oha.ts";
import { isPassed } from "../../load/report.ts";
import { runLoad } from "../../load/run.ts";
import { verify } from "../../load/verify.ts";
import { oha } from "../../scripts/toolchain.mjs";
import { Client, sha256 } from "./client.ts";
import { startWorker } from "./harness/worker.ts";
import { AUTHORIZATION } from "./invariants.ts";
import { randomNumbers } from "./random.ts";

const SECONDS = 8;
const CONNECTIONS = 16;
/** Of a checker that is about to find what is wrong with one image of one. */
const MAX_REQUESTS = 200;

const isOhaInstalled = existsSync(oha.program);

test(`${SECONDS} seconds of mixed load ${isOhaInstalled ? "by oha and the checker" : "by the checker"}`, async (context) => {
  if (!isOhaInstalled) console.log("The checking client asks alone: oha is not installed. `npm run load` installs it.");
  const seed = Math.floor(Math.random() * 2 ** 31);
  context.diagnostic(`seed ${seed}`);
  const result = await runLoad({ seconds: SECONDS, connections: CONNECTIONS, seed, oha: isOhaInstalled, say: () => {} });
  assert.deepEqual(result.problems, []);
  const [first, last] = [result.memory[0], result.memory.at(-1)];
  assert.ok(first !== undefined && last !== undefined && last.seconds >= SECONDS);
  // Under load it is 8 MB.
  for (const { workerHeapBytes } of [first, last]) assert.ok(workerHeapBytes < 4_000_000, `${workerHeapBytes} bytes with nothing to do`);
  assert.equal(result.clients.length, isOhaInstalled ? MIN_CONNECTIONS : 1);
  for (const { title, requests } of result.clients) assert.ok(requests > 0, title);
  assert.equal(result.clients.reduce((sum, client) => sum + client.connections, 0), CONNECTIONS);
  assert.ok(result.checked.compared > 0 && result.verified.read === result.verified.listed);
  for (const { wasmBytes, workerHeapBytes, simulatorHeapBytes } of result.memory) {
    assert.ok(wasmBytes > 0 && workerHeapBytes > 0 && simulatorHeapBytes > 0);
  }
});

test("other bytes, a lost image and wrong counters are seen", async (context) => {
  const worker = await startWorker();
  context.after(() => worker.stop());
  const bytes = randomImage(10_000);
  const { id, key } = await new Client(worker).stored(bytes, { personaId: "p1" });
  const expected = { title: "t", personaId: "p1", images: 1, sha256: sha256(bytes) };
  const fresh = await verify(worker, [expected], { r2: 1, d1: 0 });
  assert.deepEqual(fresh, { listed: 1, read: 1, problems: [] });

  await worker.bucket.put(key, randomImage(10_000));
  const problems: string[] = [];
  const stocked = [{ id, bytes, sha256: sha256(bytes), home: "r2" as const }];
  const checker = new Checker(worker, stocked, randomNumbers(1), (problem) => problems.push(problem));
  await checker.run(1, () => problems.length > 0 || checker.checked.requests > MAX_REQUESTS);
  assert.match(problems.join(), /^Checker, (whole|part): (the bytes|bytes=[\d-]+) of /);

  const changed = await verify(worker, [expected], { r2: 2, d1: 0 });
  assert.match(changed.problems.join("\n"), new RegExp(`^t: ${id} has other bytes\nRows, objects and counters: `));
  await worker.bucket.delete(key);
  await worker.db.prepare("UPDATE stillstore_counters SET images = images + 1 WHERE status = 'stored' AND storage = 'r2'").run();
  const lost = await verify(worker, [{ ...expected, images: 2 }], { r2: 1, d1: 0 });
  assert.equal(lost.problems.length, 4, lost.problems.join("\n"));
});

test("the heap of the Worker is what it holds behind a collection", async (context) => {
  const worker = await startWorker({ inspector: true });
  const probe = await HeapProbe.open(worker);
  context.after(() => {
    probe.close();
    return worker.stop();
  });
  const ask = async (times: number) => {
    for (let asked = 0; asked < times; asked += 1) await (await fetch(new URL("api/images", worker.url), { headers: AUTHORIZATION })).text();
  };
  await ask(20);
  const before = (await probe.read()).worker;
  await ask(300);
  const after = (await probe.read()).worker;
  // Uncollected, 300 answers are 2 MB.
  assert.ok(after - before < 500_000, `${after - before} bytes more`);
});

test("heaps of a workerd that is gone are an error", async (context) => {
  const worker = await startWorker({ inspector: true });
  context.after(() => worker.stop());
  const probe = await HeapProbe.open(worker);
  const { worker: own, simulators } = await probe.read();
  assert.ok(own > 0 && simulators > 0);
  await worker.kill();
  await assert.rejects(probe.read(), /workerd ended/);
});

describe("oha's report", () => {
  const report = (statuses: Record<string, number>, errors: Record<string, number>, totalData: number) =>
    outcomeOf({
      summary: { totalData },
      metrics: { latency_ms: { p50: 1, p99: 2, max: 3 } },
      statusCodeDistribution: statuses,
      errorDistribution: errors,
    });
  const ask = { title: "t", status: 206, answerBytes: 10 };

  test("is fine when every answer is as it must be", () => {
    const outcome = report({ "206": 3 }, {}, 30);
    assert.deepEqual([outcome.requests, problemsOf(ask, outcome)], [3, []]);
  });

  test("shows other statuses, transport errors, missing bytes and no answers", () => {
    assert.deepEqual(problemsOf(ask, report({ "206": 3, "503": 2 }, {}, 31)), ["t: 2 times 503"]);
    assert.deepEqual(problemsOf(ask, report({ "206": 3 }, { timeout: 1 }, 30)), ["t: 1 times timeout"]);
    assert.deepEqual(problemsOf(ask, report({ "206": 3 }, {}, 29)), ["t: 29 bytes, not 30"]);
    assert.deepEqual(problemsOf(ask, report({}, {}, 0)), ["t: no answer 206"]);
  });
});

test("connections add up, and every client has one", () => {
  for (let total = MIN_CONNECTIONS; total <= 100; total += 1) {
    const counts = Object.values(connectionsOf(total));
    assert.equal(counts.reduce((one, other) => one + other, 0), total);
    assert.ok(Math.min(...counts) >= 1);
  }
  assert.deepEqual(Object.values(connectionsOf(64)), [26, 8, 8, 4, 5, 2, 3, 8]);
});

describe("flat memory", () => {
  const TEN_MINUTES = 600;
  const MB = 1e6;
  /** One every five seconds; what is not said is flat. */
  const samplesOf = (change: (minute: number, index: number) => Partial<MemorySample>): MemorySample[] =>
    Array.from({ length: 121 }, (_, index) => ({
      seconds: index * 5,
      residentBytes: 400 * MB,
      wasmBytes: 2 * MB,
      workerHeapBytes: 20 * MB,
      simulatorHeapBytes: 60 * MB,
      ...change(index / 12, index),
    }));
  const missed = (samples: MemorySample[]) => verdictsOf(samples, TEN_MINUTES).flatMap(({ what, met }) => (met ? [] : [what]));

  test("may grow for two minutes, and hold what is under way", () => {
    const samples = samplesOf((minute, index) => ({
      wasmBytes: minute < 2 ? MB : 2 * MB + (minute < 5 ? 0 : 4 * 65_536),
      residentBytes: (minute < 2 ? 100 : 400 + (index % 7)) * MB,
      workerHeapBytes: (20 + (index % 12) * 5) * MB,
    }));
    assert.deepEqual(missed(samples), []);
    assert.equal(verdictsOf(samples, TEN_MINUTES).length, 4);
  });

  test("must not grow afterwards", () => {
    assert.deepEqual(missed(samplesOf((minute) => ({ wasmBytes: 2 * MB + (minute < 9 ? 0 : 5 * 65_536) }))), ["wasm memory of the Worker"]);
    // The last one is of a minute that is cut short, and taken with nothing to do.
    assert.deepEqual(
      missed(samplesOf((minute, index) => ({ workerHeapBytes: (20 + (index === 120 ? 0 : 0.6 * minute + (index % 12) * 5)) * MB }))),
      ["heap of the Worker, lowest of each minute"],
    );
    assert.deepEqual(missed(samplesOf((minute) => ({ residentBytes: (400 + 20 * minute) * MB }))), ["resident set of workerd"]);
  });

  test("is the heap of before once there is nothing to do", () => {
    const kept = (bytes: number) => missed(samplesOf((_minute, index) => ({ workerHeapBytes: 20 * MB + (index === 120 ? bytes : 0) })));
    assert.deepEqual(kept(MB), []);
    assert.deepEqual(kept(MB + 1), ["heap of the Worker, with nothing to do"]);
  });

  test("is not judged in a short run, and decides with the problems whether a run passes", () => {
    const memory = samplesOf((minute) => ({ residentBytes: 100 * minute * MB }));
    assert.deepEqual(verdictsOf(memory, 60), []);
    const result = { seconds: 60, connections: 8, seed: 1, clients: [], memory, problems: [] as string[] };
    const rest = { checked: { compared: 0, comparedBytes: 0, uploaded: 0, deleted: 0 }, verified: { listed: 0, read: 0, problems: [] } };
    assert.ok(isPassed({ ...result, ...rest }));
    assert.ok(!isPassed({ ...result, ...rest, seconds: TEN_MINUTES }));
    assert.ok(!isPassed({ ...result, ...rest, problems: ["one"] }));
  });

  test("a line through points has the least squares' slope, and the picture has every curve", () => {
    const points = [0, 60, 120].map((seconds, index) => ({ seconds, bytes: [10, 30, 20][index] ?? 0 }));
    assert.equal(growthOf(points), 5);
    const svg = memoryPicture(samplesOf(() => ({})), TEN_MINUTES, "a & b");
    assert.match(svg, /^<svg [^]*<\/svg>\n$/);
    assert.equal(svg.match(/<polyline /g)?.length, 4);
    assert.ok(svg.includes("a &amp; b") && !svg.includes("NaN"));
  });
});
