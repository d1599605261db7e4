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
  await waitForStream(page, ["Live"]);
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

const FRAMES = "scene-0.shot-0\u001fframes";

const rowCount = () => page.locator("[role=treegrid]").getAttribute("aria-rowcount").then(Number);

test("arrows move, expand and collapse, and what is current stays in view", async () => {
  await page.locator("[role=treegrid]").focus();
  await press("x", "Home");
  assert.deepEqual(await current(), {
    name: "night",
    expanded: "true",
    isInView: true,
  });
  await press("ArrowDown", "ArrowDown");
  assert.equal((await current()).name, "scene-0.shot-0");
  const all = await rowCount();
  await press("ArrowLeft");
  assert.deepEqual(await current(), {
    name: "scene-0.shot-0",
    expanded: "false",
    isInView: true,
  });
  assert.equal(await rowCount(), all - 23, "the shot's frames and the row of their group");
  await press("ArrowLeft");
  assert.equal((await current()).name, "scene-0");
  await press("ArrowRight", "ArrowRight", "ArrowRight");
  assert.equal((await current()).name, FRAMES);
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
  assert.equal((await current()).name, FRAMES);
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

test("an action opened without a mouse is told of, and Tab leads to it", async () => {
  const fresh = await openPage(await browser.newContext(), page.url());
  await fresh.waitForSelector("[data-name='scene-0']");
  await fresh.keyboard.press("ArrowDown");
  await fresh.keyboard.press("Enter");
  await fresh.waitForSelector(".panel [role=status]:text-is('scene: Succeeded')", {
    state: "attached",
  });
  const isInPanel = () => fresh.evaluate(() => Boolean(document.activeElement.closest(".panel")));
  let tabs = 0;
  for (; tabs < 4 && !(await isInPanel()); tabs++) await fresh.keyboard.press("Tab");
  assert.ok(await isInPanel(), `not within ${tabs} presses of Tab`);
  await fresh.close();
});

test("Enter opens the action, arrows lead on to the next, Escape closes it and the tree has the keys again", async () => {
  await page.locator("[role=treegrid]").focus();
  await press("Home", "ArrowDown", "Enter");
  await page.waitForSelector(".panel h2 > :text-is('scene')");
  assert.match(page.url(), /action=scene-0(&|$)/);
  await press("ArrowDown");
  await page.waitForSelector(".panel h2 > :text-is('shot')");
  await press("Escape");
  assert.equal(await page.locator(".panel").count(), 0);
  await press("ArrowUp");
  assert.equal((await current()).name, "scene-0");
});

test("/ searches and Escape clears, ? helps", async () => {
  await page.locator("[role=treegrid]").focus();
  await press("/");
  assert.equal(await page.evaluate(() => document.activeElement.type), "search");
  await page.keyboard.type("simulate");
  await page.waitForURL(/name=simulate/);
  await page.waitForSelector(".hits:has-text('80')");
  await press("Escape");
  await page.waitForSelector(".hits", { state: "detached" });
  await press("Escape");

  await page.locator("[role=treegrid]").focus();
  await press("?");
  await page.waitForSelector("dialog[open]");
  await press("Escape");
  assert.equal(await page.locator("dialog[open]").count(), 0);
});

test("n finds the failures, folded too, e the first of all, c hides what succeeded, x expands", async () => {
  await page.locator("[role=treegrid]").focus();
  await press("x", "Home");
  const all = await rowCount();
  await page.click(`[data-name='${FRAMES}'] .twisty`);
  assert.equal(await rowCount(), all - 22);
  await press("Home", "n");
  assert.equal((await current()).name, "scene-0.shot-0.frame-8");
  assert.equal(await rowCount(), all);
  await press("n", "N");
  assert.equal((await current()).name, "scene-0.shot-0.frame-8");
  const leaf = await page.locator("[data-name='scene-0.shot-0.frame-8'] .phase").innerText();
  assert.equal(leaf, "Timed out");

  await press("e");
  await page.waitForSelector("[data-name='scene-0.shot-3.frame-8'][aria-selected=true]");
  await page.waitForSelector(".panel");
  await press("Escape");
  await page.waitForSelector(".panel", { state: "detached" });

  await press("c");
  await page.waitForURL(/hide=succeeded/);
  assert.equal((await page.locator("[data-row] .phase:text-is('Succeeded')").count()) > 0, true);
  assert.ok((await rowCount()) < all / 2, "only what did not succeed, and what it is below");
  await press("c");
  assert.equal(await rowCount(), all);
  await press("Home", "ArrowLeft");
  assert.equal(await rowCount(), 2);
  await press("x");
  assert.equal(await rowCount(), all);
});

test("in a table an action says what it is below", async () => {
  const table = await openPage(
    await browser.newContext({ viewport: { width: 1440, height: 900 } }),
    runAddress(runtree.url, RUN, "sort=name"),
  );
  await table.waitForSelector("[data-name='scene-0.shot-0.frame-1']");
  const said = await table
    .locator("[data-row] .cell-name")
    .evaluateAll((cells) => cells.map(({ textContent }) => textContent));
  assert.equal(new Set(said).size, said.length, said.join("\n"));
  assert.ok(said.length > 20);
  await table.close();
});

test("z tells times by this clock, in UTC and from the start; the date is there always", async () => {
  const day = page.locator(".axis .day");
  const time = page.locator(".why-row time").first();
  assert.match(await day.textContent(), /2026/);
  await page.locator("[role=treegrid]").focus();
  await press("z");
  assert.match(await day.textContent(), /UTC/);
  assert.equal(await time.textContent(), "20:00:04.442");
  await press("z");
  assert.equal(await time.textContent(), "+4.4 s");
  assert.match(await day.textContent(), /2026/);
  await press("z");
});

test("t hides the timeline; + and 0 zoom it", async () => {
  await page.locator("[role=treegrid]").focus();
  await press("+");
  await page.waitForSelector(".button.fit");
  await page.waitForURL(/zoom=\d+-\d+/);
  const zoomed = await openPage(await browser.newContext(), page.url());
  await zoomed.waitForSelector(".button.fit");
  assert.equal(
    await zoomed.locator(".axis").textContent(),
    await page.locator(".axis").textContent(),
  );
  await zoomed.close();
  await press("0");
  await page.waitForSelector(".button.fit", { state: "detached" });
  await press("t");
  assert.equal(await page.locator("canvas").count(), 0);
  await press("t");
  assert.equal(await page.locator("canvas").count(), 1);
  assertCleanPage(page);
});
