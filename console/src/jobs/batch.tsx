import { useState } from "preact/hooks";

import { call } from "../api/client.ts";
import type { Batch } from "../api/types.ts";
import { count, counted } from "../format.ts";
import { Choices, Dialog } from "../parts/dialog.tsx";
import { ProblemNote } from "../parts/problem.tsx";
import { useWatched } from "./watched.ts";

const left = ({ queued, processing }: Batch) => queued + processing;

/** How far the jobs of one request are, and their end before it. */
export function BatchCard({ id }: { id: string }) {
  const { value: batch, error, reload } = useWatched((signal) => call("describe-batch", { path: { id }, signal }), (batch) => left(batch) > 0, [id]);
  const [isAsking, setIsAsking] = useState(false);
  const [refusal, setRefusal] = useState<unknown>();
  const cancel = async () => {
    setIsAsking(false);
    try {
      await call("cancel-batch", { path: { id } });
      setRefusal(undefined);
    } catch (error) {
      setRefusal(error);
    }
    reload();
  };
  return (
    <section class="card" aria-labelledby="batch-title">
      <h2 id="batch-title">Batch</h2>
      {error !== undefined && <ProblemNote error={error} retry={reload} />}
      {refusal !== undefined && <ProblemNote error={refusal} />}
      {batch !== undefined && (
        <>
          <progress value={batch.total - left(batch)} max={Math.max(1, batch.total)} aria-label="Jobs that have ended" />
          <p role="status">
            {count(batch.total - left(batch))} of {counted(batch.total, "job")} ended: {count(batch.completed)} completed, {count(batch.failed)} failed,{" "}
            {count(batch.cancelled)} cancelled; {count(batch.processing)} at work, {count(batch.queued)} waiting
          </p>
          {left(batch) > 0 && (
            <button type="button" class="danger" onClick={() => setIsAsking(true)}>
              Cancel the batch
            </button>
          )}
        </>
      )}
      {isAsking && batch !== undefined && (
        <Dialog title="Cancel the batch" onClose={() => setIsAsking(false)}>
          <p>Cancels {counted(left(batch), "job")} that have not ended. What an editor is at work on may still be billed, and becomes no image.</p>
          <Choices cancel="Let it go on" onCancel={() => setIsAsking(false)}>
            <button type="button" class="danger" onClick={() => void cancel()}>
              Cancel {counted(left(batch), "job")}
            </button>
          </Choices>
        </Dialog>
      )}
    </section>
  );
}
