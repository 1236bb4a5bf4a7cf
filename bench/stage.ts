// Equal data for every contender: made once by Stillstore itself, copied for each.
import { cpSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { startWorker } from "../tests/workerd/harness/worker.ts";
import type { RunningWorker, WorkerSettings } from "../tests/workerd/harness/worker.ts";
import { modulesOf } from "./contenders.ts";
import type { Entrant, Starter } from "./contenders.ts";

type Vars = WorkerSettings["vars"];

/** What was made, and what the measurements must know of it. */
export type Stage<Seed> = { directory: string; seed: Seed; vars: Vars };

export type Opened = { worker: RunningWorker; close(): Promise<void> };

const directories = new Set<string>();
process.on("exit", () => directories.forEach(remove));

function newDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), "stillstore-bench-"));
  directories.add(directory);
  return directory;
}

function remove(directory: string): void {
  rmSync(directory, { recursive: true, force: true });
  directories.delete(directory);
}

/**
 * @param plant makes the data
 * @param plantVars for that; the contenders get `vars`
 */
export async function prepare<Seed>(
  plant: (worker: RunningWorker) => Promise<Seed>,
  { plantVars, vars }: { plantVars?: Vars; vars?: Vars } = {},
): Promise<Stage<Seed>> {
  const directory = newDirectory();
  const worker = await startWorker({ persist: directory, vars: { ...plantVars } });
  // Where the contenders without a catalogue write down what they stored.
  await worker.db.prepare("CREATE TABLE bench_images (id TEXT PRIMARY KEY, storage_key TEXT NOT NULL)").run();
  await worker.db.prepare("CREATE TABLE bench_uploads (id TEXT PRIMARY KEY)").run();
  const seed = await plant(worker);
  await worker.stop();
  return { directory, seed, vars: { ...vars } };
}

/** Starts a contender on a copy of the stage. */
export async function open(
  name: Entrant | Starter,
  stage: Stage<unknown>,
  settings: Pick<WorkerSettings, "bare" | "faults" | "wasmTraffic">,
): Promise<Opened> {
  const directory = newDirectory();
  cpSync(stage.directory, directory, { recursive: true });
  const worker = await startWorker({ persist: directory, worker: modulesOf(name), vars: { ...stage.vars }, ...settings });
  return {
    worker,
    async close() {
      await worker.stop();
      remove(directory);
    },
  };
}

export function discard(stage: Stage<unknown>): void {
  remove(stage.directory);
}
