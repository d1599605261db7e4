import { markHits } from "../model/search";

/** A text of more characters has an end, of at most so many, of which nothing is cut while there is a beginning. */
const LONG_LENGTH = 10;
const TAIL_LENGTH_MAX = 20;
const TAIL_LENGTH_MIN = 6;
const HEAD_LENGTH = 8;

/** A text whose first letter is of a script that is written from right to left. */
const FROM_RIGHT = /^\P{L}*[\p{Script=Arabic}\p{Script=Hebrew}]/u;
const LAST_WORD_BREAK = /[^\p{L}\p{M}](?=[\p{L}\p{M}]*$)/u;
const JOINER = "\u200d";
const REST_OF_CHARACTER = /^(?:\p{M}|\p{Emoji_Modifier}|\u200d.)*/su;

interface CutTextProps {
  text: string;
  class?: string;
  title?: string;
  /** What is searched for, marked where the text has it. */
  mark?: string;
}

/** A name that keeps its end, by which names of one kind differ: it is cut in the middle, or at its beginning where
 *  there is room for less than the end. */
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
  const dir = FROM_RIGHT.test(text) ? "rtl" : undefined;
  return (
    <span class={`cut ${className}`} dir={dir} title={shown} onCopy={copyInOneLine}>
      <span class="cut-head">
        <Marked text={text.slice(0, at)} mark={mark} />
      </span>
      <span class="cut-tail">
        <bdi>
          <Marked text={text.slice(at)} mark={mark} />
        </bdi>
      </span>
    </span>
  );
}

/** The two parts are boxes of their own, between which the browser would copy the end of a line. */
function copyInOneLine(event: ClipboardEvent): void {
  const text = getSelection()?.getRangeAt(0).toString() ?? "";
  if (!event.currentTarget || !(event.currentTarget as Element).textContent.includes(text)) return;
  event.clipboardData?.setData("text/plain", text);
  event.preventDefault();
}

/** Where the end begins of which nothing is cut: neither in a character nor in a hit. */
export function cutAt(text: string, mark: string): number {
  const tail = Math.max(TAIL_LENGTH_MIN, Math.min(TAIL_LENGTH_MAX, text.length - HEAD_LENGTH));
  let at = text.length - tail;
  if (mark !== "") {
    const hit = text.toLowerCase().lastIndexOf(mark.toLowerCase());
    if (hit >= 0 && hit < at && hit + mark.length > at) at = hit + mark.length;
  }
  // Such letters are joined in writing: no word is parted.
  if (FROM_RIGHT.test(text)) at = text.slice(0, at).search(LAST_WORD_BREAK) + 1 || at;
  // Not in the middle of a character, be it made of several.
  if (/[\uDC00-\uDFFF]/.test(text[at] ?? "")) at++;
  if (text[at - 1] === JOINER) at--;
  return at + REST_OF_CHARACTER.exec(text.slice(at))![0].length;
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
