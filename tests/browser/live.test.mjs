/** The page shows what the API says, through everything that happens to its connection. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { assertCleanPage, launch, openPage, runAddress, waitForStream } from "./lib/browser.mjs";
import { inventRun } from "./lib/invent.mjs";
import { Proxy } from "./lib/proxy.mjs";
import { runPath, Runtree, until } from "./lib/runtree.mjs";
import { byName, treeOfApi, treeOnPage } from "./lib/tree.mjs";

const RUN = { project: "film", domain: "production", runName: "night-1" };
const FILTERS = ["", "phase=FAILED,TIMED_OUT", "name=simul", "phase=RUNNING,RECOVERED&name=render"];

let runtree, proxy, browser;

before(async () => {
  runtree = await Runtree.start();
  proxy = await Proxy.start(runtree.port);
  browser = await launch();
});

after(async () => {
  await browser?.close();
  await proxy?.remove();
  await runtree?.remove();
});

/** Notes, at every frame, which states of the stream the page shows, and whether it ever loses its rows. */
async function keepWatch(page) {
  await page.evaluate(() => {
    window.watched = { states: [], details: [], fewestRows: Infinity };
    const look = () => {
      const state = document.querySelector(".stream [role=status]")?.textContent ?? "";
      const details = document.querySelector(".stream-details")?.textContent ?? "";
      const rows =
        Number(document.querySelector("[role=treegrid]")?.getAttribute("aria-rowcount") ?? 1) - 1;
      if (window.watched.states.at(-1) !== state) window.watched.states.push(state);
      if (details && !window.watched.details.includes(details))
        window.watched.details.push(details);
      window.watched.fewestRows = Math.min(window.watched.fewestRows, rows);
      requestAnimationFrame(look);
    };
    look();
  });
}

async function assertSameTree(page, filter, isOrdered) {
  const query = filter && `?${filter}`;
  const expected = treeOfApi(await runtree.get(`${runPath(RUN)}/tree${query}`));
  const shown = await treeOnPage(page);
  if (isOrdered) assert.deepEqual(shown, expected);
  else assert.deepEqual(byName(shown), byName(expected));
  return expected.length;
}

test("a run replayed shows the API's tree at the end, with filters, through a restart, direct and behind nginx", async () => {
  const events = inventRun(RUN);
  const half = Math.floor(events.length / 2);
  await runtree.report(events.slice(0, 20));

  const pages = [];
  for (const base of [runtree.url, proxy.url]) {
    for (const filter of FILTERS) {
      // A window each: a browser draws no frames of a tab behind another.
      const context = await browser.newContext({ viewport: { width: 1600, height: 1000 } });
      const page = await openPage(context, runAddress(base, RUN, filter));
      pages.push({ page, filter, isProxied: base === proxy.url });
    }
  }
  for (const { page } of pages) {
    await waitForStream(page, ["Live"]);
    await keepWatch(page);
  }

  for (let from = 20; from < half; from += 60)
    await runtree.report(events.slice(from, Math.min(half, from + 60)));
  const { revision } = await runtree.get(runPath(RUN));
  assert.ok(revision > 100, "the first half has been recorded");
  await until(async () => {
    const rows = await treeOnPage(pages[0].page);
    return rows.length === treeOfApi(await runtree.get(`${runPath(RUN)}/tree`)).length;
  }, "the first half is on the page");

  await runtree.stop();
  for (const { page } of pages) await waitForStream(page, ["Reconnecting"]);
  await runtree.start();
  for (let from = half; from < events.length; from += 60)
    await runtree.report(events.slice(from, from + 60));

  for (const { page } of pages) await waitForStream(page, ["Ended"], 60);
  for (const { page, filter, isProxied } of pages) {
    const count = await assertSameTree(page, filter, filter === "");
    assert.ok(
      count > 5,
      `${filter || "no filter"} leaves ${count} nodes, too few to mean anything`,
    );
    const { states, details, fewestRows } = await page.evaluate(() => window.watched);
    assert.equal(states[0], "Live");
    assert.ok(states.includes("Reconnecting"), states.join());
    assert.equal(states.at(-1), "Ended");
    assert.ok(
      details.some((text) => /next try in (about )?\d+ s/.test(text)),
      details.join("\n"),
    );
    assert.ok(
      details.some((text) => !text.startsWith("next try")),
      "it says why",
    );
    if (filter === "")
      assert.ok(fewestRows >= 5, `at some frame only ${fewestRows} rows were left`);
    assertCleanPage(page);
    console.log(
      `# ${isProxied ? "nginx " : "direct"} ${filter || "(all)"}: ${count} nodes equal; ${states.join(", ")}`,
    );
  }
});

