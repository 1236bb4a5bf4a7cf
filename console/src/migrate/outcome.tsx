import type { MigrateResult, Run } from "../api/types.ts";
import { bytes, count, dollars } from "../format.ts";

const GOOD = new Set(["completed"]);

/** The result of a run that has ended, whatever its action. */
export function Outcome({ run }: { run: Run }) {
  const { result } = run;
  const kind = GOOD.has(run.state) ? "good" : run.state === "failed" ? "bad" : "warn";
  const numbers = Object.entries(result).filter(([name, value]) => typeof value === "number" && name in NUMBERS && value !== 0);
  return (
    <section class={`note ${kind}`} aria-labelledby="outcome-title">
      <h2 id="outcome-title">{run.dryRun ? "What the run would do" : "Result"}</h2>
      <dl class="facts">
        {numbers.map(([name, value]) => (
          <div key={name}>
            <dt>{NUMBERS[name]}</dt>
            <dd>{/bytes/i.test(name) ? bytes(value as number) : count(value as number)}</dd>
          </div>
        ))}
        {run.action === "migrate" && <Cost result={result as MigrateResult} />}
      </dl>
      {"isComplete" in result && <p>{result.isComplete ? "The source can be switched off." : `The source is needed still: ${result.open.join(", ")}.`}</p>}
      {"isValid" in result && <p>{result.isValid ? "Every copy that was looked at is there and right." : "Not every copy is there and right."}</p>}
      {"warnings" in result && result.warnings.map((warning) => <p key={warning}>{warning}</p>)}
    </section>
  );
}

const NUMBERS: Record<string, string> = {
  total: "Items",
  totalChecked: "Checked",
  migrated: "Moved",
  valid: "Valid",
  invalid: "Invalid",
  rolledBack: "Rolled back",
  cleaned: "Originals deleted",
  kept: "Originals kept",
  saved: "Saved",
  restored: "Restored",
  references: "Texts with URLs",
  skipped: "Skipped",
  failed: "Failed",
  bytes: "Bytes",
  freedBytes: "Freed",
};

function Cost({ result: { operations, estimatedCostUsd } }: { result: MigrateResult }) {
  return (
    <div>
      <dt>Cost</dt>
      <dd>
        {dollars(estimatedCostUsd)}: {count(operations.r2ClassA)} class A and {count(operations.r2ClassB)} class B operations of R2,{" "}
        {count(operations.d1RowsRead)} rows read and {count(operations.d1RowsWritten)} written in D1
      </dd>
    </div>
  );
}
