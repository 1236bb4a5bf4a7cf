// What each request costs at the bindings: R2 bills by operation, D1 by row, and each call is a round trip.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";

import { Client, STORAGE_MODES, bytesOf } from "./client.ts";
import { projectDir } from "./harness/project.ts";
import { startWorker } from "./harness/worker.ts";
import type { RunningWorker } from "./harness/worker.ts";

const MIB = 1 << 20;
const PNG = new Uint8Array(readFileSync(join(projectDir, "tests/fixtures/images/rgb.png")));

for (const { storage, vars } of STORAGE_MODES) {
  describe(`with images in ${storage}`, () => {
    let worker: RunningWorker;
    let client: Client;
    before(async () => {
      worker = await startWorker({ vars, faults: true });
      client = new Client(worker);
    });
    after(() => worker.stop());

    /** The calls of one request, whose answer is read to its end. */
    const callsOf = async (status: number, ask: () => Promise<Response>) => {
      await worker.faults.forgetCalls();
      const response = await ask();
      await bytesOf(response);
      assert.equal(response.status, status);
      const calls = await worker.faults.calls();
      assert.deepEqual(calls.filter(({ outcome }) => outcome !== "ok"), []);
      return {
        r2: calls.filter(({ binding }) => binding === "R2_IMAGES").map(({ method }) => method),
        d1: calls.filter(({ binding }) => binding === "DB").length,
      };
    };
    /** Rows of D1 that the calls of `callsOf` read and wrote. */
    const rows = async () => {
      const calls = await worker.faults.calls();
      const sumOf = (field: "rowsRead" | "rowsWritten") => calls.reduce((sum, call) => sum + (call[field] ?? 0), 0);
      return { read: sumOf("rowsRead"), written: sumOf("rowsWritten") };
    };
    const puts = storage === "r2" ? ["put"] : [];
    const gets = storage === "r2" ? ["get"] : [];

    test("generating is one R2 put and two D1 calls", async () => {
      assert.deepEqual(await callsOf(200, () => client.generate()), { r2: puts, d1: 2 });
    });

    test("an Idempotency-Key adds one D1 call, and its replay makes two", async () => {
      const ask = () => client.generate({}, { "idempotency-key": "counted" });
      assert.deepEqual(await callsOf(200, ask), { r2: puts, d1: 3 });
      assert.deepEqual(await callsOf(200, ask), { r2: [], d1: 2 });
    });

    test("a variant is made with one R2 get and put and writes four rows of D1, and is read with one call of each", async () => {
      const { id } = (await (await client.upload(PNG)).json()) as { id: string };
      const ask = () => client.call("GET", `/images/${id}?w=32`);
      const made = await callsOf(200, ask);
      const { read, written } = await rows();
      // The image's row is one of them: its placeholder. docs/variants.md multiplies them with prices.
      // Of an embedded one, the chunks of a write are counted, as in an upload below.
      const reads = storage === "r2" ? [8] : [17, 18];
      assert.ok(reads.includes(read), `${read} rows`);
      const ofD1 = storage === "r2" ? { d1: 3, written: 4 } : { d1: 5, written: 12 };
      assert.deepEqual({ ...made, written }, { r2: [...gets, ...puts], ...ofD1 });
      assert.deepEqual(await callsOf(200, ask), { r2: gets, d1: 1 });
      await callsOf(200, () => client.call("GET", `/images/${id}?w=64`));
      assert.equal((await rows()).written, written - 1, "the image has a placeholder already");
    });

    test("an upload is one R2 put and two D1 calls", async () => {
      assert.deepEqual(await callsOf(201, () => client.upload(PNG)), { r2: puts, d1: 2 });
    });

    test("an upload and a deletion read and write so many rows of D1", async () => {
      // An image's row twice, its entries in indexes each time, and two counters; embedded, its bytes and what is known of them.
      // Counting the write's chunks passes the entry behind them, which is not there when the write's random id is the greatest.
      const reads = storage === "r2" ? [2] : [10, 11];
      await callsOf(201, () => client.upload(PNG));
      const { read, written } = await rows();
      assert.ok(reads.includes(read), `${read} rows`);
      assert.equal(written, storage === "r2" ? 9 : 14);
      for (const visibility of ["public", "private"] as const) {
        const { id } = await client.stored(PNG, { visibility });
        const { d1 } = await callsOf(204, () => client.call("DELETE", `/api/images/${id}`));
        // Its beginning, its end, and embedded the removal of the bytes between.
        assert.equal(d1, storage === "r2" ? 2 : 3);
        // The purge of a public one, and its entry in an index.
        const purge = visibility === "public" ? 2 : 0;
        assert.equal((await rows()).written, purge + (storage === "r2" ? 9 : 11));
      }
    });

    test("the repetition of a purge writes one row of D1", async () => {
      await worker.db.prepare("UPDATE stillstore_purges SET due_at_ms = 0").run();
      const waiting = await worker.db.prepare("SELECT count(*) AS n FROM stillstore_purges").first<number>("n");
      assert.ok(waiting! > 0);
      await worker.faults.forgetCalls();
      await worker.scheduled();
      const calls = await worker.faults.calls();
      const sent = calls.filter(({ subject }) => subject.includes("stillstore_purges"));
      assert.deepEqual(sent.map(({ rowsWritten }) => rowsWritten), [0, waiting!]);
    });

    test("serving is one D1 call and one R2 get; embedded, the D1 call alone, and a second for a range", async () => {
      const { id } = await client.stored(PNG);
      const path = `/images/${id}`;
      assert.deepEqual(await callsOf(200, () => worker.fetch(path)), { r2: gets, d1: 1 });
      const range = { r2: gets, d1: storage === "r2" ? 1 : 2 };
      assert.deepEqual(await callsOf(206, () => worker.fetch(path, { headers: { range: "bytes=5-9" } })), range);
    });

    test("HEAD, 304, 412 and 416 are one D1 call", async () => {
      const { id } = await client.stored(PNG);
      const path = `/images/${id}`;
      const metadataOnly = { r2: [], d1: 1 };
      assert.deepEqual(await callsOf(200, () => worker.fetch(path, { method: "HEAD" })), metadataOnly);
      for (const [status, headers] of [
        [304, { "if-none-match": "*" }], [412, { "if-match": '"other"' }], [416, { range: "bytes=9999-" }],
      ] as [number, Record<string, string>][]) {
        assert.deepEqual(await callsOf(status, () => worker.fetch(path, { headers })), metadataOnly);
      }
    });

    test("serving reads no more rows than the image has", async () => {
      const image = new Uint8Array(2 * MIB + 1);
      image.set(PNG);
      const { id } = await client.stored(image);
      for (let other = 0; other < 5; other += 1) await client.stored(PNG);
      await callsOf(200, () => worker.fetch(`/images/${id}`));
      const [query, ...chunks] = (await worker.faults.calls()).filter(({ binding }) => binding === "DB");
      assert.equal(query?.rowsRead, 1);
      // Three chunks; each query also passes the row of their blob.
      const read = chunks.reduce((rows, { rowsRead = 0 }) => rows + rowsRead, 0);
      assert.ok(storage === "r2" ? read === 0 : read <= 2 * 3, `${read} rows in ${chunks.length} calls`);
    });
  });
}

test("a read from R2 has nothing to do with wasm once its answer has begun, however long the image", async (t) => {
  const worker = await startWorker({ wasmTraffic: true });
  t.after(() => worker.stop());
  const client = new Client(worker);
  const trafficOf = async (sizeBytes: number, headers: Record<string, string>) => {
    const image = new Uint8Array(sizeBytes);
    image.set(PNG);
    const { id } = await client.stored(image);
    await bytesOf(await worker.fetch(`/images/${id}`, { headers }));
    await worker.wasmTraffic();
    await bytesOf(await worker.fetch(`/images/${id}`, { headers }));
    const { callsIn, callsOut } = await worker.wasmTraffic();
    return { callsIn, callsOut };
  };
  for (const headers of [{}, { range: "bytes=1-" }] as Record<string, string>[]) {
    assert.deepEqual(await trafficOf(9 * MIB, headers), await trafficOf(1_000, headers));
  }
});
