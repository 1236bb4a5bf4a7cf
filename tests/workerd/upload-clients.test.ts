// Clients that others wrote send files: Uppy with its own plug-in for S3, and the AWS SDK for JavaScript.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";

import {
  CompleteMultipartUploadCommand,
  GetObjectCommand,
  HeadObjectCommand,
  ListPartsCommand,
  PutObjectCommand,
  S3Client,
  UploadPartCommand,
} from "@aws-sdk/client-s3";
import { getSignedUrl } from "@aws-sdk/s3-request-presigner";

import { Client, pathOf, problemOf, sha256 } from "./client.ts";
import type { Asset, MultipartUpload, PresignedUpload, Shoot, SignedRequest } from "./harness/api-types.ts";
import { freePort } from "./harness/free-port.ts";
import { projectDir } from "./harness/project.ts";
import { uploadWithUppy as sendWithUppy } from "./harness/uppy.ts";
import type { SignRequest } from "./harness/uppy.ts";
import { S3_CREDENTIALS, startWorker } from "./harness/worker.ts";
import type { RunningWorker } from "./harness/worker.ts";

const PNG = new Uint8Array(readFileSync(join(projectDir, "tests/fixtures/images/rgb.png")));
const PART_BYTES = 5 << 20;

/** A whole image of so many bytes. */
function svg(sizeBytes: number): Uint8Array<ArrayBuffer> {
  const [start, end] = ['<svg xmlns="http://www.w3.org/2000/svg" width="3" height="4"><!--', "--></svg>"];
  return new TextEncoder().encode(start + "x".repeat(sizeBytes - start.length - end.length) + end);
}

/** What an application does around its client: it asks for the grant, and confirms. */
class Application {
  #worker: RunningWorker;
  #client: Client;
  shootId = "";

  constructor(worker: RunningWorker) {
    this.#worker = worker;
    this.#client = new Client(worker);
  }

  post(path: string, fields: object): Promise<Response> {
    const headers = { "content-type": "application/json" };
    return this.#client.call("POST", path, { headers, body: JSON.stringify(fields) });
  }

