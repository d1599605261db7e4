import type { ComponentChildren } from "preact";
import { useEffect, useId, useRef } from "preact/hooks";

interface QuestionDialogProps {
  title: string;
  /** What the two buttons say: to leave it as it is, and to do it. */
  no: string;
  yes: string;
  onYes: () => void;
  onClose: () => void;
  /** A field of the answer. */
  field?: ComponentChildren;
  children: ComponentChildren;
}

/** Asks once more before something that cannot be taken back. */
export function QuestionDialog(props: QuestionDialogProps) {
  const dialog = useRef<HTMLDialogElement>(null);
  const id = useId();
  useEffect(() => dialog.current?.showModal(), []);
  return (
    <dialog ref={dialog} class="ask" aria-labelledby={id} onClose={props.onClose}>
      <h2 id={id}>{props.title}</h2>
      <p>{props.children}</p>
      <form method="dialog">
        {props.field}
        <button class="button">{props.no}</button>
        <button class="button danger" onClick={props.onYes}>
          {props.yes}
        </button>
      </form>
    </dialog>
  );
}