test("a filter chosen on the page is the stream's: what it hides is not there", async () => {
  const page = await openPage(
    await browser.newContext({ viewport: { width: 1600, height: 1000 } }),
    runAddress(runtree.url, RUN),
  );
  await waitForStream(page, ["Ended"]);
  await page.click(".chip[data-phase=FAILED]");
  await page.waitForFunction(
    () => document.querySelector("[role=treegrid]")?.getAttribute("aria-rowcount") < 100,
  );
  await assertSameTree(page, "phase=FAILED", true);
  assert.match(page.url(), /\?phase=FAILED$/);

  await page.fill("input[type=search]", "SIMUL");
  await page.waitForURL(/name=SIMUL/);
  await until(async () => {
    const expected = treeOfApi(await runtree.get(`${runPath(RUN)}/tree?phase=FAILED&name=SIMUL`));
    return (await treeOnPage(page)).length === expected.length;
  }, "both filters hold");
  await assertSameTree(page, "phase=FAILED&name=SIMUL", true);

  await page.fill("input[type=search]", "there is no such name");
  await page.waitForSelector("text=No action matches");
  await page.click("text=Clear the filter");
  await page.waitForSelector("[role=treegrid]");
  await assertSameTree(page, "", true);
  assertCleanPage(page);
});

test("a link leads to an action under a filter", async () => {
  const context = await browser.newContext({ viewport: { width: 1600, height: 1000 } });
  const name = "scene-3.shot-3.frame-10";
  const page = await openPage(context, runAddress(runtree.url, RUN, `phase=FAILED&action=${name}`));
  const row = page.locator(`[data-name="${name}"]`);
  await row.waitFor();
  assert.equal(await row.getAttribute("aria-selected"), "true");
  const panel = page.locator(".panel");
  await panel.locator("text=Attempt 2").waitFor();
  assert.match(await panel.innerText(), /System error\s+node lost/);
  assert.match(await panel.innerText(), /gpu-1/);
  await panel.locator("role=tab[name='Raw events']").click();
  await panel.locator(".events li").first().waitFor();
  const { events } = await runtree.get(`${runPath(RUN)}/actions/${name}/events`);
  assert.equal(await panel.locator(".events li").count(), events.length);
  assertCleanPage(page);
});

test("a run that is deleted goes from the page and from the list, and made anew it comes anew", async () => {
  const run = { ...RUN, runName: "night-short" };
  const begin = (name) => runtree.report([{ ...run, name, parent: null, phase: "RUNNING" }]);
  await begin("first");
  const context = await browser.newContext();
  const list = await openPage(context, runtree.url);
  await list.waitForSelector(".runs a:text-is('night-short')");
  const page = await openPage(context, runAddress(runtree.url, run));
  await page.waitForSelector("[data-name=first]");

  const answer = await fetch(runtree.url + runPath(run), { method: "DELETE" });
  assert.ok(answer.ok, `${answer.status}`);
  await page.waitForSelector("text=This run cannot be shown");
  assert.equal(await page.locator("[data-name=first]").count(), 0);
  await list.bringToFront();
  await list.waitForSelector(".runs a:text-is('night-short')", { state: "detached" });

  await begin("second");
  await list.waitForSelector(".runs a:text-is('night-short')");
  await page.bringToFront();
  await page.click("text=Try now");
  await page.waitForSelector("[data-name=second]");
  assert.equal(await page.locator("[data-row]").count(), 1);
  await waitForStream(page, ["Live"]);
  assertCleanPage(page);
});

test("a filter that leaves nothing still says how the run stands, in the title too", async () => {
  const page = await openPage(
    await browser.newContext(),
    runAddress(runtree.url, RUN, "name=nothing"),
  );
  await page.waitForSelector("text=No action matches");
  await page.waitForSelector(".facts .phase:text-is('Succeeded')");
  assert.equal(await page.title(), "Succeeded · night-1 · runtree");
  assert.ok((await page.locator(".chip[data-phase=FAILED] .chip-count").innerText()) > 0);
});
