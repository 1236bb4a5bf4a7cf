import { useState } from "preact/hooks";

import type { MigrateRequest, Run } from "../api/types.ts";
import { counted } from "../format.ts";
import { StartDialog } from "./action-dialog.tsx";

type Step = { verb: string; words: string; isDangerous?: true; request: MigrateRequest };

/** What usually follows a run. */
export function NextSteps({ run }: { run: Run }) {
  const [asked, setAsked] = useState<Step>();
  const steps = stepsAfter(run);
  if (steps.length === 0) return null;
  return (
    <section class="card" aria-labelledby="next-title">
      <h2 id="next-title">What next</h2>
      <div class="row">
        {steps.map((step) => (
          <button key={step.verb} type="button" class={step.isDangerous ? "danger" : "main"} onClick={() => setAsked(step)}>
            {step.verb}
          </button>
        ))}
      </div>
      {asked !== undefined && (
        <StartDialog title={`${asked.verb}: ${run.source}`} verb={asked.verb} isDangerous={asked.isDangerous ?? false} request={asked.request} onClose={() => setAsked(undefined)}>
          <p>{asked.words}</p>
        </StartDialog>
      )}
    </section>
  );
}

function stepsAfter(run: Run): Step[] {
  const { action, source, dryRun, progress, id } = run;
  const items = counted(progress.succeeded, "item");
  if (dryRun && progress.succeeded > 0 && action !== "restore" && action !== "complete") {
    const verb = { migrate: "Migrate", rollback: "Roll back", cleanup: "Clean up", validate: "Validate", backup: "Back up" }[action];
    const words = `Does for real what the dry run found: ${items}. Rows that were written since are looked at anew.`;
    return [{ verb, words, ...(action === "migrate" ? {} : { isDangerous: true }), request: { action, source } }];
  }
  if (action === "migrate" && progress.succeeded > 0) {
    const words = "Reads every copy back and compares its SHA-256. Nothing is changed.";
    return [{ verb: "Validate", words, request: { action: "validate", source, checkIntegrity: true } }];
  }
  if (action === "validate" && run.state === "completed") {
    const words = "Says which originals a cleanup would delete: those past ROLLBACK_RETENTION_DAYS whose copies match. Nothing is deleted.";
    return [{ verb: "Dry run of the cleanup", words, request: { action: "cleanup", source, dryRun: true } }];
  }
  if (action === "cleanup" && run.state === "completed" && !dryRun) {
    const words = "Goes through the source and reads every copy back, and says whether the source can be switched off. Nothing is changed.";
    return [{ verb: "Ask whether the source can go", words, request: { action: "complete", source } }];
  }
  if (action === "backup" && progress.succeeded > 0 && !dryRun) {
    const words = `Says what would be restored from this backup of ${items}. Nothing is changed.`;
    return [{ verb: "Dry run of the restoration", words, request: { action: "restore", source, runId: id, dryRun: true } }];
  }
  return [];
}
