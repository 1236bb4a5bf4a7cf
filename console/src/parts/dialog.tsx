import type { ComponentChildren } from "preact";
import { useEffect, useId, useRef } from "preact/hooks";

type Props = { title: string; onClose: () => void; children: ComponentChildren };

/** A question in front of the page. The browser keeps the focus in it, and Escape closes it. */
export function Dialog({ title, onClose, children }: Props) {
  const dialog = useRef<HTMLDialogElement>(null);
  const id = useId();
  useEffect(() => {
    const element = dialog.current;
    element?.showModal();
    return () => element?.close();
  }, []);
  return (
    <dialog ref={dialog} aria-labelledby={id} onCancel={(event) => (event.preventDefault(), onClose())}>
      <h2 id={id}>{title}</h2>
      {children}
    </dialog>
  );
}

/** The buttons at the end of a dialog; the one that does nothing comes first and has the focus. */
export function Choices({ cancel = "Cancel", onCancel, children }: { cancel?: string; onCancel: () => void; children: ComponentChildren }) {
  return (
    <div class="row end">
      <button type="button" autofocus onClick={onCancel}>
        {cancel}
      </button>
      {children}
    </div>
  );
}
