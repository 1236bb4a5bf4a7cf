// What runs and their states are called.
import type { Run, State } from "../api/types.ts";

export const STATES: Record<State, string> = {
  running: "running",
  paused: "paused",
  cancelled: "cancelled",
  completed: "completed",
  completed_with_errors: "completed with errors",
  failed: "failed",
};

const TITLES: Record<Run["action"], string> = {
  migrate: "Migration",
  validate: "Validation",
  rollback: "Rollback",
  cleanup: "Cleanup",
  backup: "Backup",
  restore: "Restoration",
  complete: "Completion check",
};

export function actionTitle({ action, dryRun }: Pick<Run, "action" | "dryRun">): string {
  return dryRun ? `Dry run of the ${TITLES[action].toLowerCase()}` : TITLES[action];
}

export function hasEnded({ state }: Pick<Run, "state">): boolean {
  return state !== "running" && state !== "paused";
}
