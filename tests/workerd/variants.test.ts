// Variants over HTTP, by the real codecs: in both storage modes, a hundred requests at once, after a trap, and what a plain read loads.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";

import { transform } from "unpic/providers/imgix";

import type { Image } from "./harness/api-types.ts";
import { Client, STORAGE_MODES, bytesOf, pathOf } from "./client.ts";
import { projectDir } from "./harness/project.ts";
import { startWorker } from "./harness/worker.ts";
import type { RunningWorker } from "./harness/worker.ts";

const JPEG = fixture("baseline.jpg");
const GIF = fixture("animated.gif");
/** What unpic asks for, up to what a small picture is enlarged to. */
const UNPIC_WIDTHS = [640, 750, 828, 960, 1080, 1280, 1668, 1920, 2048, 2560, 3200, 3840];

function fixture(name: string) {
  return new Uint8Array(readFileSync(join(projectDir, "tests/fixtures/images", name)));
}

async function withWorker(settings: Parameters<typeof startWorker>[0], check: (worker: RunningWorker, client: Client) => Promise<void>) {
  const worker = await startWorker(settings);
  try {
    await check(worker, new Client(worker));
  } finally {
    await worker.stop();
  }
}

/** A WebP whose canvas has ten pixels a side and whose picture claims 16,383. */
function largerThanItsCanvas() {
  const tag = [0x10 | ((40 << 5) & 0xe0), (40 << 5) >> 8, 0];
  const frame = [...tag, 0x9d, 0x01, 0x2a, 0xff, 0x3f, 0xff, 0x3f, ...Array<number>(64).fill(0)];
  const chunks = [...chunk("VP8X", [0, 0, 0, 0, 9, 0, 0, 9, 0, 0]), ...chunk("VP8 ", frame)];
  return Uint8Array.from(chunk("RIFF", [..."WEBP"].map((letter) => letter.charCodeAt(0)).concat(chunks)));
}

function chunk(name: string, data: number[]) {
  const length = [0, 8, 16, 24].map((shift) => (data.length >> shift) & 0xff);
  return [...[...name].map((letter) => letter.charCodeAt(0)), ...length, ...data, ...(data.length % 2 === 1 ? [0] : [])];
}

