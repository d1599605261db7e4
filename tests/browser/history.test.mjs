/** The run as it was, and beside earlier ones: replay, how slow, compare. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { assertCleanPage, launch, openPage, runAddress, waitForStream } from "./lib/browser.mjs";
import { inventRun } from "./lib/invent.mjs";
import { Runtree, runPath, until } from "./lib/runtree.mjs";
import { byName, treeOfApi, treeOnPage } from "./lib/tree.mjs";

const NIGHT = { project: "film", domain: "production", runName: "night-history" };

let runtree, browser;

before(async () => {
  runtree = await Runtree.start();
  browser = await launch();
});

after(async () => {
  await browser?.close();
  await runtree?.remove();
});

test("a replay shows the tree as the API says it was, and ends back at live", async () => {
  await runtree.report(inventRun(NIGHT));
  const context = await browser.newContext({ viewport: { width: 1440, height: 900 } });
  const page = await openPage(context, runAddress(runtree.url, NIGHT));
  await waitForStream(page, ["Live"]);
  const atEnd = await page.locator("[data-row]").count();
  await page.keyboard.press("r");
  await page.waitForSelector(".replay");
  await page.waitForURL(/at=/);
  assert.equal(await page.locator(".stream").innerText(), "Replay");

  for (const at of ["2026-04-12T20:00:04.500Z", "2026-04-12T20:00:25.000Z"]) {
    await page.goto(runAddress(runtree.url, NIGHT, `at=${at}`));
    await page.reload();
    await page.waitForSelector(`.replay-time[aria-busy=false]`);
    await page.waitForSelector("[data-name='night'] .phase:text-is('Running')");
    const then = await runtree.get(`${runPath(NIGHT)}/tree?at=${at}`);
    assert.deepEqual(byName(await treeOnPage(page)), byName(treeOfApi(then)), at);
    assert.match(await page.locator(".axis .now").textContent(), /^\d\d:00:\d\d\.[05]00$/);
  }

  const failures = await page.locator(".why-row time").allTextContents();
  assert.ok(failures.length > 0 && failures.every((time) => time <= "20:00:25.000"), failures);
  await page.locator("[aria-label='Time shown']").focus();
  await page.keyboard.press(",");
  await page.waitForFunction(() => !location.hash.includes("20:00:25.000"));
  await page.locator("[aria-label='Time shown']").press("Home");
  await page.waitForFunction(() => document.querySelectorAll("[data-row]").length === 1);
  await page.selectOption("[aria-label='Speed']", "100");
  await page.click("[aria-label='Play']");
  await page.waitForSelector(".replay", { state: "detached" });
  assert.doesNotMatch(page.url(), /at=/);
  assert.equal(await page.locator(".stream [role=status]").innerText(), "Live");
  await page.waitForFunction(
    (rows) => document.querySelectorAll("[data-row]").length >= rows,
    atEnd,
  );
  assertCleanPage(page);
  await page.close();
});

test("while a replay is open, what happens waits aside", async () => {
  const run = { project: "film", domain: "production", runName: "aside" };
  const say = (name, parent, phase, second) =>
    runtree.report([
      { ...run, name, parent, phase, updatedTime: `2026-04-12T20:00:0${second}.000Z` },
    ]);
  await say("root", null, "RUNNING", 0);
  await say("one", "root", "RUNNING", 2);
  const page = await openPage(
    await browser.newContext(),
    runAddress(runtree.url, run, "at=2026-04-12T20:00:01.000Z"),
  );
  await page.waitForFunction(() => document.querySelectorAll("[data-row]").length === 1);
  await say("two", "root", "RUNNING", 3);
  await page.locator("[aria-label='On to the next change']").click();
  await page.waitForSelector("[data-name='one']");
  assert.equal(await page.locator("[data-name='two']").count(), 0);
  await page.click(".replay .button:has-text('Back to live')");
  await page.waitForSelector("[data-name='two']");
  assertCleanPage(page);
  await page.close();
});
