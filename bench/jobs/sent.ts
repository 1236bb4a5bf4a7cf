// Uploads by grants, and the frames of a session in one form.
import assert from "node:assert/strict";

import type { Shoot } from "../../tests/workerd/harness/api-types.ts";
import { Client, pathOf } from "../../tests/workerd/client.ts";
import type { RunningWorker } from "../../tests/workerd/harness/worker.ts";
import type { Case, Job } from "../job.ts";
import { md5, verifyStored, wholeImage } from "./images.ts";

const IMAGE_BYTES = 100_000;
const UPLOADS = 10;
const FRAMES = 100;
const IMAGE = wholeImage(IMAGE_BYTES);
const DIGEST = md5(IMAGE);

type Granted = { asset_id: string; object_key: string; upload: { url: string; headers: Record<string, string> } };

export function sent(quick: boolean): Job<string> {
  let sessions = 0;
  const grants: Case<string> = {
    name: "grants",
    title: "Presign, put and confirm 100 KB",
    unit: "images/s",
    targets: [],
    rounds: quick ? 6 : 60,
    async measure({ worker, seed: shoot_id }) {
      const client = new Client(worker);
      const wanted = { shoot_id, filename: "a.png", content_type: "image/png", file_size: IMAGE.length };
      const start = performance.now();
      for (let upload = 0; upload < UPLOADS; upload += 1) {
        const granted = (await posted(client, "/uploads/presign", wanted)) as Granted;
        const { url, headers } = granted.upload;
        const put = await worker.fetch(pathOf(url), { method: "PUT", headers, body: new Uint8Array(IMAGE) });
        assert.equal(put.status, 200, await put.text());
        const { asset_id, object_key } = granted;
        await posted(client, "/uploads/confirm", { shoot_id, asset_id, object_key });
      }
      return { units: UPLOADS, seconds: (performance.now() - start) / 1_000 };
    },
    verify: ({ worker }) => verifyStored(worker, DIGEST, UPLOADS),
  };
  const frames: Case<string> = {
    name: "frames",
    title: "100 frames of 100 KB in one form",
    unit: "frames/s",
    targets: [],
    rounds: quick ? 6 : 60,
    async measure({ worker }) {
      const form = new FormData();
      for (let number = 1; number <= FRAMES; number += 1) form.set(`${number}`, new Blob([new Uint8Array(IMAGE)]), `${number}.png`);
      const start = performance.now();
      const response = await new Client(worker).call("POST", `/sessions/bench-${sessions++}/frames`, { body: form });
      assert.equal(response.status, 201, await response.text());
      return { units: FRAMES, seconds: (performance.now() - start) / 1_000 };
    },
    verify: ({ worker }) => verifyStored(worker, DIGEST, FRAMES),
  };
  return { name: "sent", plant, cases: [grants, frames] };
}

async function plant(worker: RunningWorker): Promise<string> {
  return ((await posted(new Client(worker), "/shoots", { name: "Garden" })) as Shoot).id;
}

async function posted(client: Client, path: string, fields: object): Promise<unknown> {
  const response = await client.call("POST", path, { headers: { "content-type": "application/json" }, body: JSON.stringify(fields) });
  assert.ok(response.ok, `${path}: ${response.status}`);
  return response.json();
}