  async #answer<T>(status: number, path: string, fields: object): Promise<T> {
    const response = await this.post(path, fields);
    const answer = (await response.json()) as T;
    assert.equal(response.status, status, JSON.stringify(answer));
    return answer;
  }

  async begin(path: "/uploads/multipart" | "/uploads/presign", type: string, size: number) {
    if (this.shootId === "") this.shootId = (await this.#answer<Shoot>(201, "/shoots", { name: "Garden" })).id;
    const fields = { shoot_id: this.shootId, filename: "a", content_type: type, file_size: size };
    const status = path === "/uploads/presign" ? 200 : 201;
    return this.#answer<MultipartUpload | PresignedUpload>(status, path, fields);
  }

  /** What Uppy asks for each request. The Worker's own URLs are fetched from where it listens here. */
  async sign(request: SignRequest): Promise<{ url: string; headers: Record<string, string> }> {
    const { url, headers } = await this.#answer<SignedRequest>(200, "/uploads/multipart", request);
    const isWorkers = new URL(url).pathname.startsWith("/uploads/");
    return { url: isWorkers ? new URL(pathOf(url), this.#worker.url).href : url, headers: headers as Record<string, string> };
  }

  async confirm({ asset_id, object_key }: { asset_id: string; object_key: string }, bytes: Uint8Array): Promise<Asset> {
    const fields = { asset_id, object_key, shoot_id: this.shootId, sha256: sha256(bytes) };
    return this.#answer<Asset>(200, "/uploads/confirm", fields);
  }

  async assertServed(asset: Asset, bytes: Uint8Array): Promise<void> {
    const read = await this.#worker.fetch(pathOf(asset.download_url));
    assert.equal(read.headers.get("etag"), `"${sha256(bytes)}"`);
    assert.equal(Buffer.compare(Buffer.from(await read.arrayBuffer()), bytes), 0);
  }
}

/** Uploads a file with Uppy, and says which requests it had signed. */
async function uploadWithUppy(
  application: Application,
  { key, bytes, type, inParts }: { key: string; bytes: Uint8Array<ArrayBuffer>; type: string; inParts: boolean },
): Promise<string[]> {
  const signed: string[] = [];
  const errors = await sendWithUppy(new Blob([bytes], { type }), {
    shouldUseMultipart: inParts,
    getChunkSize: () => PART_BYTES,
    generateObjectKey: () => key,
    signRequest: (request) => {
      const { method, uploadId, partNumber } = request;
      signed.push([method, uploadId === undefined ? "" : "id", partNumber ?? ""].join(" ").trim());
      return application.sign(request);
    },
  });
  assert.deepEqual(errors, []);
  return signed;
}

describe("with an access key for the bucket", () => {
  let worker: RunningWorker;
  let application: Application;
  let s3: S3Client;
  let bucket: string;
  before(async () => {
    worker = await startWorker({ vars: { ENABLE_R2_STORAGE: "true" }, s3Port: await freePort(), faults: true });
    application = new Application(worker);
    const { upload } = (await application.begin("/uploads/presign", "image/png", 10)) as PresignedUpload;
    const { origin, pathname } = new URL(upload.url);
    // The endpoint, the bucket, and the four segments of a key.
    const segments = pathname.split("/").slice(0, -4);
    bucket = segments.pop() ?? "";
    s3 = new S3Client({
      region: "auto",
      endpoint: origin + segments.join("/"),
      credentials: S3_CREDENTIALS,
      forcePathStyle: true,
      requestChecksumCalculation: "WHEN_REQUIRED",
      responseChecksumValidation: "WHEN_REQUIRED",
    });
  });
  after(async () => {
    s3.destroy();
    await worker.stop();
  });

  test("Uppy sends parts past the Worker, which begins and ends the upload", async () => {
    const bytes = svg(2 * PART_BYTES + 1_000);
    const upload = await application.begin("/uploads/multipart", "image/svg+xml", bytes.length);
    await worker.faults.forgetCalls();
    const file = { key: upload.object_key, bytes, type: "image/svg+xml", inParts: true };
    assert.deepEqual(await uploadWithUppy(application, file), ["POST", "PUT id 1", "PUT id 2", "PUT id 3", "POST id"]);
    const r2 = (await worker.faults.calls()).filter(({ binding }) => binding === "R2_IMAGES");
    assert.deepEqual(r2.map(({ method }) => method), ["complete"]);
    await application.assertServed(await application.confirm(upload, bytes), bytes);
  });

  test("Uppy sends a small file as it was presigned", async () => {
    const upload = await application.begin("/uploads/presign", "image/png", PNG.length);
    const file = { key: upload.object_key, bytes: PNG, type: "image/png", inParts: false };
    assert.deepEqual(await uploadWithUppy(application, file), ["PUT"]);
    await application.assertServed(await application.confirm(upload, PNG), PNG);
  });

  test("the AWS SDK sends parts and completes the upload", async () => {
    const bytes = svg(PART_BYTES + 1_000);
    const upload = (await application.begin("/uploads/multipart", "image/svg+xml", bytes.length)) as MultipartUpload;
    const named = { Bucket: bucket, Key: upload.object_key, UploadId: upload.upload_id };
    const parts = [];
    for (const PartNumber of [2, 1]) {
      const Body = bytes.subarray((PartNumber - 1) * PART_BYTES, PartNumber * PART_BYTES);
      // As a client without the key does it: by a URL that the key's holder signed.
      const url = await getSignedUrl(s3, new UploadPartCommand({ ...named, PartNumber }));
      const sent = PartNumber === 2 ? await fetch(url, { method: "PUT", body: Body }) : undefined;
      const ETag = sent?.headers.get("etag") ?? (await s3.send(new UploadPartCommand({ ...named, PartNumber, Body }))).ETag;
      parts.unshift({ PartNumber, ETag });
    }
    // R2 lists parts; workerd's endpoint does not.
    await assert.rejects(s3.send(new ListPartsCommand(named)), { name: "NotImplemented" });
    await s3.send(new CompleteMultipartUploadCommand({ ...named, MultipartUpload: { Parts: parts } }));
    await application.assertServed(await application.confirm(upload, bytes), bytes);
    const head = await s3.send(new HeadObjectCommand({ Bucket: bucket, Key: upload.object_key }));
    assert.equal(head.ContentType, "image/svg+xml");
    assert.equal(head.CacheControl, "private, no-store");
    assert.equal(head.Metadata?.["image-id"], upload.asset_id);
  });

  test("the AWS SDK puts an object by a presigned URL, and reads what the Worker stored", async () => {
    const upload = await application.begin("/uploads/presign", "image/png", PNG.length);
    const command = new PutObjectCommand({ Bucket: bucket, Key: upload.object_key, ContentType: "image/png" });
    const url = await getSignedUrl(s3, command, { expiresIn: 60 });
    const sent = await fetch(url, { method: "PUT", headers: { "content-type": "image/png" }, body: PNG });
    assert.equal(sent.status, 200, await sent.text());
    await application.assertServed(await application.confirm(upload, PNG), PNG);
    const { Body } = await s3.send(new GetObjectCommand({ Bucket: bucket, Key: upload.object_key }));
    assert.deepEqual(await Body?.transformToByteArray(), PNG);
  });
});

describe("without one", () => {
  let worker: RunningWorker;
  let application: Application;
  before(async () => {
    worker = await startWorker({ vars: { ENABLE_R2_STORAGE: "true" }, faults: true });
    application = new Application(worker);
  });
  after(() => worker.stop());

  test("Uppy sends parts by way of the Worker, which counts one class A operation for each", async () => {
    const bytes = svg(PART_BYTES + 1_000);
    const upload = await application.begin("/uploads/multipart", "image/svg+xml", bytes.length);
    await worker.faults.forgetCalls();
    const file = { key: upload.object_key, bytes, type: "image/svg+xml", inParts: true };
    assert.deepEqual(await uploadWithUppy(application, file), ["POST", "PUT id 1", "PUT id 2", "POST id"]);
    const r2 = (await worker.faults.calls()).filter(({ binding }) => binding === "R2_IMAGES");
    assert.deepEqual(r2.map(({ method }) => method), ["uploadPart", "uploadPart", "complete"]);
    await application.assertServed(await application.confirm(upload, bytes), bytes);
  });

  test("Uppy sends a small file by way of the Worker", async () => {
    const upload = await application.begin("/uploads/presign", "image/png", PNG.length);
    const file = { key: upload.object_key, bytes: PNG, type: "image/png", inParts: false };
    assert.deepEqual(await uploadWithUppy(application, file), ["PUT"]);
    await application.assertServed(await application.confirm(upload, PNG), PNG);
  });

  test("a file of 60 MB in parts leaves wasm memory as it was, and its digest is that of the whole", async () => {
    const size = 60_000_000;
    const bytes = new Uint8Array(size);
    bytes.set(PNG);
    const upload = (await application.begin("/uploads/multipart", "image/png", size)) as MultipartUpload;
    const client = new Client(worker);
    const path = `/uploads/multipart/${upload.asset_id}`;
    const headers = { "content-type": "application/octet-stream" };
    for (const number of [3, 1, 2]) {
      const body = bytes.slice((number - 1) * 20_000_000, number * 20_000_000);
      const put = await client.call("PUT", `${path}/${number}`, { headers, body });
      assert.equal(put.status, 200, await put.text());
    }
    const wrong = await application.post(path, { sha256: sha256(PNG) });
    assert.deepEqual(await problemOf(wrong), { status: 422, code: "checksum-mismatch" });
    assert.equal(await worker.bucket.head(upload.object_key), null);
    assert.ok((await worker.wasmMemoryBytes()) <= 16 << 20);
  });
});
