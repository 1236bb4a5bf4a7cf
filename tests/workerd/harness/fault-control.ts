import type { Control } from "./control.ts";
import type { Call, Fault } from "./fault-plan.ts";

export type { Call, Fault } from "./fault-plan.ts";

/** Plans what goes wrong between the Worker and its bindings, and shows the calls it made. */
export class FaultControl {
  #control: Control;

  constructor(control: Control) {
    this.#control = control;
  }

  /** Replaces the plan. A call that fits several faults gets the first; held calls go ahead. */
  async set(...faults: Fault[]): Promise<void> {
    await this.#control.send("PUT", "/faults", faults);
  }

  /** Heals everything; held calls go ahead. */
  async clear(): Promise<void> {
    await this.set();
  }

  /** The calls since the start or the last `forgetCalls`, in the order they began. */
  async calls(filter: Partial<Pick<Call, "binding" | "method" | "outcome">> = {}): Promise<Call[]> {
    const calls = (await this.#control.send("GET", "/calls")) as Call[];
    return calls.filter((call) =>
      Object.entries(filter).every(([field, wanted]) => call[field as keyof Call] === wanted),
    );
  }

  async forgetCalls(): Promise<void> {
    await this.#control.send("DELETE", "/calls");
  }

  /** Waits until a `hang` fault holds as many calls as said. */
  async untilHeld(count = 1): Promise<Call[]> {
    for (;;) {
      const held = await this.calls({ outcome: "held" });
      if (held.length >= count) return held;
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  }
}
