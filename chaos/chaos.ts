// One run of chaos: clients at work on a Worker that a hand kills and fails, with a reckoning every few blows.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import type { RunningWorker } from "../tests/workerd/harness/worker.ts";
import { Album } from "./album.ts";
import { Application } from "./application.ts";
import { Chronicle } from "./chronicle.ts";
import { Hand } from "./hand.ts";
import { Operator } from "./operator.ts";
import { Reckoning } from "./reckoning.ts";
import { Visitor } from "./visitor.ts";
import { World } from "./world.ts";

const VISITORS = 4;
const APPLICATIONS_READERS = 2;
const BLOWS_BETWEEN_RECKONINGS = 6;

export type Settings = {
  seconds: number;
  seed: number;
  say?: (chronicle: Chronicle) => void;
  /** Does damage behind the Worker's back before the end, to prove that it is found. */
  sabotage?: (worker: RunningWorker) => Promise<void>;
};

/** Ends early at the first reckoning behind a violation: what comes after it may only be its consequence. */
export async function runChaos({ seconds, seed, say, sabotage }: Settings): Promise<Chronicle> {
  const chronicle = new Chronicle();
  const persist = await mkdtemp(join(tmpdir(), "stillstore-chaos-"));
  const world = new World(chronicle, persist);
  const album = new Album(chronicle);
  const application = new Application(world, seed + 1);
  const operator = new Operator(world, album, application, seed + 2);
  const hand = new Hand(world, operator, seed);
  const visitors = Array.from({ length: VISITORS }, (_, index) => new Visitor(`visitor-${index}`, world, album, seed + 3 + index));
  const reckoning = new Reckoning(world, album, application, operator, visitors);

  try {
    await application.create(await world.start(hand.vars()));
    const clients = [
      ...visitors.map((visitor, index) => world.occupy(`visitor ${index}`, () => visitor.operate())),
      ...Array.from({ length: APPLICATIONS_READERS }, () => world.occupy("application", () => application.operate())),
      world.occupy("operator", () => operator.operate()),
    ];
    const until = performance.now() + seconds * 1_000;
    while (performance.now() < until && chronicle.violationCount === 0) {
      world.open();
      for (let blow = 0; blow < BLOWS_BETWEEN_RECKONINGS && performance.now() < until; blow += 1) {
        await hand.strike();
        say?.(chronicle);
      }
      await world.close();
      await recorded(chronicle, "reckoning", () => reckoning.reckon());
    }
    await sabotage?.(world.worker);
    if (chronicle.violationCount === 0) await recorded(chronicle, "the end", () => reckoning.conclude());
    world.end();
    await Promise.all(clients);
    await world.take().stop();
  } finally {
    await rm(persist, { recursive: true, force: true });
  }
  return chronicle;
}

async function recorded(chronicle: Chronicle, name: string, check: () => Promise<void>): Promise<void> {
  await check().catch((error) => chronicle.violation(`${name}: ${error.message}`));
}
