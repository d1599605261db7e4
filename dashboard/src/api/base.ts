/** The absolute address of a path of the service, wherever a proxy has put it: the page is at its top. */
export function serviceUrl(path: string): string {
  return new URL(path.replace(/^\//, ""), document.baseURI).href;
}

/** Where the service is, for commands to copy: without a slash at the end. */
export function serviceBase(): string {
  return serviceUrl("")
    .replace(/[?#].*$/, "")
    .replace(/\/$/, "");
}
