// Images behind links of an application's rows are read before a run has moved them: real HTTP, R2 and D1, with a host that fails.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:http";
import type { Server, ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, afterEach, before, test } from "node:test";

import { pathOf } from "./client.ts";
import { pngOf } from "./flows.ts";
import { projectDir } from "./harness/project.ts";
import { startWorker } from "./harness/worker.ts";
import type { RunningWorker } from "./harness/worker.ts";
import { acted, digest } from "./migrations.ts";

const PNG = readFileSync(join(projectDir, "tests/fixtures/images/rgb.png"));
/** Longer than what is held. */
const LARGE = pngOf(9 << 20, 1);
const READERS = 32;
const HOUR_MS = 3_600_000;

type Answering = (response: ServerResponse, bytes: Uint8Array) => void;
const whole: Answering = (response, bytes) => response.end(bytes);

let server: Server;
let host: string;
let answering: Answering = whole;
const asked: string[] = [];
let persist: string;
let worker: RunningWorker;

before(async () => {
  server = createServer((request, response) => {
    asked.push(request.url ?? "");
    answering(response, request.url?.includes("large") ? LARGE : PNG);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  host = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  persist = await mkdtemp(join(tmpdir(), "stillstore-read-links-"));
  worker = await start();
  await worker.db.prepare("CREATE TABLE posts (id INTEGER PRIMARY KEY, picture TEXT)").run();
});
afterEach(async () => {
  answering = whole;
  asked.length = 0;
  await worker.faults.clear();
});
after(async () => {
  await worker?.stop();
  server.closeAllConnections();
  server.close();
  await rm(persist, { recursive: true, force: true });
});

function start(): Promise<RunningWorker> {
  const source = { kind: "url", name: "posts", table: "posts", id: "id", url: "picture", visibility: "public", hosts: { "*": { perSecond: 20 } } };
  return startWorker({
    persist,
    faults: true,
    vars: {
      ENABLE_R2_STORAGE: "true",
      READ_THROUGH: "posts",
      PUBLIC_ORIGIN: "http://127.0.0.1:8787",
      FETCH_ALLOWED_HOSTS: host,
      MIGRATION_SOURCES: JSON.stringify([source]),
    },
  });
}

async function post(name: string): Promise<number> {
  const link = `http://${host}/${name}.png`;
  return Number(await worker.db.prepare("INSERT INTO posts (picture) VALUES (?1) RETURNING id").bind(link).first("id"));
}

async function pictureOf(id: number): Promise<string> {
  return String(await worker.db.prepare("SELECT picture FROM posts WHERE id = ?1").bind(id).first("picture"));
}

async function read(path: string): Promise<{ status: number; bytes: Uint8Array; code: () => string }> {
  const response = await worker.fetch(path);
  const bytes = new Uint8Array(await response.arrayBuffer());
  return { status: response.status, bytes, code: () => JSON.parse(new TextDecoder().decode(bytes)).code };
}

async function assertRead(path: string, expected: Uint8Array): Promise<void> {
  const answer = await read(path);
  assert.equal(answer.status, 200, `${path}: ${answer.status < 400 ? "" : answer.code()}`);
  assert.equal(digest(answer.bytes), digest(expected), path);
}

/** The move is recorded after the answer went out. */
async function untilMoved(id: number): Promise<string> {
  for (let attempt = 0; attempt < 500; attempt += 1) {
    const picture = await pictureOf(id);
    if (picture.includes("/images/")) return pathOf(picture);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  throw new Error(`${id} was not moved`);
}

async function claims(): Promise<number> {
  return Number(await worker.db.prepare("SELECT count(*) AS claims FROM stillstore_read_throughs").first("claims"));
}

async function objects(): Promise<number> {
  return (await worker.bucket.list({ prefix: "tables/" })).objects.length;
}

test("a stampede fetches each image of a page once, and the copies outlive the links", async () => {
  const posts = await Promise.all(Array.from({ length: 12 }, (_, index) => post(`page-${index}`)));
  const before = await worker.wasmMemoryBytes();
  const readers = Array.from({ length: READERS }, (_, index) => assertRead(`/images/${posts[index % posts.length]}`, PNG));
  await Promise.all(readers);
  const copies = await Promise.all(posts.map(untilMoved));
  assert.equal(asked.length, posts.length, asked.join(" "));
  answering = (response) => response.writeHead(404).end();
  for (const [index, id] of posts.entries()) {
    await assertRead(`/images/${id}`, PNG);
    await assertRead(copies[index] ?? "", PNG);
  }
  assert.equal(asked.length, posts.length);
  assert.ok((await worker.wasmMemoryBytes()) - before < 8 << 20);
  const back = await acted(worker, { action: "rollback", source: "posts" });
  assert.equal(back.result.rolledBack, posts.length);
  assert.equal(await pictureOf(posts[0] ?? 0), `http://${host}/page-0.png`);
});

test("a long image is stored first, and streams past wasm memory", async () => {
  const id = await post("large");
  const before = await worker.wasmMemoryBytes();
  await Promise.all(Array.from({ length: 4 }, () => assertRead(`/images/${id}`, LARGE)));
  assert.equal(asked.length, 2, "once for its digest, once to be put");
  assert.ok((await worker.wasmMemoryBytes()) - before < 4 << 20);
});

for (const [name, trouble, code] of [
  ["dies in the middle", (response, bytes) => (response.writeHead(200, { "content-length": bytes.length }), response.write(bytes.subarray(0, 60), () => response.destroy())), "source-unavailable"],
  ["answers with 503", (response) => response.writeHead(503).end(), "source-unavailable"],
  ["cuts the image short", (response, bytes) => response.end(bytes.subarray(0, 60)), "image-not-found"],
  ["gives something else", (response) => response.end("<html>"), "image-not-found"],
] as const satisfies readonly (readonly [string, Answering, string])[]) {
  test(`nothing stays of an image whose host ${name}, and a later read has it`, async () => {
    const id = await post(`short-${name.replaceAll(" ", "-")}`);
    const link = await pictureOf(id);
    const before = await objects();
    answering = trouble;
    for (let attempt = 0; attempt < 2; attempt += 1) {
      const answer = await read(`/images/${id}`);
      assert.equal(answer.status < 400 ? "served" : answer.code(), code);
    }
    assert.equal(asked.length, 1, "it is not asked again at once");
    assert.deepEqual([await claims(), await objects(), await pictureOf(id)], [0, before, link]);
    answering = whole;
    await worker.db.prepare("UPDATE stillstore_read_misses SET until_ms = 0").run();
    await assertRead(`/images/${id}`, PNG);
    await untilMoved(id);
  });
}

for (const [name, fault] of [
  ["in the middle of a put", { binding: "R2_IMAGES", method: "put", matching: "tables/posts/", when: "hang" }],
  ["behind the put", { binding: "DB", method: "batch", matching: "INSERT INTO stillstore_moves", when: "hang" }],
] as const) {
  test(`whoever reads while workerd is killed ${name} reads it afterwards`, async () => {
    const id = await post(`killed-${name.replaceAll(" ", "-")}`);
    const link = await pictureOf(id);
    const before = await objects();
    await worker.faults.set(fault);
    await assertRead(`/images/${id}`, PNG);
    await worker.faults.untilHeld();
    await worker.kill();
    worker = await start();
    assert.deepEqual([await claims(), await pictureOf(id)], [1, link], "the claim names the key");
    assert.equal((await read(`/images/${id}`)).status, 503, "the dead reader has its lease");
    await worker.db.prepare("UPDATE stillstore_read_throughs SET lease_expires_at_ms = lease_expires_at_ms - ?1").bind(2 * HOUR_MS).run();
    await worker.scheduled();
    assert.deepEqual([await claims(), await objects()], [0, before], "what was put and not recorded is removed");
    await assertRead(`/images/${id}`, PNG);
    await untilMoved(id);
  });
}

test("a run beside readers moves what they leave, each image once", async () => {
  const posts = await Promise.all(Array.from({ length: 12 }, (_, index) => post(`beside-${index}`)));
  const readers = Promise.all(posts.slice(0, 6).map((id) => assertRead(`/images/${id}`, PNG)));
  const run = acted(worker, { action: "migrate", source: "posts" });
  await Promise.all([readers, run]);
  await acted(worker, { action: "migrate", source: "posts" });
  for (const id of posts) await assertRead(await untilMoved(id), PNG);
  const valid = await acted(worker, { action: "validate", source: "posts", checkIntegrity: true });
  assert.deepEqual([valid.result.isValid, await claims()], [true, 0], JSON.stringify(valid));
});
