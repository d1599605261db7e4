/** What is served at `/`: small, cached for good, and at peace with a strict Content-Security-Policy. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { gzipSync } from "node:zlib";
import { Runtree } from "./lib/runtree.mjs";

const GZIPPED_MAX = 95_000;

let runtree;

before(async () => {
  runtree = await Runtree.start();
});

after(() => runtree?.remove());

/** Every file of the page, found from the names in the files before it. */
async function files() {
  const found = new Map();
  const queue = ["/"];
  for (let path = queue.pop(); path; path = queue.pop()) {
    if (found.has(path)) continue;
    const answer = await fetch(runtree.url + path);
    assert.equal(answer.status, 200, path);
    const text = await answer.text();
    found.set(path, { text, headers: answer.headers });
    for (const [, name] of text.matchAll(/assets\/([\w.-]+\.(?:js|css|svg))/g))
      queue.push(`/assets/${name}`);
    for (const [, name] of text.matchAll(/["'(]\.?\/?([\w-]+-[\w-]{8}\.(?:js|css|svg))["')]/g))
      queue.push(`/assets/${name}`);
  }
  return found;
}

test("all of it together is at most 95 KB gzipped", async () => {
  let total = 0;
  for (const [path, { text }] of await files()) {
    const size = gzipSync(text, { level: 9 }).length;
    total += size;
    console.log(`# ${path}: ${(size / 1000).toFixed(1)} KB gzipped`);
  }
  console.log(`# together: ${(total / 1000).toFixed(1)} KB of ${GZIPPED_MAX / 1000}`);
  assert.ok(total <= GZIPPED_MAX);
});

test("nothing is inline, and nothing names another host", async () => {
  const all = await files();
  const { text: html, headers } = all.get("/");
  assert.doesNotMatch(html, /<script(?![^>]*\bsrc=)/i);
  assert.doesNotMatch(html, /<style|\sstyle=|\son\w+=|javascript:|data:/i);
  assert.match(headers.get("content-security-policy") ?? "", /default-src 'self'/);
  for (const [path, { text }] of all) {
    const hosts = [...text.matchAll(/https?:\/\/([\w.-]+)/g)].map(([, host]) => host);
    // A name of an XML namespace, and the links of the sample run, which lead nowhere by design.
    assert.deepEqual(
      hosts.filter((host) => host !== "www.w3.org" && !host.endsWith(".example")),
      [],
      path,
    );
  }
});

test("names with a hash are kept for good, the page itself is asked for again", async () => {
  const all = await files();
  assert.ok(
    [...all.keys()].some((path) => /worker/.test(path)),
    "the worker is a file of its own",
  );
  for (const [path, { headers }] of all) {
    const caching = headers.get("cache-control") ?? "";
    if (path === "/") assert.doesNotMatch(caching, /immutable/);
    else assert.match(caching, /max-age=31536000.*immutable|immutable.*max-age=31536000/);
    const etag = headers.get("etag");
    assert.ok(etag, `${path} has an ETag`);
    const again = await fetch(runtree.url + path, {
      headers: { "If-None-Match": etag },
    });
    assert.equal(again.status, 304, path);
    assert.equal(again.headers.get("etag"), etag);
  }
});
