import { useState } from "preact/hooks";

import { call } from "../api/client.ts";
import type { Run } from "../api/types.ts";
import { bytes, count, counted, date, duration } from "../format.ts";
import type { Place } from "../location.ts";
import { Choices, Dialog } from "../parts/dialog.tsx";
import { ProblemNote } from "../parts/problem.tsx";
import { Failures } from "./failures.tsx";
import { useRun } from "./follow.ts";
import { NextSteps } from "./next-steps.tsx";
import { Outcome } from "./outcome.tsx";
import { useReceipt } from "./receipt.ts";
import { Receipt } from "./receipt-card.tsx";
import { STATES, actionTitle, hasEnded } from "./words.ts";

export function RunPage({ place }: { place: Place }) {
  const { run, error, rate, look } = useRun(place.id);
  const receipt = useReceipt(run);
  return (
    <>
      <p>
        <a href="#/migrate">Back to the sources</a>
      </p>
      {error !== undefined && <ProblemNote error={error} retry={look} />}
      {run !== undefined && (
        <>
          <h1>
            {actionTitle(run)} of {run.source}
          </h1>
          <Progress run={run} rate={rate} />
          {!hasEnded(run) && <Controls run={run} onDone={look} />}
          {hasEnded(run) && <Outcome run={run} />}
          <Failures run={run} receipt={receipt} />
          {hasEnded(run) && <NextSteps run={run} />}
          {run.receipt !== null && <Receipt run={run} receipt={receipt} />}
          <p class="fine">
            Run <code>{run.id}</code>, begun {date(run.createdAt)}
            {run.finishedAt !== null && `, ended ${date(run.finishedAt)}`}
          </p>
        </>
      )}
    </>
  );
}

function Progress({ run, rate }: { run: Run; rate: { items: number; bytes: number } | undefined }) {
  const { done, total, succeeded, failed, skipped, bytes: moved } = run.progress;
  const left = total === null ? undefined : Math.max(0, total - done);
  const asked = run.requested === undefined ? "" : run.requested === "pause" ? ", to be paused" : ", to be cancelled";
  return (
    <section class="card" aria-label="Progress">
      <p role="status">
        <span class="state">
          {STATES[run.state]}
          {asked}
        </span>{" "}
        {count(done)} of {total === null ? "an unknown number" : count(total)} done
      </p>
      {total === null && run.state === "running" ? (
        <progress aria-label="Items done" />
      ) : (
        <progress value={done} max={Math.max(1, total ?? done)} aria-label="Items done" />
      )}
      <p>
        {count(succeeded)} succeeded, {count(failed)} failed, {count(skipped)} skipped; {bytes(moved)}
      </p>
      {run.state === "running" && rate !== undefined && (
        <p class="fine">
          {rate.items.toFixed(1)} items and {bytes(rate.bytes)} a second
          {left !== undefined && left > 0 && `, about ${duration(left / rate.items)} left`}
        </p>
      )}
    </section>
  );
}

function Controls({ run, onDone }: { run: Run; onDone: () => void }) {
  const [error, setError] = useState<unknown>();
  const [isCancelling, setIsCancelling] = useState(false);
  const steer = async (action: "pause" | "resume" | "cancel") => {
    setIsCancelling(false);
    try {
      await call("migrate-images", { body: { action, runId: run.id } });
      setError(undefined);
    } catch (refusal) {
      setError(refusal);
    }
    onDone();
  };
  return (
    <>
      <div class="row">
        {run.state === "running" ? (
          <button type="button" disabled={run.requested !== undefined} onClick={() => void steer("pause")}>
            Pause
          </button>
        ) : (
          <button type="button" class="main" onClick={() => void steer("resume")}>
            Resume
          </button>
        )}
        <button type="button" class="danger" disabled={run.requested === "cancel"} onClick={() => setIsCancelling(true)}>
          Cancel the run
        </button>
      </div>
      {error !== undefined && <ProblemNote error={error} />}
      {isCancelling && (
        <Dialog title="Cancel the run?" onClose={() => setIsCancelling(false)}>
          <p>
            {counted(run.progress.succeeded, "item stays", "items stay")} as the run has left {run.progress.succeeded === 1 ? "it" : "them"};
            the others stay untouched. A new run takes up what is left.
          </p>
          <Choices cancel="Let it run" onCancel={() => setIsCancelling(false)}>
            <button type="button" class="danger" onClick={() => void steer("cancel")}>
              Cancel the run
            </button>
          </Choices>
        </Dialog>
      )}
    </>
  );
}
