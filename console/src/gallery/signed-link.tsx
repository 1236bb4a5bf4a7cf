import { useState } from "preact/hooks";

import { call } from "../api/client.ts";
import type { Image, SignedUrl } from "../api/types.ts";
import { date } from "../format.ts";
import { CopyButton } from "../parts/copy.tsx";
import { ProblemNote } from "../parts/problem.tsx";

const LIFETIMES: [string, number][] = [
  ["An hour", 3_600],
  ["A day", 86_400],
  ["7 days", 604_800],
];

/** A link that opens a private image for whoever has it. A public one needs none. */
export function SignedLink({ image }: { image: Image }) {
  const [seconds, setSeconds] = useState(3_600);
  const [signed, setSigned] = useState<SignedUrl>();
  const [error, setError] = useState<unknown>();
  if (image.visibility === "public") return null;
  const sign = async () => {
    try {
      setSigned(await call("sign-image-url", { path: { id: image.id }, body: { expiresInSeconds: seconds } }));
      setError(undefined);
    } catch (refusal) {
      setError(refusal);
    }
  };
  return (
    <section class="card" aria-label="Signed link">
      <div class="row">
        <label>
          Signed link, good for
          <select value={seconds} onChange={(event) => setSeconds(Number(event.currentTarget.value))}>
            {LIFETIMES.map(([name, value]) => (
              <option key={value} value={value}>
                {name}
              </option>
            ))}
          </select>
        </label>
        <button type="button" onClick={() => void sign()}>
          Make a link
        </button>
      </div>
      {error !== undefined && <ProblemNote error={error} />}
      {signed !== undefined && (
        <>
          <p class="wrap">
            <code>{signed.url}</code>
          </p>
          <div class="row">
            <CopyButton text={signed.url}>Copy link</CopyButton>
            <span class="fine">until {date(signed.expiresAt)}</span>
          </div>
        </>
      )}
    </section>
  );
}
