/** axe-core finds nothing serious on any page, in either colour scheme, in any window; and nothing is cut off. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import axe from "axe-core";
import { assertCleanPage, launch, openPage, runAddress, waitForStream } from "./lib/browser.mjs";
import { inventRun } from "./lib/invent.mjs";
import { Runtree } from "./lib/runtree.mjs";

const RUN = { project: "film", domain: "production", runName: "night-axe" };
const HALF = { ...RUN, runName: "night-half" };
const FAILED = { ...RUN, runName: "night-failed" };

let runtree, browser;

before(async () => {
  runtree = await Runtree.start();
  browser = await launch();
});

after(async () => {
  await browser?.close();
  await runtree?.remove();
});

async function assertAccessible(page, where) {
  await page.evaluate(axe.source);
  const { violations, passes } = await page.evaluate(() =>
    window.axe.run(document, { resultTypes: ["violations"] }),
  );
  assert.ok(passes.length > 10, `${where}: only ${passes.length} rules had anything to look at`);
  const serious = violations.filter(({ impact }) => impact === "serious" || impact === "critical");
  const told = serious.map(
    ({ id, help, nodes }) =>
      `${where}: ${id}: ${help}\n  ${nodes
        .slice(0, 3)
        .map((node) => `${node.html}\n  ${node.failureSummary}`)
        .join("\n  ")}`,
  );
  assert.deepEqual(told, []);
}

for (const colorScheme of ["light", "dark"]) {
  test(`nothing serious, ${colorScheme}`, async () => {
    const context = await browser.newContext({
      colorScheme,
      viewport: { width: 1440, height: 900 },
    });
    const page = await openPage(context, runtree.url);
    await page.waitForSelector(colorScheme === "light" ? ".first-run" : ".runs");
    await assertAccessible(page, "runs");
    if (colorScheme === "light") {
      await runtree.report(inventRun(RUN));
      const events = inventRun(HALF);
      await runtree.report(events.slice(0, events.length / 3));
      await runtree.report([
        { ...FAILED, name: "root", parent: null, phase: "RUNNING", run: { labels: { team: "a" } } },
        {
          ...FAILED,
          name: "part",
          parent: "root",
          phase: "FAILED",
          errorInfo: { kind: "USER", message: Array(20).fill("a line of a trace").join("\n") },
          logInfo: [{ name: "stdout", uri: "https://logs.example/1" }],
        },
      ]);
      await page.waitForSelector(".runs");
      await assertAccessible(page, "runs");
    }
    for (const run of [RUN, HALF]) {
      await page.goto(runAddress(runtree.url, run));
      await waitForStream(page, ["Live"]);
      await assertAccessible(page, "run");
    }
    await page.goto(runAddress(runtree.url, RUN, "action=scene-0.shot-0.frame-10"));
    await page.waitForSelector(".attempt");
    await assertAccessible(page, "action");
    await page.click("role=tab[name='Raw events']");
    await page.click(".events summary >> nth=0");
    await assertAccessible(page, "events");
    await page.keyboard.press("Escape");
    await page.click("[aria-label='Keyboard help']");
    await page.waitForSelector("dialog[open]");
    await assertAccessible(page, "help");
    await page.goto(runAddress(runtree.url, { ...RUN, runName: "unknown" }));
    await page.waitForSelector("text=has not begun");
    await assertAccessible(page, "no such run");
    assertCleanPage(page);
  });
}

/** What the page can show: how to get there, and what is there then. */
const VIEWS = [
  ["the list", "", ".runs tbody tr"],
  ["a run", { run: FAILED }, "[data-name=part]"],
  ["a run that goes on", { run: HALF }, ".facts .phase:text-is('Running')"],
  ["a table", { run: RUN, query: "sort=duration&critical=on" }, "[data-name]"],
  ["a search", { run: RUN, query: "name=frame-21" }, ".hits:has-text('16')"],
  ["a comparison", { run: RUN, query: "compare=night-half" }, "[data-compared]"],
  ["a replay", { run: RUN, query: "at=2026-04-12T20:00:25.000Z" }, ".replay-time[aria-busy=false]"],
  ["an action", { run: FAILED, query: "action=part" }, ".error-box"],
  [
    "an action of a replay",
    { run: RUN, query: "at=2026-04-12T20:00:25.000Z&action=night" },
    ".attempt",
  ],
];
/** What is opened from which view. */
const DIALOGS = [
  ["the list", "delete", (page) => page.click("[aria-label='Delete night-half']")],
  ["a run", "help", (page) => page.keyboard.press("?")],
  ["a run that goes on", "abort", (page) => page.click("button:has-text('Abort')")],
];

async function assertFits(page, where) {
  const sideways = await page.evaluate(() => document.scrollingElement.scrollWidth - innerWidth);
  assert.ok(sideways <= 0, `${where}: ${sideways} pixels lie at the side`);
}

for (const [width, height, more] of [
  [1440, 900, {}],
  [640, 800, {}],
  [390, 844, { reducedMotion: "reduce" }],
  // 1440 x 900 at 200 % and at 400 %.
  [720, 450, {}],
  [360, 225, {}],
  [1440, 900, { forcedColors: "active", reducedMotion: "reduce" }],
  [390, 844, { forcedColors: "active" }],
]) {
  const how = [`${width} x ${height}`, ...Object.keys(more)].join(", ");
  test(`nothing serious in any view or dialog, and nothing at the side, at ${how}`, async () => {
    const context = await browser.newContext({ viewport: { width, height }, ...more });
    for (const [name, to, ready] of VIEWS) {
      const where = `${name} at ${how}`;
      const address = to ? runAddress(runtree.url, to.run, to.query) : runtree.url;
      const page = await openPage(context, address);
      await page.waitForSelector(ready);
      await assertAccessible(page, where);
      await assertFits(page, where);
      if (more.reducedMotion)
        assert.equal(await page.evaluate(() => document.getAnimations().length), 0, where);
      const [, what, open] = DIALOGS.find(([view]) => view === name) ?? [];
      if (open) {
        await open(page);
        await page.waitForSelector("dialog[open]");
        await assertAccessible(page, `${what} in ${where}`);
        await assertFits(page, `${what} in ${where}`);
      }
      assertCleanPage(page);
      await page.close();
    }
    await context.close();
  });
}

test("in a low and narrow window the name of an action can be seen, and it opens", async () => {
  const context = await browser.newContext({ viewport: { width: 360, height: 225 } });
  const page = await openPage(context, runAddress(runtree.url, FAILED));
  await page.waitForSelector("[data-name=part]");
  const name = await page.locator("[data-name=part] .label").boundingBox();
  assert.ok(name && name.width > 8);
  await page.click("[data-name=part]");
  await page.waitForSelector(".error-box");
  assertCleanPage(page);
  await context.close();
});

test("rows tell a screen reader where they are", async () => {
  const page = await openPage(await browser.newContext(), runAddress(runtree.url, RUN));
  await waitForStream(page, ["Live"]);
  const row = page.locator("[data-name='scene-0.shot-1']");
  const told = await row.evaluate((element) =>
    ["aria-level", "aria-expanded", "aria-setsize", "aria-posinset"].map((name) =>
      element.getAttribute(name),
    ),
  );
  assert.deepEqual(told, ["3", "true", "4", "2"]);
});
