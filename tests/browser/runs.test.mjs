/** The list of runs: empty, a first run, live, filtered; and the sample run. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { after, before, test } from "node:test";
import { promisify } from "node:util";
import { assertCleanPage, launch, openPage, waitForStream } from "./lib/browser.mjs";
import { inventRun } from "./lib/invent.mjs";
import { runPath, Runtree, until } from "./lib/runtree.mjs";
import { byName, treeOfApi, treeOnPage } from "./lib/tree.mjs";

const RUN = { project: "film", domain: "production", runName: "night-2" };

let runtree, browser, page;

before(async () => {
  runtree = await Runtree.start();
  browser = await launch();
  page = await openPage(
    await browser.newContext({ viewport: { width: 1440, height: 1200 } }),
    runtree.url,
  );
});

after(async () => {
  await browser?.close();
  await runtree?.remove();
});

const names = () => page.locator(".runs tbody th a").allInnerTexts();

test("an empty server shows commands that make a run when they are pasted into a shell", async () => {
  await page.waitForSelector("text=No runs yet");
  const commands = await page.locator(".commands pre").innerText();
  const { stdout } = await promisify(execFile)("sh", ["-c", commands]);
  assert.equal(stdout.match(/"applied"/g).length, 4);
  await page.waitForSelector(".runs");
  assert.deepEqual(await names(), ["hello-1"]);
  await page.waitForSelector(".runs tbody tr .phase:text-is('Succeeded')");
});

test("the list is live, newest first", async () => {
  const events = inventRun(RUN);
  await runtree.report(events.slice(0, 300));
  await page.waitForSelector(".runs tbody tr:first-child a:text-is('night-2')");
  assert.deepEqual(await names(), ["night-2", "hello-1"]);
  await runtree.report(events.slice(300));
  const { actionCount } = await runtree.get(runPath(RUN));
  await page.waitForFunction(
    (count) => document.querySelector(".runs tbody .col-actions").textContent === String(count),
    actionCount,
  );
  await page.waitForSelector(".runs tbody tr:first-child .phase:text-is('Succeeded')");
  assert.match(
    await page.locator(".runs tbody tr:first-child .phase-bar").getAttribute("aria-label"),
    /failed.*succeeded/,
  );
});

test("phase, text and project filter it, in the address too, and a run that comes to match appears", async () => {
  const waiting = { ...RUN, runName: "night-3" };
  await page.click(".chip[data-phase=PAUSED]");
  await page.waitForSelector("text=No run matches");
  assert.match(page.url(), /phase=PAUSED/);
  await runtree.report([{ ...waiting, name: "a0", parent: null, phase: "RUNNING" }]);
  await runtree.report([{ ...waiting, name: "a0", phase: "PAUSED", version: 1 }]);
  await page.waitForSelector(".runs a:text-is('night-3')");
  await runtree.report([{ ...waiting, name: "a0", phase: "ABORTED" }]);
  await page.waitForSelector("text=No run matches");
  await page.click("text=Clear the filter");
  await page.waitForSelector(".runs");

  await page.fill("input[type=search]", "NIGHT");
  await page.waitForURL(/name=NIGHT/);
  await page.waitForFunction(() => document.querySelectorAll(".runs tbody tr").length === 2);
  assert.deepEqual(await names(), ["night-3", "night-2"]);
  await page.fill("input[type=search]", "");
  await page.waitForFunction(() => document.querySelectorAll(".runs tbody tr").length === 3);

  await page.selectOption("select", { label: "demo" });
  await page.waitForFunction(() => document.querySelectorAll(".runs tbody tr").length === 1);
  assert.deepEqual(await names(), ["hello-1"]);
  await page.goBack();
  await page.waitForFunction(() => document.querySelectorAll(".runs tbody tr").length === 3);
});

test("the list comes back by itself after a restart", async () => {
  await runtree.stop();
  await waitForStream(page, ["Reconnecting"]);
  assert.equal((await names()).length, 3);
  await runtree.start();
  await runtree.report([
    { ...RUN, runName: "night-4", name: "a0", parent: null, phase: "RUNNING" },
  ]);
  await page.waitForSelector(".runs a:text-is('night-4')", { timeout: 40_000 });
  await waitForStream(page, ["Live"]);
});

test(
  "the sample run plays from the browser through the public API, to its end",
  { timeout: 150_000 },
  async () => {
    await page.click("text=Play a sample run");
    await page.waitForURL(/#\/runs\/samples\/playground\/sample-/);
    await page.waitForSelector("[data-name=a0]");
    await waitForStream(page, ["Live"]);
    await page.waitForFunction(() => /^(Succeeded|Failed)/.test(document.title), null, {
      timeout: 120_000,
    });
    const [, project, domain, runName] = new URL(page.url()).hash.match(
      /#\/runs\/([^/]+)\/([^/]+)\/([^/?]+)/,
    );
    const expected = treeOfApi(await runtree.get(`${runPath({ project, domain, runName })}/tree`));
    assert.ok(expected.length > 40);
    await until(async () => (await treeOnPage(page)).length === expected.length, "all rows");
    assert.deepEqual(byName(await treeOnPage(page)), byName(expected));
    assertCleanPage(page);
  },
);
