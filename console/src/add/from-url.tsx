import { useState } from "preact/hooks";

import { call } from "../api/client.ts";
import type { DefaultImage, Image } from "../api/types.ts";
import { forgetGallery } from "../gallery/store.ts";
import { ProblemNote } from "../parts/problem.tsx";
import type { Labelling } from "./page.tsx";

export function FromUrl({ labelling }: { labelling: Labelling }) {
  const [url, setUrl] = useState("");
  const [isWaiting, setIsWaiting] = useState(false);
  const [image, setImage] = useState<Image>();
  const [error, setError] = useState<unknown>();
  const submit = async (event: Event) => {
    event.preventDefault();
    setIsWaiting(true);
    setImage(undefined);
    setError(undefined);
    try {
      const { context, visibility } = labelling;
      const body = { source_url: url, visibility, ...(context === "" ? {} : { context }) };
      const answer: Image | DefaultImage = await call("upload-image", { body });
      // Not asked to answer with a default image, it does not.
      if ("id" in answer) setImage(answer);
      setUrl("");
      forgetGallery();
    } catch (refusal) {
      setError(refusal);
    }
    setIsWaiting(false);
  };
  return (
    <form class="card" onSubmit={(event) => void submit(event)} aria-labelledby="url-title">
      <h2 id="url-title">From a URL</h2>
      <div class="row">
        <label class="grow">
          URL of an image
          <input type="url" required placeholder="https://" value={url} onInput={(event) => setUrl(event.currentTarget.value)} />
        </label>
        <button disabled={isWaiting}>{isWaiting ? "Fetching" : "Fetch and store"}</button>
      </div>
      {error !== undefined && <ProblemNote error={error} />}
      {image !== undefined && (
        <p role="status">
          Stored: <a href={`#/picture/${image.id}`}>{image.filename ?? image.id}</a>
        </p>
      )}
    </form>
  );
}
