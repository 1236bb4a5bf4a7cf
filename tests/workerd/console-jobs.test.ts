// The console's pages of jobs, against the real queue and an image server that answers as its vendor's does.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";

import type { Browser } from "playwright-core";

import { Client } from "./client.ts";
import type { Asset, BatchMade, Image, Job, Shoot } from "./harness/api-types.ts";
import { startBrowser } from "./harness/browser.ts";
import { ConsolePage } from "./harness/console.ts";
import { projectDir } from "./harness/project.ts";
import { ProviderStub, imageInJson, moderationRefusal } from "./harness/provider-stub.ts";
import { startWorker } from "./harness/worker.ts";
import type { RunningWorker } from "./harness/worker.ts";

const fixture = (name: string) => new Uint8Array(readFileSync(join(projectDir, "tests/fixtures/images", name)));
const JPEG = fixture("baseline.jpg");
const PNG = fixture("rgb.png");

let provider: ProviderStub;
let worker: RunningWorker;
let browser: Browser;
let client: Client;
before(async () => {
  provider = await ProviderStub.start();
  const vars = { ENABLE_R2_STORAGE: "true", EDIT_PROVIDER: "openai", OPENAI_BASE_URL: provider.baseUrl, OPENAI_API_KEY: "sk-test" };
  [worker, browser] = await Promise.all([startWorker({ vars, console: true }), startBrowser()]);
  client = new Client(worker);
});
after(() => Promise.all([worker.stop(), browser.close(), provider.stop()]));

async function post<T>(path: string, fields: object): Promise<T> {
  const response = await client.call("POST", path, { headers: { "content-type": "application/json" }, body: JSON.stringify(fields) });
  const answer = (await response.json()) as T;
  assert.ok(response.ok, JSON.stringify(answer));
  return answer;
}

test("a job is followed, shown beside its original, made again when it failed, and cancelled", async (t) => {
  const image: Image = await client.stored(JPEG, { filename: "original.jpg" });
  const person = await ConsolePage.open(browser, worker, "#/jobs");
  t.after(() => person.close());
  const { page } = person;
  await person.says("There are no jobs.");

  provider.answer(moderationRefusal());
  await post<Job>("/jobs", { asset_id: image.id, prompt: "warmer light" });
  await person.press("Reload");
  await page.getByRole("link", { name: "warmer light" }).click();
  await person.says(/^failed$/);
  await person.says(/^moderation-refused$/);
  await person.says("There is none.");
  await person.check("a failed job");

  const { promise, resolve } = Promise.withResolvers<void>();
  provider.answer({ ...imageInJson(PNG), after: promise });
  await person.press("Make the same job again");
  await person.says(/^processing$/);
  await person.says("It is not made yet.");
  resolve();
  await person.says(/^completed$/);
  await person.until("document.images.length === 2 && [...document.images].every((image) => image.naturalWidth > 0)");
  for (const name of ["Original", "Output"]) await page.getByRole("region", { name, exact: true }).locator("img").waitFor();
  await page.getByRole("region", { name: "What happened", exact: true }).getByText("in R2").waitFor();
  await person.look("job");

  const late = Promise.withResolvers<void>();
  t.after(() => late.resolve());
  provider.answer({ ...imageInJson(PNG), after: late.promise });
  const { id } = await post<Job>("/jobs", { asset_id: image.id, prompt: "colder light" });
  await person.go(`#/job/${id}`);
  await person.says(/^processing$/);
  await person.press("Cancel the job");
  await person.says("may still be billed");
  await person.answer("Cancel the job");
  await person.says(/^cancelled$/);
  late.resolve();

  await person.go("#/jobs");
  await person.says("colder light");
  await person.look("jobs");
  await page.getByLabel("State").selectOption("completed");
  await page.getByRole("link", { name: "colder light" }).waitFor({ state: "detached" });
  assert.equal(await page.getByRole("link", { name: "warmer light" }).count(), 1);
  assert.equal(new URL(page.url()).hash, "#/jobs?status=completed");
});

test("a batch shows how far it is, and ends before its time", async (t) => {
  const shoot = await post<Shoot>("/shoots", { name: "Autumn" });
  for (const [index, bytes] of [JPEG, JPEG, PNG].entries()) {
    const upload = { shoot_id: shoot.id, filename: `${index}.jpg`, content_type: bytes === PNG ? "image/png" : "image/jpeg", file_size: bytes.length };
    const granted = await post<{ asset_id: string; object_key: string; upload: { url: string; headers: Record<string, string> } }>("/uploads/presign", upload);
    const { pathname, search } = new URL(granted.upload.url);
    const sent = await worker.fetch(pathname + search, { method: "PUT", headers: granted.upload.headers, body: bytes });
    assert.ok(sent.ok, await sent.text());
    await post<Asset>("/uploads/confirm", { ...upload, asset_id: granted.asset_id, object_key: granted.object_key });
  }
  const late = Promise.withResolvers<void>();
  t.after(() => late.resolve());
  provider.answer(...Array.from({ length: 3 }, () => ({ ...imageInJson(PNG), after: late.promise })));
  const batch = await post<BatchMade>(`/shoots/${shoot.id}/jobs`, { prompt: "autumn leaves" });
  assert.equal(batch.total, 3);
  const person = await ConsolePage.open(browser, worker, `#/jobs?batch=${batch.id}`, { width: 380, colorScheme: "dark" });
  t.after(() => person.close());
  await person.says(/^0 of 3 jobs ended/);
  assert.equal(await person.page.getByRole("link", { name: "autumn leaves" }).count(), 3);
  await person.look("jobs-narrow-dark");
  await person.press("Cancel the batch");
  await person.says("Cancels 3 jobs that have not ended.");
  await person.answer("Cancel 3 jobs");
  await person.says(/^3 of 3 jobs ended: 0 completed, 0 failed, 3 cancelled/);
});

test("older jobs come when one asks for them", async (t) => {
  const image = await client.stored(JPEG, { filename: "other.jpg" });
  provider.answer(...Array.from({ length: 55 }, () => moderationRefusal()));
  for (let number = 0; number < 55; number += 1) await post<Job>("/jobs", { asset_id: image.id, prompt: `number ${number}` });
  const person = await ConsolePage.open(browser, worker, "#/jobs");
  t.after(() => person.close());
  await person.says("number 54");
  assert.equal(await person.page.locator("tbody tr").count(), 50);
  await person.press("Older jobs");
  await person.says("number 0");
});
