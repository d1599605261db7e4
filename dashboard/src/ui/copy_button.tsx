import { useEffect, useState } from "preact/hooks";
import { Icon } from "./icons";

/** Puts text on the clipboard, also on pages without TLS, where the clipboard API is missing. */
async function copyText(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const focused = document.activeElement;
    const area = document.createElement("textarea");
    area.value = text;
    area.className = "visually-hidden";
    document.body.append(area);
    area.select();
    const copied = document.execCommand("copy");
    area.remove();
    if (focused instanceof HTMLElement) focused.focus({ preventScroll: true });
    return copied;
  }
}

/** What copies the text, and whether it has just done so. */
function useCopy(text: () => string): [isCopied: boolean, copy: () => void] {
  const [isCopied, setCopied] = useState(false);
  useEffect(() => {
    if (!isCopied) return;
    const timer = setTimeout(() => setCopied(false), 1500);
    return () => clearTimeout(timer);
  }, [isCopied]);
  return [isCopied, () => void copyText(text()).then(setCopied)];
}

export function CopyButton({ text, label }: { text: string; label: string }) {
  const [isCopied, copy] = useCopy(() => text);
  return (
    <button type="button" class="button small" onClick={copy}>
      <Icon name={isCopied ? "check" : "copy"} />
      <span aria-live="polite">{isCopied ? "Copied" : label}</span>
    </button>
  );
}

/** Copies the address as it is: with the filter, the folds, the zoom and the action. */
export function CopyLink() {
  const [isCopied, copy] = useCopy(() => location.href);
  const title = isCopied ? "Copied" : "Copy the link to this view";
  return (
    <button type="button" class="button quiet" aria-label={title} title={title} onClick={copy}>
      <Icon name={isCopied ? "check" : "share"} />
    </button>
  );
}
