// The command `npm run chaos`.
import { parseArgs } from "node:util";

import { Failure, runIfProgram } from "../scripts/command.mjs";
import { runChaos } from "./chaos.ts";
import { COUNTED } from "./chronicle.ts";
import type { Chronicle } from "./chronicle.ts";

const HELP = `npm run chaos -- [options]
  --minutes N   how long, 1 when absent; the end takes some seconds more
  --seed S      repeats the choices of clients and fault injector, though not the moments at which they meet`;
const REFRESH_MS = 500;
const LOG_REFRESH_MS = 60_000;

await runIfProgram(import.meta.url, async (args) => {
  const { values } = parseArgs({ args, options: { minutes: { type: "string", default: "1" }, seed: { type: "string" }, help: { type: "boolean" } } });
  if (values.help) return console.log(HELP);
  const minutes = Number(values.minutes);
  if (!(minutes > 0)) throw new Failure("--minutes wants a number over 0.");
  const seed = Number(values.seed ?? Math.floor(Math.random() * 2 ** 32));
  if (!Number.isSafeInteger(seed)) throw new Failure("--seed wants a whole number.");
  console.log(`seed ${seed}, ${minutes} minutes`);
  let saidAt = -Infinity;
  const { stderr } = process;
  const say = (chronicle: Chronicle) => {
    if (performance.now() - saidAt < (stderr.isTTY ? REFRESH_MS : LOG_REFRESH_MS)) return;
    saidAt = performance.now();
    const text = summary(chronicle);
    stderr.write(stderr.isTTY ? `\r\x1b[2K${text.slice(0, stderr.columns - 1)}` : `${text}\n`);
  };
  const chronicle = await runChaos({ seconds: minutes * 60, seed, say });
  if (stderr.isTTY) stderr.write("\r\x1b[2K");
  for (const violation of chronicle.violations) console.log(violation);
  for (const name of COUNTED) console.log(`${name.padEnd(17)} ${chronicle.counts[name].toLocaleString("en").padStart(15)}`);
  console.log(`${"violations".padEnd(17)} ${chronicle.violationCount.toLocaleString("en").padStart(15)}`);
  return chronicle.violationCount === 0 ? 0 : 1;
});

function summary({ counts, violationCount }: Chronicle): string {
  return [...COUNTED.map((name) => `${name} ${counts[name]}`), `violations ${violationCount}`].join(", ");
}
