// What the tests ask a running Worker, with its token.
import { createHash } from "node:crypto";

import type { Image, Problem } from "./harness/api-types.ts";
import { API_TOKEN } from "./harness/worker.ts";
import type { RunningWorker } from "./harness/worker.ts";

/** Both homes of bytes: what the Worker is started with, and what its answers call it. */
export const STORAGE_MODES = [
  { storage: "r2", vars: { ENABLE_R2_STORAGE: "true" } },
  { storage: "d1", vars: { ENABLE_R2_STORAGE: "false" } },
] as const;

type Headers = Record<string, string>;

export class Client {
  #worker: RunningWorker;

  constructor(worker: RunningWorker) {
    this.#worker = worker;
  }

  /** A request with the token. */
  call(method: string, path: string, init: RequestInit & { headers?: Headers } = {}): Promise<Response> {
    const headers = { authorization: `Bearer ${API_TOKEN}`, ...init.headers };
    return this.#worker.fetch(path, { ...init, method, headers });
  }

  generate(fields: object = {}, headers: Headers = {}): Promise<Response> {
    return this.call("POST", "/api/generate-image", {
      headers: { "content-type": "application/json", ...headers },
      body: JSON.stringify({ prompt: "a lighthouse", personaId: "p1", ...fields }),
    });
  }

  upload(bytes: Uint8Array<ArrayBuffer>, parameters: Record<string, string> = {}): Promise<Response> {
    return this.call("POST", `/api/images?${new URLSearchParams(parameters)}`, { body: bytes });
  }

  /** Uploads, and answers with the image's record. */
  async stored(bytes: Uint8Array<ArrayBuffer>, parameters: Record<string, string> = {}): Promise<Image> {
    const response = await this.upload(bytes, parameters);
    const record = (await response.json()) as Image;
    if (response.status !== 201) throw new Error(`the upload was answered with ${JSON.stringify(record)}`);
    return record;
  }
}

export async function bytesOf(response: Response): Promise<Buffer> {
  return Buffer.from(await response.arrayBuffer());
}

/** Without those that differ from one request to the next, and the one that belongs to the connection. */
export function headersOf(response: Response): Record<string, string> {
  const { "x-request-id": _, connection: __, ...headers } = Object.fromEntries(response.headers);
  return headers;
}

/** Status and code of a problem document. */
export async function problemOf(response: Response): Promise<{ status: number; code: Problem["code"] }> {
  const { code } = (await response.json()) as Problem;
  return { status: response.status, code };
}

export function sha256(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

/** Path and query of an absolute URL, to be fetched from wherever the Worker listens. */
export function pathOf(url: string): string {
  const { pathname, search } = new URL(url);
  return pathname + search;
}

/** What a store would hold beside the images' rows. */
export async function storedKeys(worker: RunningWorker): Promise<{ r2: string[]; d1: string[] }> {
  const { objects } = await worker.bucket.list();
  const { results } = await worker.db
    .prepare("SELECT object_key FROM stillstore_blobs ORDER BY object_key")
    .all<{ object_key: string }>();
  return { r2: objects.map(({ key }) => key), d1: results.map((row) => row.object_key) };
}
