import { call } from "../api/client.ts";
import type { Holding, Share, Usage } from "../api/types.ts";
import { bytes, count, counted, dollars } from "../format.ts";
import type { Place } from "../location.ts";
import { useLoaded } from "../parts/loaded.ts";
import { ProblemNote } from "../parts/problem.tsx";
import { Chart } from "./chart.tsx";

const RESOURCES: Record<Share["resource"], string> = {
  "r2-storage": "Storage in R2",
  "r2-class-a": "Class A operations: puts and listings",
  "r2-class-b": "Class B operations: reads",
};

export function UsagePage(_: { place: Place }) {
  const { value: usage, error, isLoading, reload } = useLoaded((signal) => call("usage", { signal }), []);
  return (
    <>
      <h1>Usage</h1>
      {error !== undefined && <ProblemNote error={error} retry={reload} />}
      {usage === undefined && isLoading && <p class="fine">Asking</p>}
      {usage !== undefined && <Numbers usage={usage} />}
    </>
  );
}

function Numbers({ usage }: { usage: Usage }) {
  const { r2, d1 } = usage.storage;
  return (
    <>
      {usage.alerts.map((share) => (
        <div class="note warn" role="alert" key={share.resource}>
          <strong>
            {RESOURCES[share.resource]}: {share.percent} % of what is free is used
          </strong>
          <p>Beyond it, Cloudflare bills by its list prices.</p>
        </div>
      ))}
      <section class="card" aria-labelledby="stored-title">
        <h2 id="stored-title">Stored now</h2>
        <dl class="facts">
          <Fact name="In R2" value={`${counted(r2.images, "image")}, ${bytes(r2.bytes)}`} />
          <Fact name="In the database" value={`${counted(d1.images, "image")}, ${bytes(d1.bytes)}`} />
          {usage.cleanup !== null && usage.cleanup.images > 0 && (
            <Fact name="A cleanup would free" value={`about ${bytes(usage.cleanup.bytes)} of originals of ${counted(usage.cleanup.images, "image")} that are in R2`} />
          )}
          <Fact name="The whole database" value={usage.databaseBytes === null ? "not known" : bytes(usage.databaseBytes)} />
        </dl>
      </section>
      <section class="card" aria-labelledby="month-title">
        <h2 id="month-title">{usage.month}</h2>
        {usage.freeTier.map((share) => (
          <FreeShare key={share.resource} share={share} />
        ))}
        <p>
          {dollars(usage.dollars.soFar)} so far, {dollars(usage.dollars.projected)} by the month's end: R2, and storage of the database, beyond
          what is free.
        </p>
      </section>
      <section class="card" aria-labelledby="days-title">
        <h2 id="days-title">The last 90 days</h2>
        <Chart
          title="Bytes stored at the day's end"
          format={bytes}
          days={usage.days}
          lines={[
            { name: "R2", of: (day) => day.r2Bytes },
            { name: "Database", of: (day) => day.databaseBytes },
          ]}
        />
        <Chart
          title="Operations of R2"
          format={count}
          days={usage.days}
          lines={[
            { name: "Class A", of: (day) => day.classA },
            { name: "Class B", of: (day) => day.classB },
          ]}
        />
      </section>
      <Holdings title="By kind" holdings={usage.kinds} none="" />
      <Holdings title="By context, the largest" holdings={usage.contexts} none="no context" />
      <Holdings title="By owner, the largest" holdings={usage.owners} none="the operator" />
    </>
  );
}

function Fact({ name, value }: { name: string; value: string }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{value}</dd>
    </div>
  );
}

function FreeShare({ share: { resource, used, included, percent } }: { share: Share }) {
  const number = resource === "r2-storage" ? bytes : count;
  return (
    <>
      <p>
        {RESOURCES[resource]}: {number(used)} of {number(included)} that are free ({percent} %)
      </p>
      <progress value={Math.min(used, included)} max={included} aria-label={RESOURCES[resource]} />
    </>
  );
}

function Holdings({ title, holdings, none }: { title: string; holdings: Holding[]; none: string }) {
  if (holdings.length === 0) return null;
  return (
    <section class="card" aria-label={title}>
      <h2>{title}</h2>
      <div class="table" tabIndex={0} role="region" aria-label={`${title}: table`}>
        <table>
          <thead>
            <tr>
              <th scope="col">Name</th>
              <th scope="col" class="number">
                Images
              </th>
              <th scope="col" class="number">
                Bytes
              </th>
            </tr>
          </thead>
          <tbody>
            {holdings.map(({ name, images, bytes: size }) => (
              <tr key={name}>
                <th scope="row" class="wrap">
                  {name === "" ? none : name}
                </th>
                <td class="number">{count(images)}</td>
                <td class="number">{bytes(size)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </section>
  );
}
