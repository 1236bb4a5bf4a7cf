// What a client asks of a Worker, one request each.
import { readFileSync } from "node:fs";
import { join } from "node:path";

import { projectDir } from "./harness/project.ts";
import type { RunningWorker } from "./harness/worker.ts";
import { AUTHORIZATION } from "./invariants.ts";

const PIXEL = readFileSync(join(projectDir, "tests/fixtures/images/pixel.png"));

/** An answer, read to its end. */
export type Answer = {
  status: number;
  headers: Headers;
  /** Undefined when the connection broke before the end. */
  body: Uint8Array | undefined;
  json(): any;
};

/** A PNG with a filler after it that tells images apart. */
export function pngOf(sizeBytes: number, filler = 0): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(sizeBytes).fill(filler);
  bytes.set(PIXEL);
  return bytes;
}

/** Rejects when the connection breaks before the answer begins. */
export async function ask(worker: RunningWorker, method: string, path: string, init: RequestInit = {}): Promise<Answer> {
  const headers = { ...AUTHORIZATION, ...(init.headers as Record<string, string> | undefined) };
  const response = await worker.fetch(path, { ...init, method, headers });
  const body = await response.arrayBuffer().then(
    (bytes) => new Uint8Array(bytes),
    () => undefined,
  );
  const json = () => JSON.parse(new TextDecoder().decode(body));
  return { status: response.status, headers: response.headers, body, json };
}

export function generate(worker: RunningWorker, idempotencyKey: string): Promise<Answer> {
  return ask(worker, "POST", "/api/generate-image", {
    headers: { "content-type": "application/json", "idempotency-key": idempotencyKey },
    body: JSON.stringify({ prompt: `a lighthouse, ${idempotencyKey}`, personaId: "p1", size: "256x256" }),
  });
}

export function upload(worker: RunningWorker, bytes: Uint8Array<ArrayBuffer>, query = ""): Promise<Answer> {
  return ask(worker, "POST", `/api/images?${query}`, { body: bytes });
}

export function serve(worker: RunningWorker, id: string): Promise<Answer> {
  return ask(worker, "GET", `/images/${id}`);
}

export function remove(worker: RunningWorker, id: string): Promise<Answer> {
  return ask(worker, "DELETE", `/api/images/${id}`);
}
