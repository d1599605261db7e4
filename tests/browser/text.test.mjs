/** Whatever an event says is shown as text. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { assertCleanPage, launch, openPage, runAddress, waitForStream } from "./lib/browser.mjs";
import { Runtree } from "./lib/runtree.mjs";

const RUN = { project: "evil", domain: "production", runName: "r1" };
const EVIL = `<img src="/x" onerror="window.evil = true">`;

let runtree, browser;

before(async () => {
  runtree = await Runtree.start();
  browser = await launch();
});

after(async () => {
  await browser?.close();
  await runtree?.remove();
});

test("an event whose every text is an <img onerror> shows as text", async () => {
  await runtree.report([
    {
      ...RUN,
      name: "a0",
      parent: null,
      phase: "RUNNING",
      group: EVIL,
      cluster: EVIL,
      task: { name: EVIL, shortName: EVIL },
    },
    {
      ...RUN,
      name: "a1",
      parent: "a0",
      phase: "FAILED",
      group: EVIL,
      task: { name: EVIL, shortName: EVIL },
      cluster: EVIL,
      errorInfo: { kind: "USER", message: EVIL, [EVIL]: EVIL },
      outputs: { [EVIL]: EVIL },
      logInfo: [
        { name: EVIL, uri: `javascript:${EVIL}` },
        { name: "safe", uri: `https://logs.example/?q=${EVIL}` },
        EVIL,
      ],
      clusterEvents: [{ occurredAt: EVIL, message: EVIL, [EVIL]: EVIL }, EVIL],
      [EVIL]: EVIL,
    },
  ]);
  const page = await openPage(
    await browser.newContext({ viewport: { width: 1440, height: 1400 } }),
    runAddress(runtree.url, RUN, "action=a1"),
  );
  await waitForStream(page, ["Live"]);
  await page.waitForSelector(".error-box");
  assert.equal(await page.locator("[data-name=a1] .label").textContent(), EVIL);
  assert.equal(await page.locator("[data-name=a1] .tag").textContent(), EVIL);
  assert.equal(await page.locator(".panel h2").textContent(), EVIL);
  assert.equal(await page.locator(".error-box > pre").first().innerText(), EVIL);
  const panel = await page.locator(".panel").innerText();
  assert.ok(panel.split(EVIL).length >= 8, panel);

  const links = await page
    .locator(".links a")
    .evaluateAll((all) => all.map(({ protocol, rel }) => `${protocol} ${rel}`));
  assert.deepEqual(links, ["https: noopener noreferrer"]);

  await page.locator("canvas").hover({ position: { x: 40, y: 40 } });
  await page.waitForSelector(".tip");
  await page.click("role=tab[name='Raw events']");
  await page.click(".events summary");
  assert.ok(
    (await page.locator(".events .json").innerText()).includes(JSON.stringify(EVIL).slice(1, -1)),
  );

  await page.goto(`${runtree.url}/#/?name=${encodeURIComponent(EVIL)}`);
  await page.waitForSelector("text=No run matches");
  await page.goto(
    runAddress(
      runtree.url,
      RUN,
      `name=${encodeURIComponent(EVIL)}&action=${encodeURIComponent(EVIL)}`,
    ),
  );
  await page.waitForSelector(".panel .problem");

  assert.equal(await page.locator("img[onerror]").count(), 0);
  assert.equal(await page.evaluate(() => window.evil), undefined);
  assertCleanPage(page);
});
