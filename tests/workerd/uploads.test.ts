// Presigned uploads on the real bindings: to workerd's own S3 endpoint, which checks signatures, and by way of the Worker.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";

import { Client, STORAGE_MODES, pathOf, problemOf, sha256, storedKeys } from "./client.ts";
import type { Asset, PresignedUpload, Shoot } from "./harness/api-types.ts";
import { freePort } from "./harness/free-port.ts";
import { projectDir } from "./harness/project.ts";
import { startWorker } from "./harness/worker.ts";
import type { RunningWorker } from "./harness/worker.ts";

const PNG = new Uint8Array(readFileSync(join(projectDir, "tests/fixtures/images/rgb.png")));
const JPEG = new Uint8Array(readFileSync(join(projectDir, "tests/fixtures/images/rotated.jpg")));

/** The photo studio's steps, as its clients take them. */
class Studio {
  #client: Client;

  constructor(worker: RunningWorker) {
    this.#client = new Client(worker);
  }

  post(path: string, fields: object): Promise<Response> {
    const headers = { "content-type": "application/json" };
    return this.#client.call("POST", path, { headers, body: JSON.stringify(fields) });
  }

  async presign(fields: object = {}): Promise<PresignedUpload & { shoot_id: string }> {
    const { id } = (await (await this.post("/shoots", { name: "Garden" })).json()) as Shoot;
    const upload = { shoot_id: id, filename: "garden.png", content_type: "image/png", ...fields };
    const response = await this.post("/uploads/presign", upload);
    const answer = (await response.json()) as PresignedUpload;
    assert.equal(response.status, 200, JSON.stringify(answer));
    return { ...answer, shoot_id: id };
  }

  confirm({ asset_id, object_key, shoot_id }: { asset_id: string; object_key: string; shoot_id: string }): Promise<Response> {
    return this.post("/uploads/confirm", { asset_id, object_key, shoot_id });
  }
}

describe("with an access key for the bucket", () => {
  let worker: RunningWorker;
  let studio: Studio;
  before(async () => {
    worker = await startWorker({ vars: { ENABLE_R2_STORAGE: "true" }, s3Port: await freePort(), faults: true });
    studio = new Studio(worker);
  });
  after(() => worker.stop());

  const send = ({ upload: { method, url, headers } }: PresignedUpload, body: Uint8Array<ArrayBuffer>, changed = {}) =>
    fetch(url, { method, headers: { ...headers, ...changed }, body });

  test("bytes go past the Worker, which reads them once when they are confirmed", async () => {
    const upload = await studio.presign({ file_size: PNG.length, sha256: sha256(PNG) });
    await worker.faults.forgetCalls();
    const sent = await send(upload, PNG);
    assert.equal(sent.status, 200, await sent.text());
    assert.deepEqual(await worker.faults.calls(), []);
    const confirmed = await studio.confirm(upload);
    const asset = (await confirmed.json()) as Asset;
    assert.equal(confirmed.status, 200, JSON.stringify(asset));
    const calls = await worker.faults.calls();
    assert.deepEqual(calls.map(({ binding, method }) => `${binding}.${method}`).sort(), ["DB.batch", "DB.batch", "R2_IMAGES.get"]);
    assert.equal(asset.file_size, PNG.length);
    const read = await worker.fetch(pathOf(asset.download_url));
    assert.deepEqual(new Uint8Array(await read.arrayBuffer()), PNG);
    assert.equal(read.headers.get("etag"), `"${sha256(PNG)}"`);
    const object = await worker.bucket.head(upload.object_key);
    assert.equal(object?.httpMetadata?.contentType, "image/png");
    assert.equal(object?.customMetadata?.["image-id"], upload.asset_id);
  });

  test("presigning is one D1 call and no R2 call", async () => {
    const { shoot_id } = await studio.presign();
    await worker.faults.forgetCalls();
    const answer = await studio.post("/uploads/presign", { shoot_id, filename: "a.png", content_type: "image/png" });
    assert.equal(answer.status, 200);
    assert.deepEqual((await worker.faults.calls()).map(({ binding }) => binding), ["DB"]);
  });

  test("the endpoint refuses another type, length or header than was signed", async () => {
    const upload = await studio.presign({ file_size: PNG.length });
    assert.equal((await send(upload, PNG, { "content-type": "image/jpeg" })).status, 403);
    assert.equal((await send(upload, PNG, { "x-amz-meta-image-id": "other" })).status, 403);
    assert.equal((await send(upload, JPEG)).status, 403);
    const { upload: { method, url } } = upload;
    assert.equal((await fetch(url, { method, body: PNG })).status, 403);
    assert.equal(await worker.bucket.head(upload.object_key), null);
  });

  test("a grant never overwrites, before it is confirmed and after", async () => {
    const upload = await studio.presign();
    assert.equal((await send(upload, PNG)).status, 200);
    assert.equal((await send(upload, JPEG)).status, 412);
    assert.equal((await studio.confirm(upload)).status, 200);
    assert.equal((await send(upload, JPEG)).status, 412);
    const object = await worker.bucket.get(upload.object_key);
    assert.deepEqual(new Uint8Array((await object?.arrayBuffer()) ?? []), PNG);
  });

  test("bytes of another type are deleted, and the refusal says why", async () => {
    const upload = await studio.presign();
    assert.equal((await send(upload, JPEG)).status, 200);
    assert.deepEqual(await problemOf(await studio.confirm(upload)), { status: 422, code: "upload-type-differs" });
    assert.equal(await worker.bucket.head(upload.object_key), null);
  });

  test("the form goes to the Worker and leads to the same object", async () => {
    const upload = await studio.presign();
    const form = new FormData();
    for (const [name, value] of Object.entries(upload.fields)) form.append(name, value);
    form.append("file", new Blob([PNG], { type: "image/png" }), "garden.png");
    const sent = await worker.fetch(pathOf(upload.url), { method: "POST", body: form });
    assert.equal(sent.status, 204, await sent.text());
    assert.equal((await studio.confirm(upload)).status, 200);
    assert.equal((await worker.bucket.head(upload.object_key))?.size, PNG.length);
  });
});

