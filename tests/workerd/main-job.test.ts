// A prompt becomes an image that is stored, described, read and deleted, in both homes of bytes.
import assert from "node:assert/strict";
import { after, before, beforeEach, describe, test } from "node:test";
import { crc32, inflateSync } from "node:zlib";

import { Client, STORAGE_MODES, bytesOf, headersOf, pathOf, problemOf, sha256, storedKeys } from "./client.ts";
import type { GeneratedImage, ImagePage } from "./harness/api-types.ts";
import { startWorker } from "./harness/worker.ts";
import type { RunningWorker } from "./harness/worker.ts";

const FIELDS = {
  prompt: "a secret garden", personaId: "p1", sessionId: "s1", participantId: "a1", tableId: "t1",
  size: "512x512", quality: "hd", style: "vivid",
};

for (const { storage, vars } of STORAGE_MODES) {
  describe(`with images in ${storage}`, () => {
    let worker: RunningWorker;
    let client: Client;
    before(async () => {
      worker = await startWorker({ vars, faults: true });
      client = new Client(worker);
    });
    after(() => worker.stop());
    beforeEach(() => worker.faults.clear());

    const generated = async (fields = {}, headers = {}): Promise<GeneratedImage> => {
      const response = await client.generate({ ...FIELDS, ...fields }, headers);
      assert.equal(response.status, 200, await response.clone().text());
      return (await response.json()) as GeneratedImage;
    };
    const imagesMade = async (session: string) =>
      worker.db.prepare("SELECT count(*) AS n FROM stillstore_images WHERE session_id = ?").bind(session).first("n");

    test("the answer says what was made and where it is", async () => {
      const body = await generated();
      const { image } = body;
      assert.deepEqual(
        { success: body.success, fallback: body.fallback, fallbackReason: body.fallbackReason },
        { success: true, fallback: false, fallbackReason: undefined },
      );
      assert.equal(body.storage.type, storage);
      assert.equal(body.storage.r2Key, storage === "r2" ? image.key : null);
      assert.deepEqual(body.storage.details, {
        key: image.key, size: image.size, contentType: "image/png", sha256: image.sha256,
      });
      assert.equal(body.imageUrl, new URL(`/images/${image.id}`, worker.url).href);
      assert.equal(body.originalUrl, body.imageUrl);
      const { provider, prompt, size, quality, metadata } = body.generation;
      assert.deepEqual(
        { provider, prompt, size, quality },
        { provider: "placeholder", prompt: FIELDS.prompt, size: "512x512", quality: "hd" },
      );
      assert.deepEqual(
        { style: metadata.style, width: metadata.width, height: metadata.height },
        { style: "vivid", width: 512, height: 512 },
      );
      assert.match(image.key, new RegExp(`^generated/\\d{4}/\\d{2}/${image.id}\\.png$`));
      assert.deepEqual(
        { personaId: image.personaId, sessionId: image.sessionId, participantId: image.participantId, tableId: image.tableId, status: image.status, storage: image.storage },
        { personaId: "p1", sessionId: "s1", participantId: "a1", tableId: "t1", status: "stored", storage },
      );
    });

    test("the URL shows a PNG of the size asked for", async () => {
      for (const [size, width, height] of [["256x256", 256, 256], ["1792x1024", 1792, 1024]] as const) {
        const { imageUrl, image } = await generated({ size });
        const response = await worker.fetch(pathOf(imageUrl));
        assert.deepEqual([response.status, response.headers.get("content-type")], [200, "image/png"]);
        const png = await bytesOf(response);
        assert.deepEqual([png.byteLength, sha256(png)], [image.size, image.sha256]);
        assert.equal(response.headers.get("etag"), `"${image.sha256}"`);
        assertWholePng(png, width, height);

        const head = await worker.fetch(pathOf(imageUrl), { method: "HEAD" });
        assert.deepEqual(headersOf(head), headersOf(response));
        assert.equal((await bytesOf(head)).byteLength, 0);
      }
    });

    test("the image is listed and described", async () => {
      const sessionId = "listed";
      const { image: older } = await generated({ sessionId });
      const { image: newer } = await generated({ sessionId, prompt: "another" });
      const listing = (await (await client.call("GET", `/api/images?sessionId=${sessionId}`)).json()) as ImagePage;
      assert.deepEqual(new Set(listing.images.map(({ id }) => id)), new Set([older.id, newer.id]));
      assert.equal(listing.nextCursor, undefined);
      const page = (await (await client.call("GET", `/api/images?sessionId=${sessionId}&limit=1`)).json()) as ImagePage;
      const rest = await client.call("GET", `/api/images?sessionId=${sessionId}&limit=1&cursor=${page.nextCursor}`);
      const next = (await rest.json()) as ImagePage;
      assert.deepEqual([...page.images, ...next.images], listing.images);
      assert.deepEqual(await (await client.call("GET", `/api/images/${older.id}`)).json(), older);
      assert.deepEqual(listing.images.find(({ id }) => id === older.id), older);
    });

    test("the store holds the bytes, their origin and no prompt", async () => {
      const { image, imageUrl } = await generated();
      const bytes = await bytesOf(await worker.fetch(pathOf(imageUrl)));
      const origin = {
        "image-id": image.id, "persona-id": "p1", "session-id": "s1", provider: "placeholder",
        "generated-at": image.createdAt, "prompt-sha256": sha256(Buffer.from(FIELDS.prompt)),
      };
      if (storage === "r2") {
        const object = await worker.bucket.get(image.key);
        assert.ok(object !== null);
        assert.deepEqual(Buffer.from(await object.arrayBuffer()), bytes);
        assert.deepEqual(object.httpMetadata, {
          contentType: "image/png", cacheControl: "public, max-age=31536000, immutable",
        });
        assert.deepEqual(object.customMetadata, { ...origin, sha256: image.sha256 });
        assert.deepEqual((await storedKeys(worker)).d1, []);
      } else {
        const row: any = await worker.db
          .prepare("SELECT * FROM stillstore_blobs WHERE object_key = ?").bind(image.key).first();
        assert.deepEqual(
          { owner_id: row.owner_id, size_bytes: row.size_bytes, sha256: row.sha256 },
          { owner_id: image.id, size_bytes: bytes.byteLength, sha256: image.sha256 },
        );
        assert.deepEqual(JSON.parse(row.metadata_json), origin);
        const { results } = await worker.db
          .prepare("SELECT data FROM stillstore_chunks WHERE write_id = ? ORDER BY chunk_index")
          .bind(row.write_id).all<{ data: string }>();
        assert.deepEqual(Buffer.concat(results.map(({ data }) => Buffer.from(data, "base64"))), bytes);
        assert.deepEqual((await storedKeys(worker)).r2, []);
      }
    });

    test("a deleted image is gone, however often it is deleted", async () => {
      const { image, imageUrl } = await generated();
      const path = `/api/images/${image.id}`;
      assert.ok((await storedKeys(worker))[storage].includes(image.key));
      for (const _ of ["once", "twice"]) assert.equal((await client.call("DELETE", path)).status, 204);
      assert.deepEqual(await problemOf(await worker.fetch(pathOf(imageUrl))), { status: 410, code: "image-deleted" });
      assert.deepEqual(await problemOf(await client.call("GET", path)), { status: 410, code: "image-deleted" });
      assert.ok(!(await storedKeys(worker))[storage].includes(image.key));
    });

    test("the same Idempotency-Key answers with the same image", async () => {
      const headers = { "idempotency-key": "visit-1" };
      const sessionId = "replayed";
      const first = await generated({ sessionId }, headers);
      const replay = await client.generate({ ...FIELDS, sessionId }, headers);
      assert.deepEqual([replay.status, replay.headers.get("idempotency-replayed")], [200, "true"]);
      assert.deepEqual(await replay.json(), first);
      assert.equal(await imagesMade(sessionId), 1);
      const other = await client.generate({ ...FIELDS, sessionId, prompt: "another" }, headers);
      assert.deepEqual(await problemOf(other), { status: 422, code: "idempotency-key-reused" });
      await client.call("DELETE", `/api/images/${first.image.id}`);
      const gone = await client.generate({ ...FIELDS, sessionId }, headers);
      assert.deepEqual(await problemOf(gone), { status: 410, code: "image-deleted" });
    });

    test("requests with one Idempotency-Key at the same time make one image", async () => {
      const headers = { "idempotency-key": "at-once" };
      const sessionId = "at-once";
      const responses = await Promise.all(
        Array.from({ length: 4 }, () => client.generate({ ...FIELDS, sessionId }, headers)),
      );
      const ids = new Set<string>();
      for (const response of responses) {
        if (response.status === 200) {
          ids.add(((await response.json()) as GeneratedImage).image.id);
        } else {
          assert.deepEqual(await problemOf(response), { status: 409, code: "idempotency-in-progress" });
          assert.ok(Number(response.headers.get("retry-after")) >= 1);
        }
      }
      assert.equal(ids.size, 1);
      assert.equal(await imagesMade(sessionId), 1);
    });

    test("a second request waits while the first is being worked on", async () => {
      const headers = { "idempotency-key": "held" };
      const sessionId = "held";
      await worker.faults.set(
        storage === "r2"
          ? { binding: "R2_IMAGES", method: "put", when: "hang" }
          : { binding: "DB", matching: "stillstore_chunks", when: "hang" },
      );
      const first = client.generate({ ...FIELDS, sessionId }, headers);
      await worker.faults.untilHeld();
      const second = await client.generate({ ...FIELDS, sessionId }, headers);
      assert.ok(Number(second.headers.get("retry-after")) >= 1);
      assert.deepEqual(await problemOf(second), { status: 409, code: "idempotency-in-progress" });
      await worker.faults.clear();
      const body = (await (await first).json()) as GeneratedImage;
      const third = (await (await client.generate({ ...FIELDS, sessionId }, headers)).json()) as GeneratedImage;
      assert.equal(third.image.id, body.image.id);
      assert.equal(await imagesMade(sessionId), 1);
    });
  });
}

