import { useState } from "preact/hooks";

import { Refused, call } from "../api/client.ts";
import type { Image } from "../api/types.ts";
import { bytes, counted } from "../format.ts";
import { nameOf } from "../image-url.ts";
import { Choices, Dialog } from "../parts/dialog.tsx";
import { problemLine } from "../parts/problem.tsx";
import { takeOut } from "./store.ts";

/** Deletions under way at once. */
const CONCURRENCY = 4;

type Failure = { image: Image; error: unknown };

type Stage =
  | { name: "asking" }
  | { name: "deleting"; done: number; total: number }
  | { name: "done"; inUse: Failure[]; failed: Failure[]; isPending: boolean };

type Props = { images: Image[]; onClose: (deleted: string[]) => void };

/** Asks once, says what goes and how many, deletes, and says what did not go. */
export function DeletionDialog({ images, onClose }: Props) {
  const [stage, setStage] = useState<Stage>({ name: "asking" });
  const [deleted, setDeleted] = useState<string[]>([]);

  const remove = async (wanted: Image[], force: boolean) => {
    const outcome = { inUse: [] as Failure[], failed: [] as Failure[], isPending: false };
    const gone: string[] = [];
    const queue = [...wanted];
    let done = 0;
    setStage({ name: "deleting", done, total: wanted.length });
    const worker = async () => {
      for (let image = queue.shift(); image !== undefined; image = queue.shift()) {
        try {
          await call("delete-image", { path: { id: image.id }, query: force ? { force } : {} });
          gone.push(image.id);
        } catch (error) {
          const isInUse = error instanceof Refused && error.problem.code === "image-in-use";
          // Unreadable all the same: the rest goes as soon as storage answers again.
          if (error instanceof Refused && error.problem.code === "storage-unavailable") {
            outcome.isPending = true;
            gone.push(image.id);
          } else (isInUse ? outcome.inUse : outcome.failed).push({ image, error });
        }
        done += 1;
        setStage({ name: "deleting", done, total: wanted.length });
      }
    };
    await Promise.all(Array.from({ length: CONCURRENCY }, worker));
    const all = [...deleted, ...gone];
    setDeleted(all);
    takeOut(gone);
    if (outcome.inUse.length + outcome.failed.length === 0 && !outcome.isPending) onClose(all);
    else setStage({ name: "done", ...outcome });
  };

  const size = images.reduce((sum, image) => sum + (image.size ?? 0), 0);
  const what = images.length === 1 && images[0] ? nameOf(images[0]) : counted(images.length, "image");
  if (stage.name === "deleting") {
    return (
      <Dialog title={`Deleting ${what}`} onClose={() => {}}>
        <progress value={stage.done} max={stage.total} aria-label="Deleted" />
        <p role="status">
          {stage.done} of {stage.total}
        </p>
      </Dialog>
    );
  }
  if (stage.name === "done") {
    return (
      <Dialog title={`${counted(deleted.length, "image")} deleted`} onClose={() => onClose(deleted)}>
        {stage.isPending && <p>Storage did not answer. The images can no longer be read; their bytes are removed when it answers again.</p>}
        {stage.inUse.length > 0 && (
          <>
            <p>
              {counted(stage.inUse.length, "image is", "images are")} still shown by rows of your application, which would then name images
              that are gone. Rolling the move back restores the rows instead.
            </p>
            <FailureList failures={stage.inUse} />
          </>
        )}
        {stage.failed.length > 0 && (
          <>
            <p>{counted(stage.failed.length, "image was", "images were")} not deleted:</p>
            <FailureList failures={stage.failed} />
          </>
        )}
        <Choices cancel="Close" onCancel={() => onClose(deleted)}>
          {stage.inUse.length > 0 && (
            <button type="button" class="danger" onClick={() => void remove(stage.inUse.map(({ image }) => image), true)}>
              Delete {counted(stage.inUse.length, "image")} all the same
            </button>
          )}
        </Choices>
      </Dialog>
    );
  }
  return (
    <Dialog title={`Delete ${what}?`} onClose={() => onClose([])}>
      <p>
        {bytes(size)} of image bytes, with prompts, labels and ids, are removed from storage. Every URL stops working at once. This cannot be
        undone.
      </p>
      <Choices onCancel={() => onClose([])}>
        <button type="button" class="danger" onClick={() => void remove(images, false)}>
          Delete {counted(images.length, "image")}
        </button>
      </Choices>
    </Dialog>
  );
}

function FailureList({ failures }: { failures: Failure[] }) {
  return (
    <ul class="scroll" tabIndex={0} aria-label="Not deleted">
      {failures.map(({ image, error }) => (
        <li key={image.id}>
          {nameOf(image)}: {problemLine(error)}
        </li>
      ))}
    </ul>
  );
}
