// What the Worker makes of what a cache in front answers to a purge.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";

import { Client } from "./client.ts";
import { pngOf } from "./flows.ts";
import { startWorker } from "./harness/worker.ts";
import type { RunningWorker } from "./harness/worker.ts";
import { objectKeys } from "./invariants.ts";
import { APPLICATION_TABLE, acted } from "./migrations.ts";

/** Another picture's bytes. */
const OTHER = Buffer.from(pngOf(200, 1)).toString("base64");
const RATE_LIMITED = { success: false, errors: [{ code: 10429, message: "over the rate limit" }] };

describe("with a cache in front", () => {
  let worker: RunningWorker;
  let client: Client;
  /** Calls that it takes before it refuses all. */
  let allows = 0;
  /** What it answers to a call that it takes. */
  let taken: unknown = { success: true, errors: [] };
  let purged: string[] = [];
  before(async () => {
    worker = await startWorker({
      cache: async (request) => {
        const { tags } = (await request.json()) as { tags: string[] };
        if (allows === 0) return Response.json(RATE_LIMITED) as never;
        allows -= 1;
        if (taken === undefined) return new Response("no connection", { status: 502 }) as never;
        if ((taken as { success?: unknown } | null)?.success === true) purged.push(...tags);
        return Response.json(taken) as never;
      },
    });
    client = new Client(worker);
  });
  after(() => worker.stop());

  const deletion = async (id: string) => {
    const response = await client.call("DELETE", `/api/images/${id}`);
    assert.equal(response.status, 204);
    return response.headers.get("cache-purge");
  };
  /** Lets everything that waits be due. */
  const letTimePass = () => worker.db.prepare("UPDATE stillstore_purges SET due_at_ms = 0").run();

  test("thirty deletions and 25 calls: every image is purged in the end, and none is claimed before", async () => {
    const ids: string[] = [];
    for (let image = 0; image < 30; image += 1) ids.push((await client.stored(pngOf(100, 1))).id);
    allows = 25;
    for (const [index, id] of ids.entries()) {
      assert.equal(await deletion(id), index < 25 ? null : "pending");
      assert.equal(purged.includes(id), index < 25);
    }
    assert.equal(await deletion(ids[29]!), "pending", "it says so as long as that is so");
    allows = 25;
    purged = [];
    await letTimePass();
    await worker.scheduled();
    assert.deepEqual(purged.sort(), ids.toSorted(), "the five for the first time, and the others once more");
    assert.equal(allows, 24);
    assert.equal(await deletion(ids[29]!), null);
    await letTimePass();
    await worker.scheduled();
    assert.equal(await worker.db.prepare("SELECT count(*) AS n FROM stillstore_purges").first("n"), 0);
  });

  test("a row that is gone leaves nothing behind its rollback: no object, no image, no entry of the cache", async () => {
    allows = 25;
    await worker.db.prepare(APPLICATION_TABLE).run();
    const insert = worker.db.prepare("INSERT INTO images (id, image_data) VALUES (?1, ?2)");
    const data = Buffer.from(pngOf(100, 2)).toString("base64");
    // Of a value with a space, cleanup saves the original.
    await worker.db.batch([insert.bind("gone", `${data.slice(0, 8)} ${data.slice(8)}`), insert.bind("replaced", data)]);
    const { runId } = await acted(worker, { action: "migrate", source: "images" });
    await acted(worker, { action: "cleanup", source: "images", force: true, runId, confirmRunId: runId });
    const { results } = await worker.db.prepare("SELECT id FROM stillstore_images WHERE source = 'images'").all<{ id: string }>();
    assert.equal(results.length, 2);
    await worker.db.batch([
      worker.db.prepare("DELETE FROM images WHERE id = 'gone'"),
      worker.db.prepare("UPDATE images SET image_url = NULL, image_data = ?1 WHERE id = 'replaced'").bind(OTHER),
    ]);
    for (const { id } of results) assert.equal((await worker.fetch(`/images/${id}`)).status, 200);
    await acted(worker, { action: "rollback", source: "images", deleteFromR2: true });
    assert.deepEqual((await objectKeys(worker)).filter((key) => !key.startsWith("stillstore/receipts/")), []);
    for (const { id } of results) {
      assert.equal((await worker.fetch(`/images/${id}`)).status, 404);
      assert.ok(purged.includes(id));
    }
    assert.equal(await worker.db.prepare("SELECT count(*) AS n FROM stillstore_moves").first("n"), 0);
  });

  test("only `success: true` is success", async () => {
    for (const answer of [undefined, null, {}, { success: "true" }, { success: 1 }, RATE_LIMITED]) {
      allows = 25;
      taken = answer;
      const { id } = await client.stored(pngOf(100, 1));
      assert.equal(await deletion(id), "pending", JSON.stringify(answer));
    }
    taken = { success: true, errors: [] };
  });
});
