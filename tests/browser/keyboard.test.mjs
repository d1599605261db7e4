/** The tree from the keyboard alone. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { assertCleanPage, launch, openPage, runAddress, waitForStream } from "./lib/browser.mjs";
import { inventRun } from "./lib/invent.mjs";
import { Runtree } from "./lib/runtree.mjs";

const RUN = { project: "film", domain: "production", runName: "night-keys" };

let runtree, browser, page;

before(async () => {
  runtree = await Runtree.start();
  await runtree.report(inventRun(RUN));
  browser = await launch();
  page = await openPage(await browser.newContext(), runAddress(runtree.url, RUN));
  await waitForStream(page, ["Ended"]);
});

after(async () => {
  await browser?.close();
  await runtree?.remove();
});

const settle = () =>
  page.evaluate(
    () => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))),
  );

async function press(...keys) {
  for (const key of keys) {
    await page.keyboard.press(key);
    await settle();
  }
}

/** What a screen reader is told is current. */
function current() {
  return page.evaluate(() => {
    const tree = document.querySelector("[role=treegrid]");
    const row = document.getElementById(tree.getAttribute("aria-activedescendant"));
    const box = row.getBoundingClientRect();
    const frame = tree.getBoundingClientRect();
    return {
      name: row.dataset.name,
      expanded: row.getAttribute("aria-expanded"),
      isInView: box.top >= frame.top + 30 && box.bottom <= frame.bottom,
    };
  });
}

const rowCount = () => page.locator("[role=treegrid]").getAttribute("aria-rowcount").then(Number);

test("arrows move, expand and collapse, and what is current stays in view", async () => {
  await page.locator("[role=treegrid]").focus();
  await press("Home");
  assert.deepEqual(await current(), { name: "night", expanded: "true", isInView: true });
  await press("ArrowDown", "ArrowDown");
  assert.equal((await current()).name, "scene-0.shot-0");
  const all = await rowCount();
  await press("ArrowLeft");
  assert.deepEqual(await current(), { name: "scene-0.shot-0", expanded: "false", isInView: true });
  assert.equal(await rowCount(), all - 22);
  await press("ArrowLeft");
  assert.equal((await current()).name, "scene-0");
  await press("ArrowRight", "ArrowRight", "ArrowRight");
  assert.equal((await current()).name, "scene-0.shot-0.frame-0");
  assert.equal(await rowCount(), all);
  await press("End");
  assert.deepEqual(await current(), {
    name: "scene-3.shot-3.frame-21",
    expanded: null,
    isInView: true,
  });
  await press("PageUp", "PageUp", "PageDown");
  assert.ok((await current()).isInView);
  await press("Home", ...Array(60).fill("j"));
  assert.ok((await current()).isInView);
});

test("a collapse under the cursor takes it along to what is left", async () => {
  await page.locator("[role=treegrid]").focus();
  await press("Home", "ArrowDown", "ArrowDown", "ArrowDown");
  assert.equal((await current()).name, "scene-0.shot-0.frame-0");
  await page.click("[data-name='scene-0'] .twisty");
  assert.equal((await current()).name, "scene-0");
  await page.click("[data-name='scene-0'] .twisty");
});

test("the arrows work before anything has been clicked", async () => {
  const fresh = await openPage(await browser.newContext(), page.url());
  await fresh.waitForSelector("[data-row]");
  assert.equal(await fresh.evaluate(() => document.activeElement === document.body), true);
  await fresh.keyboard.press("ArrowDown");
  await fresh.waitForSelector("[data-name='scene-0'][aria-selected=true]");
  await fresh.close();
});

test("Enter opens the action, arrows lead on to the next, Escape closes it and the tree has the keys again", async () => {
  await page.locator("[role=treegrid]").focus();
  await press("Home", "ArrowDown", "Enter");
  await page.waitForSelector(".panel h2:text-is('scene')");
  assert.match(page.url(), /action=scene-0$/);
  await press("ArrowDown");
  await page.waitForSelector(".panel h2:text-is('shot')");
  await press("Escape");
  assert.equal(await page.locator(".panel").count(), 0);
  await press("ArrowUp");
  assert.equal((await current()).name, "scene-0");
});

test("/ searches, Escape clears, ? helps, n finds the failures, c collapses what succeeded, e expands", async () => {
  await page.locator("[role=treegrid]").focus();
  const all = await rowCount();
  await press("/");
  assert.equal(await page.evaluate(() => document.activeElement.type), "search");
  await page.keyboard.type("simulate");
  await page.waitForURL(/name=simulate/);
  await page.waitForFunction(
    (before) => document.querySelector("[role=treegrid]").getAttribute("aria-rowcount") < before,
    all,
  );
  await press("Escape");
  await page.waitForFunction(
    (before) => document.querySelector("[role=treegrid]").getAttribute("aria-rowcount") == before,
    all,
  );
  await press("Escape");

  await page.locator("[role=treegrid]").focus();
  await press("?");
  await page.waitForSelector("dialog[open]");
  await press("Escape");
  assert.equal(await page.locator("dialog[open]").count(), 0);

  await page.locator("[role=treegrid]").focus();
  await press("Home", "n");
  assert.equal((await current()).name, "scene-0.shot-0.frame-8");
  await press("n", "N");
  assert.equal((await current()).name, "scene-0.shot-0.frame-8");

  const leaf = await page.locator("[data-name='scene-0.shot-0.frame-8'] .phase").innerText();
  assert.equal(leaf, "Timed out");
  await press("c");
  assert.equal(
    await rowCount(),
    all,
    "every shot has a failure below it, so nothing has succeeded whole",
  );
  await press("Home", "ArrowLeft");
  assert.equal(await rowCount(), 2);
  await press("e");
  assert.equal(await rowCount(), all);
});

test("t hides the timeline; + and 0 zoom it", async () => {
  await page.locator("[role=treegrid]").focus();
  await press("+");
  await page.waitForSelector(".button.fit");
  await press("0");
  await page.waitForSelector(".button.fit", { state: "detached" });
  await press("t");
  assert.equal(await page.locator("canvas").count(), 0);
  await press("t");
  assert.equal(await page.locator("canvas").count(), 1);
  assertCleanPage(page);
});
