// What GET /metrics says, read by a parser of the Prometheus text format.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { test } from "node:test";

import { Client, bytesOf } from "./client.ts";
import { projectDir } from "./harness/project.ts";
import { startWorker } from "./harness/worker.ts";
import type { RunningWorker } from "./harness/worker.ts";

type Sample = { value?: string; labels?: Record<string, string>; buckets?: Record<string, string>; count?: string; sum?: string };
type Family = { name: string; help: string; type: string; metrics: Sample[] };

// It has no types.
const parsePrometheus = createRequire(import.meta.url)("parse-prometheus-text-format") as (text: string) => Family[];
const PNG = new Uint8Array(readFileSync(join(projectDir, "tests/fixtures/images/rgb.png")));

async function families(worker: RunningWorker): Promise<Map<string, Family>> {
  const answer = await new Client(worker).call("GET", "/metrics");
  assert.equal(answer.status, 200);
  assert.equal(answer.headers.get("Content-Type"), "text/plain; version=0.0.4");
  const parsed = parsePrometheus(await answer.text());
  return new Map(parsed.map((family) => [family.name, family]));
}

test("counters, histograms and gauges are those of what was done", async (t) => {
  const worker = await startWorker({ faults: true });
  t.after(() => worker.stop());
  const client = new Client(worker);
  for (let image = 0; image < 3; image += 1) await client.stored(PNG, { filename: `${image}.png` });
  await bytesOf(await client.generate());
  await worker.faults.set({ binding: "R2_IMAGES", method: "put", when: "before" });
  assert.equal((await client.stored(PNG)).storage, "d1");
  await bytesOf(await client.call("GET", "/nothing"));

  const found = await families(worker);
  for (const [name, { help, type }] of found) assert.ok(help !== "" && /^(counter|gauge|histogram)$/i.test(type), name);
  const value = (name: string, labels: Record<string, string> = {}) =>
    Number(found.get(name)?.metrics.find((sample) => Object.entries(labels).every(([label, wanted]) => sample.labels?.[label] === wanted))?.value);
  assert.equal(value("r2_uploads_total"), 4);
  assert.equal(found.get("r2_upload_errors_total")?.metrics.length, 1);
  assert.equal(value("storage_fallbacks_total"), 1);
  assert.equal(value("generation_outcomes_total", { provider: "placeholder", outcome: "ok" }), 1);
  assert.equal(value("requests_total", { outcome: "client_error" }), 1);
  const sizes = found.get("r2_upload_size_bytes");
  assert.equal(sizes?.type, "HISTOGRAM");
  assert.equal(sizes?.metrics[0]?.count, "4");
  assert.equal(sizes?.metrics[0]?.buckets?.["+Inf"], "4");
  const counts = Object.entries(sizes?.metrics[0]?.buckets ?? {}).map(([bound, count]) => [Number(bound.replace("+Inf", "Infinity")), Number(count)]);
  const ordered = counts.sort(([one = 0], [other = 0]) => one - other).map(([, count]) => count ?? 0);
  assert.deepEqual(ordered, [...ordered].sort((one, other) => one - other), "each bucket has those below it too");
  assert.equal(found.get("r2_upload_latency_seconds")?.metrics[0]?.count, "4");
  assert.equal(value("stillstore_images", { storage: "r2" }), 4);
  assert.equal(value("stillstore_images", { storage: "d1" }), 1);
  assert.equal(value("stillstore_image_bytes", { storage: "d1" }), PNG.length);
  assert.equal(value("stillstore_r2_operations_this_month", { class: "a" }), 4);
  assert.equal(value("stillstore_fallback_images"), 1);
  assert.ok(value("stillstore_database_bytes") > 0);
  assert.equal(value("stillstore_database_up"), 1);
});

test("without a database the counters are told all the same", async (t) => {
  const worker = await startWorker({ faults: true });
  t.after(() => worker.stop());
  await worker.faults.set({ binding: "DB", persistent: true, when: "before" });
  const found = await families(worker);
  assert.equal(found.get("stillstore_database_up")?.metrics[0]?.value, "0");
  assert.ok(found.has("r2_uploads_total"));
  assert.ok(!found.has("stillstore_images"));
});

test("the example dashboard and alert rules name metrics that there are", async (t) => {
  const worker = await startWorker();
  t.after(() => worker.stop());
  await new Client(worker).stored(PNG);
  const found = await families(worker);
  const known = new Set([...found].flatMap(([name, { type }]) => (type === "HISTOGRAM" ? [name, `${name}_bucket`, `${name}_count`, `${name}_sum`] : [name])));
  const dashboard = readFileSync(join(projectDir, "docs/monitoring/grafana.json"), "utf8");
  const expressions = (JSON.parse(dashboard) as { panels: { targets?: { expr: string }[] }[] }).panels.flatMap(({ targets = [] }) => targets.map(({ expr }) => expr));
  const rules = [...readFileSync(join(projectDir, "docs/monitoring/alerts.yml"), "utf8").matchAll(/^ +expr: (.+)$/gm)].map(([, expr]) => expr ?? "");
  assert.ok(expressions.length > 5 && rules.length > 3);
  for (const expression of [...expressions, ...rules]) {
    const names = [...expression.matchAll(/\b(?:stillstore|r2|storage|generation|generations|requests|run|queue|job|variants|read)_[a-z0-9_]+\b(?!")/g)].map(([name]) => name);
    assert.ok(names.length > 0, expression);
    for (const name of names) assert.ok(known.has(name), `${name} of ${expression}`);
  }
});
