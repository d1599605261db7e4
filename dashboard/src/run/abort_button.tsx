import { useRef, useState } from "preact/hooks";
import { errorText, postJson } from "../api/client";
import { Icon } from "../ui/icons";
import { QuestionDialog } from "../ui/question_dialog";

interface AbortButtonProps {
  /** Of the run or the action, whose `/abort` is asked. */
  path: string;
  what: string;
}

/** Asks for the end of a run or an action, after a question: whoever executes it hears of it. */
export function AbortButton({ path, what }: AbortButtonProps) {
  const [isAsking, setAsking] = useState(false);
  const [problem, setProblem] = useState("");
  const reason = useRef<HTMLInputElement>(null);
  const abort = async (reason: string): Promise<void> => {
    try {
      setProblem("");
      await postJson(`${path}/abort`, reason ? { reason } : {});
    } catch (cause) {
      setProblem(errorText(cause));
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
        <QuestionDialog
          title={`Abort ${what}?`}
          no="Let it go on"
          yes="Abort"
          onClose={() => setAsking(false)}
          onYes={() => void abort(reason.current?.value.trim() ?? "")}
          field={
            <input ref={reason} class="field" aria-label="Reason" placeholder="Why (optional)" />
          }
        >
          Whoever executes it is asked to end it, and it shows here when they have.
        </QuestionDialog>
      )}
    </>
  );
}
