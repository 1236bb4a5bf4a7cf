// Bytes from a client into a store and back, over HTTP.
import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import http from "node:http";
import { after, before, describe, it } from "node:test";

import type { RunningWorker } from "../harness/worker.ts";
import { startConformance } from "./server.ts";

let worker: RunningWorker;
before(async () => {
  worker = await startConformance();
});
after(() => worker.stop());

const MIB = 1 << 20;
const digest = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");

interface Answer {
  status: number;
  headers: http.IncomingHttpHeaders;
  body: Buffer;
}

/** With `node:http`, which hides no header and sends a body with or without a length. */
function send(method: string, path: string, headers: http.OutgoingHttpHeaders = {}, ...body: Uint8Array[]) {
  return new Promise<Answer>((resolve, reject) => {
    const request = http.request(new URL(path, worker.url), { method, headers }, (response) => {
      const chunks: Buffer[] = [];
      response.on("data", (chunk) => chunks.push(chunk));
      response.on("error", reject);
      response.on("end", () =>
        resolve({ status: response.statusCode ?? 0, headers: response.headers, body: Buffer.concat(chunks) }),
      );
    });
    request.on("error", reject);
    for (const run of body) request.write(run);
    request.end();
  });
}

const put = (path: string, bytes: Uint8Array, headers: http.OutgoingHttpHeaders = {}) =>
  send("PUT", path, { "content-length": bytes.length, ...headers }, bytes);

