/** What a reader sees of a page: which characters, and what lies over what. */

/**
 * The texts and icons in the elements that the selector has, as far as they are on the screen: each with what can be
 * read of it, its box and the row of the tree that it is in. What a reader does not see at all is left out.
 */
export function seen(page, selector) {
  return page.evaluate((roots) => {
    const ELLIPSIS_PX = 10;
    const isClipping = (value) => value !== "visible";
    const inside = (a, b) => ({
      left: Math.max(a.left, b.left),
      right: Math.min(a.right, b.right),
      top: Math.max(a.top, b.top),
      bottom: Math.min(a.bottom, b.bottom),
    });
    /** The part of the window in which what is in the element is seen. */
    const windowOf = (element) => {
      let shown = { left: 0, right: innerWidth, top: 0, bottom: innerHeight };
      for (let up = element; up && up !== document.documentElement; up = up.parentElement) {
        const style = getComputedStyle(up);
        if (style.clipPath !== "none") return null;
        if (!isClipping(style.overflowX) && !isClipping(style.overflowY)) continue;
        const box = up.getBoundingClientRect();
        const clip = { ...box.toJSON() };
        // Where text is cut the mark for that takes the place of a character.
        if (style.textOverflow === "ellipsis" && up.scrollWidth > up.clientWidth) {
          if (style.direction === "rtl") clip.left += ELLIPSIS_PX;
          else clip.right -= ELLIPSIS_PX;
        }
        shown = inside(shown, clip);
        if (style.position === "fixed") break;
      }
      return shown;
    };
    const union = (a, b) =>
      a && {
        left: Math.min(a.left, b.left),
        right: Math.max(a.right, b.right),
        top: Math.min(a.top, b.top),
        bottom: Math.max(a.bottom, b.bottom),
      };
    const found = [];
    const note = (element, text, box) => {
      const row = element.closest("[data-row], [data-run], [data-compared]");
      const { name, run, comparedName } = row?.dataset ?? {};
      found.push({
        text,
        ...box,
        row: name ?? run ?? comparedName ?? "",
        class: element.className,
      });
    };
    for (const root of document.querySelectorAll(roots)) {
      if (!root.checkVisibility({ visibilityProperty: true, opacityProperty: true })) continue;
      const nodes = document.createTreeWalker(root, NodeFilter.SHOW_TEXT | NodeFilter.SHOW_ELEMENT);
      for (let node = nodes.currentNode; node; node = nodes.nextNode()) {
        const isText = node.nodeType === Node.TEXT_NODE;
        const element = isText ? node.parentElement : node;
        if (!isText && !node.matches("svg.icon, select, .phase-bar")) continue;
        if (isText && (element.closest("select, option, title, svg") || !node.data.trim()))
          continue;
        if (!element.checkVisibility({ visibilityProperty: true, opacityProperty: true })) continue;
        const shown = windowOf(isText ? element : element.parentElement);
        if (!shown) continue;
        if (!isText) {
          const box = inside(element.getBoundingClientRect(), shown);
          if (box.right - box.left > 1 && box.bottom - box.top > 1) note(element, "", box);
          continue;
        }
        let [text, box] = ["", null];
        const range = document.createRange();
        for (let at = 0; at < node.length; at++) {
          range.setStart(node, at);
          range.setEnd(node, at + 1);
          const { left, right, top, bottom, width } = range.getBoundingClientRect();
          const middle = (top + bottom) / 2;
          if (width === 0 || left < shown.left - 1 || right > shown.right + 1) continue;
          if (middle < shown.top || middle > shown.bottom) continue;
          text += node.data[at];
          box = union(box ?? { left, right, top, bottom }, { left, right, top, bottom });
        }
        if (text.trim()) note(element, text, box);
      }
    }
    return found;
  }, selector);
}

/** By how much two things may meet: the boxes of letters are higher than the letters. */
const MEET_X_PX = 1;
const MEET_Y_PX = 4;

/** The pairs of which one lies over the other. */
export function overlaps(things) {
  const found = [];
  for (const [index, a] of things.entries())
    for (const b of things.slice(index + 1)) {
      const x = Math.min(a.right, b.right) - Math.max(a.left, b.left);
      const y = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
      if (x > MEET_X_PX && y > MEET_Y_PX)
        found.push(`"${a.text}" and "${b.text}" of ${a.row} (${Math.round(x)} px)`);
    }
  return found;
}

/** What can be read in each row of the tree, by the row's name. */
export function byRow(things) {
  const rows = new Map();
  for (const { row, text } of things) rows.set(row, `${rows.get(row) ?? ""}${text}|`);
  return rows;
}

/** Waits until `problems` finds none, and fails with what it found last. */
export async function settlesWithout(problems, where, seconds = 10) {
  const deadline = Date.now() + seconds * 1000;
  for (;;) {
    const found = await problems();
    if (found.length === 0) return;
    if (Date.now() > deadline) throw new Error(`${where}:\n  ${found.slice(0, 12).join("\n  ")}`);
    await new Promise((done) => setTimeout(done, 50));
  }
}
