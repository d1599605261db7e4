import { useEffect, useRef } from "preact/hooks";

interface DeleteDialogProps {
  what: string;
  onDelete: () => void;
  onClose: () => void;
}

/** Asks once more before a run goes for good. */
export function DeleteDialog({ what, onDelete, onClose }: DeleteDialogProps) {
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => dialog.current?.showModal(), []);
  return (
    <dialog ref={dialog} class="ask" aria-labelledby="delete-title" onClose={onClose}>
      <h2 id="delete-title">Delete this run?</h2>
      <p>
        <strong>{what}</strong> goes with all of its actions and events, for everybody and for good.
      </p>
      <form method="dialog">
        <button class="button">Keep it</button>
        <button class="button danger" onClick={onDelete}>
          Delete
        </button>
      </form>
    </dialog>
  );
}