for (const { storage, vars } of STORAGE_MODES) {
  describe(`without one, with images in ${storage}`, () => {
    let worker: RunningWorker;
    let studio: Studio;
    before(async () => {
      worker = await startWorker({ vars });
      studio = new Studio(worker);
    });
    after(() => worker.stop());

    test("a PUT goes by way of the Worker", async () => {
      const upload = await studio.presign({ sha256: sha256(PNG) });
      const { method, url, headers } = upload.upload;
      const sent = await worker.fetch(pathOf(url), { method, headers, body: PNG });
      assert.equal(sent.status, 200, await sent.text());
      assert.equal(sent.headers.get("etag"), `"${sha256(PNG)}"`);
      assert.equal((await studio.confirm(upload)).status, 200);
      const keys = await storedKeys(worker);
      assert.deepEqual(keys[storage], [upload.object_key]);
    });

    test("a large upload streams through, and its digest is taken outside wasm", async () => {
      // A whole PNG and other bytes after it: over what is held in memory.
      const size = 30_000_000;
      const limited = await startWorker({ vars: { ...vars, UPLOAD_MAX_BYTES: "100000000" } });
      try {
        const large = new Uint8Array(size);
        large.set(PNG);
        const studio = new Studio(limited);
        const presigned = studio.presign({ file_size: size });
        if (storage === "d1") return await assert.rejects(presigned, /26214400/);
        const upload = await presigned;
        const { method, url, headers } = upload.upload;
        const sent = await limited.fetch(pathOf(url), { method, headers, body: large });
        assert.equal(sent.status, 200, await sent.text());
        const asset = (await (await studio.confirm(upload)).json()) as Asset;
        assert.equal(asset.file_size, size);
        const { results } = await limited.db.prepare("SELECT sha256 FROM stillstore_images").all<{ sha256: string }>();
        assert.deepEqual(results, [{ sha256: sha256(large) }]);
        assert.ok((await limited.wasmMemoryBytes()) <= 16 << 20);
      } finally {
        await limited.stop();
      }
    });
  });
}
