// What a reader gets: the same status, headers and bytes whichever store holds the image, and nothing that runs.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";

import { Client, STORAGE_MODES, bytesOf, headersOf, sha256 } from "./client.ts";
import { projectDir } from "./harness/project.ts";
import { startWorker } from "./harness/worker.ts";
import type { RunningWorker } from "./harness/worker.ts";

const MIB = 1 << 20;
const PNG = new Uint8Array(readFileSync(join(projectDir, "tests/fixtures/images/rgb.png")));
/** Embedded, it is three chunks, the last of which is not full. */
const IMAGE = pngOf(2 * MIB + 12_345);
const ETAG = `"${sha256(IMAGE)}"`;
const SIZE = IMAGE.byteLength;
const LAST = SIZE - 1;

type Home = { worker: RunningWorker; client: Client; id: string; lastModified: string };

const homes: Home[] = [];
before(async () => {
  for (const { vars } of STORAGE_MODES) {
    const worker = await startWorker({ vars });
    const client = new Client(worker);
    const { id } = await client.stored(IMAGE, { filename: "wide.png" });
    const lastModified = (await worker.fetch(`/images/${id}`, { method: "HEAD" })).headers.get("last-modified") ?? "";
    homes.push({ worker, client, id, lastModified });
  }
});
after(() => Promise.all(homes.map(({ worker }) => worker.stop())));

/** Headers of a request; `{lastModified}` stands for the image's own. */
type Case = { headers: Record<string, string>; status: number; range?: [number, number] };

const PAST = "Thu, 01 Jan 2004 00:00:00 GMT";
const MODIFIED = "{lastModified}";

const CASES: Case[] = [
  { headers: {}, status: 200 },
  { headers: { range: "bytes=0-0" }, status: 206, range: [0, 0] },
  { headers: { range: "bytes=0-" }, status: 206, range: [0, LAST] },
  { headers: { range: "bytes=-7" }, status: 206, range: [SIZE - 7, LAST] },
  { headers: { range: `bytes=-${SIZE + 1}` }, status: 206, range: [0, LAST] },
  { headers: { range: `bytes=${MIB - 10}-${MIB + 10}` }, status: 206, range: [MIB - 10, MIB + 10] },
  { headers: { range: `bytes=${MIB}-${2 * MIB - 1}` }, status: 206, range: [MIB, 2 * MIB - 1] },
  { headers: { range: `bytes=5-${SIZE + 99}` }, status: 206, range: [5, LAST] },
  { headers: { range: `bytes=${SIZE}-` }, status: 416 },
  { headers: { range: "bytes=-0" }, status: 416 },
  { headers: { range: "bytes=0-1,5-6" }, status: 200 },
  { headers: { range: "bytes=9-5" }, status: 200 },
  { headers: { range: "lines=1-2" }, status: 200 },
  { headers: { "if-none-match": ETAG }, status: 304 },
  { headers: { "if-none-match": `"other", W/${ETAG}` }, status: 304 },
  { headers: { "if-none-match": "*" }, status: 304 },
  { headers: { "if-none-match": '"other"' }, status: 200 },
  { headers: { "if-none-match": '"other"', "if-modified-since": MODIFIED }, status: 200 },
  { headers: { "if-none-match": ETAG, range: "bytes=0-0" }, status: 304 },
  { headers: { "if-modified-since": MODIFIED }, status: 304 },
  { headers: { "if-modified-since": PAST }, status: 200 },
  { headers: { "if-match": ETAG }, status: 200 },
  { headers: { "if-match": `W/${ETAG}` }, status: 412 },
  { headers: { "if-match": '"other"' }, status: 412 },
  { headers: { "if-unmodified-since": MODIFIED }, status: 200 },
  { headers: { "if-unmodified-since": PAST }, status: 412 },
  { headers: { "if-range": ETAG, range: "bytes=5-9" }, status: 206, range: [5, 9] },
  { headers: { "if-range": '"other"', range: "bytes=5-9" }, status: 200 },
  { headers: { "if-range": `W/${ETAG}`, range: "bytes=5-9" }, status: 200 },
];

describe("both stores answer alike", () => {
  for (const { headers, status, range } of CASES) {
    for (const method of ["GET", "HEAD"]) {
      const isHead = method === "HEAD";
      // A range is defined for GET only; conditions hold for both.
      const wanted = isHead && [206, 416].includes(status) ? 200 : status;
      test(`${method} ${JSON.stringify(headers)} is ${wanted}`, async () => {
        const answers = await Promise.all(homes.map((home) => ask(home, method, headers)));
        for (const answer of answers) {
          assert.equal(answer.status, wanted);
          if (isHead || status === 304) assert.equal(answer.body.byteLength, 0);
          else if (wanted === 200) assert.ok(answer.body.equals(IMAGE));
          if (wanted === 200) assert.equal(answer.headers["content-length"], String(SIZE));
          if (wanted === 206 && range !== undefined) {
            const [first, last] = range;
            assert.ok(answer.body.equals(IMAGE.subarray(first, last + 1)));
            assert.equal(answer.headers["content-range"], `bytes ${first}-${last}/${SIZE}`);
            assert.equal(answer.headers["content-length"], String(last - first + 1));
          }
          if (wanted === 416) assert.equal(answer.headers["content-range"], `bytes */${SIZE}`);
          if (wanted < 400) assert.equal(answer.headers.etag, ETAG);
        }
        const [r2, d1] = answers.map(({ body, ...head }) => ({ ...head, body: sha256(body) }));
        assert.deepEqual(r2, d1);
      });
    }
  }
});

