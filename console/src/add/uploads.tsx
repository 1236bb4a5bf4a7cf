import { useEffect, useRef, useState } from "preact/hooks";

import { bytes, counted } from "../format.ts";
import { ProblemNote } from "../parts/problem.tsx";
import type { Labelling } from "./page.tsx";
import { addFiles, clearEnded, listen, retry, uploadsNow } from "./queue.ts";
import type { Upload } from "./queue.ts";

const ACCEPTED = "image/jpeg,image/png,image/gif,image/webp,image/svg+xml,image/avif,image/heic,.heic";

export function Uploads({ labelling }: { labelling: Labelling }) {
  const [isOver, setIsOver] = useState(false);
  const [, setVersion] = useState(0);
  const input = useRef<HTMLInputElement>(null);
  useEffect(() => listen(() => setVersion((version) => version + 1)), []);
  const uploads = uploadsNow();
  const stored = uploads.filter(({ state }) => state === "stored").length;
  const failed = uploads.filter(({ state }) => state === "failed").length;
  const drop = (event: DragEvent) => {
    event.preventDefault();
    setIsOver(false);
    addFiles([...(event.dataTransfer?.files ?? [])], labelling);
  };
  const pick = (event: Event) => {
    const element = event.currentTarget as HTMLInputElement;
    addFiles([...(element.files ?? [])], labelling);
    element.value = "";
  };
  return (
    <section class="card" aria-labelledby="files-title">
      <h2 id="files-title">Files</h2>
      <div
        class={isOver ? "drop over" : "drop"}
        onDragOver={(event) => (event.preventDefault(), setIsOver(true))}
        onDragLeave={() => setIsOver(false)}
        onDrop={drop}
      >
        <p>Drop images here, paste them, or</p>
        <button type="button" class="main" onClick={() => input.current?.click()}>
          Choose files
        </button>
        <input ref={input} type="file" multiple accept={ACCEPTED} hidden onChange={pick} aria-label="Files to add" />
      </div>
      {uploads.length > 0 && (
        <>
          <div class="row">
            <span role="status">
              {stored} of {counted(uploads.length, "file")} stored{failed > 0 && `, ${failed} failed`}
            </span>
            <button type="button" class="quiet" onClick={clearEnded}>
              Clear the list
            </button>
          </div>
          <ul class="plain">
            {uploads.map((upload) => (
              <UploadRow key={upload.id} upload={upload} />
            ))}
          </ul>
        </>
      )}
    </section>
  );
}

function UploadRow({ upload }: { upload: Upload }) {
  const { file, state, sentBytes, image, error } = upload;
  return (
    <li class="item">
      <div class="row spread">
        <span class="wrap">{file.name}</span>
        <span class="fine">
          {state === "sending" && `${bytes(sentBytes)} of `}
          {bytes(file.size)}
        </span>
        {state === "waiting" && <span class="fine">waiting</span>}
        {state === "stored" && image && <a href={`#/picture/${image.id}`}>Stored{image.fallbackReason ? " in the database" : ""}</a>}
        {state === "sending" && (
          <button type="button" class="quiet" onClick={upload.cancel}>
            Cancel
          </button>
        )}
        {state === "cancelled" && (
          <button type="button" class="quiet" onClick={() => retry(upload)}>
            Cancelled: send again
          </button>
        )}
      </div>
      {state === "sending" && <progress value={sentBytes} max={file.size} aria-label={`Sent of ${file.name}`} />}
      {image?.fallbackReason && <p class="fine">R2 did not take it ({image.fallbackReason}); it is in the database and can be moved later.</p>}
      {state === "failed" && <ProblemNote error={error} retry={() => retry(upload)} />}
    </li>
  );
}
