// Variants by Cloudflare's Images binding, which workerd's own simulator (sharp) stands in for: it ignores quality and knows no HEIC.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";

import sharp from "sharp";

import { Client, STORAGE_MODES, bytesOf } from "./client.ts";
import type { Image, Problem } from "./harness/api-types.ts";
import { projectDir } from "./harness/project.ts";
import { startWorker } from "./harness/worker.ts";
import type { Bindings, RunningWorker } from "./harness/worker.ts";

const BINDINGS: Bindings = { IMAGES: { type: "images" } };
const fixture = (name: string) => new Uint8Array(readFileSync(join(projectDir, "tests/fixtures/images", name)));

async function withWorker(vars: Record<string, string>, check: (worker: RunningWorker, client: Client) => Promise<void>, bindings = BINDINGS) {
  const worker = await startWorker({ vars: { VARIANT_MAKER: "images", ...vars }, bindings });
  try {
    await check(worker, new Client(worker));
  } finally {
    await worker.stop();
  }
}

/** Format and size of what a path answers with. */
async function pictureAt(worker: RunningWorker, path: string) {
  const answer = await worker.fetch(path);
  assert.equal(answer.status, 200, `${path}: ${answer.status === 200 ? "" : await answer.text()}`);
  const { format, width, height } = await sharp(await bytesOf(answer)).metadata();
  assert.equal(answer.headers.get("content-type"), `image/${format}`);
  return [format, width, height];
}

for (const { storage, vars } of STORAGE_MODES) {
  describe(`with images in ${storage}`, () => {
    test("every format that it takes becomes what is asked for, once", () =>
      withWorker(vars, async (worker, client) => {
        const stored = async (name: string) => `/images/${(await client.stored(fixture(name), { filename: name })).id}`;
        const [jpeg, rotated, png, avif] = [await stored("baseline.jpg"), await stored("rotated.jpg"), await stored("rgb.png"), await stored("still.avif")];
        assert.deepEqual(await pictureAt(worker, `${jpeg}?w=32`), ["jpeg", 32, 19]);
        assert.deepEqual(await pictureAt(worker, `${jpeg}?w=32&h=32&fit=crop&fm=png`), ["png", 32, 24]);
        assert.deepEqual(await pictureAt(worker, `${jpeg}?w=64&fit=contain&fm=webp`), ["webp", 64, 38]);
        assert.deepEqual(await pictureAt(worker, `${rotated}?w=96`), ["jpeg", 24, 40]);
        assert.deepEqual(await pictureAt(worker, `${png}?w=32`), ["png", 32, 19]);
        assert.deepEqual(await pictureAt(worker, `${avif}?w=32`), ["jpeg", 32, 19]);
        const gif = await worker.fetch(`${await stored("animated.gif")}?w=32`);
        assert.deepEqual([gif.status, gif.headers.get("x-variant-frame"), (await sharp(await bytesOf(gif)).metadata()).pages], [200, "first", undefined]);
        const [made, again] = await Promise.all([worker.fetch(`${avif}?w=32`), worker.fetch(`${avif}?w=32`)]);
        assert.deepEqual(await bytesOf(made), await bytesOf(again));
        const record = (await (await client.call("GET", `/api${avif}`)).json()) as Image;
        assert.match(`${record.thumbhash} ${record.dominantColor}`, /^[\w+/]{7,36}=* #[0-9a-f]{6}$/);
        const count = "SELECT count(*) AS n FROM stillstore_variants WHERE state = 'stored' AND storage = ?1";
        assert.equal(await worker.db.prepare(count).bind(storage).first("n"), 7);
      }));
  });
}

test("what it cannot make is refused or busy, and the next picture is made", () =>
  withWorker({}, async (worker, client) => {
    const { id: heic } = await client.stored(fixture("still.heic"), { filename: "a.heic" });
    // The simulator's libvips has no decoder for it, and fails without a code that says whose fault it is.
    const answer = await worker.fetch(`/images/${heic}?w=32`);
    assert.deepEqual([answer.status, ((await answer.json()) as { code: string }).code], [503, "busy"]);
    const { id: svg } = await client.stored(fixture("plain.svg"), { filename: "a.svg" });
    const refused = await worker.fetch(`/images/${svg}?w=32`);
    assert.deepEqual([refused.status, ((await refused.json()) as { code: string }).code], [422, "variant-unsupported"]);
    const { id } = await client.stored(fixture("baseline.jpg"), { filename: "a.jpg" });
    assert.deepEqual(await pictureAt(worker, `/images/${id}?w=32`), ["jpeg", 32, 19]);
  }));

test("asked for and not bound, it is a problem of the configuration", () =>
  withWorker({}, async (worker, client) => {
    const health = await (await client.call("GET", "/health")).text();
    assert.match(health, /"VARIANT_MAKER"/);
    const refused = await client.upload(fixture("baseline.jpg"));
    const { code, detail } = (await refused.json()) as Problem;
    assert.deepEqual([refused.status, code], [503, "configuration-invalid"]);
    assert.match(detail, /VARIANT_MAKER must not be images unless the binding IMAGES is there/);
  }, {}));
