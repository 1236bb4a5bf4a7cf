// What happened in a run of chaos: counts, the last events, and each violation with the events before it.

/** Violations beyond these are counted only: the first ones tell what is wrong. */
const VIOLATIONS_KEPT = 20;
const EVENTS_KEPT = 12;

export const COUNTED = [
  "operations",
  "unanswered",
  "readsCompared",
  "bytesCompared",
  "variantsCompared",
  "jobsCompleted",
  "findingsCompared",
  "listingsCompared",
  "runs",
  "kills",
  "restarts",
  "faults",
  "standstills",
  "audits",
] as const;
export type Counted = (typeof COUNTED)[number];

export class Chronicle {
  readonly counts = Object.fromEntries(COUNTED.map((name) => [name, 0])) as Record<Counted, number>;
  /** The first of them, in words. */
  readonly violations: string[] = [];
  violationCount = 0;
  #events: string[] = [];
  #begunAt = performance.now();

  count(name: Counted, by = 1): void {
    this.counts[name] += by;
  }

  /** What a reader of a violation wants to know of: a kill, a fault, a run. */
  note(event: string): void {
    this.#events.push(`${this.#seconds()} ${event}`);
    if (this.#events.length > EVENTS_KEPT) this.#events.shift();
  }

  violation(what: string): void {
    this.violationCount += 1;
    if (this.violations.length < VIOLATIONS_KEPT) {
      this.violations.push([`${this.#seconds()} ${what}`, ...this.#events.map((event) => `    ${event}`)].join("\n"));
    }
  }

  #seconds(): string {
    return `${((performance.now() - this.#begunAt) / 1_000).toFixed(1)} s`;
  }
}
