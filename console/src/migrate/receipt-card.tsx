import type { Run } from "../api/types.ts";
import { bytes, counted } from "../format.ts";
import { ProblemNote } from "../parts/problem.tsx";
import { save } from "../parts/save.ts";
import type { CheckedReceipt } from "./receipt.ts";

export function Receipt({ run, receipt }: { run: Run; receipt: CheckedReceipt }) {
  const info = run.receipt;
  if (info === null) return null;
  return (
    <section class="card" aria-labelledby="receipt-title">
      <h2 id="receipt-title">Receipt</h2>
      <p>
        {counted(info.lines, "line")}, {bytes(info.bytes)}; in the bucket as <code>{info.key}</code>
      </p>
      {receipt.state === "loading" && <p class="fine">Reading and checking it</p>}
      {receipt.state === "too-large" && <p>It is too large for a browser. docs/receipts.md says how to fetch and check it.</p>}
      {receipt.state === "unreadable" && <ProblemNote error={receipt.error} />}
      {receipt.state === "read" && (
        <>
          <Check receipt={receipt} />
          <button type="button" onClick={() => save(receipt.bytes, `receipt-${run.id}.ndjson`, "application/x-ndjson")}>
            Download the receipt
          </button>
        </>
      )}
    </section>
  );
}

function Check({ receipt: { findings, isChecked } }: { receipt: CheckedReceipt & { state: "read" } }) {
  if (!isChecked) return <p>It was not checked: over plain http, browsers compute no digests.</p>;
  if (findings.length === 0) return <p role="status">Checked in this browser: every line is as it was written.</p>;
  return (
    <div class="note bad" role="alert">
      <strong>The receipt is damaged</strong>
      {findings.map((finding) => (
        <p key={finding}>{finding}</p>
      ))}
    </div>
  );
}
