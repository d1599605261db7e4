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

/** Commands that make a first run: a root, a task that runs and ends, and the end of the root. */
export function firstRunCommands(origin: string): string {
  const actions = `${origin}/v1/projects/demo/domains/development/runs/hello-1/actions`;
  const put = (path: string, body?: object): string =>
    `curl -s -X PUT "$actions/${path}"` +
    (body
      ? ` -H 'Content-Type: application/json' \\\n  -d ${shellQuote(JSON.stringify(body))}`
      : "");
  return [
    `actions=${shellQuote(actions)}`,
    put("a0/events/1/RUNNING/0", { parent: null, task: { name: "hello.main" } }),
    put("a1/events/1/RUNNING/0", { parent: "a0", task: { name: "hello.greet" } }),
    put("a1/events/1/SUCCEEDED/0"),
    put("a0/events/1/SUCCEEDED/0"),
  ].join("\n");
}
