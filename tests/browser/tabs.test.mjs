/** Several tabs of one browser share one connection for each run. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { launch, openPage, runAddress, waitForStream } from "./lib/browser.mjs";
import { inventRun } from "./lib/invent.mjs";
import { runPath, Runtree, until } from "./lib/runtree.mjs";
import { byName, treeOfApi, treeOnPage } from "./lib/tree.mjs";

const RUN = { project: "film", domain: "production", runName: "night-tabs" };
const TABS = 8;

let runtree, browser;

before(async () => {
  runtree = await Runtree.start();
  browser = await launch();
});

after(async () => {
  await browser?.close();
  await runtree?.remove();
});

test("eight tabs of a run take one connection, and each shows all of it", async () => {
  const events = inventRun(RUN);
  const half = Math.floor(events.length / 2);
  await runtree.report(events.slice(0, half));
  const before = await runtree.metric("runtree_streams_opened_total");
  const context = await browser.newContext({
    viewport: { width: 1440, height: 900 },
  });
  const pages = [];
  for (let tab = 0; tab < TABS; tab++) {
    const page = await openPage(context, runAddress(runtree.url, RUN));
    await waitForStream(page, ["Live"]);
    pages.push(page);
  }
  assert.equal((await runtree.metric("runtree_streams_opened_total")) - before, 1);

  await pages[0].close();
  await runtree.report(events.slice(half));
  const expected = treeOfApi(await runtree.get(`${runPath(RUN)}/tree`));
  for (const page of pages.slice(1)) {
    await page.bringToFront();
    await page.waitForSelector(".facts .phase:text-is('Succeeded')");
    assert.deepEqual(byName(await treeOnPage(page)), byName(expected));
  }
});

test("nine tabs of nine runs and the list take one connection, and a panel opens in each", async () => {
  const runs = Array.from({ length: 9 }, (_, index) => ({ ...RUN, runName: `night-tab-${index}` }));
  await runtree.report(
    runs.map((run) => ({ ...run, name: "root", parent: null, phase: "RUNNING" })),
  );
  const context = await browser.newContext({ viewport: { width: 1440, height: 900 } });
  const before = await runtree.metric("runtree_streams");
  const list = await openPage(context, runtree.url);
  await waitForStream(list, ["Live"]);
  const pages = [];
  for (const run of runs) {
    const page = await openPage(context, runAddress(runtree.url, run));
    await page.waitForSelector("[data-name=root]");
    pages.push(page);
  }
  await until(
    async () => (await runtree.metric("runtree_streams")) === before + 1,
    "one connection is left",
  );
  await runtree.report(runs.map((run) => ({ ...run, name: "root", phase: "SUCCEEDED" })));
  for (const page of pages) {
    await page.bringToFront();
    await page.waitForSelector(".facts .phase:text-is('Succeeded')");
    await page.click("[data-name=root]");
    await page.waitForSelector(".panel .attempt");
  }
  await context.close();
});

test("the connection goes with the last tab", async () => {
  const run = { ...RUN, runName: "night-gone" };
  await runtree.report(inventRun(run).slice(0, 50));
  const context = await browser.newContext();
  const open = () => runtree.metric("runtree_streams");
  const before = await open();
  const stays = await openPage(context, runAddress(runtree.url, run));
  await waitForStream(stays, ["Live"]);
  assert.equal(await open(), before + 1);
  await stays.goto(`${runtree.url}/#/`);
  await waitForStream(stays, ["Live"]);
  await until(async () => (await open()) === before + 1, "only the list is watched");
  await context.close();
  await until(async () => (await open()) === before, "nothing is watched");
});
