// How fast, how flat and how dear the moves out of another bucket and out of links are: `node scripts/sources-bench.mjs --help`.
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import type { IncomingMessage, Server, ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { parseArgs } from "node:util";

import { pngOf } from "../tests/workerd/flows.ts";
import { freePort } from "../tests/workerd/harness/free-port.ts";
import { S3_CREDENTIALS, startWorker } from "../tests/workerd/harness/worker.ts";
import type { RunningWorker } from "../tests/workerd/harness/worker.ts";
import { acted, untilState } from "../tests/workerd/migrations.ts";
import type { Run } from "../tests/workerd/harness/api-types.ts";

const HELP = `node scripts/sources-bench.mjs JOB [--count N] [--bytes N]
  objects    copies N objects in one background run, then runs again over the unchanged objects   (100000 of 2000 bytes)
  links      moves N links of 4 hosts in one background run                                       (20000 of 2000 bytes)
  rclone     copies N objects by rclone, which must be installed, and by a run, in turn           (3000 of 100000 bytes)`;

const CONCURRENCY = 16;
const PREFIX = "pics/";
const HOSTS = 4;
const SAMPLES = 10;
const LEAST_SAMPLE_MS = 5_000;

type Sample = { items: number; seconds: number; rowsRead: number; rowsWritten: number; d1Calls: number; r2Calls: number; wasmBytes: number; rssBytes: number };

/** Objects under keys that follow each other, at an endpoint that speaks as much S3 as a copy asks of it, and checks no signature. */
class Objects {
  lists = 0;
  reads = 0;
  #count: number;
  #bytes: number;
  #server: Server;

  private constructor(count: number, bytes: number) {
    [this.#count, this.#bytes] = [count, bytes];
    this.#server = createServer((request, response) => this.#answer(request, response));
  }

  static async start(count: number, bytes: number): Promise<Objects> {
    const objects = new Objects(count, bytes);
    await new Promise<void>((resolve) => objects.#server.listen(0, "127.0.0.1", resolve));
    return objects;
  }

  get origin(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  stop(): void {
    this.#server.closeAllConnections();
    this.#server.close();
  }

  #content(index: number): Buffer {
    const bytes = Buffer.from(pngOf(this.#bytes));
    bytes.writeUInt32BE(index, this.#bytes - 4);
    return bytes;
  }

  #answer(request: IncomingMessage, response: ServerResponse): void {
    const { pathname, searchParams } = new URL(request.url ?? "/", this.origin);
    if (searchParams.has("list-type") || pathname === "/photos" || pathname === "/photos/") {
      this.lists += 1;
      response.setHeader("content-type", "application/xml").end(this.#list(searchParams));
      return;
    }
    const index = Number(/(\d+)\.png$/.exec(pathname)?.[1] ?? NaN);
    if (!(index < this.#count)) {
      response.writeHead(404).end();
      return;
    }
    const bytes = this.#content(index);
    if (request.method === "GET") this.reads += 1;
    response.writeHead(200, {
      "content-length": bytes.length,
      "content-type": "image/png",
      etag: `"${md5(bytes)}"`,
      "last-modified": "Thu, 01 Jan 2026 00:00:00 GMT",
    });
    response.end(request.method === "HEAD" ? undefined : bytes);
  }

  #list(query: URLSearchParams): string {
    const after = query.get("start-after") ?? query.get("continuation-token") ?? query.get("marker") ?? "";
    const limit = Math.min(1_000, Number(query.get("max-keys") ?? 1_000));
    const prefix = query.get("prefix") ?? "";
    const exact = /^pics\/(\d{6})\.png$/.exec(prefix)?.[1];
    let index = exact === undefined ? 0 : Number(exact);
    const passed = /(\d{6})\.png$/.exec(after)?.[1];
    if (passed !== undefined) index = Math.max(index, Number(passed) + 1);
    const end = exact === undefined ? this.#count : Math.min(this.#count, Number(exact) + 1);
    const until = Math.min(end, index + limit);
    let contents = "";
    for (let at = index; at < until; at += 1) {
      contents +=
        `<Contents><Key>${keyOf(at)}</Key><ETag>&quot;${md5(this.#content(at))}&quot;</ETag><Size>${this.#bytes}</Size>` +
        "<LastModified>2026-01-01T00:00:00.000Z</LastModified><StorageClass>STANDARD</StorageClass></Contents>";
    }
    const more = until < end ? `<NextContinuationToken>${keyOf(until - 1)}</NextContinuationToken>` : "";
    return (
      `<?xml version="1.0"?><ListBucketResult><Name>photos</Name><Prefix>${prefix}</Prefix><KeyCount>${until - index}</KeyCount>` +
      `<MaxKeys>${limit}</MaxKeys><IsTruncated>${until < end}</IsTruncated>${more}${contents}</ListBucketResult>`
    );
  }
}

function keyOf(index: number): string {
  return `${PREFIX}${String(index).padStart(6, "0")}.png`;
}

function md5(bytes: Buffer): string {
  return createHash("md5").update(bytes).digest("hex");
}

function rssOf(worker: RunningWorker): number {
  const kib = worker.processIds.map((pid) => Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1] ?? 0));
  return kib.reduce((sum, each) => sum + each, 0) * 1024;
}

/** Follows a run to its end, and says what its tenths took. */
async function follow(worker: RunningWorker, id: string, count: number): Promise<{ run: Run; samples: Sample[] }> {
  const samples: Sample[] = [];
  let [doneBefore, since] = [0, performance.now()];
  await worker.faults.forgetCalls();
  for (;;) {
    const run = await untilState(worker, id, ["running", "cancelled", "completed", "completed_with_errors", "failed"]);
    const { done } = run.progress;
    const elapsedMs = performance.now() - since;
    const isTenth = done - doneBefore >= count / SAMPLES && elapsedMs >= LEAST_SAMPLE_MS;
    if (isTenth || run.state !== "running") {
      const calls = await worker.faults.calls();
      await worker.faults.forgetCalls();
      const sum = (read: (call: (typeof calls)[number]) => number) => calls.reduce((total, call) => total + read(call), 0);
      const items = done - doneBefore;
      if (items > 0) {
        samples.push({
          items,
          seconds: elapsedMs / 1_000,
          rowsRead: sum(({ rowsRead }) => rowsRead ?? 0),
          rowsWritten: sum(({ rowsWritten }) => rowsWritten ?? 0),
          d1Calls: calls.filter(({ binding }) => binding === "DB").length,
          r2Calls: calls.filter(({ binding }) => binding === "R2_IMAGES").length,
          wasmBytes: await worker.wasmMemoryBytes(),
          rssBytes: rssOf(worker),
        });
      }
      [doneBefore, since] = [done, performance.now()];
    }
    if (run.state !== "running") return { run, samples };
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
}

function print({ run, samples }: { run: Run; samples: Sample[] }, seconds: number): void {
  const { progress, state } = run;
  console.log(`${state}: ${progress.succeeded} moved, ${progress.failed} failed in ${seconds.toFixed(0)} s, ${(progress.done / seconds).toFixed(0)} a second`);
  console.log("| items | a second | D1 rows read per item | written | D1 calls per 100 | R2 calls per item | wasm MiB | workerd MiB |\n|---:|---:|---:|---:|---:|---:|---:|---:|");
  for (const { items, ...sample } of samples) {
    const per = (total: number) => (total / items).toFixed(2);
    console.log(
      `| ${items} | ${(items / sample.seconds).toFixed(0)} | ${per(sample.rowsRead)} | ${per(sample.rowsWritten)} | ${((100 * sample.d1Calls) / items).toFixed(1)} ` +
        `| ${per(sample.r2Calls)} | ${(sample.wasmBytes / 2 ** 20).toFixed(1)} | ${(sample.rssBytes / 2 ** 20).toFixed(0)} |`,
    );
  }
}

function workerOver(origin: string, more: { faults?: true; s3Port?: number } = {}): Promise<RunningWorker> {
  const source = { kind: "bucket", name: "old", endpoint: origin, bucket: "photos", prefix: PREFIX };
  return startWorker({
    ...more,
    vars: {
      ENABLE_R2_STORAGE: "true",
      MIGRATION_SOURCES: JSON.stringify([source]),
      S3_SOURCE_OLD_ACCESS_KEY_ID: S3_CREDENTIALS.accessKeyId,
      S3_SOURCE_OLD_SECRET_ACCESS_KEY: S3_CREDENTIALS.secretAccessKey,
    },
  });
}

async function measureObjects(count: number, bytes: number): Promise<void> {
  const objects = await Objects.start(count, bytes);
  const worker = await workerOver(objects.origin, { faults: true });
  try {
    for (const turn of ["first", "second"]) {
      [objects.lists, objects.reads] = [0, 0];
      const began = performance.now();
      const { runId } = await acted(worker, { action: "migrate", source: "old", background: true, batchSize: 100, concurrency: CONCURRENCY });
      const followed = await follow(worker, runId, count);
      console.log(`\n${turn} run over ${count} objects of ${bytes} bytes: ${objects.lists} listings, ${objects.reads} reads`);
      print(followed, (performance.now() - began) / 1_000);
    }
  } finally {
    await worker.stop();
    objects.stop();
  }
}

async function measureLinks(count: number, bytes: number): Promise<void> {
  const servers = await Promise.all(Array.from({ length: HOSTS }, () => Objects.start(count, bytes)));
  const hosts = servers.map(({ origin }) => new URL(origin).host);
  const limits = { concurrency: CONCURRENCY, perSecond: 100 };
  const source = { kind: "url", name: "posts", table: "posts", id: "id", url: "picture", hosts: { "*": limits } };
  const worker = await startWorker({
    faults: true,
    vars: { ENABLE_R2_STORAGE: "true", FETCH_ALLOWED_HOSTS: hosts.join(","), MIGRATION_SOURCES: JSON.stringify([source]) },
  });
  try {
    await worker.db.prepare("CREATE TABLE posts (id INTEGER PRIMARY KEY, picture TEXT)").run();
    for (let from = 0; from < count; from += 2_000) {
      const links = Array.from({ length: Math.min(2_000, count - from) }, (_, at) => `http://${hosts[(from + at) % HOSTS]}/${String(from + at).padStart(6, "0")}.png`);
      await worker.db.prepare("INSERT INTO posts (picture) SELECT value FROM json_each(?1)").bind(JSON.stringify(links)).run();
    }
    const began = performance.now();
    const { runId } = await acted(worker, { action: "migrate", source: "posts", background: true, batchSize: 100, concurrency: CONCURRENCY });
    const followed = await follow(worker, runId, count);
    console.log(`\na run over ${count} links of ${bytes} bytes at ${HOSTS} hosts, 100 a second each`);
    print(followed, (performance.now() - began) / 1_000);
  } finally {
    await worker.stop();
    for (const server of servers) server.stop();
  }
}

async function measureRclone(count: number, bytes: number): Promise<void> {
  const rates: Record<"rclone" | "stillstore", number[]> = { rclone: [], stillstore: [] };
  for (const contender of ["rclone", "stillstore", "stillstore", "rclone", "rclone", "stillstore"] as const) {
    const objects = await Objects.start(count, bytes);
    const s3Port = await freePort();
    const worker = await workerOver(objects.origin, { s3Port });
    try {
      const began = performance.now();
      if (contender === "rclone") await rclone(objects.origin, `http://127.0.0.1:${s3Port}/cdn-cgi/local/r2/s3`);
      else {
        const { runId } = await acted(worker, { action: "migrate", source: "old", background: true, batchSize: 100, concurrency: CONCURRENCY });
        await untilState(worker, runId);
      }
      const seconds = (performance.now() - began) / 1_000;
      let copied = 0;
      for (let cursor: string | undefined, more = true; more; ) {
        const page = await worker.bucket.list(cursor === undefined ? { prefix: PREFIX } : { prefix: PREFIX, cursor });
        copied += page.objects.length;
        more = page.truncated;
        cursor = page.truncated ? page.cursor : undefined;
      }
      if (copied !== count) throw new Error(`${contender} copied ${copied} of ${count}`);
      rates[contender].push(count / seconds);
      console.log(`${contender}: ${(count / seconds).toFixed(0)} objects a second`);
    } finally {
      await worker.stop();
      objects.stop();
    }
  }
  const median = (rates: number[]) => [...rates].sort((one, other) => one - other)[Math.floor(rates.length / 2)] ?? NaN;
  console.log(`medians of ${count} objects of ${bytes} bytes, ${CONCURRENCY} at once: ${(median(rates.stillstore) / median(rates.rclone)).toFixed(2)} of rclone`);
}

async function rclone(from: string, to: string): Promise<void> {
  const remote = (endpoint: string) =>
    `:s3,provider=Other,access_key_id=${S3_CREDENTIALS.accessKeyId},secret_access_key=${S3_CREDENTIALS.secretAccessKey},region=auto,list_version=2,force_path_style=true,no_check_bucket=true,endpoint="${endpoint}"`;
  const args = ["copy", `${remote(from)}:photos/${PREFIX}`, `${remote(to)}:stillstore-images/${PREFIX}`, "--transfers", String(CONCURRENCY), "--checkers", String(CONCURRENCY), "--config", "/dev/null", "-q"];
  // A bundle of certificates in the environment is more than it takes.
  const env = { PATH: process.env.PATH, HOME: process.env.HOME };
  const copying = spawn("rclone", args, { stdio: ["ignore", "inherit", "inherit"], env });
  const code = await new Promise<number | null>((resolve, reject) => copying.on("exit", resolve).on("error", reject));
  if (code !== 0) throw new Error(`rclone ended with ${code}`);
}

const JOBS: Record<string, { run: (count: number, bytes: number) => Promise<void>; count: number; bytes: number }> = {
  objects: { run: measureObjects, count: 100_000, bytes: 2_000 },
  links: { run: measureLinks, count: 20_000, bytes: 2_000 },
  rclone: { run: measureRclone, count: 3_000, bytes: 100_000 },
};

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: { count: { type: "string" }, bytes: { type: "string" }, help: { type: "boolean" } },
});
const job = JOBS[positionals[0] ?? ""];
if (values.help || job === undefined) console.log(HELP);
else await job.run(Number(values.count ?? job.count), Number(values.bytes ?? job.bytes));
