// What kills workerd, starts it again, and fails and hangs its calls to R2, D1 and the queue.
import { setTimeout as sleep } from "node:timers/promises";

import type { Fault } from "../tests/workerd/harness/fault-plan.ts";
import { takeUp } from "../tests/workerd/migrations.ts";
import { Choices } from "./choices.ts";
import type { Operator } from "./operator.ts";
import { BUCKET, LINKS } from "./outside.ts";
import type { Outside } from "./outside.ts";
import { inTime } from "./in-time.ts";
import { JWT_SECRET } from "./token.ts";
import type { World } from "./world.ts";

const LONGEST_CALM_MS = 2_000;
const LONGEST_FAULTS_MS = 1_500;
const LONGEST_STANDSTILL_MS = 4_000;
const LONGEST_GATHERING_MS = 500;
/** Sometimes faults outlast the Worker's wait for R2. */
const STORE_TIMEOUT_MS = 2_000;
const PATIENCE_MS = STORE_TIMEOUT_MS + 500;
const POLL_MS = 50;
const LONGEST_END_MS = 60_000;
/** More than anybody sends: what counts for a limit is checked, not who is refused. */
const USER_MAX_BYTES = "100000000000";

const METHODS: Record<string, (string | undefined)[]> = {
  R2_IMAGES: [undefined, "get", "head", "put", "put", "put", "delete", "list"],
  DB: [undefined, "first", "all", "run", "batch", "batch"],
  MIGRATIONS: [undefined],
};
/** What only some calls are about, so that a step fails for good whose neighbours do not. */
const SUBJECTS: Record<string, string[]> = {
  R2_IMAGES: ["stillstore/", "uploads/", "generated/", "operator/", "frames/", "/variants/", "tree/", "posts/"],
  DB: [
    "INSERT INTO stillstore_images", "INSERT INTO stillstore_images", "UPDATE stillstore_images",
    "stillstore_blobs", "stillstore_uploads", "stillstore_variants", "stillstore_collections", "stillstore_jobs", "stillstore_usage", "stillstore_runs", "stillstore_run_lines", "stillstore_moves", "stillstore_read_throughs",
  ],
};
const SUBJECT_CHANCE = 0.5;
/** In the transaction with which a run's worker writes a slice down. */
const WRITTEN_DOWN = "slices = slices + 1";

export class FaultInjector {
  #world: World;
  #operator: Operator;
  #outside: Outside | undefined;
  #choices: Choices;
  #hasInjected = false;

  constructor(world: World, operator: Operator, outside: Outside | undefined, seed: number) {
    this.#world = world;
    this.#operator = operator;
    this.#outside = outside;
    this.#choices = new Choices(seed);
  }

