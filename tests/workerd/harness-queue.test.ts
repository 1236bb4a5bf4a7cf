// Proves that the harness runs the queue of wrangler.toml, faults on it, and more than one database.
import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, beforeEach, describe, test } from "node:test";

import { sourceWorker } from "./harness/modules.ts";
import { startWorker } from "./harness/worker.ts";
import type { RunningWorker } from "./harness/worker.ts";

/** Sends its path to the queue, and notes what comes out of it. A message with "again" is taken at its second delivery. */
const source = sourceWorker(`export default {
  async fetch(request, env) {
    const words = new URL(request.url).pathname.slice(1);
    try {
      await env.MIGRATIONS.send({ words });
      return new Response("sent");
    } catch (error) {
      return new Response(error.message, { status: 500 });
    }
  },
  async queue(batch, env) {
    for (const { body, attempts } of batch.messages) {
      await env.DB.prepare("INSERT INTO taken VALUES (?)").bind(body.words).run();
      console.log(JSON.stringify({ event: "taken", words: body.words, attempts, batch: batch.messages.length }));
      if (body.words.includes("again") && attempts < 2) throw new Error("not yet");
    }
  },
}`);
const migrations = [{ name: "0001_taken.sql", sql: "CREATE TABLE taken (words TEXT)" }];

describe("the queue", () => {
  let worker: RunningWorker;
  before(async () => {
    worker = await startWorker({ worker: source, migrations, faults: true });
  });
  after(() => worker.stop());
  beforeEach(() => worker.faults.clear());

  const send = async (words: string) => (await worker.fetch(`/${words}`)).text();
  const taken = (words: string, attempts = 1) =>
    worker.waitForLog(({ event }) => event?.words === words && event.attempts === attempts);

  test("delivers each message on its own", async () => {
    assert.deepEqual(await Promise.all([send("one"), send("two")]), ["sent", "sent"]);
    for (const words of ["one", "two"]) assert.equal((await taken(words)).event?.batch, 1);
  });

  test("delivers what a test sends", async () => {
    await worker.queue.send({ words: "from outside" });
    await taken("from outside");
  });

  test("delivers again what its consumer did not take", async () => {
    await send("again");
    await taken("again", 2);
  });

  test("fails before a message is sent, which then never comes", async () => {
    await worker.faults.set({ binding: "MIGRATIONS", method: "send", matching: "lost", when: "before", message: "down" });
    assert.equal(await send("lost"), "send: down");
    await send("found");
    await taken("found");
    assert.ok(worker.logs().every(({ event }) => event?.words !== "lost"));
    assert.deepEqual((await worker.faults.calls({ binding: "MIGRATIONS" })).slice(-2), [
      { binding: "MIGRATIONS", method: "send", subject: '{"words":"lost"}', outcome: "failed" },
      { binding: "MIGRATIONS", method: "send", subject: '{"words":"found"}', outcome: "ok" },
    ]);
  });

  test("fails after a message is sent, which then does come", async () => {
    await worker.faults.set({ binding: "MIGRATIONS", method: "send", when: "after" });
    assert.match(await send("doubtful"), /^send: /);
    await taken("doubtful");
  });
});

test("a Worker with a queue is killed and goes on from what it wrote", async (t) => {
  const persist = await mkdtemp(join(tmpdir(), "stillstore-queue-"));
  t.after(() => rm(persist, { recursive: true }));
  for (const words of ["first", "second"]) {
    const worker = await startWorker({ worker: source, migrations, persist });
    t.after(() => worker.stop());
    await worker.fetch(`/${words}`);
    await worker.waitForLog(({ event }) => event?.words === words);
    if (words === "first") await worker.kill();
    else assert.equal(await worker.db.prepare("SELECT count(*) AS count FROM taken").first("count"), 2);
  }
});

test("more databases are each their own, in what they hold and in what fails", async (t) => {
  const worker = await startWorker({
    worker: sourceWorker(`export default {
      async fetch(request, env) {
        const names = ["DB", "APP_DB", "OTHER_DB"];
        const count = (name) => env[name].prepare("SELECT count(*) AS count FROM taken").first("count");
        return Response.json(await Promise.all(names.map((name) => count(name).catch((error) => error.message))));
      },
    }`),
    migrations,
    databases: ["APP_DB", "OTHER_DB"],
    faults: true,
  });
  t.after(() => worker.stop());
  for (const binding of ["APP_DB", "OTHER_DB"]) await (await worker.database(binding)).exec("CREATE TABLE taken (words TEXT)");
  await (await worker.database("APP_DB")).exec("INSERT INTO taken VALUES ('a row')");
  assert.deepEqual(await (await worker.fetch("/")).json(), [0, 1, 0]);
  const [call] = await worker.faults.calls({ binding: "APP_DB" });
  assert.deepEqual(
    { method: call?.method, rowsRead: call?.rowsRead, rowsWritten: call?.rowsWritten },
    { method: "first", rowsRead: 1, rowsWritten: 0 },
  );
  await worker.faults.set({ binding: "OTHER_DB", when: "before", message: "gone" });
  assert.deepEqual(await (await worker.fetch("/")).json(), [0, 1, "D1_ERROR: gone"]);
});

describe("the built Worker", () => {
  let worker: RunningWorker;
  before(async () => {
    worker = await startWorker();
  });
  after(() => worker.stop());
  const told = async (outcome: string) => (await worker.waitForLog(({ event }) => event?.outcome === outcome)).event;

  test("tells of each message of its queue", async () => {
    await worker.queue.send({ runId: "no-such-run", source: "embedded" });
    const { duration_ms: durationMs, ...event } = (await told("ok")) ?? {};
    assert.ok(Number(durationMs) >= 0);
    assert.deepEqual(event, { event: "message", run_id: "no-such-run", outcome: "ok", request_id: "queue" });
  });

  test("tells of what is no message and takes it once", async () => {
    await worker.queue.send("unreadable");
    assert.equal((await told("message-unreadable"))?.event, "message");
    await worker.queue.send({ runId: "after-it", source: "embedded" });
    await worker.waitForLog(({ event }) => event?.run_id === "after-it");
    assert.equal(worker.logs().filter(({ event }) => event?.outcome === "message-unreadable").length, 1);
  });
});
