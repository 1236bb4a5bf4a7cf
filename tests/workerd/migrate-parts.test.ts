// The parts of `npm run migrate` that time or a terminal has a say in.
import assert from "node:assert/strict";
import { PassThrough } from "node:stream";
import { after, before, beforeEach, describe, test } from "node:test";

import { Client, Refusal, Unreachable } from "../../scripts/migrate/client.mjs";
import { Rate, describe as describeProgress, lines, startDisplay } from "../../scripts/migrate/progress.mjs";
import { bytes, count, counted, dollars, duration } from "../../scripts/migrate/units.mjs";
import { MigrationStub } from "./harness/migration-stub.ts";
import type { Trouble } from "./harness/migration-stub.ts";

const MAX_TRIES = 7;

describe("a request", () => {
  let stub: MigrationStub;
  let waitsMs: number[];
  let told: string[];
  let client: Client;
  before(async () => {
    stub = await MigrationStub.start();
  });
  after(() => stub.stop());
  beforeEach(() => {
    stub.requests.length = 0;
    [waitsMs, told] = [[], []];
    const sleep = async (ms: number) => void waitsMs.push(ms);
    client = new Client({ url: new URL(stub.url), token: "secret" }, { sleep, log: (line) => told.push(line) });
  });

  test("is tried again, later each time, and tells why", async () => {
    stub.troubles = [{ status: 500 }, { status: 503, code: "database-unavailable" }, { status: 429 }];
    assert.equal((await client.overview()).success, true);
    assert.deepEqual(waitsMs, [250, 500, 1_000]);
    assert.equal(told[1], "HTTP 503 database-unavailable; trying again in 0.5 s");
  });

  test("waits as long as Retry-After says, up to half a minute", async () => {
    stub.troubles = [{ status: 503, retryAfter: "5" }, { status: 503, retryAfter: "3600" }];
    await client.overview();
    assert.deepEqual(waitsMs, [5_000, 30_000]);
  });

  test("is given up in the end", async () => {
    stub.troubles = Array.from({ length: MAX_TRIES }, (): Trouble => "broken");
    await assert.rejects(client.overview(), (error: Error) => {
      assert.ok(error instanceof Unreachable);
      assert.ok(error.message.startsWith(`${stub.url} gave no answer after ${MAX_TRIES} tries: `), error.message);
      return true;
    });
    assert.deepEqual(waitsMs, [250, 500, 1_000, 2_000, 4_000, 8_000]);
    assert.equal(stub.requests.length, MAX_TRIES);
  });

  for (const trouble of [
    { status: 401, code: "unauthorized" },
    { status: 404, code: "route-not-found" },
    { status: 503, code: "token-not-configured" },
    { status: 503, code: "configuration-invalid" },
    { status: 503, code: "database-not-migrated" },
  ]) {
    test(`is not tried again when that cannot help: ${trouble.code}`, async () => {
      stub.troubles = [trouble];
      await assert.rejects(client.overview(), (error: Error) => {
        assert.ok(error instanceof Refusal);
        assert.match(error.message, new RegExp(`\\(${trouble.code}\\): Title of ${trouble.code}`));
        return true;
      });
      assert.equal(stub.requests.length, 1);
    });
  }

  test("knows a server that is something else", async (t) => {
    const { createServer } = await import("node:http");
    const server = createServer((_, response) => void response.end("<html>"));
    await new Promise<void>((resolve) => void server.listen(0, "127.0.0.1", resolve));
    t.after(() => server.close());
    const { port } = server.address() as { port: number };
    const other = new Client({ url: new URL(`http://127.0.0.1:${port}`) });
    await assert.rejects(other.overview(), /is not a Stillstore that migrates \(HTTP 200\): check --url\./);
  });
});

const progress = { total: 4_000, done: 1_200, succeeded: 1_198, failed: 2, skipped: 0, bytes: 18_200_000 };

describe("progress", () => {
  test("is told with its rate and the time left", () => {
    assert.equal(describeProgress(progress, 310), "1,200 of 4,000 (30 %), 18.2 MB, 2 failed, 310 a second, 9 s left");
    assert.equal(describeProgress({ ...progress, total: null, failed: 0 }, 0.5), "1,200 done, 18.2 MB, 0.5 a second");
    assert.equal(describeProgress({ ...progress, total: 0, done: 0, bytes: 0, failed: 0 }, undefined), "0 of 0 (100 %)");
  });

  test("has the rate of the last half minute", () => {
    const rate = new Rate();
    assert.equal(rate.perSecond(), undefined);
    rate.add(0, 0);
    assert.equal(rate.perSecond(), undefined);
    rate.add(1_000, 1_000);
    assert.equal(rate.perSecond(), 1_000);
    for (let second = 2; second <= 60; second += 1) rate.add(1_000 + second * 10, second * 1_000);
    assert.equal(rate.perSecond(), 10);
    for (let second = 61; second <= 120; second += 1) rate.add(1_600, second * 1_000);
    assert.equal(rate.perSecond(), undefined);
  });

  test("is a line every five seconds where there is no terminal", async () => {
    const output = new PassThrough();
    let nowMs = 0;
    const display = lines(output, () => nowMs);
    for (const atMs of [0, 1_000, 4_999, 5_000, 6_000, 10_000]) {
      nowMs = atMs;
      display.show({ ...progress, total: 20_000, done: atMs, failed: 0, bytes: 0 });
    }
    output.end();
    assert.equal(String(Buffer.concat(await output.toArray())), [
      "0 of 20,000 (0 %)",
      "5,000 of 20,000 (25 %), 1,000 a second, 15 s left",
      "10,000 of 20,000 (50 %), 1,000 a second, 10 s left\n",
    ].join("\n"));
  });

  test("is a bar on a terminal, which makes way for a line", async () => {
    const output = Object.assign(new PassThrough(), { isTTY: true, columns: 120 });
    const display = await startDisplay(output);
    display.show({ ...progress, done: 0 });
    const { interject } = display;
    interject("a line of its own");
    display.show({ ...progress, done: 2_000 });
    display.stop();
    output.end();
    const shown = String(Buffer.concat(await output.toArray()));
    assert.match(shown, /\[-{30}\] 0 of 4,000 \(0 %\)/);
    assert.match(shown, /\na line of its own\n/);
    assert.match(shown, /\[={15}-{15}\] 2,000 of 4,000 \(50 %\), 18\.2 MB, 2 failed/);
  });

  test("has no bar while the total is not known", async () => {
    const output = Object.assign(new PassThrough(), { isTTY: true, columns: 120 });
    const display = await startDisplay(output);
    display.show({ ...progress, total: null });
    display.stop();
    output.end();
    const shown = String(Buffer.concat(await output.toArray()));
    assert.match(shown, /1,200 done/);
    assert.doesNotMatch(shown, /\[[=-]/);
  });
});

test("numbers are written for people", () => {
  assert.deepEqual([count(1_234_567.4), counted(1, "image"), counted(0, "image")], ["1,234,567", "1 image", "0 images"]);
  assert.deepEqual([0, 1, 999, 1_000, 2_345_678, 5e15].map(bytes), [
    "0 bytes", "1 byte", "999 bytes", "1.0 KB", "2.3 MB", "5000.0 TB",
  ]);
  assert.deepEqual([0.4, 59.4, 60, 3_599, 7_260].map(duration), ["0 s", "59 s", "1 min 0 s", "59 min 59 s", "2 h 1 min"]);
  assert.deepEqual([0, 0.00018, 0.0045, 0.01, 12.345].map(dollars), ["$0", "$0.00018", "$0.0045", "$0.01", "$12.35"]);
});
