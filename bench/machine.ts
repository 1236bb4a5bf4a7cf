// The machine that was measured on, without anything that says whose it is.
import { cpus, loadavg, release, totalmem, type } from "node:os";

import { outputOf } from "../scripts/command.mjs";
import { nodeModulesDir, toolEnvironment } from "../scripts/toolchain.mjs";

export type Machine = {
  processor: string;
  cores: number;
  memoryGb: number;
  kernel: string;
  workerd: string;
  rustc: string;
  node: string;
  date: string;
  /** Load averages over one minute, before and after. */
  load: number[];
};

export function describeMachine(): Machine {
  const version = (command: string, args = ["--version"]) => outputOf(command, args, { env: toolEnvironment() }) ?? "unknown";
  return {
    processor: cpus()[0]?.model.trim() ?? "unknown",
    cores: cpus().length,
    memoryGb: Math.round(totalmem() / 1e9),
    // Without what whoever built it added.
    kernel: `${type()} ${release().replace(/-.*/, "")}`,
    workerd: version(`${nodeModulesDir}/.bin/workerd`).replace("workerd ", ""),
    rustc: version("rustc").replace(/^rustc (\S+).*/, "$1"),
    node: process.version,
    date: new Date().toISOString().slice(0, 10),
    load: [loadavg()[0] ?? 0],
  };
}

export function machineText(machine: Machine): string {
  const { processor, cores, memoryGb, kernel, workerd, rustc, node, date, load } = machine;
  const loads = load.map((value) => value.toFixed(1)).join(" and ");
  return (
    `${date}: ${processor}, ${cores} cores, ${memoryGb} GB, ${kernel}; workerd ${workerd}, rustc ${rustc}, node ${node}; ` +
    `load before and after ${loads}`
  );
}
