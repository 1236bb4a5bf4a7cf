// After the load: what was stored is there, whole, once, and counted.
import { Client, sha256 } from "../tests/workerd/client.ts";
import type { RunningWorker } from "../tests/workerd/harness/worker.ts";
import { assertSwept } from "../tests/workerd/invariants.ts";
import { assertHomes } from "../tests/workerd/migrations.ts";

/** What the catalogue must hold for a persona. */
export type Expected = {
  title: string;
  personaId: string;
  images: number;
  /** Of every image; undefined where each has its own. */
  sha256?: string;
};

export type Verified = { listed: number; read: number; problems: string[] };

type ImageRecord = { id: string; sha256: string; storage: string; fallbackReason?: string };

const READERS = 8;

/**
 * Lists every image that was stored, and reads it back.
 * @param homes how many images there must be in each, with those that were there before
 */
export async function verify(worker: RunningWorker, expected: Expected[], homes: { r2: number; d1: number }): Promise<Verified> {
  const verified: Verified = { listed: 0, read: 0, problems: [] };
  for (const { title, personaId, images, sha256: digest } of expected) {
    const records = await listed(worker, personaId);
    verified.listed += records.length;
    if (records.length !== images) verified.problems.push(`${title}: ${records.length} images in the catalogue, not ${images}`);
    const reader = async () => {
      for (let record = records.pop(); record !== undefined; record = records.pop()) {
        const problem = await problemOf(worker, record, digest ?? record.sha256);
        if (problem !== undefined) verified.problems.push(`${title}: ${record.id} ${problem}`);
        verified.read += 1;
      }
    };
    await Promise.all(Array.from({ length: READERS }, reader));
  }
  for (const check of [() => assertHomes(worker, homes), () => assertSwept(worker)]) {
    await check().catch((error) => verified.problems.push(`Rows, objects and counters: ${error instanceof Error ? error.message : error}`));
  }
  return verified;
}

/** Every page of the catalogue. */
async function listed(worker: RunningWorker, personaId: string): Promise<ImageRecord[]> {
  const client = new Client(worker);
  const records: ImageRecord[] = [];
  let cursor: string | undefined;
  do {
    const query = new URLSearchParams({ personaId, limit: "100", ...(cursor === undefined ? {} : { cursor }) });
    const response = await client.call("GET", `/api/images?${query}`);
    const page = (await response.json()) as { images: ImageRecord[]; nextCursor?: string };
    records.push(...page.images);
    cursor = page.nextCursor;
  } while (cursor !== undefined);
  return records;
}

async function problemOf(worker: RunningWorker, record: ImageRecord, digest: string): Promise<string | undefined> {
  if (record.fallbackReason !== undefined) return `fell back to the database: ${record.fallbackReason}`;
  const response = await worker.fetch(`/images/${record.id}`);
  const bytes = new Uint8Array(await response.arrayBuffer());
  if (response.status !== 200) return `is answered with ${response.status}`;
  return sha256(bytes) === digest && record.sha256 === digest ? undefined : "has other bytes";
}
