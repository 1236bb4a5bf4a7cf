import { useState } from "preact/hooks";

import { Refused, call } from "../api/client.ts";
import type { Job } from "../api/types.ts";
import { date } from "../format.ts";
import { Preview } from "../gallery/preview.tsx";
import { go } from "../location.ts";
import type { Place } from "../location.ts";
import { Choices, Dialog } from "../parts/dialog.tsx";
import { useLoaded } from "../parts/loaded.ts";
import { ProblemNote } from "../parts/problem.tsx";
import { useWatched } from "./watched.ts";
import { hasEnded, milliseconds, titleOf } from "./words.ts";

export function JobPage({ place }: { place: Place }) {
  const { value: job, error, reload } = useWatched(
    (signal) => call("describe-job", { path: { id: place.id }, signal }),
    ({ status }) => !hasEnded(status),
    [place.id],
  );
  return (
    <>
      <p>
        <a href="#/jobs">Back to the jobs</a>
      </p>
      {error !== undefined && <ProblemNote error={error} retry={reload} />}
      {job !== undefined && <Shown job={job} onChange={reload} />}
    </>
  );
}

function Shown({ job, onChange }: { job: Job; onChange: () => void }) {
  return (
    <>
      <h1 class="wrap">{titleOf(job)}</h1>
      <p role="status">
        <span class="state">{job.status}</span> after {job.attempts === 1 ? "1 attempt" : `${job.attempts} attempts`}
      </p>
      {job.error !== null && (
        <div class="note bad">
          <strong>{job.error}</strong>
          {job.error_code !== undefined && (
            <p class="fine">
              <code>{job.error_code}</code>
            </p>
          )}
        </div>
      )}
      <Steps job={job} onChange={onChange} />
      <div class="pair">
        <Picture title="Original" id={job.asset_id} none="The original was deleted." />
        <Picture title="Output" id={job.output_id} none={hasEnded(job.status) ? "There is none." : "It is not made yet."} />
      </div>
      <Events job={job} />
      <Facts job={job} />
    </>
  );
}

/** What can be done to a job: its end, or another like it. */
function Steps({ job, onChange }: { job: Job; onChange: () => void }) {
  const [isAsking, setIsAsking] = useState(false);
  const [refusal, setRefusal] = useState<unknown>();
  const cancel = async () => {
    setIsAsking(false);
    try {
      await call("cancel-job", { path: { id: job.id } });
      setRefusal(undefined);
    } catch (error) {
      setRefusal(error);
    }
    onChange();
  };
  const again = async (asset_id: string, prompt: string) => {
    const { tier, size, mask_id } = job;
    const body = { asset_id, prompt, ...(tier === undefined ? {} : { tier }), ...(size === undefined ? {} : { size }), ...(mask_id === undefined ? {} : { mask_id }) };
    try {
      go(`#/job/${(await call("create-job", { body })).id}`);
    } catch (error) {
      setRefusal(error);
    }
  };
  const { asset_id, prompt } = job;
  const canBeMadeAgain = job.kind === "edit" && asset_id !== null && prompt !== undefined && (job.status === "failed" || job.status === "cancelled");
  return (
    <>
      {refusal !== undefined && <ProblemNote error={refusal} />}
      <div class="row">
        {!hasEnded(job.status) && (
          <button type="button" class="danger" onClick={() => setIsAsking(true)}>
            Cancel the job
          </button>
        )}
        {canBeMadeAgain && (
          <button type="button" class="main" onClick={() => void again(asset_id, prompt)}>
            Make the same job again
          </button>
        )}
      </div>
      {isAsking && (
        <Dialog title="Cancel the job" onClose={() => setIsAsking(false)}>
          <p>If an editor is at work on it, that may still be billed, and becomes no image.</p>
          <Choices cancel="Let it go on" onCancel={() => setIsAsking(false)}>
            <button type="button" class="danger" onClick={() => void cancel()}>
              Cancel the job
            </button>
          </Choices>
        </Dialog>
      )}
    </>
  );
}

function Picture({ title, id, none }: { title: string; id: string | null; none: string }) {
  return (
    <section class="card" aria-label={title}>
      <h2>{title}</h2>
      {id === null ? <p>{none}</p> : <Loaded id={id} none={none} />}
    </section>
  );
}

function Loaded({ id, none }: { id: string; none: string }) {
  const { value: image, error, reload } = useLoaded((signal) => call("describe-image", { path: { id }, signal }), [id]);
  if (error instanceof Refused && ["image-not-found", "image-deleted"].includes(error.problem.code)) return <p>{none}</p>;
  if (error !== undefined) return <ProblemNote error={error} retry={reload} />;
  if (image === undefined) return <p class="fine">Asking</p>;
  return (
    <a href={`#/picture/${id}`}>
      <Preview image={image} />
    </a>
  );
}

function Events({ job }: { job: Job }) {
  return (
    <section class="card" aria-labelledby="events-title">
      <h2 id="events-title">What happened</h2>
      <div class="table" tabIndex={0} role="region" aria-label="What happened: table">
        <table>
          <thead>
            <tr>
              <th scope="col">When</th>
              <th scope="col">State</th>
              <th scope="col" class="number">
                Took
              </th>
              <th scope="col">Detail</th>
            </tr>
          </thead>
          <tbody>
            {job.events.map(({ time, state, duration_ms, provider, storage_type, error }) => (
              <tr key={time + state}>
                <td>{date(time)}</td>
                <td>{state}</td>
                <td class="number">{duration_ms === undefined ? "" : milliseconds(duration_ms)}</td>
                <td class="wrap">
                  {[provider, storage_type === undefined ? undefined : { r2: "in R2", d1: "in the database" }[storage_type], error]
                    .filter((part) => part !== undefined)
                    .join("; ")}
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </section>
  );
}

function Facts({ job }: { job: Job }) {
  const facts: [string, string | undefined | null][] = [
    ["Kind", job.kind],
    ["Tier", job.tier],
    ["Size", job.size],
    ["Session", job.session_id],
    ["Key of the output", job.output_path],
    ["Id", job.id],
  ];
  return (
    <dl class="facts">
      {facts.flatMap(([name, value]) =>
        value === undefined || value === null
          ? []
          : [
              <div key={name}>
                <dt>{name}</dt>
                <dd class="wrap">{value}</dd>
              </div>,
            ],
      )}
      {job.batch_id !== undefined && (
        <div>
          <dt>Batch</dt>
          <dd class="wrap">
            <a href={`#/jobs?batch=${job.batch_id}`}>{job.batch_id}</a>
          </dd>
        </div>
      )}
    </dl>
  );
}
