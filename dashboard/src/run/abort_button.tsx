import { useEffect, useRef, useState } from "preact/hooks";
import { ApiError, postJson } from "../api/client";
import { Icon } from "../ui/icons";

interface AbortButtonProps {
  /** Of the run or the action, whose `/abort` is asked. */
  path: string;
  what: string;
}

/** Asks for the end of a run or an action, after a question: whoever executes it hears of it. */
export function AbortButton({ path, what }: AbortButtonProps) {
  const [isAsking, setAsking] = useState(false);
  const [problem, setProblem] = useState("");
  const abort = async (reason: string): Promise<void> => {
    try {
      setProblem("");
      await postJson(`${path}/abort`, reason ? { reason } : {});
    } catch (cause) {
      setProblem(cause instanceof ApiError ? cause.message : String(cause));
    }
  };
  return (
    <>
      <button
        type="button"
        class="button"
        title={`Ask for the end of ${what}`}
        onClick={() => setAsking(true)}
      >
        <Icon name="stop" />
        <span class="wide">Abort</span>
      </button>
      {problem && (
        <span class="problem" role="alert">
          {problem}
        </span>
      )}
      {isAsking && (
        <AbortDialog
          what={what}
          onClose={() => setAsking(false)}
          onAbort={(reason) => void abort(reason)}
        />
      )}
    </>
  );
}

interface AbortDialogProps {
  what: string;
  onAbort: (reason: string) => void;
  onClose: () => void;
}

function AbortDialog({ what, onAbort, onClose }: AbortDialogProps) {
  const dialog = useRef<HTMLDialogElement>(null);
  const reason = useRef<HTMLInputElement>(null);
  useEffect(() => dialog.current?.showModal(), []);
  return (
    <dialog ref={dialog} class="ask" aria-labelledby="abort-title" onClose={onClose}>
      <h2 id="abort-title">Abort {what}?</h2>
      <p>Whoever executes it is asked to end it, and it shows here when they have.</p>
      <form method="dialog">
        <input ref={reason} class="field" aria-label="Reason" placeholder="Why (optional)" />
        <button class="button">Let it go on</button>
        <button class="button danger" onClick={() => onAbort(reason.current?.value.trim() ?? "")}>
          Abort
        </button>
      </form>
    </dialog>
  );
}