  /** Lets all be well for a while, then disturbs it once. The first fault kills, so that each run has seen one, however short it is. */
  async inject(): Promise<void> {
    await sleep(this.#choices.whole(0, LONGEST_CALM_MS));
    const drawn = this.#choices.weighted({ kill: 4, restart: 1, fail: 10, failAndKill: 2, standStill: 8, moveUnderReaders: 3, trouble: this.#outside === undefined ? 0 : 5 });
    const fault = this.#hasInjected ? drawn : "kill";
    this.#hasInjected = true;
    await this.#world.disrupt(async () => {
      if (fault === "fail" || fault === "failAndKill") await this.#fail();
      if (fault === "standStill") await this.#standStill();
      if (fault === "moveUnderReaders") await this.#moveUnderReaders();
      if (fault === "trouble") await this.#trouble();
      if (fault === "restart") await this.#end("restarts", (worker) => worker.stop());
      if (fault === "kill" || fault === "failAndKill") await this.#end("kills", (worker) => worker.kill());
      else await this.#heal();
    });
  }

  async #fail(): Promise<void> {
    const faults = Array.from({ length: this.#choices.whole(1, 3) }, () => this.#fault());
    await this.#world.worker.faults.set(...faults);
    this.#world.chronicle.note(`faults: ${JSON.stringify(faults)}`);
    await sleep(this.#choices.chance(0.1) ? PATIENCE_MS : this.#choices.whole(50, LONGEST_FAULTS_MS));
    await this.#countFaults();
  }

  /** Lets a run's worker stand still with what it is about to write down, often until another has taken and ended its run. */
  async #standStill(): Promise<void> {
    const { worker, chronicle } = this.#world;
    await worker.faults.forgetCalls();
    await worker.faults.set({ binding: "DB", matching: WRITTEN_DOWN, call: this.#choices.whole(1, 3), when: "hang" });
    const action = this.#choices.weighted({ validate: 3, migrate: 2, rollback: 1 });
    await this.#operator.beginFor({ action, source: this.#choices.one(["embedded", "images"]) ?? "" });
    const isHeld = async () => (await worker.faults.calls({ outcome: "held" })).length > 0;
    if (!(await within(LONGEST_STANDSTILL_MS, isHeld))) return;
    chronicle.count("standstills");
    chronicle.note("a run's worker stands still");
    if (this.#choices.chance(0.3)) return sleep(this.#choices.whole(0, LONGEST_STANDSTILL_MS));
    const running = "SELECT id FROM stillstore_runs WHERE state = 'running'";
    const ids = JSON.stringify((await worker.db.prepare(running).all<{ id: string }>()).results.map(({ id }) => id));
    await takeUp(worker);
    const left = `SELECT count(*) AS n FROM stillstore_runs WHERE state = 'running' AND id IN (SELECT value FROM json_each(?1))`;
    await within(LONGEST_STANDSTILL_MS, async () => (await worker.db.prepare(left).bind(ids).first("n")) === 0);
  }

  /** Holds readers between an image's row and its object, while the image leaves the bucket. */
  async #moveUnderReaders(): Promise<void> {
    await this.#world.worker.faults.set({ binding: "R2_IMAGES", method: "get", persistent: true, when: "hang" });
    this.#world.chronicle.note("readers are held");
    await sleep(this.#choices.whole(0, LONGEST_GATHERING_MS));
    await this.#operator.beginFor({ action: "rollback", source: "embedded", deleteFromR2: true });
    await sleep(this.#choices.whole(0, PATIENCE_MS));
    await this.#countFaults();
  }

  /** Lets what lies outside fail and lie, while runs read from it. */
  async #trouble(): Promise<void> {
    this.#world.chronicle.note("trouble outside");
    await this.#outside?.trouble(async () => {
      await this.#operator.beginFor({ action: "migrate", source: this.#choices.one([LINKS, BUCKET]) ?? "" });
      await sleep(this.#choices.whole(50, LONGEST_FAULTS_MS));
    });
  }

  #fault(): Fault {
    const binding = this.#choices.weighted({ R2_IMAGES: 10, DB: 10, MIGRATIONS: 1 });
    const matching = this.#choices.chance(SUBJECT_CHANCE) ? this.#choices.one(SUBJECTS[binding] ?? []) : undefined;
    const method = matching === undefined ? this.#choices.one(METHODS[binding] ?? []) : undefined;
    return {
      binding,
      ...(method === undefined ? {} : { method }),
      ...(matching === undefined ? {} : { matching }),
      call: this.#choices.whole(1, matching === undefined ? 12 : 3),
      persistent: this.#choices.chance(matching === undefined ? 0.4 : 0.6),
      when: this.#choices.weighted({ before: 4, after: 4, hang: 2 }),
    };
  }

  async #countFaults(): Promise<void> {
    const calls = await this.#world.worker.faults.calls();
    this.#world.chronicle.count("faults", calls.filter(({ outcome }) => outcome === "failed" || outcome === "held").length);
  }

  /** Held calls go ahead. */
  async #heal(): Promise<void> {
    const { faults } = this.#world.worker;
    await faults.clear();
    await faults.forgetCalls();
  }

  async #end(how: "kills" | "restarts", end: (worker: ReturnType<World["take"]>) => Promise<void>): Promise<void> {
    await inTime(how, LONGEST_END_MS, end(this.#world.take()));
    this.#world.chronicle.count(how);
    const vars = this.vars();
    this.#world.chronicle.note(`${how}: ${JSON.stringify(vars)}`);
    await this.#world.start(vars);
  }

  /** How the next Worker is configured. */
  vars(): Record<string, string> {
    return {
      ENABLE_R2_STORAGE: String(this.#choices.chance(0.6)),
      MIGRATE_FALLBACK_IMAGES: String(this.#choices.chance(0.3)),
      STORE_TIMEOUT_MS: String(STORE_TIMEOUT_MS),
      ...this.#outside?.vars(),
      JWT_SECRET,
      USER_MAX_BYTES,
      ...(this.#choices.chance(0.5) ? { MIGRATION_OPERATIONS: "60" } : {}),
    };
  }
}

/** Whether something comes to hold in time. */
async function within(longestMs: number, holds: () => Promise<boolean>): Promise<boolean> {
  for (const until = performance.now() + longestMs; performance.now() < until; await sleep(POLL_MS)) {
    if (await holds()) return true;
  }
  return false;
}
