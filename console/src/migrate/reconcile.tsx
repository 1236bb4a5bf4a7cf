// The bucket against the rows: objects that nothing names, and images whose object is gone.
import type { ComponentChildren } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";

import { call } from "../api/client.ts";
import type { ReconcileAction, ReconcileSlice } from "../api/types.ts";
import { bytes, count, counted, date } from "../format.ts";
import { Choices, Dialog } from "../parts/dialog.tsx";
import { ProblemNote } from "../parts/problem.tsx";
import { save } from "../parts/save.ts";

/** Entries of each list on the page; the report has all. */
const SHOWN = 50;

type Report = Omit<ReconcileSlice, "cursor">;

type Walk = { report: Report; isUnderWay: boolean; error?: unknown };

const BEGUN: Report = { action: "report", objects: 0, rows: 0, foreignObjects: 0, foreignBytes: 0, orphans: [], missing: [] };

const DONE: Record<ReconcileAction, string> = { report: "found", adopt: "made images", remove: "deleted" };

export function Reconcile() {
  const [walk, setWalk] = useState<Walk>();
  const [asked, setAsked] = useState<"adopt" | "remove">();
  const controller = useRef<AbortController | undefined>(undefined);
  useEffect(() => () => controller.current?.abort(), []);

  const start = async (action: ReconcileAction) => {
    setAsked(undefined);
    controller.current?.abort();
    const { signal } = (controller.current = new AbortController());
    let report: Report = { ...BEGUN, action };
    let cursor: string | null = null;
    setWalk({ report, isUnderWay: true });
    try {
      do {
        const slice: ReconcileSlice = await call("reconcile", { body: { action, cursor }, signal });
        report = together(report, slice);
        cursor = slice.cursor ?? null;
        setWalk({ report, isUnderWay: cursor !== null });
      } while (cursor !== null);
    } catch (error) {
      // What was done until then is in the report.
      setWalk({ report, isUnderWay: false, ...(signal.aborted ? {} : { error }) });
    }
  };
  const found = walk?.report.action === "report" && !walk.isUnderWay ? walk.report.orphans : [];
  return (
    <section class="card" aria-labelledby="reconcile-title">
      <h2 id="reconcile-title">Bucket and rows</h2>
      <p>Looks through the whole bucket for objects that nothing names and images whose object is gone. What is younger than a day is left alone.</p>
      <div class="row">
        <button type="button" disabled={walk?.isUnderWay ?? false} onClick={() => void start("report")}>
          Compare
        </button>
        {walk?.isUnderWay && (
          <button type="button" onClick={() => controller.current?.abort()}>
            Stop
          </button>
        )}
        {found.length > 0 && (
          <>
            <button type="button" onClick={() => setAsked("adopt")}>
              Make images of them
            </button>
            <button type="button" class="danger" onClick={() => setAsked("remove")}>
              Delete them
            </button>
          </>
        )}
      </div>
      {walk !== undefined && <Outcome walk={walk} />}
      {asked !== undefined && <Question action={asked} orphans={found} onClose={() => setAsked(undefined)} onStart={() => void start(asked)} />}
    </section>
  );
}

function together(report: Report, slice: ReconcileSlice): Report {
  return {
    action: report.action,
    objects: report.objects + slice.objects,
    rows: report.rows + slice.rows,
    foreignObjects: report.foreignObjects + slice.foreignObjects,
    foreignBytes: report.foreignBytes + slice.foreignBytes,
    orphans: [...report.orphans, ...slice.orphans],
    missing: [...report.missing, ...slice.missing],
  };
}

function Outcome({ walk: { report, isUnderWay, error } }: { walk: Walk }) {
  const { action, objects, rows, foreignObjects, foreignBytes, orphans, missing } = report;
  const kept = orphans.filter(({ outcome }) => outcome === "kept").length;
  const size = bytes(orphans.reduce((sum, orphan) => sum + orphan.bytes, 0));
  return (
    <>
      <p aria-live="polite">
        {isUnderWay ? "Under way: " : ""}
        {counted(objects, "object")} and {counted(rows, "row")} looked at. {counted(orphans.length - kept, "object")} without a row {DONE[action]}
        {orphans.length > 0 && ` (${size})`}
        {kept > 0 && `, ${count(kept)} kept`}; {counted(missing.length, "image")} without an object.
        {foreignObjects > 0 && ` ${counted(foreignObjects, "object")} of others (${bytes(foreignBytes)}) were left alone.`}
      </p>
      {error !== undefined && <ProblemNote error={error} />}
      <List title="Objects without a row" total={orphans.length}>
        {orphans.slice(0, SHOWN).map(({ key, bytes: size, storedAt, outcome, imageId, reason }) => (
          <li key={key}>
            {imageId ? <a href={`#/picture/${imageId}`}>{key}</a> : <code>{key}</code>} {bytes(size)}, {date(storedAt)}: {outcome}
            {reason ? ` (${reason})` : ""}
          </li>
        ))}
      </List>
      <List title="Images without an object" total={missing.length}>
        {missing.slice(0, SHOWN).map(({ id, key }) => (
          <li key={id}>
            <a href={`#/picture/${id}`}>{key}</a>
          </li>
        ))}
      </List>
      {!isUnderWay && (orphans.length > 0 || missing.length > 0) && (
        <button type="button" onClick={() => save(JSON.stringify(report, undefined, 2), "reconciliation.json", "application/json")}>
          Download the report
        </button>
      )}
    </>
  );
}

function List({ title, total, children }: { title: string; total: number; children: ComponentChildren }) {
  if (total === 0) return null;
  return (
    <details>
      <summary>
        {title}: {count(total)}
      </summary>
      <ul class="lines">{children}</ul>
      {total > SHOWN && <p class="fine">The first {SHOWN}; the report has all.</p>}
    </details>
  );
}

type QuestionProps = { action: "adopt" | "remove"; orphans: Report["orphans"]; onClose: () => void; onStart: () => void };

function Question({ action, orphans, onClose, onStart }: QuestionProps) {
  const what = `${counted(orphans.length, "object")} (${bytes(orphans.reduce((sum, orphan) => sum + orphan.bytes, 0))})`;
  return (
    <Dialog title={action === "adopt" ? "Make images of the objects" : "Delete the objects"} onClose={onClose}>
      {action === "adopt" ? (
        <p>Reads {what}, and makes an image of each that is one, where it is, by what its key and its metadata say. Nothing is deleted.</p>
      ) : (
        <p>
          Deletes {what} from the bucket, each after a second look. This cannot be undone. If another program or deployment writes to this bucket, its objects may be among them.
        </p>
      )}
      <Choices onCancel={onClose}>
        <button type="button" class={action === "remove" ? "danger" : "main"} onClick={onStart}>
          {action === "adopt" ? "Make images" : `Delete ${counted(orphans.length, "object")}`}
        </button>
      </Choices>
    </Dialog>
  );
}
