// A person walks through the console in a real browser, in both storage modes, also when things fail.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";

import { Response } from "miniflare";
import type { Browser, Route } from "playwright-core";

import { ApplicationTable } from "./application-table.ts";
import { Client, STORAGE_MODES, bytesOf, sha256 } from "./client.ts";
import type { ImagePage } from "./harness/api-types.ts";
import { startBrowser } from "./harness/browser.ts";
import { ConsolePage } from "./harness/console.ts";
import { projectDir } from "./harness/project.ts";
import { startWorker } from "./harness/worker.ts";
import type { RunningWorker } from "./harness/worker.ts";

const fixture = (name: string) => join(projectDir, "tests/fixtures/images", name);
const ROWS = 12;
const BROKEN_ROWS = 3;
const LABEL = { r2: "R2", d1: "Database" } as const;

for (const { storage, vars } of STORAGE_MODES) {
  describe(`the console, with images in ${storage}`, () => {
    let worker: RunningWorker;
    let browser: Browser;
    let client: Client;
    before(async () => {
      const fetchMock = () => new Response(readFileSync(fixture("rgb.png")), { headers: { "Content-Type": "image/png" } });
      [worker, browser] = await Promise.all([startWorker({ vars, console: true, faults: true, fetchMock }), startBrowser()]);
      client = new Client(worker);
    });
    after(() => Promise.all([worker.stop(), browser.close()]));
    const open = (hash: string, options = {}) => ConsolePage.open(browser, worker, hash, options);
    const look = (person: ConsolePage, name: string) => person.look(name, { isKept: storage === "r2" });

    test("a browser is led there, a wrong token is refused, the right one opens it until it is given back", async (t) => {
      const person = await open("", { token: undefined });
      t.after(() => person.close());
      const { page } = person;
      await page.goto(worker.url);
      assert.equal(new URL(page.url()).pathname, "/console");
      await person.says("Sign in");
      await look(person, "sign-in");
      await page.getByLabel("Token").fill("wrong");
      await person.press("Sign in");
      await person.says("A valid token is required");
      await page.getByLabel("Token").fill("test-token-of-more-than-32-characters");
      await person.press("Sign in");
      await person.says("Nothing is stored yet.");
      assert.equal(await page.evaluate("localStorage.length + document.cookie.length"), 0);
      await person.press("Sign out");
      await page.getByLabel("Token").waitFor();
      assert.equal(await page.evaluate("sessionStorage.length"), 0);
    });

    test("files are added with progress, pasted, fetched and generated; what is refused says why", async (t) => {
      const person = await open("#/add");
      t.after(() => person.close());
      const { page } = person;
      const broken = { name: "notes.png", mimeType: "image/png", buffer: Buffer.from("no image") };
      await page.locator("input[type=file]").setInputFiles(["baseline.jpg", "rgb.png", "animated.webp"].map(fixture));
      await person.says("3 of 3 files stored");
      await page.locator("input[type=file]").setInputFiles([broken]);
      await person.says("The bytes are not an image that Stillstore knows");
      await person.says(/^not-an-image$/);

      const gif = [...readFileSync(fixture("still.gif"))];
      await page.evaluate(`{
        const holding = (name) => {
          const data = new DataTransfer();
          data.items.add(new File([new Uint8Array([${gif}])], name, { type: "image/gif" }));
          return data;
        };
        dispatchEvent(new ClipboardEvent("paste", { clipboardData: holding("pasted.gif") }));
        document.querySelector(".drop").dispatchEvent(new DragEvent("drop", { dataTransfer: holding("dropped.gif"), bubbles: true }));
      }`);
      await person.says("5 of 6 files stored, 1 failed");

      await page.getByLabel("URL of an image").fill("https://127.0.0.1/a.png");
      await person.press("Fetch and store");
      await person.says("The URL is not one that is fetched");
      await page.getByLabel("URL of an image").fill("https://images.stillstore-test.com/fetched.png");
      await person.press("Fetch and store");
      await page.locator("form", { hasText: "From a URL" }).getByRole("link").waitFor();

      await page.getByRole("textbox", { name: "Prompt" }).fill("a lighthouse at dawn");
      await page.getByLabel("Images", { exact: true }).fill("2");
      await page.getByLabel("Size").selectOption("512x512");
      await person.press("Generate");
      await person.says("Made by placeholder, and stored:");
      assert.equal(await page.locator(".made img").count(), 2);
      await look(person, "add");

      const { images } = (await (await client.call("GET", "/api/images")).json()) as { images: { storage: string }[] };
      assert.deepEqual(images.map((image) => image.storage), Array(8).fill(storage));
    });

    test("the gallery shows, filters and deletes; a picture's page says everything that is known", async (t) => {
      const isPrivate = { filename: "secret garden.png", visibility: "private", "meta.place": "Kew" };
      const kept = await client.stored(new Uint8Array(readFileSync(fixture("palette-transparent.png"))), isPrivate);
      const person = await open("#/gallery");
      t.after(() => person.close());
      const { page } = person;
      await person.says("9 images");
      await person.until("[...document.images].length >= 9 && [...document.images].every((image) => image.naturalWidth > 0)");
      const sources = (await page.evaluate("[...document.images].map((image) => image.currentSrc)")) as string[];
      assert.ok(sources.every((source) => source.includes("w=384") && source.includes("fallback=original")), sources.join(" "));
      await look(person, "gallery");
      for (const [label, text, words] of [
        ["File name or label", "KEW", /^1 image$/],
        ["Context", "generated-elsewhere", "No image fits these filters."],
        ["Before", "2026-01-01", "No image fits these filters."],
        ["Owner", "nobody", "No image fits these filters."],
        ["From", "2026-01-01", "9 images"],
      ] as const) {
        if (!(await page.getByLabel(label, { exact: true }).isVisible())) await page.getByText("More filters").click();
        await page.getByLabel(label, { exact: true }).fill(text);
        await person.press("Filter");
        await person.says(words);
        await person.go("#/gallery");
        await person.says("9 images");
      }
      await page.getByLabel("Storage").selectOption(LABEL[storage === "r2" ? "d1" : "r2"]);
      await person.says("No image fits these filters.");
      await page.getByLabel("Storage").selectOption("Any");
      await person.says("9 images");

      // By keyboard: to the first picture, along the row, and into it.
      await page.getByRole("link", { name: "secret garden.png" }).focus();
      await page.keyboard.press("ArrowRight");
      await page.keyboard.press("ArrowLeft");
      await page.keyboard.press("Enter");
      await person.says(kept.sha256 ?? "no digest");
      for (const fact of ["Label place", "Kew", kept.key, LABEL[storage], "private"]) await person.says(fact);
      await person.until("document.images[0].naturalWidth > 0");
      await person.press("Make a link");
      await person.press("Copy link");
      const link = await person.clipboard();
      assert.equal(sha256(await bytesOf(await worker.fetch(link))), kept.sha256, "it opens for whoever has it");
      const download = page.waitForEvent("download");
      await page.getByRole("link", { name: "Download" }).click();
      const saved = await download;
      assert.equal(saved.suggestedFilename(), "secret garden.png");
      assert.equal(sha256(readFileSync(await saved.path())), kept.sha256);
      await look(person, "picture");
      await person.press("Delete");
      await person.says("This cannot be undone.");
      await person.check("the question");
      await page.keyboard.press("Escape");
      assert.equal((await client.call("HEAD", `/api/images/${kept.id}`)).status, 200, "Escape deletes nothing");
      await person.press("Delete");
      await person.answer("Delete 1 image");
      await person.says("8 images");
      assert.equal((await worker.fetch(`/images/${kept.id}`)).status, 410);

      for (const name of ["pasted.gif", "dropped.gif"]) await page.getByLabel(`Select ${name}`).check();
      await person.says("2 images selected");
      await look(person, "selection");
      await page.getByRole("region", { name: "Selected images" }).getByRole("button", { name: "Copy URLs" }).click();
      assert.equal((await person.clipboard()).split("\n").length, 2);
      await person.press("Delete");
      await person.answer("Delete 2 images");
      await person.says("6 images");
    });

    test("while thumbnails are on their way, the gallery shows what they will look like", async (t) => {
      const person = await open("#/add");
      t.after(() => person.close());
      const { page } = person;
      const { images } = (await (await client.call("GET", "/api/images")).json()) as ImagePage;
      assert.ok(images.every(({ thumbhash }) => thumbhash !== undefined), "each has had a thumbnail");
      const held: Route[] = [];
      await page.route(/\/images\/.*w=384/, (route) => void held.push(route));
      await person.go("#/gallery");
      await person.until(`document.querySelectorAll(".picture canvas").length === ${images.length}`);
      const colours = (await page.evaluate("[...document.querySelectorAll('.picture')].map(({ style }) => style.backgroundColor)")) as string[];
      const rgb = (hex: string) => `rgb(${[1, 3, 5].map((at) => Number.parseInt(hex.slice(at, at + 2), 16)).join(", ")})`;
      assert.deepEqual(colours, images.map(({ dominantColor }) => rgb(dominantColor ?? "")));
      const drawn = "[...document.querySelectorAll('canvas')].map((canvas) => canvas.getContext('2d').getImageData(0, 0, 8, 8).data.some((byte) => byte > 0))";
      assert.deepEqual(await page.evaluate(drawn), images.map(() => true));
      await look(person, "gallery-placeholders");
      await Promise.all(held.map((route) => route.continue()));
      await person.until("document.querySelector('.picture canvas') === null");
      const behind = "[...document.querySelectorAll('.picture')].every(({ style }) => style.backgroundColor === '')";
      assert.equal(await page.evaluate(behind), true, "nothing is seen through a picture");
      assert.deepEqual(person.faults, []);
    });

    test("an image that a row still shows is deleted only when asked again", async (t) => {
      const table = await ApplicationTable.create(worker);
      await table.fill(1);
      const answer = await client.call("POST", "/api/migrate-images", {
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ action: "migrate", source: "images" }),
      });
      assert.equal(answer.status, 200);
      const person = await open("#/gallery");
      t.after(() => person.close());
      const id = (await worker.db.prepare("SELECT id FROM stillstore_images WHERE source = 'images' AND status = 'stored'").first<{ id: string }>())?.id;
      await person.go(`#/picture/${id}`);
      await person.says("images, row image-00000");
      await person.press("Delete");
      await person.answer("Delete 1 image");
      await person.says("A row of the application still shows the image");
      await person.check("image in use");
      await person.answer("Delete 1 image all the same");
      await person.says("6 images");
      await worker.db.prepare("DELETE FROM images").run();
    });

    test("a migration is tried, run, looked at, tried again where it failed, proved, and rolled back", async (t) => {
      await worker.db.prepare("DROP TABLE images").run();
      const table = await ApplicationTable.create(worker);
      await table.fill(ROWS);
      await worker.db.prepare("UPDATE images SET image_data = 'bm8gaW1hZ2U=' WHERE id < ?1").bind(`image-${String(BROKEN_ROWS).padStart(5, "0")}`).run();
      const person = await open("#/migrate");
      t.after(() => person.close());
      const { page } = person;
      const card = page.getByRole("region", { name: "images", exact: true });
      await card.waitFor();
      await look(person, "migrate");
      await card.getByRole("button", { name: "Dry run" }).click();
      await person.says(`Reads and decodes ${ROWS} images`);
      await person.check("what a dry run does");
      await person.answer("Start the dry run");
      await person.says("What the run would do");
      await person.says(/less than \$0\.01: \d+ class A/);
      await person.says(`${BROKEN_ROWS} items. A failed item`);
      await person.says("Checked in this browser: every line is as it was written.");
      await look(person, "dry-run");
      assert.equal((await worker.db.prepare("SELECT count(*) AS n FROM images WHERE r2_key IS NOT NULL").first<{ n: number }>())?.n, 0);

      await person.press("Migrate");
      await person.answer("Migrate");
      await person.says("completed with errors");
      await page.getByRole("heading", { name: `not-an-image: ${BROKEN_ROWS} items` }).waitFor();
      const download = page.waitForEvent("download");
      await person.press("Download the receipt");
      const receipt = readFileSync(await (await download).path(), "utf8");
      assert.equal(receipt.split("\n").filter((line) => line.includes('"verdict":"moved"')).length, ROWS - BROKEN_ROWS);
      await look(person, "run");

      // The cause is repaired, and just these are tried again.
      const good = readFileSync(fixture("baseline.jpg")).toString("base64");
      await worker.db.prepare("UPDATE images SET image_data = ?1 WHERE r2_key IS NULL").bind(good).run();
      await person.press(`Try ${BROKEN_ROWS} items again`);
      await person.says("The others are not touched.");
      await person.answer(`Try ${BROKEN_ROWS} items again`);
      await person.says(`${BROKEN_ROWS} of ${BROKEN_ROWS} done`);
      await person.says(/^completed$/);
      assert.equal((await worker.db.prepare("SELECT count(*) AS n FROM images WHERE r2_key IS NULL").first<{ n: number }>())?.n, 0);

      await person.press("Validate");
      await person.answer("Validate");
      await person.says("Every copy that was looked at is there and right.");
      await person.press("Dry run of the cleanup");
      await person.answer("Dry run of the cleanup");
      await person.says("Originals kept");

      await page.getByRole("link", { name: "Back to the sources" }).click();
      await card.getByRole("button", { name: "Roll back" }).click();
      await person.says(`Puts the rows of up to ${ROWS} moved images back`);
      await page.getByLabel("Dry run: change nothing").uncheck();
      await person.answer("Roll back");
      await person.says("Rolled back");
      assert.equal((await worker.db.prepare("SELECT count(*) AS n FROM images WHERE r2_key IS NULL").first<{ n: number }>())?.n, ROWS);
    });

    test("a run is paused, resumed and cancelled while it moves; a damaged receipt is noticed", async (t) => {
      const person = await open("#/migrate");
      t.after(() => person.close());
      const { page } = person;
      await worker.faults.set({ binding: "R2_IMAGES", method: "put", matching: "tables/", persistent: true, when: "hang" });
      const card = page.getByRole("region", { name: "images", exact: true });
      await card.getByRole("button", { name: "Migrate", exact: true }).click();
      await person.answer("Migrate");
      await worker.faults.untilHeld();
      await person.press("Pause");
      await person.says("running, to be paused");
      await look(person, "progress");
      await worker.faults.clear();
      await person.says(/^paused$/);
      await person.press("Resume");
      await person.says(/^completed$/);

      await card.waitFor({ state: "detached" });
      await person.go("#/migrate");
      await card.getByRole("button", { name: "Roll back" }).click();
      await page.getByLabel("Dry run: change nothing").uncheck();
      await person.answer("Roll back");
      await person.says("Rolled back");
      await worker.faults.set({ binding: "R2_IMAGES", method: "put", matching: "tables/", persistent: true, when: "hang" });
      await person.go("#/migrate");
      await card.getByRole("button", { name: "Migrate", exact: true }).click();
      await person.answer("Migrate");
      await worker.faults.untilHeld();
      await person.press("Cancel the run");
      await person.says("A new run takes up what is left.");
      await person.answer("Cancel the run");
      await worker.faults.clear();
      await person.says(/^cancelled$/);

      for (const { key } of (await worker.bucket.list({ prefix: "stillstore/receipts/" })).objects) {
        const text = (await (await worker.bucket.get(key))?.text()) ?? "";
        if (!text.includes('"id":"image-00001"')) continue;
        await worker.bucket.put(key, text.replace('"id":"image-00001"', '"id":"image-00002"'));
        await person.go("#/health");
        await person.says("Every variable can be used.");
        await person.go(`#/run/${/([0-9a-f]{32})/.exec(key)?.[1]}`);
        await person.says("The receipt is damaged");
        await worker.bucket.put(key, text);
        return;
      }
      assert.fail("no receipt has the image");
    });

    test("the bucket is compared with the rows; what is found is adopted or deleted when one says so", async (t) => {
      const person = await open("#/migrate");
      t.after(() => person.close());
      const { page } = person;
      const card = page.getByRole("region", { name: "Bucket and rows" });
      await card.getByRole("button", { name: "Compare" }).click();
      await person.says(/0 objects without a row found; 0 images without an object\./);

      // A day would have to pass for the bucket's own objects.
      const orphan = { key: "studio/2026/11/0a1b2c3d_a.png", bytes: 2_000, storedAt: "2026-11-21T09:30:00.000Z", imageId: null, reason: null };
      const asked: { action: string; cursor: string | null }[] = [];
      const outcomes: Record<string, string> = { report: "found", adopt: "adopted", remove: "removed" };
      await page.route("**/api/reconcile", (route) => {
        const body = route.request().postDataJSON();
        asked.push(body);
        const { action, cursor } = body;
        const orphans = cursor === null ? [{ ...orphan, outcome: outcomes[action] }] : [{ ...orphan, key: "studio/b.png", outcome: "kept", reason: "not-an-image" }];
        const missing = cursor === null ? [] : [{ id: "0f8fad5b-d9cb-469f-a165-70867728950e", key: "c.png", bytes: 3 }];
        const answer = { action, objects: 1_000, rows: 900, foreignObjects: 1, foreignBytes: 5, orphans, missing, cursor: cursor === null ? "studio/a" : null };
        return route.fulfill({ json: answer });
      });
      await card.getByRole("button", { name: "Compare" }).click();
      await person.says("2,000 objects and 1,800 rows looked at. 1 object without a row found (4.0 KB), 1 kept; 1 image without an object.");
      await card.getByText("Objects without a row: 2").click();
      await person.says(/studio\/b\.png.*kept \(not-an-image\)/);
      await person.check("a reconciliation");
      const download = page.waitForEvent("download");
      await person.press("Download the report");
      const report = JSON.parse(readFileSync(await (await download).path(), "utf8"));
      assert.deepEqual([report.objects, report.orphans.length, report.missing.length], [2_000, 2, 1]);
      await person.press("Delete them");
      await person.says("Deletes 2 objects (4.0 KB) from the bucket");
      await page.keyboard.press("Escape");
      await person.press("Make images of them");
      await person.answer("Make images");
      await person.says("1 object without a row made images");
      await card.getByRole("button", { name: "Compare" }).click();
      await person.press("Delete them");
      await person.answer("Delete 2 objects");
      await person.says("1 object without a row deleted");
      assert.deepEqual(asked.map(({ action }) => action), ["report", "report", "adopt", "adopt", "report", "report", "remove", "remove"]);
    });

    test("what is down is said: the bucket, then the database", async (t) => {
      await worker.faults.set({ binding: "R2_IMAGES", persistent: true, when: "before" });
      const person = await open("#/health");
      t.after(async () => {
        await worker.faults.clear();
        await person.close();
      });
      await person.says(storage === "r2" ? "something needs attention" : "Everything works.");
      await look(person, "health");
      await person.go("#/add");
      await person.page.locator("input[type=file]").setInputFiles([fixture("baseline.jpg")]);
      await person.says("1 of 1 file stored");
      if (storage === "r2") {
        await person.says("Stored in the database");
        await person.go("#/migrate");
        await person.says("R2 does not answer");
        await person.look("migrate-r2-down");
      }
      await worker.faults.set({ binding: "DB", persistent: true, when: "before" });
      await person.go("#/health");
      await person.says("The database does not answer: nothing can be stored or read.");
      await person.check("unhealthy");
      await person.go("#/gallery");
      await person.press("Reload");
      await person.says("The database is unavailable");
      await person.check("gallery without a database");
      await worker.faults.clear();
      await person.press("Try again");
      await person.says("7 images");
    });

    test("usage shows what is stored, what it costs, and each day", async (t) => {
      for (let day = 1; day <= 30; day += 1) {
        const insert = "INSERT INTO stillstore_usage_days (day, class_b, r2_images, r2_bytes, d1_images, d1_bytes, puts, database_bytes) VALUES (?1, ?2, ?3, ?4, 0, 0, ?3, ?5)";
        const values = [Math.floor(Date.now() / 86_400_000) - 31 + day, 40 * day, 10 * day, 10_000 * day * day, 2_000_000 - 50_000 * day];
        await worker.db.prepare(insert).bind(...values).run();
      }
      const person = await open("#/usage");
      t.after(() => person.close());
      const home = person.page.getByRole("region", { name: "Stored now" });
      await home.getByText(/^\d+ images?, /).first().waitFor();
      await person.says(/Storage in R2: .+ of 10\.0 GB that are free/);
      await person.says("$0 so far, $0 by the month's end");
      await person.page.getByRole("img", { name: /Bytes stored at the day's end, 30 days/ }).waitFor();
      await person.page.getByRole("region", { name: "By kind", exact: true }).getByText("generated").waitFor();
      await look(person, "usage");
      await worker.db.prepare("UPDATE stillstore_counters SET bytes = bytes + 9000000000 WHERE status = 'stored' AND storage = 'r2' AND fallback = 0").run();
      await person.go("#/gallery");
      await person.go("#/usage");
      await person.says(/Storage in R2: 90(\.\d)? % of what is free is used/);
      await person.check("an alert");
      await worker.db.prepare("UPDATE stillstore_counters SET bytes = bytes - 9000000000 WHERE status = 'stored' AND storage = 'r2' AND fallback = 0").run();
    });

    test("it can be used at 380 px and in the dark", async (t) => {
      const person = await open("#/gallery", { width: 380, height: 760, colorScheme: "dark" });
      t.after(() => person.close());
      await person.says("7 images");
      await person.until("document.images.length > 0 && [...document.images].every((image) => image.naturalWidth > 0 || image.getBoundingClientRect().top > innerHeight)");
      await look(person, "gallery-narrow-dark");
      for (const [hash, words] of [["add", "From a prompt"], ["migrate", "All sources"], ["usage", "By kind"], ["health", "Every variable can be used."]]) {
        await person.go(`#/${hash}`);
        await person.says(words ?? "");
        await look(person, `${hash}-narrow-dark`);
      }
    });
  });
}
