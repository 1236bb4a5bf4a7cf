import { useState } from "preact/hooks";

import { call } from "../api/client.ts";
import type { Image } from "../api/types.ts";
import { bytes, count, date } from "../format.ts";
import { bytesPath, fileNameOf, nameOf } from "../image-url.ts";
import { go } from "../location.ts";
import type { Place } from "../location.ts";
import { CopyButton } from "../parts/copy.tsx";
import { useLoaded } from "../parts/loaded.ts";
import { ProblemNote } from "../parts/problem.tsx";
import { DeletionDialog } from "./deletion.tsx";
import { Preview } from "./preview.tsx";
import { SignedLink } from "./signed-link.tsx";

export function PicturePage({ place }: { place: Place }) {
  const { value: image, error, reload } = useLoaded((signal) => call("describe-image", { path: { id: place.id }, signal }), [place.id]);
  return (
    <>
      <p>
        <a href="#/gallery">Back to the gallery</a>
      </p>
      {error !== undefined && <ProblemNote error={error} retry={reload} />}
      {image !== undefined && <Picture image={image} />}
    </>
  );
}

function Picture({ image }: { image: Image }) {
  const [isDeleting, setIsDeleting] = useState(false);
  return (
    <>
      <h1 class="wrap">{nameOf(image)}</h1>
      <div class="row">
        <CopyButton text={image.visibility === "public" ? image.url : new URL(bytesPath(image), location.href).href}>Copy URL</CopyButton>
        <a class="button" href={bytesPath(image)} download={fileNameOf(image)}>
          Download
        </a>
        <button type="button" class="danger" onClick={() => setIsDeleting(true)}>
          Delete
        </button>
      </div>
      <div class="columns">
        <Preview image={image} />
        <div>
          <SignedLink image={image} />
          <Facts image={image} />
        </div>
      </div>
      {isDeleting && (
        <DeletionDialog
          images={[image]}
          onClose={(deleted) => {
            setIsDeleting(false);
            if (deleted.length > 0) go("#/gallery");
          }}
        />
      )}
    </>
  );
}

/** Everything that the record says. */
function Facts({ image }: { image: Image }) {
  const { generation } = image;
  const facts: [string, string | number | null | undefined][] = [
    ["Type", image.content_type],
    ["Size", image.size === null ? null : `${bytes(image.size)} (${count(image.size)} bytes)`],
    ["Dimensions", image.width === null ? null : `${image.width} × ${image.height}`],
    ["Orientation", image.orientation],
    ["Storage", image.storage === "r2" ? "R2" : "Database"],
    ["In the database because", image.fallbackReason],
    ["Visibility", image.visibility],
    ["Status", image.status],
    ["Added", date(image.createdAt)],
    ["Changed", image.updatedAt === image.createdAt ? null : date(image.updatedAt)],
    ["URL", image.url],
    ["URL ends", image.urlExpiresAt === undefined ? null : date(image.urlExpiresAt)],
    ["Key", image.key],
    ["Id", image.id],
    ["SHA-256", image.sha256],
    ["File name", image.filename],
    ["Context", image.context],
    ["Persona", image.personaId],
    ["Session", image.sessionId],
    ["Participant", image.participantId],
    ["Table", image.tableId],
    ["Made of", image.parentId ?? null],
    ["Moved out of", image.source === undefined ? null : `${image.source}, row ${image.sourceItem}`],
    ["Prompt", generation?.prompt],
    ["Revised prompt", generation?.revised_prompt],
    ["Provider", generation?.provider],
    ["Model", generation?.model],
    ["Asked size", generation?.size],
    ["Quality", generation?.quality],
    ["Style", generation?.style],
    ["Tokens", generation?.total_tokens],
    ...Object.entries(image.metadata).map(([name, value]): [string, string] => [`Label ${name}`, value]),
  ];
  return (
    <dl class="facts">
      {facts.flatMap(([name, value]) =>
        value === null || value === undefined
          ? []
          : [
              <div key={name}>
                <dt>{name}</dt>
                <dd class="wrap">{value}</dd>
              </div>,
            ],
      )}
    </dl>
  );
}
