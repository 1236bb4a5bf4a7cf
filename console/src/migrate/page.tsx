import { useState } from "preact/hooks";

import { call } from "../api/client.ts";
import type { MigrationStatus, Run, SourceStats } from "../api/types.ts";
import { bytes, count, counted, date } from "../format.ts";
import type { Place } from "../location.ts";
import { useLoaded } from "../parts/loaded.ts";
import { ProblemNote } from "../parts/problem.tsx";
import { ActionDialog } from "./action-dialog.tsx";
import { ACTIONS } from "./actions.ts";
import type { ActionName } from "./actions.ts";
import { blockersOf } from "./blockers.ts";
import { Reconcile } from "./reconcile.tsx";
import { STATES, actionTitle } from "./words.ts";

export function MigratePage(_: { place: Place }) {
  const { value: status, error, isLoading, reload } = useLoaded((signal) => call("migration-status", { signal }), []);
  return (
    <>
      <h1>Migrate</h1>
      <p>Moves images out of the database into R2, and back. Nothing is deleted before its copy was read back and matched.</p>
      {error !== undefined && <ProblemNote error={error} retry={reload} />}
      {status === undefined && isLoading && <p class="fine">Counting the images</p>}
      {status !== undefined && (
        <>
          <Blockers status={status} />
          {status.run !== null && <LatestRun run={status.run} />}
          <Totals status={status} />
          {status.migrationStats.sources.map((source) => (
            <Source key={source.name} source={source} status={status} />
          ))}
          {status.r2Configured && <Reconcile />}
          <div class="row">
            <button type="button" onClick={reload} disabled={isLoading}>
              Count again
            </button>
          </div>
        </>
      )}
    </>
  );
}

function Blockers({ status }: { status: MigrationStatus }) {
  const blockers = blockersOf(status);
  return (
    <section aria-label="What is in the way">
      {blockers.length === 0 && <p class="note good">Ready: R2 answers, and every source can be read.</p>}
      {status.r2Status === "disabled" && status.migrationReady && (
        <div class="note warn">
          <strong>New images go into the database</strong>
          <p>
            <code>ENABLE_R2_STORAGE</code> is not <code>"true"</code>. Runs move images into R2 all the same; what is added later waits for the next run.
          </p>
        </div>
      )}
      {blockers.map(({ title, remedy }) => (
        <div class="note bad" key={title}>
          <strong>{title}</strong>
          <p>{remedy}</p>
        </div>
      ))}
    </section>
  );
}

function LatestRun({ run }: { run: Run }) {
  const { done, total, failed } = run.progress;
  return (
    <section class="card" aria-labelledby="latest-title">
      <h2 id="latest-title">Latest run</h2>
      <p>
        <a href={`#/run/${run.id}`}>
          {actionTitle(run)} of {run.source}
        </a>{" "}
        <span class="state">{STATES[run.state]}</span>
      </p>
      <p class="fine">
        Begun {date(run.createdAt)}; {count(done)} of {total === null ? "an unknown number" : count(total)} done
        {failed > 0 && `, ${count(failed)} failed`}
      </p>
    </section>
  );
}

function Totals({ status }: { status: MigrationStatus }) {
  const { totalImages, migratedImages, base64Images, migrationProgress, missingSources } = status.migrationStats;
  return (
    <section class="card" aria-labelledby="totals-title">
      <h2 id="totals-title">All sources</h2>
      <progress value={migratedImages} max={Math.max(1, totalImages)} aria-label="Images in R2" />
      <p>
        {count(migratedImages)} of {counted(totalImages, "image")} in R2, {count(base64Images)} in the database only
        {migrationProgress !== null && ` (${migrationProgress} %)`}
        {missingSources.length > 0 && `; without ${missingSources.join(", ")}`}
      </p>
    </section>
  );
}

function Source({ source, status }: { source: SourceStats; status: MigrationStatus }) {
  const [asked, setAsked] = useState<ActionName>();
  const number = (value: number | null) => (value === null ? "not known" : count(value));
  return (
    <section class="card" aria-labelledby={`source-${source.name}`}>
      <h2 id={`source-${source.name}`}>{source.name === "embedded" ? "embedded: images in Stillstore's own tables" : source.name}</h2>
      {source.problem !== undefined && (
        <div class="note bad">
          <strong>The source cannot be read</strong>
          <p>{source.problem.detail}</p>
          <p class="fine">
            <code>{source.problem.code}</code>
          </p>
        </div>
      )}
      {status.readySources.includes(source.name) ? (
        <p class="fine">A run can begin now.</p>
      ) : (
        source.problem === undefined && <p class="fine">A run would wait until R2 answers.</p>
      )}
      {source.state === "counting" && <p class="note">The images are being counted, slice by slice. Look again in a minute.</p>}
      <dl class="facts">
        <div>
          <dt>In the database only</dt>
          <dd>
            {number(source.base64Images)}
            {source.estimatedSpaceSaved ? `, ${bytes(source.estimatedSpaceSaved)} there` : ""}
          </dd>
        </div>
        <div>
          <dt>In R2</dt>
          <dd>{number(source.migratedImages)}</dd>
        </div>
        <div>
          <dt>Moved, original kept</dt>
          <dd>{number(source.moved)}</dd>
        </div>
        <div>
          <dt>Moved, original cleaned up</dt>
          <dd>{number(source.cleaned)}</dd>
        </div>
        {(source.failed ?? 0) > 0 && (
          <div>
            <dt>Failed in the latest migration</dt>
            <dd>{number(source.failed)}</dd>
          </div>
        )}
        {source.countedAt !== null && (
          <div>
            <dt>Counted</dt>
            <dd>{date(source.countedAt)}</dd>
          </div>
        )}
      </dl>
      <div class="row">
        {ACTIONS.map(({ name, title, kind }) => (
          <button key={name} type="button" class={kind} onClick={() => setAsked(name)} disabled={source.state === "unavailable"}>
            {title}
          </button>
        ))}
      </div>
      {asked !== undefined && <ActionDialog name={asked} source={source} status={status} onClose={() => setAsked(undefined)} />}
    </section>
  );
}
