/** axe-core finds nothing serious on any page, in either colour scheme; and nothing is cut off on a phone. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import axe from "axe-core";
import { assertCleanPage, launch, openPage, runAddress, waitForStream } from "./lib/browser.mjs";
import { inventRun } from "./lib/invent.mjs";
import { Runtree } from "./lib/runtree.mjs";

const RUN = { project: "film", domain: "production", runName: "night-axe" };
const HALF = { ...RUN, runName: "night-half" };

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

test("nothing serious in a narrow window, at 200 % and 400 %, and in the system's own colours", async () => {
  const failed = { ...RUN, runName: "night-failed" };
  await runtree.report([
    { ...failed, name: "root", parent: null, phase: "RUNNING", run: { labels: { team: "a" } } },
    {
      ...failed,
      name: "part",
      parent: "root",
      phase: "FAILED",
      errorInfo: { kind: "USER", message: Array(20).fill("a line of a trace").join("\n") },
      logInfo: [{ name: "stdout", uri: "https://logs.example/1" }],
    },
  ]);
  for (const [width, height, forcedColors] of [
    [640, 800, "none"],
    [390, 844, "none"],
    [720, 450, "none"],
    [360, 225, "none"],
    [1440, 900, "active"],
  ]) {
    const where = `at ${width} x ${height}, forced colours ${forcedColors}`;
    const context = await browser.newContext({ viewport: { width, height }, forcedColors });
    const page = await openPage(context, runtree.url);
    await page.waitForSelector(".runs");
    await assertAccessible(page, `runs ${where}`);
    await page.goto(runAddress(runtree.url, failed));
    await page.waitForSelector(".why-row");
    await page.waitForSelector("[data-name=part]");
    await assertAccessible(page, `run ${where}`);
    const name = await page.locator("[data-name=part] .label").boundingBox();
    assert.ok(name && name.width > 8, `the name can be seen ${where}`);
    await page.keyboard.press("e");
    await page.waitForSelector(".error-box");
    await assertAccessible(page, `action ${where}`);
    assertCleanPage(page);
    await context.close();
  }
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

test("a phone, and 200 % zoom: no sideways scrolling", async () => {
  for (const viewport of [
    { width: 390, height: 780 },
    { width: 320, height: 640 },
    { width: 720, height: 450 },
  ]) {
    const page = await openPage(await browser.newContext({ viewport }), runtree.url);
    await page.waitForSelector(".runs");
    const sideways = () => page.evaluate(() => document.scrollingElement.scrollWidth - innerWidth);
    assert.ok((await sideways()) <= 0, `runs at ${viewport.width}`);
    await page.goto(runAddress(runtree.url, RUN));
    await waitForStream(page, ["Live"]);
    assert.ok((await sideways()) <= 0, `run at ${viewport.width}`);
    await page.locator("[role=treegrid]").focus();
    await page.keyboard.press("Enter");
    await page.waitForSelector(".attempt");
    assert.ok((await sideways()) <= 0, `action at ${viewport.width}`);
    await page.close();
  }
});

test("with reduced motion nothing moves by itself", async () => {
  const page = await openPage(
    await browser.newContext({ reducedMotion: "reduce" }),
    runAddress(runtree.url, HALF),
  );
  await waitForStream(page, ["Live"]);
  assert.equal(await page.evaluate(() => document.getAnimations().length), 0);
});
