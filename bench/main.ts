// The bench: `npm run bench -- --help` says what it takes.
import { writeFileSync } from "node:fs";
import { loadavg } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";

import { VARIANTS, build } from "../scripts/build.mjs";
import { runIfProgram, Failure } from "../scripts/command.mjs";
import { measureCeiling } from "./ceiling.ts";
import { buildCrate } from "./contenders.ts";
import { runJob } from "./job.ts";
import type { Job } from "./job.ts";
import { measureCodecs } from "./jobs/codecs.ts";
import { migrate } from "./jobs/migrate.ts";
import { serve, serveEmbedded } from "./jobs/serve.ts";
import { measureStart } from "./jobs/start.ts";
import { sent } from "./jobs/sent.ts";
import { generate, upload } from "./jobs/upload.ts";
import { LoadClient } from "./load.ts";
import { describeMachine } from "./machine.ts";
import { costsByTable, measureCosts } from "./costs.ts";
import { emptyReport, printReport, saveReport } from "./report/report.ts";

const HELP = `npm run bench -- [options]
  --quick          fewer and shorter rounds, less data: a few minutes
  --job NAME       only this job, again for more: ${"serve embedded generate upload sent migrate codecs start costs"}
  --large          costs at 100,000 images, too
  --rounds N       at most N rounds
  --json FILE      writes every measurement to FILE
  --save           writes docs/bench/results.md and docs/bench/results.svg`;

const JOBS = ["serve", "embedded", "generate", "upload", "sent", "migrate", "codecs", "start", "costs"] as const;
type JobName = (typeof JOBS)[number];

await runIfProgram(import.meta.url, async (args) => {
  const { values } = parseArgs({
    args,
    options: {
      quick: { type: "boolean", default: false },
      job: { type: "string", multiple: true, default: [...JOBS] },
      large: { type: "boolean", default: false },
      rounds: { type: "string", default: "Infinity" },
      json: { type: "string" },
      save: { type: "boolean", default: false },
      help: { type: "boolean", default: false },
    },
  });
  if (values.help) return console.log(HELP);
  const unknown = values.job.filter((name) => !JOBS.includes(name as JobName));
  if (unknown.length > 0) throw new Failure(`No such job: ${unknown.join(", ")}. The jobs are ${JOBS.join(", ")}.`);
  const { quick } = values;
  const maxRounds = Number(values.rounds);
  if (!(maxRounds >= 1)) throw new Failure("--rounds wants a number of 1 or more.");
  const wanted = new Set(values.job as JobName[]);

  const report = emptyReport(describeMachine(), quick);
  const load = new LoadClient();
  const tools = { load, say, maxRounds, quick };
  try {
    report.ceiling = await measureCeiling(load, quick);
    const run = async (job: Job<any>) => {
      const { rows, memory } = await runJob(job, tools);
      report.rows.push(...rows);
      report.memory[rows.length === 1 ? (rows[0]?.title ?? job.name) : job.name] = memory;
    };
    if (wanted.has("serve")) {
      await build(VARIANTS.conformance);
      await buildCrate("promises-rust");
      await run(serve(quick));
    }
    if (wanted.has("embedded")) {
      await build(VARIANTS.conformance);
      await run(serveEmbedded(quick));
    }
    if (wanted.has("generate")) {
      const job = await generate(quick);
      await run(job);
      await job.stop();
    }
    if (wanted.has("upload")) await run(upload(quick));
    if (wanted.has("sent")) await run(sent(quick));
    if (wanted.has("migrate")) {
      await run(quick ? migrate(60, 200_000, 2, "migrate-small") : migrate(500, 200_000, 10, "migrate-small"));
      await run(quick ? migrate(8, 5_000_000, 2, "migrate-large") : migrate(60, 5_000_000, 7, "migrate-large"));
    }
    if (wanted.has("codecs")) report.codecs = await measureCodecs(Math.min(maxRounds, quick ? 5 : 30), say);
    if (wanted.has("start")) report.start = await measureStart(Math.min(maxRounds, quick ? 3 : 9), say);
    if (wanted.has("costs")) {
      report.costs = await measureCosts(say);
      report.costsByTable = await costsByTable([100, 1_000, ...(quick ? [] : [10_000]), ...(values.large ? [100_000] : [])], say);
    }
  } finally {
    load.stop();
  }
  report.machine.load.push(loadavg()[0] ?? 0);
  say("");
  printReport(report);
  if (values.json !== undefined) writeFileSync(values.json, JSON.stringify(report, null, 1));
  if (values.save) saveReport(report, join(import.meta.dirname, "../docs/bench"));
});

/** What is being done, in the last line of a terminal. */
function say(text: string): void {
  if (process.stderr.isTTY) process.stderr.write(`\r\x1b[2K${text.slice(0, process.stderr.columns - 1)}`);
}
