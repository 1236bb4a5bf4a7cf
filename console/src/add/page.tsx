import { useEffect, useState } from "preact/hooks";

import type { Visibility } from "../api/types.ts";
import type { Place } from "../location.ts";
import { FromPrompt } from "./from-prompt.tsx";
import { FromUrl } from "./from-url.tsx";
import { Uploads } from "./uploads.tsx";
import { addFiles } from "./queue.ts";

/** What is said of every image that is added here. */
export type Labelling = { context: string; visibility: Visibility };

export function AddPage(_: { place: Place }) {
  const [labelling, setLabelling] = useState<Labelling>({ context: "", visibility: "public" });
  useEffect(() => {
    const onPaste = (event: ClipboardEvent) => {
      const files = [...(event.clipboardData?.files ?? [])];
      if (files.length > 0) addFiles(files, labelling);
    };
    addEventListener("paste", onPaste);
    return () => removeEventListener("paste", onPaste);
  }, [labelling]);
  return (
    <>
      <h1>Add</h1>
      <fieldset class="row">
        <legend>For every image that you add here</legend>
        <label>
          Visibility
          <select
            value={labelling.visibility}
            onChange={(event) => setLabelling({ ...labelling, visibility: event.currentTarget.value as Visibility })}
          >
            <option value="public">Public: anyone with the URL sees it</option>
            <option value="private">Private: signed links only</option>
          </select>
        </label>
        <label>
          Context
          <input
            placeholder="uploads"
            pattern="[a-z0-9_\-]{1,64}"
            title="1 to 64 of a-z, 0-9, _ and -"
            value={labelling.context}
            onInput={(event) => setLabelling({ ...labelling, context: event.currentTarget.value })}
          />
        </label>
      </fieldset>
      <Uploads labelling={labelling} />
      <FromUrl labelling={labelling} />
      <FromPrompt visibility={labelling.visibility} />
    </>
  );
}
