// A run's figures: on the terminal, as Markdown, as a picture.
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import type { Ceiling } from "../ceiling.ts";
import type { Contender, Starter } from "../contenders.ts";
import type { OperationCosts, TableCosts } from "../costs.ts";
import type { Memory, Row } from "../job.ts";
import type { CodecsRow } from "../jobs/codecs.ts";
import type { Start } from "../jobs/start.ts";
import { machineText } from "../machine.ts";
import type { Machine } from "../machine.ts";
import { readPrices } from "../prices.ts";
import { ceilingTable, codecsTable, costTable, growthTable, memoryTable, variantTable, startTable, targetResults, throughputTable } from "./figures.ts";
import type { Table } from "./figures.ts";
import { picture } from "./svg.ts";
import { markdownTable, terminalTable } from "./table.ts";

export type Report = {
  machine: Machine;
  quick: boolean;
  ceiling: Ceiling[];
  rows: Row[];
  memory: Record<string, Record<Contender, Memory>>;
  codecs?: CodecsRow[];
  start?: Record<Starter, Start>;
  costs?: OperationCosts[];
  costsByTable?: TableCosts[];
};

export function emptyReport(machine: Machine, quick: boolean): Report {
  return { machine, quick, ceiling: [], rows: [], memory: {} };
}

export function printReport(report: Report): void {
  const tables = tablesOf(report).map(({ title, head, lines }) => `${title}\n\n${terminalTable(head, lines)}\n`);
  console.log([machineText(report.machine), ...tables].join("\n"));
  const missed = report.rows.flatMap((row) => targetResults(row).filter(({ met }) => !met));
  if (report.rows.length > 0) console.log(missed.length === 0 ? "Every target is met." : `${missed.length} targets are missed.`);
}

export function saveReport(report: Report, directory: string): void {
  mkdirSync(directory, { recursive: true });
  const tables = tablesOf(report).map(({ title, head, lines }) => `## ${title}\n\n${markdownTable(head, lines)}\n`);
  const head = `# Results\n\nMade by \`npm run bench -- --save\`; README.md says what is measured.\n\n${machineText(report.machine)}.\n`;
  writeFileSync(join(directory, "results.md"), [head, "![Ratios](results.svg)\n", ...tables].join("\n"));
  writeFileSync(join(directory, "results.svg"), picture(report.rows, machineText(report.machine)));
}

function tablesOf(report: Report): Table[] {
  const prices = readPrices();
  const variants = variantTable(report.rows);
  return [
    ...(report.rows.length > 0 ? [throughputTable(report.rows)] : []),
    ...(variants.lines.length > 0 ? [variants] : []),
    ...(report.rows.length > 0 ? [memoryTable(report.memory)] : []),
    ...(report.codecs === undefined ? [] : [codecsTable(report.codecs)]),
    ...(report.start === undefined ? [] : [startTable(report.start)]),
    ...(report.costs === undefined ? [] : [costTable(report.costs, prices)]),
    ...(report.costsByTable === undefined ? [] : [growthTable(report.costsByTable, prices)]),
    ceilingTable(report.ceiling),
  ];
}
