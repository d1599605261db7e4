/** A word for a POSIX shell. */
export function shellQuote(text: string): string {
  return /^[A-Za-z0-9_./:=@%+-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}

/** The command that asks what the page asks. */
export function curlGet(origin: string, path: string): string {
  return `curl -s ${shellQuote(origin + path)}`;
}

/** The command that reports an event. */
export function curlPost(origin: string, event: unknown): string {
  return `curl -s ${shellQuote(`${origin}/v1/events`)} -H 'Content-Type: application/json' \\\n  -d ${shellQuote(JSON.stringify(event))}`;
}

/** Four commands that make a first run: a root, a task that runs and ends, and the end of the root. */
export function firstRunCommands(origin: string): string {
  const run = { project: "demo", domain: "development", runName: "hello-1" };
  const events = [
    { ...run, name: "a0", parent: null, phase: "RUNNING", task: { name: "hello.main" } },
    { ...run, name: "a1", parent: "a0", phase: "RUNNING", task: { name: "hello.greet" } },
    { ...run, name: "a1", phase: "SUCCEEDED" },
    { ...run, name: "a0", phase: "SUCCEEDED" },
  ];
  return events.map((event) => curlPost(origin, event)).join("\n");
}
