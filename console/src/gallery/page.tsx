import { useEffect, useState } from "preact/hooks";

import type { StorageKind } from "../api/types.ts";
import { counted } from "../format.ts";
import { go } from "../location.ts";
import type { Place } from "../location.ts";
import { ProblemNote } from "../parts/problem.tsx";
import { Grid } from "./grid.tsx";
import { SelectionBar } from "./selection.tsx";
import { TEXT_FILTERS, forgetGallery, galleryOf, loadMore } from "./store.ts";
import type { Filters } from "./store.ts";

export function GalleryPage({ place, isOperator }: { place: Place; isOperator: boolean }) {
  const filters = filtersOf(place.query);
  const gallery = galleryOf(filters);
  const [, setVersion] = useState(0);
  const [selected, setSelected] = useState<ReadonlySet<string>>(new Set());
  useEffect(() => {
    const onChange = () => setVersion((version) => version + 1);
    gallery.listening.add(onChange);
    if (gallery.images.length === 0) void loadMore(gallery);
    scrollTo(0, gallery.scrollTop);
    setSelected(new Set());
    const onScroll = () => (gallery.scrollTop = scrollY);
    addEventListener("scroll", onScroll, { passive: true });
    return () => {
      gallery.listening.delete(onChange);
      removeEventListener("scroll", onScroll);
    };
  }, [gallery]);

  const { images, cursor, error, loading } = gallery;
  const toggle = (id: string) => {
    const next = new Set(selected);
    if (!next.delete(id)) next.add(id);
    setSelected(next);
  };
  const reload = () => {
    forgetGallery();
    setVersion((version) => version + 1);
  };
  const isFiltered = Object.keys(filters).length > 0;
  return (
    <>
      <h1>Gallery</h1>
      <FilterBar filters={filters} isOperator={isOperator} onReload={reload} />
      <p class="fine" role="status">
        {loading ? "Loading" : cursor === undefined ? counted(images.length, "image") : `${counted(images.length, "image")} so far`}
      </p>
      {error !== undefined && <ProblemNote error={error} retry={() => void loadMore(gallery)} />}
      {images.length === 0 && cursor === undefined && (
        <div class="note">
          {isFiltered ? "No image fits these filters." : "Nothing is stored yet. "}
          {!isFiltered && <a href="#/add">Add the first image</a>}
        </div>
      )}
      <Grid images={images} selected={selected} onToggle={toggle} onNearEnd={() => error === undefined && void loadMore(gallery)} />
      {gallery.isPaused && loading === undefined && (
        <div class="note">
          Many images were looked through, and more are left.{" "}
          <button type="button" onClick={() => void loadMore(gallery)}>
            Go on
          </button>
        </div>
      )}
      {selected.size > 0 && (
        <SelectionBar images={images.filter(({ id }) => selected.has(id))} onClear={() => setSelected(new Set())} />
      )}
    </>
  );
}

function filtersOf(query: URLSearchParams): Filters {
  const storage = query.get("storage");
  const texts = TEXT_FILTERS.flatMap((name) => (query.get(name) ? [[name, query.get(name)]] : []));
  return { ...Object.fromEntries(texts), ...(storage === "r2" || storage === "d1" ? { storage } : {}) };
}

type Field = { name: (typeof TEXT_FILTERS)[number]; label: string; isMore?: true; isDate?: true; isOperators?: true };

const FIELDS: Field[] = [
  { name: "search", label: "File name or label" },
  { name: "context", label: "Context" },
  { name: "personaId", label: "Persona" },
  { name: "sessionId", label: "Session", isMore: true },
  { name: "ownerId", label: "Owner", isMore: true, isOperators: true },
  { name: "createdFrom", label: "From", isMore: true, isDate: true },
  { name: "createdTo", label: "Before", isMore: true, isDate: true },
];

function FilterBar({ filters, isOperator, onReload }: { filters: Filters; isOperator: boolean; onReload: () => void }) {
  const submit = (event: SubmitEvent) => {
    event.preventDefault();
    const data = new FormData(event.currentTarget as HTMLFormElement);
    const pairs = [...TEXT_FILTERS, "storage"].flatMap((name) => {
      const value = String(data.get(name) ?? "").trim();
      return value === "" ? [] : [[name, value]];
    });
    const search = new URLSearchParams(pairs).toString();
    go(search === "" ? "#/gallery" : `#/gallery?${search}`);
  };
  const submitNow = (event: Event) => (event.currentTarget as HTMLElement).closest("form")?.requestSubmit();
  const shown = FIELDS.filter(({ isOperators }) => isOperator || !isOperators);
  const input = ({ name, label, isDate }: Field) => (
    <label key={name}>
      {label}
      {isDate ? <input name={name} type="date" defaultValue={filters[name] ?? ""} /> : <input name={name} defaultValue={filters[name] ?? ""} />}
    </label>
  );
  return (
    <form class="filters" onSubmit={submit} key={JSON.stringify(filters)} aria-label="Filters">
      {shown.filter(({ isMore }) => !isMore).map(input)}
      <label>
        Storage
        <select name="storage" onChange={submitNow}>
          {(["", "r2", "d1"] satisfies (StorageKind | "")[]).map((storage) => (
            <option key={storage} value={storage} selected={storage === (filters.storage ?? "")}>
              {{ "": "Any", r2: "R2", d1: "Database" }[storage]}
            </option>
          ))}
        </select>
      </label>
      <div class="row">
        <button>Filter</button>
        <button type="button" class="quiet" onClick={onReload}>
          Reload
        </button>
      </div>
      <details open={shown.some(({ name, isMore }) => isMore && filters[name] !== undefined)}>
        <summary>More filters</summary>
        <div class="filters">{shown.filter(({ isMore }) => isMore).map(input)}</div>
      </details>
    </form>
  );
}
