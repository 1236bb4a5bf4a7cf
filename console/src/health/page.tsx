import { call } from "../api/client.ts";
import type { Health } from "../api/types.ts";
import type { Place } from "../location.ts";
import { useLoaded } from "../parts/loaded.ts";
import { ProblemNote } from "../parts/problem.tsx";

const STATUS: Record<Health["status"], { kind: string; words: string }> = {
  healthy: { kind: "good", words: "Everything works." },
  degraded: { kind: "warn", words: "Images can be stored and read, but something needs attention." },
  unhealthy: { kind: "bad", words: "The database does not answer: nothing can be stored or read." },
};

const DATABASE: Record<Health["services"]["database"], string> = {
  healthy: "answers",
  unhealthy: "does not answer. Check the binding DB in wrangler.toml, and that the migrations were applied.",
};

const R2: Record<Health["services"]["r2_storage"], string> = {
  enabled: "answers; new images go there",
  disabled: "is turned off: ENABLE_R2_STORAGE is not \"true\", so new images go into the database",
  error: "does not answer. New images go into the database until it does; check the binding R2_IMAGES and Cloudflare's status page.",
};

export function HealthPage(_: { place: Place }) {
  const { value: health, error, isLoading, reload } = useLoaded((signal) => call("health", { signal }), []);
  return (
    <>
      <h1>Health</h1>
      {error !== undefined && <ProblemNote error={error} retry={reload} />}
      {health !== undefined && (
        <>
          <div class={`note ${STATUS[health.status].kind}`} role="status">
            <strong>{health.status}</strong>
            <p>{STATUS[health.status].words}</p>
          </div>
          <dl class="facts">
            <div>
              <dt>Database (D1)</dt>
              <dd>{DATABASE[health.services.database]}</dd>
            </div>
            <div>
              <dt>Bucket (R2)</dt>
              <dd>{R2[health.services.r2_storage]}</dd>
            </div>
            <div>
              <dt>Version</dt>
              <dd>{health.version}</dd>
            </div>
          </dl>
          <h2>Configuration</h2>
          {health.configuration.length === 0 ? (
            <p>Every variable can be used.</p>
          ) : (
            <>
              <p>
                While one of these variables cannot be used, stored images stay readable and every other route is closed. Correct them in{" "}
                <code>wrangler.toml</code>, or with <code>npx wrangler secret put</code>, and deploy.
              </p>
              <ul>
                {health.configuration.map(({ variable, rule, given }) => (
                  <li key={variable + rule}>
                    <code>{variable}</code> {rule}
                    {given !== undefined && (
                      <>
                        ; it has <code>{given}</code>
                      </>
                    )}
                  </li>
                ))}
              </ul>
            </>
          )}
          <div class="row">
            <button type="button" onClick={reload} disabled={isLoading}>
              Look again
            </button>
          </div>
        </>
      )}
    </>
  );
}
