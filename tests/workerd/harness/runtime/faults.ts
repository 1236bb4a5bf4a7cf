// Records the calls a Worker makes to its bindings and lets them go wrong as planned.
import type { Call, Fault } from "../fault-plan.ts";

const HELD_CALL_POLL_MS = 5;

let plan: { fault: Fault; seen: number }[] = [];
let recorded: Call[] = [];

/** Replaces the plan; calls held by the previous one go ahead. */
export function setFaults(faults: Fault[]): void {
  plan = faults.map((fault) => ({ fault, seen: 0 }));
}

/** The calls since the last `forgetCalls`, in the order they began. */
export function calls(): Call[] {
  return recorded;
}

export function forgetCalls(): void {
  recorded = [];
}

/** Reported by a call, beside its result. */
export type Rows = Pick<Call, "rowsRead" | "rowsWritten">;

/** A call about to be made, and how its binding words an error. */
export type CallSite = Pick<Call, "binding" | "method" | "subject"> & { injectedError: (message?: string) => Error };

/**
 * Makes one call to a binding, or lets it fail.
 * @param perform the real call; may add what it learns to the record
 */
export async function intercept<T>(
  { binding, method, subject, injectedError }: CallSite,
  perform: (record: Rows) => Promise<T>,
): Promise<T> {
  const call: Call = { binding, method, subject, outcome: "pending" };
  recorded.push(call);
  const fault = nextFault(call);
  try {
    if (fault?.when === "hang") await untilCleared(call, fault);
    if (fault?.when === "before") throw injectedError(fault.message);
    const result = await perform(call);
    if (fault?.when === "after") throw injectedError(fault.message);
    call.outcome = "ok";
    return result;
  } catch (error) {
    call.outcome = "failed";
    throw error;
  }
}

/** Counts the call for every fault it fits, and returns the first that wants it. */
function nextFault(call: Call): Fault | undefined {
  let chosen: Fault | undefined;
  for (const entry of plan) {
    const { binding, method, matching, call: first = 1, persistent = false } = entry.fault;
    if (binding !== call.binding || (method !== undefined && method !== call.method)) continue;
    if (matching !== undefined && !call.subject.includes(matching)) continue;
    entry.seen += 1;
    if (entry.seen === first || (persistent && entry.seen > first)) chosen ??= entry.fault;
  }
  return chosen;
}

/** Polls, because no request may resolve the promise of another, and a pending timer keeps the request alive. */
async function untilCleared(call: Call, fault: Fault): Promise<void> {
  call.outcome = "held";
  while (plan.some((entry) => entry.fault === fault)) await scheduler.wait(HELD_CALL_POLL_MS);
  call.outcome = "pending";
}
