// What others try on the console: scripts in what is stored, pages around it, requests from other sites, users' tokens.
import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";

import type { Browser } from "playwright-core";

import { Client, STORAGE_MODES } from "./client.ts";
import type { Image } from "./harness/api-types.ts";
import { serveOrigin, startBrowser } from "./harness/browser.ts";
import { ConsolePage } from "./harness/console.ts";
import { projectDir } from "./harness/project.ts";
import { startWorker } from "./harness/worker.ts";
import type { RunningWorker } from "./harness/worker.ts";

const PNG = new Uint8Array(readFileSync(join(projectDir, "tests/fixtures/images/rgb.png")));
const SECRET = "a secret of at least 32 characters";
/** Would run where a text is taken for markup, a style or an address. */
const MARKUP = `"><img src=x onerror=alert(1)><script>alert(2)</script>'-alert(3)-'`;
const SCRIPTED_SVG = `<svg xmlns="http://www.w3.org/2000/svg" width="40" height="40" onload="alert(4)">
  <script>alert(5); fetch("/stolen?" + sessionStorage.getItem("stillstore-token"))</script>
  <foreignObject width="40" height="40"><body xmlns="http://www.w3.org/1999/xhtml"><img src="x" onerror="alert(6)"/></body></foreignObject>
  <rect width="40" height="40" fill="red"/></svg>`;

function userToken(user: string): string {
  const encoded = (value: object) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const signed = `${encoded({ alg: "HS256" })}.${encoded({ sub: user, exp: Math.floor(Date.now() / 1000) + 600 })}`;
  return `${signed}.${createHmac("sha256", SECRET).update(signed).digest("base64url")}`;
}

for (const { storage, vars } of STORAGE_MODES) {
  describe(`the console under attack, with images in ${storage}`, () => {
    let worker: RunningWorker;
    let browser: Browser;
    let client: Client;
    before(async () => {
      [worker, browser] = await Promise.all([startWorker({ vars: { ...vars, JWT_SECRET: SECRET }, console: true }), startBrowser()]);
      client = new Client(worker);
    });
    after(() => Promise.all([worker.stop(), browser.close()]));

    test("its files carry the policy, and only what is in the policy is asked for", async () => {
      for (const path of ["/console", "/console/main.js", "/console/main.css"]) {
        const { status, headers } = await worker.fetch(path);
        const policy = headers.get("Content-Security-Policy") ?? "";
        assert.equal(status, 200, path);
        for (const rule of ["default-src 'none'", "script-src 'self'", "style-src 'self'", "frame-ancestors 'none'", "form-action 'none'"]) {
          assert.ok(policy.split("; ").includes(rule), `${path}: ${rule}`);
        }
        assert.doesNotMatch(policy, /unsafe|\*|http/);
        assert.equal(headers.get("X-Content-Type-Options"), "nosniff");
      }
    });

    test("names, labels, prompts and SVG with scripts are shown as texts and pictures", async (t) => {
      const svg = await client.stored(new TextEncoder().encode(SCRIPTED_SVG), { filename: MARKUP, "meta.note": MARKUP });
      const generated = (await (await client.generate({ prompt: MARKUP, sessionId: MARKUP })).json()) as { image: Image };
      const person = await ConsolePage.open(browser, worker, "#/gallery");
      t.after(() => person.close());
      const { page } = person;
      await person.says("2 images");
      await page.getByRole("link", { name: MARKUP }).first().waitFor();
      for (const { id } of [svg, generated.image]) {
        await person.go(`#/picture/${id}`);
        await person.says(id);
        await person.until("document.images.length === 1 && document.images[0].complete");
        await person.check("a picture's page");
        await person.press("Delete");
        await person.check("its question");
        await person.answer("Cancel");
      }
      await person.go(`#/gallery?sessionId=${encodeURIComponent(MARKUP)}`);
      await person.says("1 image");
      for (const place of ["javascript:alert(7)", `picture/${encodeURIComponent(MARKUP)}`, `run/${MARKUP}`, "%E0%A4%A"]) {
        await person.go(`#/${place}`);
        await page.waitForTimeout(100);
      }
      // Opened by itself, the SVG is of the console's origin, and its scripts do not run.
      await page.goto(`${worker.url}images/${svg.id}`);
      await page.waitForTimeout(300);
      assert.deepEqual(person.faults.filter((fault) => !fault.startsWith("policy: script-src")), []);
    });

    test("no page of another site shows it in a frame, or has it act", async (t) => {
      const framed = await serveOrigin((_, response) => {
        response.writeHead(200, { "Content-Type": "text/html" });
        response.end(`<!doctype html><title>elsewhere</title><iframe src="${worker.url}console" width="500" height="500"></iframe>`);
      });
      const page = await browser.newPage();
      t.after(async () => {
        framed.server.close();
        await page.close();
      });
      await page.goto(framed.origin);
      await page.waitForTimeout(500);
      const shown = await Promise.all(page.frames().slice(1).map((frame) => frame.evaluate("document.getElementById('app') !== null").catch(() => false)));
      assert.deepEqual(shown, [false]);

      // There are no cookies to ride on: a form of another site is nobody's.
      const image = await client.stored(PNG);
      const statuses = await page.evaluate(`Promise.all([
        fetch("${worker.url}api/images", { method: "POST", body: "x", credentials: "include" }),
        fetch("${worker.url}api/images/${image.id}", { method: "DELETE", credentials: "include" }),
      ].map((sent) => sent.then(({ status }) => status, () => "refused")))`);
      assert.deepEqual(statuses, ["refused", "refused"]);
      assert.equal((await worker.fetch(`/images/${image.id}`)).status, 200);
    });

    test("a user sees their own pictures only, and no page of the operator's", async (t) => {
      await client.stored(PNG, { filename: "operator's.png" });
      const authorization = { authorization: `Bearer ${userToken("alice")}` };
      await worker.fetch("/api/images?filename=hers.png&visibility=private", { method: "POST", body: PNG, headers: authorization });
      await worker.fetch("/api/images?filename=his.png", { method: "POST", body: PNG, headers: { authorization: `Bearer ${userToken("bob")}` } });
      const person = await ConsolePage.open(browser, worker, "#/gallery", { token: userToken("alice") });
      t.after(() => person.close());
      await person.says("1 image");
      await person.page.getByRole("link", { name: "hers.png" }).waitFor();
      assert.deepEqual(await person.page.getByRole("navigation").getByRole("link").allInnerTexts(), ["Gallery", "Add", "Jobs", "Health"]);
      await person.go("#/migrate");
      await person.says("This page is the operator's.");
      await person.check("a user's console");
    });
  });
}
