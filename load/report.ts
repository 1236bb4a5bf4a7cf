// A run on the terminal and as Markdown with its picture.
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { machineText } from "../bench/machine.ts";
import type { Machine } from "../bench/machine.ts";
import { markdownTable, terminalTable } from "../bench/report/table.ts";
import { memoryPicture } from "./figure.ts";
import { MIN_JUDGED_SECONDS, verdictsOf } from "./flat.ts";
import type { MemorySample } from "./memory.ts";
import type { ClientRow, LoadResult } from "./run.ts";

export type LoadReport = LoadResult & { machine: Machine; oha: string };

/** So many are printed; `--json` has more. */
const PRINTED_PROBLEMS = 20;

type Table = { title: string; head: string[]; lines: string[][] };

export function printReport(report: LoadReport): void {
  const tables = tablesOf(report).map(({ title, head, lines }) => `${title}\n\n${terminalTable(head, lines)}\n`);
  console.log([introduction(report), "", ...tables, ...report.problems.slice(0, PRINTED_PROBLEMS), summaryOf(report)].join("\n"));
}

export function saveReport(report: LoadReport, directory: string): void {
  mkdirSync(directory, { recursive: true });
  const head = `# Load\n\nMade by \`npm run load -- --save\`; README.md says what is done.\n\n${introduction(report)}\n`;
  const tables = tablesOf(report).map(({ title, head, lines }) => `## ${title}\n\n${markdownTable(head, lines)}\n`);
  const parts = [head, `${summaryOf(report)}\n`, "![Memory](load.svg)\n", ...tables];
  writeFileSync(join(directory, "load.md"), parts.join("\n"));
  writeFileSync(join(directory, "load.svg"), memoryPicture(report.memory, report.seconds, machineText(report.machine)));
}

/** No wrong answer, no wrong byte, and flat memory. */
export function isPassed({ problems, memory, seconds }: LoadResult): boolean {
  return problems.length === 0 && verdictsOf(memory, seconds).every(({ met }) => met);
}

function introduction({ seconds, connections, seed, oha, machine }: LoadReport): string {
  return `${Math.round(seconds / 6) / 10} minutes, ${connections} connections, oha ${oha}, seed ${seed}. ${machineText(machine)}.`;
}

function summaryOf(report: LoadReport): string {
  const { clients, checked, verified, problems } = report;
  const requests = clients.reduce((sum, client) => sum + client.requests, 0);
  const gigabytes = (bytes: number) => (bytes / 1e9).toFixed(1);
  const answered = clients.reduce((sum, { answeredBytes }) => sum + answeredBytes, 0);
  return (
    `${requests} requests, ${gigabytes(answered)} GB answered; ${checked.compared} answers with ${gigabytes(checked.comparedBytes)} GB compared ` +
    `byte for byte under load, ${verified.read} stored images read back after it: ` +
    `${problems.length === 0 ? "no error, no wrong byte" : `${problems.length} PROBLEMS`}; ${memoryText(report)}.`
  );
}

function memoryText({ memory, seconds }: LoadResult): string {
  if (seconds < MIN_JUDGED_SECONDS) return "too short to judge memory";
  return verdictsOf(memory, seconds).every(({ met }) => met) ? "memory is flat" : "MEMORY IS NOT FLAT";
}

function tablesOf(report: LoadReport): Table[] {
  const { clients, memory, seconds } = report;
  const verdicts = verdictsOf(memory, seconds);
  return [
    {
      title: "What was asked",
      head: [
        ...["request", "connections", "requests", "a second", "answers", "transport errors", "MB answered"],
        ...["p50 ms", "p99 ms", "most ms"],
      ],
      lines: clients.map((client) => clientLine(client, seconds)),
    },
    {
      title: "Memory, MB",
      head: ["minute", "resident set of workerd", "heaps of the simulators", "heap of the Worker", "wasm memory of the Worker"],
      lines: memoryLines(memory, seconds),
    },
    ...(verdicts.length === 0
      ? []
      : [
          {
            title: "Flat after the warm-up",
            head: ["what", "rule", "measured", "met"],
            lines: verdicts.map(({ what, rule, measured, met }) => [what, rule, measured, met ? "yes" : "NO"]),
          },
        ]),
  ];
}

function clientLine(client: ClientRow, seconds: number): string[] {
  const { title, connections, requests, statuses, errors, answeredBytes } = client;
  const answers = Object.entries(statuses).map(([status, times]) => `${status}: ${times}`);
  const failed = Object.values(errors).reduce((sum, times) => sum + times, 0);
  const latencies = [client.p50Ms, client.p99Ms, client.maxMs].map((ms) => ms?.toFixed(1) ?? "");
  const rate = (requests / seconds).toFixed(1);
  const megabytes = (answeredBytes / 1e6).toFixed(0);
  return [title, String(connections), String(requests), rate, answers.join(", "), String(failed), megabytes, ...latencies];
}

/** The sample next to each minute. */
function memoryLines(samples: MemorySample[], seconds: number): string[][] {
  const megabytes = (bytes: number | undefined) => (bytes === undefined ? "" : (bytes / 1e6).toFixed(1));
  return Array.from({ length: Math.floor(seconds / 60) + 1 }, (_, minute) => {
    const distance = (sample: MemorySample) => Math.abs(sample.seconds - minute * 60);
    const nearest = samples.reduce((one, other) => (distance(other) < distance(one) ? other : one));
    const { residentBytes, simulatorHeapBytes, workerHeapBytes, wasmBytes } = nearest;
    return [String(minute), ...[residentBytes, simulatorHeapBytes, workerHeapBytes, wasmBytes].map(megabytes)];
  });
}
