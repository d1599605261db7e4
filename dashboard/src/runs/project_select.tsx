import { useEffect, useState } from "preact/hooks";
import { getJson } from "../api/client";
import type { Project, Projects, RunSummary } from "../api/types";
import { formatCount } from "../model/format";
import type { RunsRoute } from "../model/route";
import { navigate } from "../ui/router";

/** Chooses a project, or a domain of one, among those that have runs. */
export function ProjectSelect({ route, runs }: { route: RunsRoute; runs: readonly RunSummary[] }) {
  const [projects, setProjects] = useState<Project[] | null>(null);
  const newest = runs[0]?.firstSeenAt ?? "";
  useEffect(() => {
    const abort = new AbortController();
    getJson<Projects>("/v1/projects?limit=1000", abort.signal).then(
      (answer) => setProjects(answer.projects),
      () => undefined,
    );
    return () => abort.abort();
  }, [newest]);

  const value = JSON.stringify([route.project, route.domain]);
  const names = [
    ...new Set([
      ...(projects ?? []).map(({ project }) => project),
      ...(route.project ? [route.project] : []),
    ]),
  ].sort();
  return (
    <select
      class="select"
      aria-label="Project and domain"
      value={value}
      onChange={(event) => {
        const [project = "", domain = ""] = JSON.parse(event.currentTarget.value) as string[];
        navigate({ ...route, project, domain }, "push");
      }}
    >
      <option value={JSON.stringify(["", ""])}>All projects</option>
      {names.map((name) => {
        const domains = (projects ?? []).filter(({ project }) => project === name);
        if (
          name === route.project &&
          route.domain &&
          !domains.some(({ domain }) => domain === route.domain)
        ) {
          domains.push({ project: name, domain: route.domain, runs: 0 });
        }
        return (
          <optgroup key={name} label={name}>
            <option value={JSON.stringify([name, ""])}>{name}</option>
            {domains.map(({ domain, runs: count }) => (
              <option key={domain} value={JSON.stringify([name, domain])}>
                {`${name} / ${domain}${projects ? ` (${formatCount(count)})` : ""}`}
              </option>
            ))}
          </optgroup>
        );
      })}
    </select>
  );
}
