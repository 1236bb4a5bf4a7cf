import { Refused } from "../api/client.ts";

/** What went wrong, what to do, and the id by which the log has it. */
export function ProblemNote({ error, retry }: { error: unknown; retry?: () => void }) {
  const problem = error instanceof Refused ? error.problem : undefined;
  return (
    <div class="note bad" role="alert">
      <strong>{problem?.title ?? "It did not work"}</strong>
      <p>{problem?.detail ?? (error instanceof Error ? error.message : String(error))}</p>
      {problem && <p>{problem.remedy}</p>}
      {problem && (
        <p class="fine">
          <code>{problem.code}</code>, request <code>{problem.request_id}</code>
        </p>
      )}
      {retry && (
        <button type="button" onClick={retry}>
          Try again
        </button>
      )}
    </div>
  );
}

/** One line of it. */
export function problemLine(error: unknown): string {
  if (error instanceof Refused) return `${error.problem.title}: ${error.problem.detail} (request ${error.problem.request_id})`;
  return error instanceof Error ? error.message : String(error);
}
