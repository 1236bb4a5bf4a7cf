// The load: `npm run load -- --help` says what it takes.
import { writeFileSync } from "node:fs";
import { loadavg } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";

import { describeMachine } from "../bench/machine.ts";
import { Failure, runIfProgram } from "../scripts/command.mjs";
import { oha } from "../scripts/toolchain.mjs";
import { MIN_CONNECTIONS } from "./mix.ts";
import { isPassed, printReport, saveReport } from "./report.ts";
import { runLoad } from "./run.ts";

const HELP = `npm run load -- [options]
  --minutes N       how long, 10 by default
  --connections N   how many at once, 64 by default
  --seed N          of what the checking client asks, 1 by default
  --json FILE       writes everything that was counted and measured to FILE
  --save            writes docs/bench/load.md and docs/bench/load.svg`;

await runIfProgram(import.meta.url, async (args) => {
  const { values } = parseArgs({
    args,
    options: {
      minutes: { type: "string", default: "10" },
      connections: { type: "string", default: "64" },
      seed: { type: "string", default: "1" },
      json: { type: "string" },
      save: { type: "boolean", default: false },
      help: { type: "boolean", default: false },
    },
  });
  if (values.help) return console.log(HELP);
  const [minutes, connections, seed] = [values.minutes, values.connections, values.seed].map(Number) as [number, number, number];
  if (!(minutes > 0)) throw new Failure("--minutes wants a number over 0.");
  if (!(Number.isInteger(connections) && connections >= MIN_CONNECTIONS)) {
    throw new Failure(`--connections wants a whole number from ${MIN_CONNECTIONS}.`);
  }
  if (!Number.isInteger(seed)) throw new Failure("--seed wants a whole number.");

  const machine = describeMachine();
  const result = await runLoad({ seconds: Math.round(minutes * 60), connections, seed, oha: true, say });
  machine.load.push(loadavg()[0] ?? 0);
  const report = { ...result, machine, oha: oha.version };
  say("");
  printReport(report);
  if (values.json !== undefined) writeFileSync(values.json, JSON.stringify(report, null, 1));
  if (values.save) saveReport(report, join(import.meta.dirname, "../docs/bench"));
  return isPassed(report) ? 0 : 1;
});

/** What is being done, in the last line of a terminal. */
function say(text: string): void {
  if (process.stderr.isTTY) process.stderr.write(`\r\x1b[2K${text.slice(0, process.stderr.columns - 1)}`);
}
