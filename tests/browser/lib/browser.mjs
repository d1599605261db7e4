/** Debian's Chromium, and what every page in these tests is held to. */
import assert from "node:assert/strict";
import { chromium } from "playwright-core";

/** The last ones keep it from calling home, which would only wait for time-outs here. */
const ARGUMENTS = [
  "--no-sandbox",
  "--disable-gpu",
  "--no-first-run",
  "--disable-quic",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

export function launch() {
  return chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    headless: true,
    args: ARGUMENTS,
  });
}

/** What a page cannot help: the network, and a favicon that the browser still wants when about:blank is there already. */
const HARMLESS = /Failed to load resource|net::ERR_|favicon.* from origin 'null'/;

/** A page that remembers what went wrong on it, and to which hosts it spoke. */
export async function openPage(context, address) {
  const page = await context.newPage();
  page.wrongs = [];
  page.hosts = new Set();
  page.on("pageerror", (error) => page.wrongs.push(String(error.stack ?? error)));
  page.on("console", (message) => {
    if (message.type() === "error" && !HARMLESS.test(message.text()))
      page.wrongs.push(message.text());
  });
  page.on("request", (request) => page.hosts.add(new URL(request.url()).host));
  await page.goto(address);
  return page;
}

/** Nothing thrown, nothing refused by the Content-Security-Policy, no other host spoken to. */
export function assertCleanPage(page) {
  assert.deepEqual(page.wrongs, []);
  assert.deepEqual([...page.hosts], [new URL(page.url()).host]);
}

/** Waits until the page says that its stream is in one of these states. */
export function waitForStream(page, states, seconds = 30) {
  return page.waitForFunction(
    (titles) => titles.includes(document.querySelector(".stream [role=status]")?.textContent ?? ""),
    states,
    { timeout: seconds * 1000 },
  );
}

export function runAddress(base, { project, domain, runName }, query = "") {
  return `${base}/#/runs/${project}/${domain}/${runName}${query && `?${query}`}`;
}

/** Does something on a page; the processor time of the page's tasks meanwhile, in milliseconds, the longest first. */
export async function tasksDuring(page, action) {
  const browser = page.context().browser();
  await browser.startTracing(page, { categories: ["toplevel"] });
  await action();
  const { traceEvents } = JSON.parse((await browser.stopTracing()).toString());
  const place = ({ pid, tid }) => `${pid}.${tid}`;
  const pages = traceEvents.filter(
    ({ name, args }) => name === "thread_name" && args.name === "CrRendererMain",
  );
  const isOfPage = new Set(pages.map(place));
  return traceEvents
    .filter((event) => /RunTask$/.test(event.name) && isOfPage.has(place(event)))
    .map(({ tdur = 0 }) => tdur / 1000)
    .sort((a, b) => b - a);
}
