// What a script at another origin can do in a real browser, under cors-policy.json.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";

import type { Browser, Page } from "playwright-core";

import { STORAGE_MODES } from "./client.ts";
import type { Asset, Image, PresignedUpload, Problem, Shoot } from "./harness/api-types.ts";
import { serveOrigin, startBrowser } from "./harness/browser.ts";
import { freePort } from "./harness/free-port.ts";
import { projectDir } from "./harness/project.ts";
import { API_TOKEN, startWorker } from "./harness/worker.ts";
import type { RunningWorker } from "./harness/worker.ts";

const POLICY = JSON.parse(readFileSync(join(projectDir, "cors-policy.json"), "utf8")) as {
  rules: { allowed: { headers: string[] } }[];
};
const PICTURE = [...readFileSync(join(projectDir, "tests/fixtures/images/pixel.png"))];

for (const { storage, vars } of STORAGE_MODES) {
  describe(`a page at another origin, with images in ${storage}`, () => {
    let worker: RunningWorker;
    let browser: Browser;
    let page: Page;
    let elsewhere: Awaited<ReturnType<typeof serveOrigin>>;
    before(async () => {
      const s3 = storage === "r2" ? { s3Port: await freePort() } : {};
      [worker, browser, elsewhere] = await Promise.all([startWorker({ vars, ...s3 }), startBrowser(), serveOrigin()]);
      page = await browser.newPage();
      await page.goto(elsewhere.origin);
    });
    after(async () => {
      elsewhere.server.close();
      await Promise.all([worker.stop(), browser.close()]);
    });

    test("uploads with a token, reads headers and a part of the image, and shows it", async () => {
      const shown = await page.evaluate(
        async ({ url, token, picture }) => {
          const headers = { "Authorization": `Bearer ${token}`, "Content-Type": "image/png" };
          const created = await fetch(`${url}api/images`, { method: "POST", headers, body: new Uint8Array(picture) });
          const { id } = (await created.json()) as Image;
          const part = await fetch(`${url}images/${id}`, { headers: { Range: "bytes=1-3" } });
          return {
            id,
            created: created.status,
            location: created.headers.get("Location"),
            part: { status: part.status, bytes: await part.text(), etag: part.headers.get("ETag"), range: part.headers.get("Content-Range") },
          };
        },
        { url: worker.url, token: API_TOKEN, picture: PICTURE },
      );
      assert.equal(shown.created, 201);
      assert.match(shown.location ?? "", /\/api\/images\//);
      assert.match(shown.part.etag ?? "", /^"[0-9a-f]{64}"$/);
      assert.deepEqual(shown.part, { ...shown.part, status: 206, bytes: "PNG", range: `bytes 1-3/${PICTURE.length}` });
      await page.setContent(`<img crossorigin="anonymous" src="${worker.url}images/${shown.id}">`);
      await page.waitForFunction("document.images[0].complete");
      assert.deepEqual(await page.evaluate("[document.images[0].naturalWidth, document.images[0].naturalHeight]"), [1, 1]);
    });

    test("sends a presigned upload in both ways, and confirms it", async () => {
      const studio = await page.evaluate(
        async ({ url, token, picture }) => {
          const file = new Blob([new Uint8Array(picture)], { type: "image/png" });
          const headers = { "Authorization": `Bearer ${token}`, "Content-Type": "application/json" };
          const post = (path: string, fields: object) =>
            fetch(url + path, { method: "POST", headers, body: JSON.stringify(fields) });
          const { id } = (await (await post("shoots", { name: "Garden" })).json()) as Shoot;
          const wanted = { shoot_id: id, filename: "a.png", content_type: file.type, file_size: file.size };
          const presigned = (await (await post("uploads/presign", wanted)).json()) as PresignedUpload;
          const sent = await fetch(presigned.upload.url, { ...presigned.upload, body: file });
          const form = new FormData();
          for (const [name, value] of Object.entries(presigned.fields)) form.append(name, value);
          form.append("file", file, "a.png");
          const posted = await fetch(presigned.url, { method: "POST", body: form });
          const { asset_id, object_key } = presigned;
          const confirmed = await post("uploads/confirm", { asset_id, object_key, shoot_id: id });
          const asset = (await confirmed.json()) as Asset;
          const statuses = [sent.status, posted.status, confirmed.status];
          return { statuses, etag: posted.headers.get("ETag"), asset, headers: Object.keys(presigned.upload.headers) };
        },
        { url: worker.url, token: API_TOKEN, picture: PICTURE },
      );
      assert.deepEqual(studio.statuses, [200, 204, 200]);
      assert.match(studio.etag ?? "", /^"[0-9a-f]{64}"$/);
      assert.equal(studio.asset.file_size, PICTURE.length);
      const allowed = POLICY.rules.flatMap((rule) => rule.allowed.headers);
      assert.deepEqual(studio.headers.filter((name) => !allowed.includes(name)), []);
      await page.setContent(`<img src="${studio.asset.download_url}">`);
      await page.waitForFunction("document.images[0].complete");
      assert.equal(await page.evaluate("document.images[0].naturalWidth"), 1);
    });

    test("reads why a request was refused", async () => {
      const refusal = await page.evaluate(async (url) => {
        const answer = await fetch(`${url}api/images`, { headers: { Authorization: "Bearer wrong" } });
        const { code } = (await answer.json()) as Problem;
        return { status: answer.status, code };
      }, worker.url);
      assert.deepEqual(refusal, { status: 401, code: "unauthorized" });
    });
  });
}
