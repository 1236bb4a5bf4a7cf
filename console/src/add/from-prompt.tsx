import { useRef, useState } from "preact/hooks";

import { Refused, call } from "../api/client.ts";
import type { GenerateRequest, Image, Visibility } from "../api/types.ts";
import { duration } from "../format.ts";
import { Thumbnail } from "../gallery/grid.tsx";
import { forgetGallery } from "../gallery/store.ts";
import { nameOf } from "../image-url.ts";
import { ProblemNote } from "../parts/problem.tsx";
import { useSeconds } from "../parts/seconds.ts";

const SIZES = ["1024x1024", "256x256", "512x512", "1536x1024", "1024x1536", "1792x1024", "1024x1792", "auto"];
const QUALITIES = ["", "standard", "hd", "low", "medium", "high", "auto"];

export function FromPrompt({ visibility }: { visibility: Visibility }) {
  const [startedAtMs, setStartedAtMs] = useState<number>();
  const [made, setMade] = useState<{ images: Image[]; by?: string }>({ images: [] });
  const [error, setError] = useState<unknown>();
  // The same request sent again after a failure is the same request to the server, which keeps what it has made.
  const last = useRef({ text: "", key: "" });
  const waitedS = useSeconds(startedAtMs);
  const submit = async (event: SubmitEvent) => {
    event.preventDefault();
    const data = new FormData(event.currentTarget as HTMLFormElement);
    const text = (name: string) => String(data.get(name) ?? "").trim();
    const body: GenerateRequest = { prompt: text("prompt"), personaId: text("personaId"), size: text("size"), n: Number(text("n")), visibility };
    if (text("quality") !== "") body.quality = text("quality") as NonNullable<GenerateRequest["quality"]>;
    const written = JSON.stringify(body);
    if (error === undefined || last.current.text !== written) last.current = { text: written, key: crypto.randomUUID?.() ?? `${Date.now()}-${Math.random()}` };
    setStartedAtMs(Date.now());
    setError(undefined);
    setMade({ images: [] });
    try {
      const answer = await call("generate-image", { body, headers: { "Idempotency-Key": last.current.key } });
      setMade({ images: answer.images.map(({ image }) => image), by: answer.generation.provider });
    } catch (refusal) {
      setError(refusal);
      if (refusal instanceof Refused) setMade({ images: (refusal.problem.images ?? []).map(({ image }) => image) });
    }
    forgetGallery();
    setStartedAtMs(undefined);
  };
  const isWaiting = startedAtMs !== undefined;
  return (
    <form class="card" onSubmit={(event) => void submit(event)} aria-labelledby="prompt-title">
      <h2 id="prompt-title">From a prompt</h2>
      <label>
        Prompt
        <textarea name="prompt" required maxLength={32_000} rows={3} />
      </label>
      <div class="row">
        <label>
          Persona
          <input name="personaId" required defaultValue="console" maxLength={200} />
        </label>
        <label>
          Size
          <select name="size">
            {SIZES.map((size) => (
              <option key={size}>{size}</option>
            ))}
          </select>
        </label>
        <label>
          Quality
          <select name="quality">
            {QUALITIES.map((quality) => (
              <option key={quality} value={quality}>
                {quality === "" ? "provider's own" : quality}
              </option>
            ))}
          </select>
        </label>
        <label>
          Images
          <input name="n" type="number" min={1} max={4} defaultValue="1" required />
        </label>
        <button class="main" disabled={isWaiting}>
          {isWaiting ? "Generating" : "Generate"}
        </button>
      </div>
      {isWaiting && (
        <>
          <progress aria-label="The provider is at work" />
          <p class="fine">The provider is at work for {duration(waitedS)}.</p>
        </>
      )}
      {error !== undefined && <ProblemNote error={error} />}
      {made.images.length > 0 && (
        <>
          <p role="status">{made.by === undefined ? "Made before the failure:" : `Made by ${made.by}, and stored:`}</p>
          <ul class="made">
            {made.images.map((image) => (
              <li key={image.id}>
                <a href={`#/picture/${image.id}`} aria-label={nameOf(image)}>
                  <Thumbnail image={image} />
                </a>
              </li>
            ))}
          </ul>
        </>
      )}
    </form>
  );
}
