import { useState } from "preact/hooks";

import type { Finding, Run } from "../api/types.ts";
import { count, counted } from "../format.ts";
import { StartDialog } from "./action-dialog.tsx";
import type { CheckedReceipt } from "./receipt.ts";
import { hasEnded } from "./words.ts";

/** As many as a request may name. */
const MAX_RETRIED = 1_000;
const SHOWN_IDS = 20;
const BAD = new Set(["failed", "missing", "corrupted"]);

type Failure = { id: string; reason: string; detail: string | undefined };
type Group = { reason: string; failures: Failure[] };

/** What failed, by its cause; the same action again for just these. */
export function Failures({ run, receipt }: { run: Run; receipt: CheckedReceipt }) {
  const [retried, setRetried] = useState<Group>();
  const groups = groupsOf(receipt.state === "read" ? fromReceipt(receipt) : fromResult(run));
  if (groups.length === 0) return null;
  const all = groups.reduce((sum, { failures }) => sum + failures.length, 0);
  const isWhole = receipt.state === "read";
  const mayRetry = hasEnded(run) && (run.action === "migrate" || run.action === "rollback" || run.action === "cleanup");
  return (
    <section class="card" aria-labelledby="failures-title">
      <h2 id="failures-title">Failures by cause</h2>
      <p>
        {isWhole ? counted(all, "item") : `The first ${counted(all, "item")}`}. A failed item is as it was before the run.
      </p>
      {groups.map((group) => (
        <div key={group.reason}>
          <h3>
            <code>{group.reason}</code>: {counted(group.failures.length, "item")}
          </h3>
          <p>{group.failures[0]?.detail}</p>
          <p class="fine wrap">
            {group.failures.slice(0, SHOWN_IDS).map(({ id }) => id).join(", ")}
            {group.failures.length > SHOWN_IDS && ` and ${count(group.failures.length - SHOWN_IDS)} more`}
          </p>
          {mayRetry && (
            <button type="button" onClick={() => setRetried(group)}>
              Try {group.failures.length > MAX_RETRIED ? `the first ${count(MAX_RETRIED)}` : counted(group.failures.length, "item")} again
            </button>
          )}
        </div>
      ))}
      {retried !== undefined && (
        <StartDialog
          title={`Try again: ${retried.reason}`}
          verb={`Try ${counted(Math.min(MAX_RETRIED, retried.failures.length), "item")} again`}
          isDangerous={run.action !== "migrate" && !run.dryRun}
          request={{ action: run.action, source: run.source, dryRun: run.dryRun, imageIds: retried.failures.slice(0, MAX_RETRIED).map(({ id }) => id) }}
          onClose={() => setRetried(undefined)}
        >
          <p>
            The same {run.dryRun ? "dry run" : "action"}, for {counted(Math.min(MAX_RETRIED, retried.failures.length), "item")} that failed with{" "}
            <code>{retried.reason}</code>. The others are not touched.
          </p>
        </StartDialog>
      )}
    </section>
  );
}

function fromReceipt({ lines }: CheckedReceipt & { state: "read" }): Failure[] {
  return lines
    .filter(({ verdict }) => BAD.has(verdict))
    .map(({ id, verdict, reason, detail }) => ({ id: String(id), reason: reason ?? verdict, detail }));
}

/** Before there is a receipt: the first hundred. */
function fromResult({ result }: Run): Failure[] {
  const findings: Finding[] = "errors" in result ? result.errors : [];
  return findings.map(({ id, reason, detail }) => ({ id, reason: reason ?? "failed", detail }));
}

function groupsOf(failures: Failure[]): Group[] {
  const groups = new Map<string, Failure[]>();
  for (const failure of failures) groups.set(failure.reason, [...(groups.get(failure.reason) ?? []), failure]);
  return [...groups].map(([reason, all]) => ({ reason, failures: all })).sort((one, other) => other.failures.length - one.failures.length);
}