for (const { storage, vars } of STORAGE_MODES) {
  describe(`variants in ${storage}`, () => {
    test("are made by the codecs, kept, and removed with their image", () =>
      withWorker({ vars }, async (worker, client) => {
        const { id } = await client.stored(JPEG, { filename: "cat.jpg" });
        const original = await worker.fetch(`/images/${id}`);
        assert.deepEqual(await bytesOf(original), Buffer.from(JPEG));
        assert.equal((await worker.codecs()).instances, 0, "a plain read loads no codecs");
        const record = async () => (await (await client.call("GET", `/api/images/${id}`)).json()) as Image;
        assert.equal((await record()).thumbhash, undefined);
        for (const [query, type] of [["w=32", "image/jpeg"], ["w=32&fm=png", "image/png"], ["w=32&h=32&fit=cover&fm=webp", "image/webp"]]) {
          const made = await worker.fetch(`/images/${id}?${query}`);
          assert.equal(made.status, 200, query);
          assert.equal(made.headers.get("content-type"), type);
          const bytes = await bytesOf(made);
          const kept = await worker.fetch(`/images/${id}?${query}`);
          assert.deepEqual(await bytesOf(kept), bytes);
          assert.equal(kept.headers.get("etag"), made.headers.get("etag"));
          const part = await worker.fetch(`/images/${id}?${query}`, { headers: { range: "bytes=3-9" } });
          assert.equal(part.status, 206);
          assert.deepEqual(await bytesOf(part), bytes.subarray(3, 10));
        }
        assert.equal((await worker.codecs()).instances, 1);
        const { thumbhash, dominantColor } = await record();
        assert.match(String(thumbhash), /^[\w+/]{7,36}=*$/);
        assert.match(String(dominantColor), /^#[0-9a-f]{6}$/);
        const { results } = await worker.db.prepare("SELECT state, storage FROM stillstore_variants").all();
        assert.deepEqual(results, Array(3).fill({ state: "stored", storage }));
        const deleted = await client.call("DELETE", `/api/images/${id}`);
        assert.equal(deleted.status, 204);
        const left = await worker.db.prepare("SELECT count(*) AS rows FROM stillstore_variants").first("rows");
        const blobs = await worker.db.prepare("SELECT count(*) AS rows FROM stillstore_blobs").first("rows");
        assert.deepEqual([left, blobs, (await worker.bucket.list()).objects.length], [0, 0, 0]);
      }));

    test("are made once for a hundred requests at once", () =>
      withWorker({ vars, faults: true }, async (worker, client) => {
        const { id } = await client.stored(JPEG, { filename: "cat.jpg" });
        const answers = await Promise.all(Array.from({ length: 100 }, () => worker.fetch(`/images/${id}?w=32`)));
        assert.deepEqual([...new Set(answers.map(({ status }) => status))], [200]);
        const all = await Promise.all(answers.map(bytesOf));
        assert.ok(all.every((bytes) => Buffer.compare(bytes, all[0]!) === 0));
        const made = worker.logs().filter(({ event }) => event?.event === "variant");
        assert.equal(made.length, 1);
      }));
  });
}

test("those that are wanted of each asset are there before anybody asks", () =>
  withWorker({ vars: { VARIANTS: '{"card":{"w":20}}', THUMBNAIL_VARIANTS: "card" } }, async (worker, client) => {
    const post = async (path: string, fields: object) => {
      const headers = { "content-type": "application/json" };
      const response = await client.call("POST", path, { headers, body: JSON.stringify(fields) });
      assert.ok(response.ok, await response.clone().text());
      return (await response.json()) as Record<string, any>;
    };
    const { id: shoot_id } = await post("/shoots", { name: "Garden" });
    const granted = await post("/uploads/presign", { shoot_id, filename: "a.jpg", content_type: "image/jpeg" });
    const { url, headers } = granted["upload"];
    assert.equal((await worker.fetch(pathOf(url), { method: "PUT", headers, body: JPEG })).status, 200);
    const { asset_id, object_key } = granted;
    await post("/uploads/confirm", { shoot_id, asset_id, object_key });
    const kept = "SELECT count(*) AS n FROM stillstore_variants WHERE image_id = ?1 AND state = 'stored'";
    for (const deadline = Date.now() + 20_000; (await worker.db.prepare(kept).bind(asset_id).first("n")) !== 1; ) {
      assert.ok(Date.now() < deadline, "the queue makes it");
      await new Promise((done) => setTimeout(done, 50));
    }
    const { instances } = await worker.codecs();
    assert.equal((await client.call("GET", `/images/${asset_id}?variant=card`)).status, 200);
    assert.equal((await worker.codecs()).instances, instances, "it is kept");
  }));

test("a trap ends its own request, and the next one gets a new instance", () =>
  withWorker({}, async (worker, client) => {
    const [jpeg, gif, bomb] = [
      await client.stored(JPEG, { filename: "cat.jpg" }),
      await client.stored(GIF, { filename: "cat.gif" }),
      await client.stored(largerThanItsCanvas(), { filename: "bomb.webp" }),
    ];
    const [first, refused, other] = await Promise.all([
      worker.fetch(`/images/${jpeg.id}?w=32`),
      worker.fetch(`/images/${bomb.id}?w=32`),
      worker.fetch(`/images/${gif.id}?w=32`),
    ]);
    assert.deepEqual([first.status, refused.status, other.status], [200, 422, 200]);
    assert.equal(((await refused.json()) as { code: string }).code, "variant-impossible");
    assert.equal(other.headers.get("x-variant-frame"), "first");
    await worker.waitForLog(({ event }) => event?.event === "variant" && event.outcome === "trapped");
    assert.equal((await worker.fetch(`/images/${jpeg.id}?w=64`)).status, 200);
    const { instances, peakBytes } = await worker.codecs();
    assert.equal(instances, 2);
    assert.ok(peakBytes <= 96 << 20);
  }));

test("unpic's provider imgix, as it is, gets variants for every width that it asks for", () =>
  withWorker({ vars: { VARIANT_WIDTHS: UNPIC_WIDTHS.join(",") } }, async (worker, client) => {
    const { id } = await client.stored(JPEG, { filename: "cat.jpg" });
    const source = `https://images.example/images/${id}`;
    for (const width of UNPIC_WIDTHS) {
      // WebP is lossless here, and takes more memory.
      const format = width <= 1280 ? ("webp" as const) : ("jpg" as const);
      const height = Math.round((width * 9) / 16);
      for (const url of [transform(source, { width }), transform(source, { width, height, quality: 75, format })]) {
        const { pathname, search } = new URL(String(url));
        const answer = await worker.fetch(pathname + search, { headers: { accept: "image/avif,image/webp,*/*" } });
        assert.equal(answer.status, 200, `${search}: ${await answer.clone().text()}`);
        const type = search.includes("fm=webp") ? "image/webp" : "image/jpeg";
        assert.equal(answer.headers.get("content-type"), type, search);
        await bytesOf(answer);
      }
    }
    // A URL that has a size already gets another one.
    const again = transform(`${source}?w=640&fit=min&auto=format`, { width: 1280 });
    assert.equal((await worker.fetch(`/images/${id}${new URL(String(again)).search}`)).status, 200);
    assert.equal(new URL(String(again)).searchParams.get("w"), "1280");
  }));
