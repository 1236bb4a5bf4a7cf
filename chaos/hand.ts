// What kills workerd, starts it again, and fails and hangs its calls to R2, D1 and the queue.
import { setTimeout as sleep } from "node:timers/promises";

import type { Fault } from "../tests/workerd/harness/fault-plan.ts";
import { Choices } from "./choices.ts";
import type { World } from "./world.ts";

const LONGEST_CALM_MS = 3_000;
const LONGEST_FAULTS_MS = 1_500;
/** Sometimes faults outlast the Worker's wait for R2. */
const STORE_TIMEOUT_MS = 2_000;
const PATIENCE_MS = STORE_TIMEOUT_MS + 500;

const METHODS: Record<string, (string | undefined)[]> = {
  R2_IMAGES: [undefined, "get", "head", "put", "put", "put", "delete", "list"],
  DB: [undefined, "first", "all", "run", "batch", "batch"],
  MIGRATIONS: [undefined],
};

export class Hand {
  #world: World;
  #choices: Choices;

  constructor(world: World, seed: number) {
    this.#world = world;
    this.#choices = new Choices(seed);
  }

  /** Lets all be well for a while, then disturbs it once. */
  async strike(): Promise<void> {
    await sleep(this.#choices.whole(0, LONGEST_CALM_MS));
    const blow = this.#choices.weighted({ kill: 4, restart: 1, fail: 10, failAndKill: 2 });
    await this.#world.disrupt(async () => {
      if (blow === "fail" || blow === "failAndKill") await this.#fail();
      if (blow === "restart") await this.#end("restarts", (worker) => worker.stop());
      if (blow === "kill" || blow === "failAndKill") await this.#end("kills", (worker) => worker.kill());
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

  #fault(): Fault {
    const binding = this.#choices.weighted({ R2_IMAGES: 10, DB: 10, MIGRATIONS: 1 });
    const method = this.#choices.one(METHODS[binding] ?? []);
    return {
      binding,
      ...(method === undefined ? {} : { method }),
      call: this.#choices.whole(1, 12),
      persistent: this.#choices.chance(0.4),
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
    await end(this.#world.take());
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
      ...(this.#choices.chance(0.5) ? { MIGRATION_OPERATIONS: "60" } : {}),
    };
  }
}
