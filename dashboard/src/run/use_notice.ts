import { useEffect, useRef, useState } from "preact/hooks";
import failed from "../favicons/failed.svg";
import running from "../favicons/running.svg";
import succeeded from "../favicons/succeeded.svg";
import usual from "../favicon.svg";
import { isTerminal, phaseTitle, type Phase } from "../model/phase";
import { progressText, type Progress } from "../model/progress";

/** The icon of the tab says how the run stands. */
export function useFavicon(phase: Phase | null, failures: number): void {
  const icon =
    phase === null
      ? usual
      : failures > 0 || phase === "FAILED" || phase === "TIMED_OUT"
        ? failed
        : !isTerminal(phase)
          ? running
          : phase === "SUCCEEDED" || phase === "RECOVERED"
            ? succeeded
            : usual;
  useEffect(() => {
    const link = document.querySelector<HTMLLinkElement>("link[rel=icon]");
    if (!link) return;
    link.href = icon;
    return () => {
      link.href = usual;
    };
  }, [icon]);
}

export type NoticeState = "off" | "on" | "denied" | "unavailable";

/** Tells of the run's first failure and of its end, once the reader has asked for it; only then is the browser asked. */
export function useNotice(
  name: string,
  phase: Phase | null,
  progress: Progress,
): { state: NoticeState; toggle: () => void } {
  const [state, setState] = useState<NoticeState>(
    typeof Notification === "undefined" || !isSecureContext ? "unavailable" : "off",
  );
  const told = useRef({ failed: 0, isOver: false });
  const isOver = phase !== null && isTerminal(phase);
  useEffect(() => {
    const before = told.current;
    told.current = { failed: progress.failed, isOver };
    if (state !== "on") return;
    const isFirstFailure = before.failed === 0 && progress.failed > 0 && !isOver;
    const hasEnded = isOver && !before.isOver;
    if (!isFirstFailure && !hasEnded) return;
    const what = hasEnded && phase ? phaseTitle(phase) : "First failure";
    try {
      const body = progressText(progress);
      const notice = new Notification(`${what}: ${name}`, { body, tag: name });
      notice.onclick = () => focus();
    } catch {
      // Chrome on Android has it for service workers only.
      setState("unavailable");
    }
  }, [state, phase, progress.failed, isOver]);
  const toggle = (): void => {
    if (state === "on") setState("off");
    else if (state !== "unavailable")
      void Notification.requestPermission().then((answer) =>
        setState(answer === "granted" ? "on" : "denied"),
      );
  };
  return { state, toggle };
}
