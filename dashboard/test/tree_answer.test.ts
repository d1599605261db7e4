import { afterEach, expect, it, vi } from "vitest";
import { readNodes, RecordReader } from "../src/api/tree";
import { record } from "./records";

afterEach(() => vi.unstubAllGlobals());

function nodes() {
  const odd = record('quoted " \\', null);
  const message = 'in f"{x}"]} \\" ünïcödé 💥';
  Object.assign(odd.action, { errorInfo: { kind: "USER", message, nodes: [{ a: [1] }, {}] } });
  return [record("root", null), odd, record("leaf", "root", { at: [0, 1, 2] })];
}

it("finds the records of an answer wherever its text is cut", () => {
  const text = JSON.stringify({
    revision: 7,
    project: "}{",
    nodes: nodes(),
    more: { nested: [{}] },
  });
  for (const size of [1, 2, 3, 7, 100, text.length]) {
    const reader = new RecordReader();
    const found: unknown[] = [];
    for (let from = 0; from < text.length; from += size) {
      expect(reader.isComplete).toBe(false);
      reader.add(text.slice(from, from + size));
      for (let next = reader.next(); next; next = reader.next()) found.push(next);
    }
    expect(found.slice(0, 3)).toEqual(nodes());
    expect(reader.isComplete).toBe(true);
  }
});

async function read(body: BodyInit): Promise<string[]> {
  vi.stubGlobal("document", { baseURI: "http://localhost/", hidden: false });
  vi.stubGlobal("fetch", () => Promise.resolve(new Response(body)));
  const names: string[] = [];
  await readNodes("/tree", new AbortController().signal, ({ action }) => names.push(action.name));
  return names;
}

it("reads bytes cut inside of a character, and says so when the answer breaks off", async () => {
  const bytes = new TextEncoder().encode(JSON.stringify({ revision: 1, nodes: nodes() }));
  const pieces = (until: number): ReadableStream =>
    new ReadableStream({
      start(controller) {
        for (let at = 0; at < until; at += 5)
          controller.enqueue(bytes.slice(at, Math.min(at + 5, until)));
        controller.close();
      },
    });
  expect(await read(pieces(bytes.length))).toEqual(["root", 'quoted " \\', "leaf"]);
  await expect(read(pieces(bytes.length - 1))).rejects.toThrow("broken off");
  await expect(read("")).rejects.toThrow("broken off");
});
