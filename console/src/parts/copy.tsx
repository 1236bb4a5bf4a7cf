import { useState } from "preact/hooks";

/** Copies a text; says so in the button for as long as one looks at it. */
export function CopyButton({ text, children }: { text: string; children: string }) {
  const [outcome, setOutcome] = useState<string>();
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(text);
      setOutcome("Copied");
    } catch {
      // Over plain http, and where it is not allowed.
      setOutcome("Not allowed here");
    }
    setTimeout(() => setOutcome(undefined), 2_000);
  };
  return (
    <button type="button" onClick={copy}>
      <span aria-live="polite">{outcome ?? children}</span>
    </button>
  );
}
