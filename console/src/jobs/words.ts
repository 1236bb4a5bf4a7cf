// What jobs and their states are called.
import type { Job, JobState } from "../api/types.ts";
import { duration } from "../format.ts";

export const STATES: JobState[] = ["queued", "processing", "completed", "failed", "cancelled"];

export function hasEnded(state: JobState): boolean {
  return state !== "queued" && state !== "processing";
}

/** What the job is to do, as people wrote it. */
export function titleOf({ prompt, kind, id }: Pick<Job, "prompt" | "kind" | "id">): string {
  return prompt ?? `${kind} ${id}`;
}

export function milliseconds(value: number): string {
  return value < 1_000 ? `${value} ms` : duration(value / 1_000);
}
