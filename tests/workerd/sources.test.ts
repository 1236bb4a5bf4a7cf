// Images come from links on other hosts and from another bucket, over real HTTP and workerd's own S3 endpoint.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import type { Server } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { after, before, test } from "node:test";

import { pathOf } from "./client.ts";
import { ask, pngOf } from "./flows.ts";
import { freePort } from "./harness/free-port.ts";
import { projectDir } from "./harness/project.ts";
import { S3_CREDENTIALS, startWorker } from "./harness/worker.ts";
import type { RunningWorker } from "./harness/worker.ts";
import { acted, digest, receiptOf, runOf, untilState } from "./migrations.ts";

const PNG = readFileSync(join(projectDir, "tests/fixtures/images/rgb.png"));
const LARGE = pngOf(9 << 20, 1);
const PREFIX = "tree/";
const OLD_URL = "https://old.example.com/";
const ODD = `${PREFIX}b & <ü> 日本+ %41.png`;

let server: Server;
let host: string;
let throttled = 0;
let old: RunningWorker;
let worker: RunningWorker;

before(async () => {
  server = createServer((request, response) => {
    const { pathname } = new URL(request.url ?? "/", "http://host");
    if (pathname === "/gone.png") return response.writeHead(404).end();
    if (pathname === "/busy.png" && throttled++ === 0) return response.writeHead(429, { "retry-after": "1" }).end();
    if (pathname === "/short.png") {
      response.writeHead(200, { "content-length": PNG.length });
      response.write(PNG.subarray(0, 40));
      return setTimeout(() => response.destroy(), 50);
    }
    return response.end(pathname === "/large.png" ? LARGE : PNG);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  host = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  const s3Port = await freePort();
  old = await startWorker({ vars: { ENABLE_R2_STORAGE: "true" }, s3Port });
  const sources = [
    { kind: "url", name: "posts", table: "posts", id: "id", url: "picture", hosts: { "*": { perSecond: 50 } } },
    {
      kind: "bucket",
      name: "old",
      endpoint: `http://127.0.0.1:${s3Port}/cdn-cgi/local/r2/s3`,
      bucket: "stillstore-images",
      prefix: PREFIX,
      publicUrl: OLD_URL,
      references: [{ table: "pages", column: "html" }],
    },
  ];
  worker = await startWorker({
    vars: {
      ENABLE_R2_STORAGE: "true",
      FETCH_ALLOWED_HOSTS: host,
      MIGRATION_SOURCES: JSON.stringify(sources),
      S3_SOURCE_OLD_ACCESS_KEY_ID: S3_CREDENTIALS.accessKeyId,
      S3_SOURCE_OLD_SECRET_ACCESS_KEY: S3_CREDENTIALS.secretAccessKey,
    },
  });
  await worker.db.prepare("CREATE TABLE posts (id TEXT PRIMARY KEY NOT NULL, picture TEXT)").run();
  await worker.db.prepare("CREATE TABLE pages (id INTEGER PRIMARY KEY, html TEXT)").run();
});
after(async () => {
  await Promise.all([worker?.stop(), old?.stop()]);
  server.close();
});

/** The lines of a run's receipt, by item. */
async function linesOf(id: string): Promise<Map<string, { verdict: string; reason?: string }>> {
  const text = new TextDecoder().decode((await receiptOf(worker, id)).body);
  const lines = text.trimEnd().split("\n").map((line) => JSON.parse(line));
  return new Map(lines.slice(1, -1).map((line) => [line.id, line]));
}

async function read(url: string): Promise<Uint8Array> {
  const response = await worker.fetch(pathOf(url));
  assert.equal(response.status, 200);
  return new Uint8Array(await response.arrayBuffer());
}

test("links are fetched, stored, and put back", async () => {
  const names = ["busy", "gone", "large", "plain", "short"];
  for (const name of names) {
    await worker.db.prepare("INSERT INTO posts VALUES (?1, ?2)").bind(name, `http://${host}/${name}.png`).run();
  }
  const rows = async () => (await worker.db.prepare("SELECT * FROM posts ORDER BY id").all<{ picture: string }>()).results;
  const before = await rows();
  const begun = await acted(worker, { action: "migrate", source: "posts", background: true });
  const run = await untilState(worker, begun.runId);
  assert.equal(run.state, "completed_with_errors");
  const lines = await linesOf(run.id);
  const reasons = names.map((name) => lines.get(name)?.reason ?? lines.get(name)?.verdict);
  assert.deepEqual(reasons, ["moved", "gone", "moved", "moved", "unreachable"]);
  const [busy, , large] = (await rows()).map(({ picture }) => picture);
  assert.deepEqual(await read(busy ?? ""), new Uint8Array(PNG));
  assert.equal(digest(await read(large ?? "")), digest(LARGE));
  const valid = await acted(worker, { action: "validate", source: "posts", checkIntegrity: true });
  assert.deepEqual([valid.result.isValid, valid.result.valid], [true, 3]);
  const back = await acted(worker, { action: "rollback", source: "posts", deleteFromR2: true });
  assert.deepEqual([back.result.rolledBack, back.result.failed], [3, 0]);
  assert.deepEqual(await rows(), before);
});

test("a bucket is copied through its S3 endpoint, and its later runs read nothing", async () => {
  const objects = new Map<string, Uint8Array>([
    [`${PREFIX}a.png`, PNG],
    [ODD, PNG],
    // XML 1.0 has no such characters, and others in their place. No object with a line end is found by this endpoint.
    [`${PREFIX}c\u0001\u007f.png`, PNG],
    [`${PREFIX}c\ufffd\uffff.png`, PNG],
    [`${PREFIX}large.png`, LARGE],
    [`${PREFIX}notes.txt`, new TextEncoder().encode("notes")],
    [`${PREFIX}nothing`, new Uint8Array(0)],
  ]);
  for (const [key, bytes] of objects) {
    await old.bucket.put(key, bytes, {
      httpMetadata: { contentType: key.endsWith(".txt") ? "text/plain" : "image/png" },
      customMetadata: { author: "jane" },
    });
  }
  await old.bucket.put("elsewhere.png", PNG);
  const odd = `${OLD_URL}${ODD.split("/").map(encodeURIComponent).join("/")}`;
  const texts = [`<img src="${odd}"> and ${OLD_URL}${PREFIX}a.png, not ${OLD_URL}${PREFIX}a.png.webp`, JSON.stringify([odd]).replaceAll("/", "\\/")];
  for (const text of texts) await worker.db.prepare("INSERT INTO pages (html) VALUES (?1)").bind(text).run();
  const pages = async () => (await worker.db.prepare("SELECT html FROM pages ORDER BY id").all<{ html: string }>()).results.map(({ html }) => html);
  const run = await acted(worker, { action: "migrate", source: "old" });
  assert.deepEqual([run.result.references, run.result.migrated, run.state], [texts.length, objects.size, "completed"], JSON.stringify(await runOf(worker, run.runId)));
  for (const [key, bytes] of objects) {
    const copy = await worker.bucket.get(key);
    assert.ok(copy, key);
    assert.equal(digest(new Uint8Array(await copy.arrayBuffer())), digest(bytes), key);
    assert.equal(copy.customMetadata?.author, "jane", key);
  }
  assert.equal((await worker.bucket.head(`${PREFIX}notes.txt`))?.httpMetadata?.contentType, "text/plain");
  assert.equal(await worker.bucket.head("elsewhere.png"), null);
  const listed = (await ask(worker, "GET", "/api/images")).json() as { images: { sourceItem: string; url: string }[] };
  assert.deepEqual(listed.images.map(({ sourceItem }) => sourceItem).sort(), [...objects.keys()].filter((key) => key.endsWith(".png")).sort());
  for (const { sourceItem, url } of listed.images) {
    assert.equal(digest(await read(url)), digest(objects.get(sourceItem) as Uint8Array), sourceItem);
  }
  const [html, json] = await pages();
  const shown = [.../src="([^"]+)"/.exec(html ?? "")!.slice(1), .../and ([^,]+),/.exec(html ?? "")!.slice(1), ...JSON.parse(json ?? "")];
  for (const url of shown) assert.equal(digest(await read(url)), digest(PNG), url);
  assert.ok(html?.endsWith(`not ${OLD_URL}${PREFIX}a.png.webp`));
  const left = await acted(worker, { action: "complete" as "validate", source: "old" });
  assert.deepEqual((left.result as unknown as { open: string[] }).open, ["references-left"]);
  const valid = await acted(worker, { action: "validate", source: "old" });
  assert.deepEqual([valid.result.isValid, valid.result.valid], [true, objects.size], JSON.stringify(valid));

  const again = await acted(worker, { action: "migrate", source: "old" });
  assert.deepEqual([again.result.total, again.state], [0, "completed"]);
  await old.bucket.put(`${PREFIX}a.png`, LARGE);
  const changed = await acted(worker, { action: "migrate", source: "old" });
  assert.deepEqual([changed.result.migrated, changed.state], [1, "completed"]);
  const back = await acted(worker, { action: "rollback", source: "old", deleteFromR2: true });
  assert.deepEqual([back.result.rolledBack, back.result.failed, back.result.references], [objects.size, 0, 2], JSON.stringify(back));
  assert.deepEqual(await pages(), texts);
});

test("a server that is down lets the run wait", async () => {
  await old.stop();
  const answer = await ask(worker, "POST", "/api/migrate-images", {
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ action: "migrate", source: "old" }),
  });
  assert.equal(answer.status, 503);
});
