// One run of chaos: clients at work on a Worker that a fault injector kills and fails, with an audit every few faults.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import type { RunningWorker } from "../tests/workerd/harness/worker.ts";
import { Application } from "./application.ts";
import { Audit } from "./audit.ts";
import { Chronicle } from "./chronicle.ts";
import { Client } from "./client.ts";
import { FaultInjector } from "./fault-injector.ts";
import { inTime } from "./in-time.ts";
import { Model } from "./model.ts";
import { Operator } from "./operator.ts";
import { Outside } from "./outside.ts";
import { Retoucher } from "./retoucher.ts";
import { Studio } from "./studio.ts";
import { World } from "./world.ts";

const CLIENTS = 4;
const STUDIOS = 2;
const APPLICATION_READERS = 2;
const FAULTS_BETWEEN_AUDITS = 6;
/** Ten times what they take on a machine that has other work. */
const LONGEST_FAULT_MS = 120_000;
const LONGEST_AUDIT_MS = 300_000;

export type Settings = {
  seconds: number;
  seed: number;
  say?: (chronicle: Chronicle) => void;
  /** Whether links and another bucket are moved, too. */
  withOutside?: boolean;
  /** Does damage behind the Worker's back before the end, to prove that it is found. */
  sabotage?: (worker: RunningWorker) => Promise<void>;
};

/** Ends early at the first audit behind a violation: what comes after it may only be its consequence. */
export async function runChaos({ seconds, seed, say, withOutside = true, sabotage }: Settings): Promise<Chronicle> {
  const chronicle = new Chronicle();
  const persist = await mkdtemp(join(tmpdir(), "stillstore-chaos-"));
  const world = new World(chronicle, persist);
  const model = new Model(chronicle);
  const application = new Application(world, seed + 1);
  const outside = !withOutside ? undefined : await Outside.start(world, seed + 3 + CLIENTS + STUDIOS + 1);
  const operator = new Operator(world, model, application, outside, seed + 2);
  const injector = new FaultInjector(world, operator, outside, seed);
  const clients = Array.from({ length: CLIENTS }, (_, index) => new Client(`client-${index}`, world, model, seed + 3 + index));
  const sessions = Array.from({ length: STUDIOS }, (_, index) => `studio-${index}`);
  const studios = sessions.map((session, index) => new Studio(session, world, model, seed + 3 + CLIENTS + index));
  const retoucher = new Retoucher("retoucher", world, model, sessions, seed + 3 + CLIENTS + STUDIOS);
  const audit = new Audit(world, model, application, outside, operator, clients, studios, retoucher);

  try {
    const worker = await world.start(injector.vars());
    await application.create(worker);
    await outside?.create(worker);
    const tasks = [
      ...clients.map((client, index) => world.occupy(`client ${index}`, () => client.operate())),
      ...studios.map((studio, index) => world.occupy(`studio ${index}`, () => studio.operate())),
      ...Array.from({ length: APPLICATION_READERS }, () => world.occupy("application", () => application.operate())),
      world.occupy("retoucher", () => retoucher.operate()),
      ...(outside === undefined ? [] : [world.occupy("outside", () => outside.operate())]),
      world.occupy("operator", () => operator.operate()),
    ];
    const until = performance.now() + seconds * 1_000;
    while (performance.now() < until && chronicle.violationCount === 0) {
      world.open();
      for (let fault = 0; fault < FAULTS_BETWEEN_AUDITS && performance.now() < until; fault += 1) {
        await inTime("a fault", LONGEST_FAULT_MS, injector.inject());
        say?.(chronicle);
      }
      await inTime("the last operation before an audit", LONGEST_FAULT_MS, world.close());
      await recorded(chronicle, "audit", () => audit.check());
    }
    await sabotage?.(world.worker);
    if (chronicle.violationCount === 0) await recorded(chronicle, "the end", () => audit.conclude());
    world.end();
    await Promise.all(tasks);
    await world.take().stop();
  } finally {
    await world.abandon();
    await outside?.stop();
    await rm(persist, { recursive: true, force: true });
  }
  return chronicle;
}

async function recorded(chronicle: Chronicle, name: string, check: () => Promise<void>): Promise<void> {
  await inTime(name, LONGEST_AUDIT_MS, check()).catch((error) => chronicle.violation(`${name}: ${error.message}`));
}
