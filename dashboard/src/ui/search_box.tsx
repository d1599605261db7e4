import { useEffect, useRef, useState } from "preact/hooks";
import type { RefObject } from "preact";
import { Icon } from "./icons";

/** Typing is told on after this pause, so that not every letter opens a stream. */
const TYPING_PAUSE_MS = 250;

interface SearchBoxProps {
  value: string;
  label: string;
  inputRef: RefObject<HTMLInputElement | null>;
  onChange: (value: string) => void;
  /** Goes from hit to hit: Enter, and with Shift back. */
  onNext?: (step: 1 | -1) => void;
}

export function SearchBox({ value, label, inputRef, onChange, onNext }: SearchBoxProps) {
  const [text, setText] = useState(value);
  const timer = useRef<ReturnType<typeof setTimeout>>(undefined);
  useEffect(() => setText(value), [value]);
  useEffect(() => () => clearTimeout(timer.current), []);

  const type = (next: string): void => {
    setText(next);
    clearTimeout(timer.current);
    timer.current = setTimeout(() => onChange(next.trim()), TYPING_PAUSE_MS);
  };
  const now = (next: string): void => {
    clearTimeout(timer.current);
    setText(next);
    onChange(next.trim());
  };
  return (
    <label class="search">
      <Icon name="search" />
      <input
        ref={inputRef}
        type="search"
        value={text}
        placeholder={label}
        aria-label={label}
        spellcheck={false}
        onInput={(event) => type(event.currentTarget.value)}
        onKeyDown={(event) => {
          if (event.key === "Enter") {
            if (text.trim() !== value) now(text);
            else onNext?.(event.shiftKey ? -1 : 1);
          }
          if (event.key === "Escape") {
            event.stopPropagation();
            if (text) now("");
            else event.currentTarget.blur();
          }
        }}
      />
      <kbd aria-hidden="true">/</kbd>
    </label>
  );
}
