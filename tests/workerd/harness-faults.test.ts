// Proves that planned faults happen as planned, on real D1 and R2.
import assert from "node:assert/strict";
import { after, before, beforeEach, describe, test } from "node:test";

import type { Call, Fault } from "./harness/fault-plan.ts";
import { sourceWorker } from "./harness/modules.ts";
import { startWorker } from "./harness/worker.ts";
import type { RunningWorker } from "./harness/worker.ts";

/** Runs the JavaScript it is sent, so that each test shows the calls it makes. */
const source = `
  const routes = {
    put: (env, key) => env.R2_IMAGES.put(key, "bytes"),
    get: async (env, key) => (await env.R2_IMAGES.get(key))?.text() ?? null,
    deleteTwo: (env) => env.R2_IMAGES.delete(["a", "b"]),
    multipart: async (env, key) => {
      const upload = await env.R2_IMAGES.createMultipartUpload(key);
      const part = await upload.uploadPart(1, "part");
      await env.R2_IMAGES.resumeMultipartUpload(key, upload.uploadId).complete([part]);
    },
    run: (env, text) => env.DB.prepare("INSERT INTO notes VALUES (?)").bind(text).run(),
    all: async (env) => (await env.DB.prepare("SELECT text FROM notes").all()).results,
    first: (env) => env.DB.prepare("SELECT text FROM notes").first(),
    firstColumn: (env) => env.DB.prepare("SELECT text FROM notes").first("text"),
    firstMissingColumn: (env) => env.DB.prepare("SELECT text FROM notes").first("none"),
    raw: (env) => env.DB.prepare("SELECT text FROM notes").raw(),
    session: (env) => env.DB.withSession().prepare("SELECT text FROM notes").first("text"),
    batch: async (env) => {
      const insert = env.DB.prepare("INSERT INTO notes VALUES (?)");
      await env.DB.batch([insert.bind("one"), insert.bind("two"), env.DB.prepare("SELECT text FROM notes")]);
    },
    exec: (env) => env.DB.exec("INSERT INTO notes VALUES ('exec')"),
  };
  export default {
    async fetch(request, env) {
      const [, route, argument] = new URL(request.url).pathname.split("/");
      try {
        return Response.json({ result: (await routes[route](env, argument)) ?? null });
      } catch (error) {
        return Response.json({ error: error.message, cause: error.cause?.message });
      }
    },
  };`;

let worker: RunningWorker;

before(async () => {
  const migrations = [{ name: "0001_notes.sql", sql: "CREATE TABLE notes (text TEXT)" }];
  worker = await startWorker({ worker: sourceWorker(source), migrations, faults: true });
});
after(() => worker.stop());
beforeEach(async () => {
  await worker.faults.clear();
  await worker.bucket.delete(["a", "b"]);
  await worker.db.exec("DELETE FROM notes");
  await worker.faults.forgetCalls();
});

async function ask(path: string): Promise<{ result?: unknown; error?: string; cause?: string }> {
  return (await worker.fetch(path)).json() as Promise<{}>;
}

async function notes(): Promise<unknown[]> {
  return (await worker.db.prepare("SELECT text FROM notes").raw()).flat();
}

