import { markHits } from "../model/search";

/** So much of the end of a long text stays when there is no room for all of it. */
const TAIL_LENGTH = 8;
const LONG_LENGTH = 10;

interface CutTextProps {
  text: string;
  class?: string;
  title?: string;
  /** What is searched for, marked where the text has it. */
  mark?: string;
}

/** A name that keeps its end, by which names of one kind differ, and is cut in the middle. */
export function CutText({ text, title, mark = "", class: className = "" }: CutTextProps) {
  const shown = title ?? text;
  if (text.length <= LONG_LENGTH)
    return (
      <span class={className} title={shown}>
        <Marked text={text} mark={mark} />
      </span>
    );
  // A hit that would lie across the cut is marked in neither half; then the text is cut at the hit's end.
  const at = cutAt(text, mark);
  return (
    <span class={`cut ${className}`} title={shown}>
      <span class="cut-head">
        <Marked text={text.slice(0, at)} mark={mark} />
      </span>
      <span class="cut-tail">
        <Marked text={text.slice(at)} mark={mark} />
      </span>
    </span>
  );
}

function cutAt(text: string, mark: string): number {
  let at = text.length - TAIL_LENGTH;
  if (mark !== "") {
    const hit = text.toLowerCase().lastIndexOf(mark.toLowerCase());
    if (hit >= 0 && hit < at && hit + mark.length > at) at = hit + mark.length;
  }
  // Not in the middle of a character.
  return /[\uDC00-\uDFFF]/.test(text[at] ?? "") ? at + 1 : at;
}

export function Marked({ text, mark }: { text: string; mark: string }) {
  if (mark === "") return <>{text}</>;
  return (
    <>
      {markHits(text, mark).map((part, index) =>
        part.isHit ? <mark key={index}>{part.text}</mark> : part.text,
      )}
    </>
  );
}
