import { useEffect, useState } from "preact/hooks";

import { call } from "../api/client.ts";
import type { Job, JobPage, JobState } from "../api/types.ts";
import { date } from "../format.ts";
import { go } from "../location.ts";
import type { Place } from "../location.ts";
import { ProblemNote } from "../parts/problem.tsx";
import { BatchCard } from "./batch.tsx";
import { useWatched } from "./watched.ts";
import { STATES, hasEnded, titleOf } from "./words.ts";

const PAGE_SIZE = 50;

/** Jobs of a state, of a batch or all; older ones when one asks for them. */
export function JobsPage({ place }: { place: Place }) {
  const status = STATES.find((state) => state === place.query.get("status"));
  const batch = place.query.get("batch") ?? undefined;
  const query = { limit: PAGE_SIZE, ...(status === undefined ? {} : { status }), ...(batch === undefined ? {} : { batch_id: batch }) };
  const isMoving = ({ jobs }: JobPage) => jobs.some((job) => !hasEnded(job.status));
  const { value: newest, error, isLoading, reload } = useWatched((signal) => call("list-jobs", { query, signal }), isMoving, [status, batch]);
  const [older, setOlder] = useState<{ jobs: Job[]; cursor: string | undefined }>();
  const [olderError, setOlderError] = useState<unknown>();
  useEffect(() => setOlder(undefined), [status, batch]);

  const cursor = older === undefined ? newest?.next_cursor : older.cursor;
  const more = async () => {
    try {
      const page = await call("list-jobs", { query: { ...query, ...(cursor === undefined ? {} : { cursor }) } });
      setOlder({ jobs: [...(older?.jobs ?? []), ...page.jobs], cursor: page.next_cursor });
      setOlderError(undefined);
    } catch (refusal) {
      setOlderError(refusal);
    }
  };
  const known = new Set(newest?.jobs.map(({ id }) => id));
  const jobs = [...(newest?.jobs ?? []), ...(older?.jobs ?? []).filter(({ id }) => !known.has(id))];
  return (
    <>
      <h1>Jobs</h1>
      <p>Each makes an image of another, with the editor of this deployment.</p>
      {batch !== undefined && <BatchCard id={batch} />}
      <StateFilter status={status} batch={batch} onReload={reload} />
      {error !== undefined && <ProblemNote error={error} retry={reload} />}
      {newest === undefined && isLoading && <p class="fine">Asking</p>}
      {newest !== undefined && jobs.length === 0 && (
        <p class="note">{status === undefined && batch === undefined ? "There are no jobs. POST /jobs makes one." : "No job is in this state."}</p>
      )}
      {jobs.length > 0 && <Jobs jobs={jobs} />}
      {olderError !== undefined && <ProblemNote error={olderError} />}
      {cursor !== undefined && (
        <div class="row">
          <button type="button" onClick={() => void more()}>
            Older jobs
          </button>
        </div>
      )}
    </>
  );
}

function StateFilter({ status, batch, onReload }: { status: JobState | undefined; batch: string | undefined; onReload: () => void }) {
  const choose = (event: Event) => {
    const chosen = (event.currentTarget as HTMLSelectElement).value;
    const pairs = [...(chosen === "" ? [] : [["status", chosen]]), ...(batch === undefined ? [] : [["batch", batch]])];
    const search = new URLSearchParams(pairs).toString();
    go(search === "" ? "#/jobs" : `#/jobs?${search}`);
  };
  return (
    <div class="filters" role="group" aria-label="Filters">
      <label>
        State
        <select onChange={choose}>
          <option value="">Any</option>
          {STATES.map((state) => (
            <option key={state} value={state} selected={state === status}>
              {state}
            </option>
          ))}
        </select>
      </label>
      <div class="row">
        <button type="button" class="quiet" onClick={onReload}>
          Reload
        </button>
      </div>
    </div>
  );
}

function Jobs({ jobs }: { jobs: Job[] }) {
  return (
    <div class="table" tabIndex={0} role="region" aria-label="Jobs: table">
      <table>
        <thead>
          <tr>
            <th scope="col">Job</th>
            <th scope="col">State</th>
            <th scope="col" class="number">
              Attempts
            </th>
            <th scope="col">Made</th>
          </tr>
        </thead>
        <tbody>
          {jobs.map((job) => (
            <tr key={job.id}>
              <th scope="row" class="wrap">
                <a href={`#/job/${job.id}`}>{titleOf(job)}</a>
                {job.error !== null && <p class="fine">{job.error}</p>}
              </th>
              <td>
                <span class="state">{job.status}</span>
              </td>
              <td class="number">{job.attempts}</td>
              <td>{date(job.created_at)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
