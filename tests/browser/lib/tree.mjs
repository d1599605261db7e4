/** The tree as the page shows it, and as the API gives it, in one form. */

/** Unfolds everything, scrolls through the whole tree and reads every action: name, parent, phase, attempt and
 *  what is below. */
export async function treeOnPage(page) {
  await page.locator("role=button[name='Expand everything']").click();
  const rows = await page.evaluate(async () => {
    const tree = document.querySelector("[role=treegrid]");
    if (!tree) return [];
    const settled = () =>
      new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
    const seen = new Map();
    for (let top = 0; ; top += tree.clientHeight / 2) {
      tree.scrollTop = top;
      await settled();
      for (const row of tree.querySelectorAll("[data-row]")) {
        seen.set(Number(row.dataset.row), {
          name: row.dataset.name,
          level: Number(row.ariaLevel ?? row.getAttribute("aria-level")),
          phase: row.querySelector(".phase").textContent,
          attempt: Number(row.querySelector(".cell-attempt").textContent.replace("×", "")),
          below: row.querySelector(".phase-bar")?.getAttribute("aria-label") ?? "",
        });
      }
      if (top >= tree.scrollHeight) break;
    }
    const total = Number(tree.getAttribute("aria-rowcount")) - 1;
    return Array.from({ length: total }, (_, index) => seen.get(index));
  });
  const ancestors = [];
  const actions = [];
  for (const { level, ...row } of rows) {
    ancestors.length = level - 1;
    const parent = ancestors.findLast((name) => !isGroup(name)) ?? null;
    ancestors.push(row.name);
    if (!isGroup(row.name)) actions.push({ ...row, parent });
  }
  return actions;
}

/** A row of a group has a name that no action can have. */
export function isGroup(name) {
  return name.includes("\u001f");
}

const TITLES = {
  QUEUED: "Queued",
  WAITING_FOR_RESOURCES: "Waiting",
  INITIALIZING: "Initializing",
  RUNNING: "Running",
  SUCCEEDED: "Succeeded",
  FAILED: "Failed",
  ABORTED: "Aborted",
  TIMED_OUT: "Timed out",
  PAUSED: "Paused",
  RECOVERED: "Recovered",
  SKIPPED: "Skipped",
};
const BAR_ORDER = [
  "FAILED",
  "TIMED_OUT",
  "ABORTED",
  "PAUSED",
  "RUNNING",
  "INITIALIZING",
  "WAITING_FOR_RESOURCES",
  "QUEUED",
  "RECOVERED",
  "SUCCEEDED",
  "SKIPPED",
];

/** The answer of `…/tree`, parents before children, each with its children right behind it. */
export function treeOfApi({ nodes }) {
  const children = new Map();
  for (const node of nodes) {
    const { parent } = node.action;
    children.set(parent, [...(children.get(parent) ?? []), node]);
  }
  const rows = [];
  const walk = (parent) => {
    for (const { action, childPhaseCounts } of children.get(parent) ?? []) {
      const below = BAR_ORDER.filter((phase) => childPhaseCounts[phase]).map(
        (phase) =>
          `${childPhaseCounts[phase].toLocaleString("en-US")} ${TITLES[phase].toLowerCase()}`,
      );
      const { name, attempt } = action;
      rows.push({ name, phase: TITLES[action.phase], attempt, below: below.join(", "), parent });
      walk(name);
    }
  };
  walk(null);
  return rows;
}

export function byName(rows) {
  return [...rows].sort((a, b) => (a.name < b.name ? -1 : 1));
}