/** Checks every chunk's checksum, and that the pixels are all there. */
function assertWholePng(png: Buffer, width: number, height: number): void {
  assert.equal(png.subarray(0, 8).toString("latin1"), "\x89PNG\r\n\x1a\n");
  const chunks: { type: string; data: Buffer }[] = [];
  for (let at = 8; at < png.length; ) {
    const length = png.readUInt32BE(at);
    const typed = png.subarray(at + 4, at + 8 + length);
    assert.equal(png.readUInt32BE(at + 8 + length), crc32(typed));
    chunks.push({ type: typed.toString("latin1", 0, 4), data: typed.subarray(4) });
    at += 12 + length;
  }
  const header = chunks[0];
  assert.ok(header?.type === "IHDR" && chunks.at(-1)?.type === "IEND");
  assert.deepEqual([header.data.readUInt32BE(0), header.data.readUInt32BE(4)], [width, height]);
  const [bitDepth = 0, colourType = 0] = header.data.subarray(8);
  const samples = { 0: 1, 2: 3, 3: 1, 4: 2, 6: 4 }[colourType] ?? 0;
  const rowBytes = 1 + Math.ceil((width * samples * bitDepth) / 8);
  const pixels = inflateSync(Buffer.concat(chunks.filter(({ type }) => type === "IDAT").map(({ data }) => data)));
  assert.equal(pixels.byteLength, height * rowBytes);
}