for (const store of ["r2", "d1"]) {
  describe(`objects in ${store}`, () => {
    for (const size of [0, 1, 5_000, MIB, 3 * MIB + 7]) {
      it(`of ${size} bytes come back with their length`, async () => {
        const bytes = randomBytes(size);
        const path = `/conformance/objects/${store}/sizes/${size}`;
        const stored = await put(path, bytes);
        assert.equal(`${stored.status} ${stored.body}`, `200 ${size} ${digest(bytes)}`);
        const got = await send("GET", path);
        assert.equal(got.status, 200);
        assert.equal(got.headers["content-length"], String(size));
        assert.equal(got.headers["transfer-encoding"], undefined);
        assert.ok(got.body.equals(bytes));
      });

      it(`of ${size} bytes tell HEAD their length and type`, async () => {
        const got = await send("HEAD", `/conformance/objects/${store}/sizes/${size}`);
        assert.equal(got.status, 200);
        assert.equal(got.headers["content-length"], String(size));
        assert.equal(got.headers["content-type"], "image/png");
        assert.equal(got.body.length, 0);
      });
    }

    it("are read in part", async () => {
      const bytes = randomBytes(3 * MIB);
      const path = `/conformance/objects/${store}/parts`;
      await put(path, bytes);
      for (const [offset, length] of [
        [0, 1],
        [MIB - 1, 2],
        [5, 2 * MIB],
      ] as const) {
        const got = await send("GET", path, { "x-range": `${offset}-${length}` });
        assert.equal(got.headers["content-length"], String(length));
        assert.ok(got.body.equals(bytes.subarray(offset, offset + length)));
      }
    });

    it("are stored without a promised length", async () => {
      const bytes = randomBytes(2 * MIB + 5);
      const path = `/conformance/objects/${store}/chunked`;
      const stored = await send("PUT", path, {}, bytes.subarray(0, 100_000), bytes.subarray(100_000));
      assert.equal(`${stored.status} ${stored.body}`, `200 ${bytes.length} ${digest(bytes)}`);
      assert.ok((await send("GET", path)).body.equals(bytes));
    });

    it("are stored when the sender's digest is right, and not when it is wrong", async () => {
      const bytes = randomBytes(2 * MIB);
      const path = `/conformance/objects/${store}/digests`;
      const refused = await put(path, bytes, { "x-sha256": digest(Buffer.from("other")) });
      assert.equal(refused.status, 422);
      assert.match(refused.body.toString(), /^checksum-mismatch/);
      assert.equal((await send("GET", path)).status, 404);
      assert.equal((await put(path, bytes, { "x-sha256": digest(bytes) })).status, 200);
      assert.ok((await send("GET", path)).body.equals(bytes));
    });

    it("are never overwritten", async () => {
      const bytes = randomBytes(MIB + 1);
      const path = `/conformance/objects/${store}/taken`;
      assert.equal((await put(path, bytes)).status, 200);
      assert.equal((await put(path, bytes)).status, 200);
      assert.match((await put(path, randomBytes(MIB + 1))).body.toString(), /^key-taken/);
      assert.match((await put(path, randomBytes(5))).body.toString(), /^key-taken/);
      assert.ok((await send("GET", path)).body.equals(bytes));
    });

    it("are not stored when the sender goes away", async () => {
      for (const sent of [10, 5_000, 5 * MIB]) {
        const path = `/conformance/objects/${store}/interrupted/${sent}`;
        await new Promise<void>((resolve) => {
          const request = http.request(new URL(path, worker.url), {
            method: "PUT",
            headers: { "content-length": 8 * MIB },
          });
          request.on("error", () => resolve());
          request.write(randomBytes(sent), () => setTimeout(() => request.destroy(new Error("gone")), 50));
        });
        assert.equal((await send("GET", path)).status, 404);
      }
      // What was begun is undone although nobody waits for the answer any more.
      const unfinished = worker.db.prepare("SELECT 1 FROM stillstore_blobs WHERE stored_at_ms IS NULL");
      while ((await unfinished.first()) !== null) {
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    });

    it("survive readers that go away", async () => {
      const bytes = randomBytes(10 * MIB);
      const path = `/conformance/objects/${store}/abandoned`;
      await put(path, bytes);
      for (let reader = 0; reader < 20; reader += 1) {
        await new Promise<void>((resolve) => {
          const request = http.request(new URL(path, worker.url), (response) => {
            response.once("data", () => {
              request.destroy();
              resolve();
            });
          });
          request.on("error", () => resolve());
          request.end();
        });
      }
      assert.ok((await send("GET", path)).body.equals(bytes));
    });
  });
}

describe("a bucket that", () => {
  const bytes = randomBytes(3 * MIB);

  for (const when of ["early", "late"]) {
    it(`fails ${when} makes the put unavailable`, async () => {
      const path = `/conformance/objects/r2/fails-${when}`;
      for (const size of [5_000, bytes.length]) {
        const failed = await put(path, bytes.subarray(0, size));
        assert.match(failed.body.toString(), /^store-unavailable.*10001/);
      }
    });
  }

  it("fails early ends the put before the sender has sent everything", async () => {
    const answer = await new Promise<string>((resolve, reject) => {
      const headers = { "content-length": bytes.length };
      const url = new URL("/conformance/objects/r2/fails-early", worker.url);
      const request = http.request(url, { method: "PUT", headers }, (response) => {
        response.on("data", (words) => resolve(String(words)));
      });
      request.on("error", reject);
      request.write(bytes.subarray(0, 2 * MIB));
    });
    assert.match(answer, /^store-unavailable/);
  });

  it("refuses a taken key before it has read the body is answered by the bytes themselves", async () => {
    const path = "/conformance/objects/r2/refuses-early";
    assert.equal((await put(path, bytes)).status, 200);
    assert.equal(`${(await put(path, bytes)).body}`, `${bytes.length} ${digest(bytes)}`);
    assert.match((await put(path, randomBytes(bytes.length))).body.toString(), /^key-taken/);
    assert.match((await put(path, bytes, { "x-sha256": digest(randomBytes(1)) })).body.toString(), /^key-taken/);
    assert.ok((await send("GET", path)).body.equals(bytes));
  });

  it("holds other bytes than were sent keeps nothing", async () => {
    const path = "/conformance/objects/r2/damages";
    assert.match((await put(path, bytes)).body.toString(), /^checksum-mismatch/);
    assert.equal((await send("GET", path)).status, 404);
  });
});

describe("a body without a promised length", () => {
  it("is refused in r2 above 8 MiB, where it is held in memory", async () => {
    const bytes = Buffer.alloc(8 * MIB + 1);
    const path = "/conformance/objects/r2/unbounded";
    const refused = await send("PUT", path, {}, bytes.subarray(0, MIB), bytes.subarray(MIB));
    assert.match(refused.body.toString(), /^body-broken.*TooLong/);
    assert.equal((await send("GET", path)).status, 404);
  });
});
