// Which page is shown, as the address says behind `#/`.
import { useEffect, useState } from "preact/hooks";

export type Place = { page: string; id: string; query: URLSearchParams };

export function placeNow(): Place {
  const [path = "", search = ""] = location.hash.replace(/^#\/?/, "").split("?", 2);
  const [page = "", ...rest] = path.split("/");
  return { page: page === "" ? "gallery" : page, id: decoded(rest.join("/")), query: new URLSearchParams(search) };
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

export function go(hash: string): void {
  location.hash = hash;
}

export function usePlace(): Place {
  const [place, setPlace] = useState(placeNow);
  useEffect(() => {
    const onChange = () => setPlace(placeNow());
    addEventListener("hashchange", onChange);
    return () => removeEventListener("hashchange", onChange);
  }, []);
  return place;
}
