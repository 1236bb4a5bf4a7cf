// The caller's token, for as long as the browser's tab is open.
const KEY = "stillstore-token";

export function token(): string | undefined {
  return sessionStorage.getItem(KEY) ?? undefined;
}

/** Undefined forgets it. */
export function setToken(value: string | undefined): void {
  if (value === undefined) sessionStorage.removeItem(KEY);
  else sessionStorage.setItem(KEY, value);
}
