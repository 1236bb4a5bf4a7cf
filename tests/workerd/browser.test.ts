// What a script at another origin can do in a real browser, under cors-policy.json.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";

import type { Browser, Page } from "playwright-core";

import { STORAGE_MODES } from "./client.ts";
import type { Image, Problem } from "./harness/api-types.ts";
import { serveOrigin, startBrowser } from "./harness/browser.ts";
import { projectDir } from "./harness/project.ts";
import { API_TOKEN, startWorker } from "./harness/worker.ts";
import type { RunningWorker } from "./harness/worker.ts";

const PICTURE = [...readFileSync(join(projectDir, "tests/fixtures/images/pixel.png"))];

for (const { storage, vars } of STORAGE_MODES) {
  describe(`a page at another origin, with images in ${storage}`, () => {
    let worker: RunningWorker;
    let browser: Browser;
    let page: Page;
    let elsewhere: Awaited<ReturnType<typeof serveOrigin>>;
    before(async () => {
      [worker, browser, elsewhere] = await Promise.all([startWorker({ vars }), startBrowser(), serveOrigin()]);
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
