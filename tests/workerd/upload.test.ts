// Bytes come in over HTTP, whole or not at all, and go out as they were.
import assert from "node:assert/strict";
import { once } from "node:events";
import { readFileSync, readdirSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { text } from "node:stream/consumers";

import { Client, STORAGE_MODES, bytesOf, pathOf, problemOf, sha256, storedKeys } from "./client.ts";
import type { Image } from "./harness/api-types.ts";
import { projectDir } from "./harness/project.ts";
import { API_TOKEN, startWorker } from "./harness/worker.ts";
import type { RunningWorker } from "./harness/worker.ts";

const FIXTURES = join(projectDir, "tests/fixtures/images");
const PNG = fixture("pixel.png");

const CONTENT_TYPES: Record<string, string> = {
  avif: "image/avif", gif: "image/gif", heic: "image/heic", jpg: "image/jpeg", png: "image/png", svg: "image/svg+xml",
  webp: "image/webp",
};

for (const { storage, vars } of STORAGE_MODES) {
  describe(`with images in ${storage}`, () => {
    let worker: RunningWorker;
    let client: Client;
    before(async () => {
      worker = await startWorker({ vars });
      client = new Client(worker);
    });
    after(() => worker.stop());

    const read = (id: string) => worker.fetch(`/images/${id}`);

    /** Runs something that must leave neither bytes nor a readable row behind. */
    const storesNothing = async (attempt: () => Promise<void>) => {
      const stored = () =>
        worker.db.prepare("SELECT count(*) AS n FROM stillstore_images WHERE status = 'stored'").first("n");
      const [keys, rows] = [await storedKeys(worker), await stored()];
      await attempt();
      assert.deepEqual([await storedKeys(worker), await stored()], [keys, rows]);
    };

    for (const name of readdirSync(FIXTURES)) {
      test(`${name} comes back as it was`, async () => {
        const bytes = fixture(name);
        const record = await client.stored(bytes, { filename: name, context: "studio" });
        const extension = name.split(".").at(-1) ?? "";
        const contentType = CONTENT_TYPES[extension];
        assert.deepEqual(
          { size: record.size, sha256: record.sha256, content_type: record.content_type, filename: record.filename, storage: record.storage },
          { size: bytes.byteLength, sha256: sha256(bytes), content_type: contentType, filename: name, storage },
        );
        assert.match(record.key, new RegExp(`^studio/\\d{4}/\\d{2}/${record.id.slice(0, 8)}_.+\\.${extension}$`));
        const response = await read(record.id);
        assert.equal(response.headers.get("content-type"), contentType);
        assert.deepEqual(await bytesOf(response), Buffer.from(bytes));
      });
    }

    test("the record carries what the query says", async () => {
      const response = await client.upload(PNG, {
        filename: "Grüße, Cat!.PNG", personaId: "p1", sessionId: "s1", "meta.uploader_id": "u7", "meta.note": "grüße",
      });
      const record = (await response.json()) as Image;
      assert.equal(response.headers.get("location"), `/api/images/${record.id}`);
      assert.deepEqual(
        { personaId: record.personaId, sessionId: record.sessionId, context: record.context },
        { personaId: "p1", sessionId: "s1", context: "uploads" },
      );
      assert.deepEqual(record.metadata, { uploader_id: "u7", note: "grüße" });
      assert.deepEqual({ width: record.width, height: record.height }, { width: 1, height: 1 });
      const disposition = (await read(record.id)).headers.get("content-disposition");
      assert.equal(
        disposition, `inline; filename="Gr__e, Cat!.PNG"; filename*=UTF-8''Gr%C3%BC%C3%9Fe%2C%20Cat!.PNG`,
      );
      if (storage === "r2") {
        const metadata = (await worker.bucket.head(record.key))?.customMetadata;
        assert.deepEqual([metadata?.["meta-uploader_id"], metadata?.["meta-note"]], ["u7", "grüße"]);
      }
    });

    test("a body of unknown length is taken up to 8 MiB", async () => {
      const bytes = image(8 << 20);
      const chunked = (body: Uint8Array<ArrayBuffer>) =>
        client.call("POST", "/api/images", { body: new Blob([body]).stream(), duplex: "half" });
      const record = (await (await chunked(bytes)).json()) as Image;
      assert.deepEqual({ size: record.size, sha256: record.sha256 }, { size: bytes.byteLength, sha256: sha256(bytes) });
      assert.deepEqual(sha256(await bytesOf(await read(record.id))), sha256(bytes));
      await storesNothing(async () => {
        assert.deepEqual(await problemOf(await chunked(image((8 << 20) + 1))), { status: 411, code: "length-required" });
      });
    });

    const limitBytes = storage === "r2" ? 100_000_000 : 26_214_400;
    test(`a body of more than ${limitBytes} bytes is refused before it is read`, () =>
      storesNothing(async () => {
        const { status, body } = await raw(worker, { length: limitBytes + 1, body: PNG });
        assert.deepEqual([status, JSON.parse(body).code], [413, "body-too-large"]);
        assert.match(JSON.parse(body).detail, new RegExp(`${limitBytes} bytes`));
      }));

    // The shorter one is held in memory, the longer one streams into R2 and is over the embedded limit.
    for (const length of storage === "r2" ? [100_000, 30_000_000] : [100_000, 2_500_000]) {
      test(`a body that ends before its ${length} bytes stores nothing`, () =>
        storesNothing(async () => {
          const requestId = `short-${length}`;
          await raw(worker, { length, body: image(length - 1), requestId, halfClose: true });
          const { event } = await worker.waitForLog(
            (line) => line.event?.event === "request" && line.event.request_id === requestId,
          );
          assert.deepEqual({ status: event?.status, outcome: event?.outcome }, { status: 400, outcome: "body-interrupted" });
        }));
    }

    test("bytes that do not have the promised digest are refused", async () => {
      await storesNothing(async () => {
        const response = await client.upload(PNG, { sha256: sha256(Buffer.from("other")) });
        assert.deepEqual(await problemOf(response), { status: 422, code: "checksum-mismatch" });
      });
      await client.stored(PNG, { sha256: sha256(PNG) });
    });

    test("what is no image is refused, whatever it is called", () =>
      storesNothing(async () => {
        for (const body of ["", "hello", "<html><body><svg></svg></body></html>", "%PDF-1.7"]) {
          const response = await client.upload(Buffer.from(body), { filename: "cat.png" });
          assert.deepEqual(await problemOf(response), { status: 415, code: "not-an-image" });
        }
      }));

    test("an image that is not whole is refused with the reason", () =>
      storesNothing(async () => {
        const jpeg = fixture("rotated.jpg");
        const noPicture = Buffer.from("GIF89a\x02\0\x03\0\0\0\0;", "latin1");
        const cut = phoneJpeg(2_000_000).subarray(0, 150_000);
        for (const [body, code] of [[jpeg.subarray(0, -1), "truncated"], [cut, "truncated"], [noPicture, "malformed"]] as const) {
          assert.deepEqual(await problemOf(await client.upload(new Uint8Array(body))), { status: 422, code });
        }
      }));

    // The first two are held in memory, the third streams into R2.
    for (const length of storage === "r2" ? [300_000, 12_000_000, 27_000_000] : [300_000, 12_000_000]) {
      test(`the dimensions of a phone's JPEG of ${length} bytes are those that a browser shows`, async () => {
        const bytes = phoneJpeg(length);
        const record = await client.stored(bytes);
        assert.deepEqual(
          { width: record.width, height: record.height, sha256: record.sha256 },
          { width: 24, height: 40, sha256: sha256(bytes) },
        );
        const read = (await (await client.call("GET", `/api/images/${record.id}`)).json()) as Image;
        assert.deepEqual({ width: read.width, height: read.height }, { width: 24, height: 40 });
        assert.ok((await worker.wasmMemoryBytes()) < 16 << 20);
      });
    }

    test("a private image is opened by a signature or the token", async () => {
      const record = await client.stored(PNG, { visibility: "private" });
      const signed = pathOf(record.url);
      assert.match(signed, new RegExp(`^/images/${record.id}\\?`));
      assert.deepEqual(await problemOf(await read(record.id)), { status: 403, code: "signature-invalid" });
      assert.equal((await client.call("GET", `/images/${record.id}`)).status, 200);

      const response = await worker.fetch(signed);
      assert.deepEqual(await bytesOf(response), Buffer.from(PNG));
      assert.equal(response.headers.get("cache-control"), "private, no-cache");
      assert.equal(response.headers.get("cache-tag"), null);

      const other = await client.stored(PNG, { visibility: "private" });
      const borrowed = signed.replace(record.id, other.id);
      assert.deepEqual(await problemOf(await worker.fetch(borrowed)), { status: 403, code: "signature-invalid" });

      const longer = await client.call("POST", `/api/images/${record.id}/signed-url`, {
        headers: { "content-type": "application/json" }, body: JSON.stringify({ expiresInSeconds: 7200 }),
      });
      const { url, expiresAt } = (await longer.json()) as { url: string; expiresAt: string };
      assert.ok(Date.parse(expiresAt) > Date.parse(record.urlExpiresAt ?? ""));
      assert.equal((await worker.fetch(pathOf(url))).status, 200);
    });
  });
}

test("nothing is written without the token", async () => {
  const worker = await startWorker();
  for (const [method, path] of [["POST", "/api/images"], ["POST", "/api/generate-image"], ["GET", "/api/images"]] as const) {
    for (const authorization of ["", "Bearer wrong"]) {
      const body = method === "POST" ? PNG : null;
      const headers = { authorization };
      assert.deepEqual(await problemOf(await worker.fetch(path, { method, headers, body })), { status: 401, code: "unauthorized" });
    }
  }
  assert.deepEqual((await storedKeys(worker)).r2, []);
  await worker.stop();
});

function fixture(name: string): Uint8Array<ArrayBuffer> {
  return new Uint8Array(readFileSync(join(FIXTURES, name)));
}

/** A PNG with bytes after it, none of which repeat soon. */
function image(length: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(length);
  for (let at = 0; at < length; at += 1) bytes[at] = (at * 2_654_435_761) >>> 24;
  bytes.set(PNG);
  return bytes;
}

/** A JPEG of 40 x 24 that is turned, with 200 KB of metadata before its frame, and bytes after its end. */
function phoneJpeg(length: number): Uint8Array<ArrayBuffer> {
  const jpeg = fixture("rotated.jpg");
  const segment = Buffer.concat([Buffer.from([0xff, 0xe2, 0xff, 0xff]), Buffer.alloc(65_533, 7)]);
  const bytes = new Uint8Array(length).fill(7);
  bytes.set(Buffer.concat([jpeg.subarray(0, 20), segment, segment, segment, jpeg.subarray(20)]));
  return bytes;
}

type RawUpload = { length: number; body: Uint8Array; requestId?: string; halfClose?: boolean };

/** An upload whose Content-Length is not that of its body, which no HTTP client sends. */
async function raw(worker: RunningWorker, upload: RawUpload): Promise<{ status: number; body: string }> {
  const { length, body, requestId = "raw", halfClose = false } = upload;
  const { hostname, port } = new URL(worker.url);
  const socket = connect({ host: hostname, port: Number(port), allowHalfOpen: true });
  const answer = text(socket);
  await once(socket, "connect");
  socket.write(
    `POST /api/images HTTP/1.1\r\nHost: ${hostname}\r\nAuthorization: Bearer ${API_TOKEN}\r\n` +
      `X-Request-Id: ${requestId}\r\nContent-Length: ${length}\r\nConnection: close\r\n\r\n`,
  );
  socket.write(body);
  if (halfClose) socket.end();
  const [head = "", answerBody = ""] = (await answer).split("\r\n\r\n");
  socket.destroy();
  return { status: Number(head.split(" ")[1]), body: answerBody };
}