async function ask({ worker, id, lastModified }: Home, method: string, wanted: Record<string, string>) {
  const named = Object.entries(wanted).map(([name, value]) => [name, value === MODIFIED ? lastModified : value]);
  const headers = { ...Object.fromEntries(named), "x-request-id": "compared" };
  const response = await worker.fetch(`/images/${id}`, { method, headers });
  // Caches keep these for everyone.
  const isPublic = response.headers.get("cache-control")?.startsWith("public");
  assert.equal(response.headers.get("x-request-id"), isPublic ? null : "compared");
  // The image's id and the time of its upload are its own.
  const { date: _, "cache-tag": tag, "last-modified": modified, ...comparable } = headersOf(response);
  if (response.ok) assert.equal(tag, id);
  if (response.status < 400) assert.equal(modified, lastModified);
  return { status: response.status, headers: comparable, body: await bytesOf(response) };
}

test("a public image is immutable, and scripts of any origin can read its ETag", async () => {
  for (const { worker, id } of homes) {
    const { headers } = await worker.fetch(`/images/${id}`, { headers: { origin: "https://app.example" } });
    assert.equal(headers.get("cache-control"), "public, max-age=31536000, immutable");
    assert.equal(headers.get("access-control-allow-origin"), "*");
    assert.ok(headers.get("access-control-expose-headers")?.split(", ").includes("ETag"));
    assert.equal(headers.get("cross-origin-resource-policy"), "cross-origin");
  }
});

test("the object of a private image tells caches to keep nothing", async () => {
  for (const { worker, client } of homes) {
    for (const [visibility, cacheControl] of [["public", "public, max-age=31536000, immutable"], ["private", "private, no-store"]]) {
      const { key, storage } = await client.stored(PNG, { visibility: String(visibility) });
      if (storage === "r2") assert.equal((await worker.bucket.head(key))?.httpMetadata?.cacheControl, cacheControl);
    }
  }
});

test("no header of an answer is left in the next one of its kind", async () => {
  for (const { worker, client } of homes) {
    const named = await client.stored(pngOf(3_000), { filename: "named.png" });
    const unnamed = await client.stored(pngOf(4_000));
    const headersFor = async ({ id }: { id: string }) => (await worker.fetch(`/images/${id}`)).headers;
    const [first, second] = [await headersFor(named), await headersFor(unnamed)];
    assert.match(first.get("content-disposition") ?? "", /named\.png/);
    assert.equal(second.get("content-disposition"), null);
    for (const name of ["cache-tag", "content-length", "etag"]) {
      assert.notEqual(first.get(name), second.get(name), name);
    }
  }
});

test("each request has an id of its own, however many there are", async () => {
  for (const { worker } of homes) {
    // Random bytes are fetched for 64 ids at once.
    const answers = await Promise.all(Array.from({ length: 200 }, () => worker.fetch("/no-such-route")));
    const ids = answers.map(({ headers }) => headers.get("x-request-id") ?? "none");
    assert.equal(new Set(ids).size, 200);
    for (const id of ids) assert.match(id, /^[0-9a-f]{32}$/);
  }
});

test("an SVG cannot run script on the origin", async () => {
  const svg = Buffer.from('<svg xmlns="http://www.w3.org/2000/svg" width="1" height="1"><script>alert(1)</script></svg>');
  for (const { worker, client } of homes) {
    const { id, key, storage } = await client.stored(svg, { filename: "drawing.svg" });
    const { headers } = await worker.fetch(`/images/${id}`);
    assert.equal(headers.get("content-type"), "image/svg+xml");
    const policy = headers.get("content-security-policy")?.split("; ") ?? [];
    assert.ok(policy.includes("default-src 'none'") && policy.includes("sandbox"), policy.join("; "));
    assert.equal(headers.get("x-content-type-options"), "nosniff");
    // The bucket's own domain knows no such policy.
    if (storage === "r2") assert.equal((await worker.bucket.head(key))?.httpMetadata?.contentDisposition, "attachment");
  }
});

test("a preflight answers by cors-policy.json", async () => {
  const [rule] = JSON.parse(readFileSync(join(projectDir, "cors-policy.json"), "utf8")).rules;
  for (const { worker } of homes) {
    const response = await worker.fetch("/api/generate-image", {
      method: "OPTIONS",
      headers: {
        origin: "https://app.example", "access-control-request-method": "POST",
        "access-control-request-headers": "authorization, content-type, idempotency-key",
      },
    });
    assert.equal(response.status, 204);
    const listed = (name: string) => response.headers.get(name)?.split(", ");
    assert.deepEqual(listed("access-control-allow-origin"), ["*"]);
    assert.deepEqual(listed("access-control-allow-methods"), rule.allowed.methods);
    assert.deepEqual(listed("access-control-allow-headers"), rule.allowed.headers);
    assert.deepEqual(listed("access-control-max-age"), [String(rule.maxAgeSeconds)]);
    assert.equal((await worker.fetch("/nowhere", { method: "OPTIONS" })).status, 404);
  }
});

/** A PNG with bytes behind it. */
function pngOf(length: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(length);
  for (let at = 0; at < length; at += 1) bytes[at] = (at * 40_503) >>> 8;
  bytes.set(PNG);
  return bytes;
}
