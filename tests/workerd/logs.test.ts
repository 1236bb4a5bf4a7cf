// One structured line for each request and each storage operation, and nothing else.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";

import { Client, STORAGE_MODES, bytesOf, sha256 } from "./client.ts";
import { projectDir } from "./harness/project.ts";
import { API_TOKEN, startWorker } from "./harness/worker.ts";
import type { RunningWorker } from "./harness/worker.ts";

const PNG = new Uint8Array(readFileSync(join(projectDir, "tests/fixtures/images/rgb.png")));

const BUCKETS = { r2: "R2_IMAGES", d1: "DB" };

for (const { storage, vars } of STORAGE_MODES) {
  describe(`with images in ${storage}`, () => {
    let worker: RunningWorker;
    let client: Client;
    before(async () => {
      worker = await startWorker({ vars, faults: true });
      client = new Client(worker);
    });
    after(() => worker.stop());

    let requests = 0;
    /** The events of one request, those of its kind only, without the time they took. */
    const eventsOf = async (ask: (headers: { "x-request-id": string }) => Promise<Response>) => {
      requests += 1;
      const requestId = `${storage}-${requests}`;
      const response = await ask({ "x-request-id": requestId });
      await bytesOf(response);
      const isPublic = response.headers.get("cache-control")?.startsWith("public");
      assert.equal(response.headers.get("x-request-id"), isPublic ? null : requestId);
      // The request's own line is its last but for what the body still does.
      await worker.waitForLog(({ event }) => event?.event === "request" && event.request_id === requestId);
      const lines = worker.logs().filter(({ event }) => event?.request_id === requestId);
      return lines.map(({ event, level }) => {
        const { duration_ms: duration, request_id: _, ...fields } = event ?? {};
        if (fields.event !== "fallback") assert.ok(Number.isInteger(duration) && Number(duration) >= 0);
        return { level, ...fields } as Record<string, unknown>;
      });
    };
    const request = (method: string, route: string, status: number, outcome = "ok") => ({
      level: "log", event: "request", method, route, status, outcome,
    });
    const storing = (operation: string, image_id: string, bytes: number) => ({
      level: "log", event: "storage", operation, backend: storage, bucket: BUCKETS[storage], image_id, bytes, outcome: "ok",
    });
    const call = (method: string, path: string) => (headers: Record<string, string>) =>
      client.call(method, path, { headers });

    test("each storage operation is told once, and the request after it", async () => {
      const upload = await eventsOf((headers) => client.call("POST", "/api/images", { headers, body: PNG }));
      const id = String(upload[0]?.image_id);
      assert.deepEqual(upload, [storing("put", id, PNG.byteLength), request("POST", "upload-image", 201)]);

      assert.deepEqual(await eventsOf(call("GET", `/images/${id}`)), [
        storing("get", id, PNG.byteLength), request("GET", "serve-image", 200),
      ]);
      const ranged = (headers: object) => worker.fetch(`/images/${id}`, { headers: { ...headers, range: "bytes=5-9" } });
      assert.deepEqual(await eventsOf(ranged), [storing("get", id, 5), request("GET", "serve-image", 206)]);
      assert.deepEqual(await eventsOf(call("HEAD", `/images/${id}`)), [request("HEAD", "serve-image", 200)]);
      assert.deepEqual(await eventsOf(call("GET", `/api/images/${id}`)), [request("GET", "describe-image", 200)]);
      assert.deepEqual(await eventsOf(call("DELETE", `/api/images/${id}`)), [
        storing("delete", id, 0), { level: "log", event: "purge", images: 1, outcome: "ok" }, request("DELETE", "delete-image", 204),
      ]);
    });

    test("a generation is told between", async () => {
      const events = await eventsOf((headers) => client.generate({}, headers));
      assert.deepEqual(events.map(({ event }) => event), ["generation", "storage", "request"]);
      assert.deepEqual(events[0], { level: "log", event: "generation", provider: "placeholder", outcome: "ok" });
      assert.deepEqual({ operation: events[1]?.operation, outcome: events[1]?.outcome }, { operation: "put", outcome: "ok" });
    });

    test("a refusal is told with its code, and never the query", async () => {
      assert.deepEqual(await eventsOf(call("GET", "/nowhere?secret=x")), [request("GET", "none", 404, "route-not-found")]);
      const wrong = `/api/images?sha256=${sha256(Buffer.from("other"))}&filename=private-name.png`;
      const events = await eventsOf((headers) => client.call("POST", wrong, { headers, body: PNG }));
      assert.equal(events.at(-1)?.outcome, "checksum-mismatch");
    });

    test("a failure of the store is told with its code and cause", async () => {
      await worker.faults.set(
        storage === "r2"
          ? { binding: "R2_IMAGES", when: "before", persistent: true }
          : { binding: "DB", matching: "stillstore_blobs", when: "before", persistent: true },
      );
      const events = await eventsOf((headers) => client.call("POST", "/api/images", { headers, body: PNG }));
      await worker.faults.clear();
      const put = events.find(({ operation }) => operation === "put");
      assert.deepEqual(
        { level: put?.level, backend: put?.backend, bytes: put?.bytes },
        { level: "error", backend: storage, bytes: 0 },
      );
      assert.equal(put?.outcome, "store-unavailable");
      assert.equal(typeof put?.cause, "string");
      const last = events.at(-1);
      assert.deepEqual(last?.status, storage === "r2" ? 201 : 503);
      if (storage === "r2") assert.ok(events.some(({ event, reason }) => event === "fallback" && reason === put?.outcome));
    });

    test("every line is such an event, and none holds the token or a query", async () => {
      for (const { message, event } of worker.logs()) {
        assert.ok(event !== undefined && typeof event.event === "string", message);
        for (const secret of [API_TOKEN, "secret=", "a lighthouse"]) assert.ok(!message.includes(secret), message);
      }
    });
  });
}
