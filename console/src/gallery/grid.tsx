// The endless grid. Only the tiles that are near the window are in the page, so that ten thousand scroll as smoothly as a hundred.
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";

import type { Image } from "../api/types.ts";
import { bytesPath, nameOf, thumbnailPath } from "../image-url.ts";
import { decodeThumbHash } from "./thumbhash.ts";

const GAP_PX = 12;
const NARROWEST_TILE_PX = 150;
const CAPTION_PX = 44;
/** Rows in the page above and below the window. */
const SPARE_ROWS = 3;

type Props = { images: Image[]; selected: ReadonlySet<string>; onToggle: (id: string) => void; onNearEnd: () => void };

export function Grid({ images, selected, onToggle, onNearEnd }: Props) {
  const list = useRef<HTMLUListElement>(null);
  const [width, setWidth] = useState(0);
  const [window, setWindow] = useState({ top: 0, height: innerHeight });
  useLayoutEffect(() => {
    const element = list.current;
    if (element === null) return;
    const measure = () => {
      setWidth(element.clientWidth);
      setWindow({ top: -element.getBoundingClientRect().top, height: innerHeight });
    };
    const observer = new ResizeObserver(measure);
    observer.observe(element);
    addEventListener("scroll", measure, { passive: true });
    addEventListener("resize", measure);
    measure();
    return () => {
      observer.disconnect();
      removeEventListener("scroll", measure);
      removeEventListener("resize", measure);
    };
  }, []);

  const columns = Math.max(2, Math.floor((width + GAP_PX) / (NARROWEST_TILE_PX + GAP_PX)));
  const tile = Math.max(0, (width - GAP_PX * (columns - 1)) / columns);
  const rowHeight = tile + CAPTION_PX + GAP_PX;
  const rows = Math.ceil(images.length / columns);
  const first = Math.max(0, Math.min(rows, Math.floor(window.top / rowHeight) - SPARE_ROWS));
  const last = Math.min(rows, Math.ceil((window.top + window.height) / rowHeight) + SPARE_ROWS);
  const isNearEnd = last >= rows;
  useEffect(() => {
    if (isNearEnd && width > 0) onNearEnd();
  }, [isNearEnd, images.length, width]);

  const shown = width === 0 ? [] : images.slice(first * columns, last * columns);
  return (
    <ul class="grid" ref={list} style={{ height: `${rows * rowHeight}px` }} onKeyDown={(event) => moveFocus(event, columns)} aria-label="Images">
      {shown.map((image, index) => {
        const position = first * columns + index;
        return (
          <li
            key={image.id}
            aria-setsize={-1}
            aria-posinset={position + 1}
            data-position={position}
            style={{
              width: `${tile}px`,
              height: `${tile + CAPTION_PX}px`,
              transform: `translate(${(position % columns) * (tile + GAP_PX)}px, ${Math.floor(position / columns) * rowHeight}px)`,
            }}
          >
            <Tile image={image} isSelected={selected.has(image.id)} onToggle={onToggle} />
          </li>
        );
      })}
    </ul>
  );
}

function Tile({ image, isSelected, onToggle }: { image: Image; isSelected: boolean; onToggle: (id: string) => void }) {
  const name = nameOf(image);
  return (
    <>
      <a href={`#/picture/${image.id}`} title={name}>
        <Thumbnail image={image} />
        <span class="caption">{name}</span>
      </a>
      <input type="checkbox" checked={isSelected} onChange={() => onToggle(image.id)} aria-label={`Select ${name}`} />
    </>
  );
}

/** A small variant, else the image itself; what a browser cannot show, such as HEIC, is named by its type. */
export function Thumbnail({ image }: { image: Image }) {
  const [failures, setFailures] = useState(0);
  const [isLoaded, setIsLoaded] = useState(false);
  const src = [thumbnailPath(image), bytesPath(image)][failures];
  if (src === undefined) return <span class="picture">{image.content_type.replace("image/", "").toUpperCase()}</span>;
  // A picture may show through: nothing stays behind it.
  return (
    <span class="picture" style={{ backgroundColor: isLoaded ? undefined : image.dominantColor }}>
      {!isLoaded && image.thumbhash !== undefined && <Blurred thumbhash={image.thumbhash} />}
      <img src={src} alt="" loading="lazy" decoding="async" onLoad={() => setIsLoaded(true)} onError={() => setFailures(failures + 1)} />
    </span>
  );
}

/** What a ThumbHash shows. On a canvas, since the policy of the page allows no `data:` URL. */
function Blurred({ thumbhash }: { thumbhash: string }) {
  const canvas = useRef<HTMLCanvasElement>(null);
  useLayoutEffect(() => {
    const pixels = decodeThumbHash(thumbhash);
    if (canvas.current === null || pixels === undefined) return;
    const { width, height, rgba } = pixels;
    Object.assign(canvas.current, { width, height });
    canvas.current.getContext("2d")?.putImageData(new ImageData(rgba, width, height), 0, 0);
  }, [thumbhash]);
  return <canvas ref={canvas} aria-hidden="true" />;
}

const STEPS: Record<string, (columns: number) => number> = {
  ArrowLeft: () => -1,
  ArrowRight: () => 1,
  ArrowUp: (columns) => -columns,
  ArrowDown: (columns) => columns,
};

/** Arrows go from tile to tile; the tiles next to the window are in the page already. */
function moveFocus(event: KeyboardEvent, columns: number): void {
  const step = STEPS[event.key];
  const tile = (event.target as HTMLElement).closest<HTMLElement>("[data-position]");
  if (step === undefined || tile === null || event.target instanceof HTMLInputElement) return;
  const next = Number(tile.dataset.position) + step(columns);
  const link = (event.currentTarget as HTMLElement).querySelector<HTMLElement>(`[data-position="${next}"] a`);
  if (link === null) return;
  event.preventDefault();
  link.focus();
}