describe("R2", () => {
  const put: Fault = { binding: "R2_IMAGES", method: "put", when: "before" };

  test("fails before a put, which then never happened", async () => {
    await worker.faults.set(put);
    assert.match((await ask("/put/a")).error ?? "", /^put: .*internal error/);
    assert.equal(await worker.bucket.head("a"), null);
    assert.equal((await ask("/put/a")).error, undefined);
  });

  test("fails after a put, which then did happen", async () => {
    await worker.faults.set({ ...put, when: "after" });
    assert.match((await ask("/put/a")).error ?? "", /internal error/);
    assert.equal(await (await worker.bucket.get("a"))?.text(), "bytes");
  });

  test("fails at the call said, once or from then on", async () => {
    await worker.faults.set({ ...put, call: 2 });
    const failures = async () => {
      const failed: boolean[] = [];
      for (let call = 0; call < 4; call += 1) failed.push((await ask("/put/a")).error !== undefined);
      return failed;
    };
    assert.deepEqual(await failures(), [false, true, false, false]);
    await worker.faults.set({ ...put, call: 2, persistent: true });
    assert.deepEqual(await failures(), [false, true, true, true]);
  });

  test("fails only for what matches", async () => {
    await worker.faults.set({ ...put, matching: "b" }, { binding: "DB", when: "before" });
    assert.equal((await ask("/put/a")).error, undefined);
    assert.ok((await ask("/put/b")).error);
    assert.deepEqual(await ask("/get/a"), { result: "bytes" });
  });

  test("holds a call until the faults are cleared", async () => {
    await worker.faults.set({ ...put, when: "hang" });
    const answer = ask("/put/a");
    const [held] = await worker.faults.untilHeld();
    assert.equal(held?.subject, "a");
    assert.equal(await worker.bucket.head("a"), null);
    await worker.faults.clear();
    assert.equal((await answer).error, undefined);
    assert.ok(await worker.bucket.head("a"));
  });

  test("reaches the calls of a multipart upload", async () => {
    await ask("/multipart/a");
    assert.deepEqual(
      (await worker.faults.calls()).map(({ method, subject }) => `${method} ${subject}`),
      ["createMultipartUpload a", "uploadPart a", "complete a"],
    );
    await worker.faults.set({ binding: "R2_IMAGES", method: "complete", when: "before" });
    assert.match((await ask("/multipart/b")).error ?? "", /^complete: /);
    assert.equal(await worker.bucket.head("b"), null);
  });

  test("names every key of a delete", async () => {
    await ask("/deleteTwo");
    assert.deepEqual(await worker.faults.calls(), [
      { binding: "R2_IMAGES", method: "delete", subject: "a\nb", outcome: "ok" },
    ]);
  });
});

describe("D1", () => {
  for (const method of ["run", "batch", "exec"]) {
    test(`fails before and after a ${method}`, async () => {
      await worker.faults.set({ binding: "DB", method, when: "before", message: "gone" });
      assert.deepEqual(await ask(`/${method}/x`), { error: "D1_ERROR: gone", cause: "gone" });
      assert.deepEqual(await notes(), []);
      await worker.faults.set({ binding: "DB", method, when: "after", message: "gone" });
      assert.deepEqual(await ask(`/${method}/x`), { error: "D1_ERROR: gone", cause: "gone" });
      assert.notDeepEqual(await notes(), []);
    });
  }

  for (const method of ["first", "all", "raw"]) {
    test(`fails a ${method}`, async () => {
      await worker.faults.set({ binding: "DB", method, when: "before" });
      assert.match((await ask(`/${method}`)).error ?? "", /^D1_ERROR: /);
      assert.equal((await ask(`/${method}`)).error, undefined);
    });
  }

  test("passes real errors on with their cause", async () => {
    await worker.db.exec("DROP TABLE notes");
    const { error, cause } = await ask("/run/x");
    await worker.db.exec("CREATE TABLE notes (text TEXT)");
    assert.match(error ?? "", /^D1_ERROR: no such table/);
    assert.match(cause ?? "", /^no such table/);
  });

  test("answers as without interception", async () => {
    assert.deepEqual(await ask("/first"), { result: null });
    await ask("/run/x");
    assert.deepEqual(await ask("/all"), { result: [{ text: "x" }] });
    assert.deepEqual(await ask("/first"), { result: { text: "x" } });
    assert.deepEqual(await ask("/firstColumn"), { result: "x" });
    assert.match((await ask("/firstMissingColumn")).error ?? "", /^D1_COLUMN_NOTFOUND/);
    assert.deepEqual(await ask("/raw"), { result: [["x"]] });
    assert.deepEqual(await ask("/session"), { result: "x" });
  });

  test("records the rows each call read and wrote", async () => {
    await ask("/batch");
    await ask("/first");
    const insert = "INSERT INTO notes VALUES (?)";
    const select = "SELECT text FROM notes";
    const expected: Call[] = [
      {
        binding: "DB",
        method: "batch",
        subject: `${insert}\n${insert}\n${select}`,
        outcome: "ok",
        rowsRead: 2,
        rowsWritten: 2,
      },
      { binding: "DB", method: "first", subject: select, outcome: "ok", rowsRead: 2, rowsWritten: 0 },
    ];
    assert.deepEqual(await worker.faults.calls(), expected);
  });
});
