"""What users of like tools reported: the events of each case."""

import json
import pathlib

REPORTS = pathlib.Path(__file__).parents[1] / "data/reports"


class Report:
    """A file's events, posted into the test's own run."""

    def __init__(self, api, run):
        self.api, self.run = api, run

    def events(self, name):
        lines = (REPORTS / f"{name}.ndjson").read_text().splitlines()
        return [
            json.loads(line)
            | {"project": self.run.project, "domain": self.run.domain, "runName": self.run.name}
            for line in lines
        ]

    def post(self, name, first=0, last=None):
        return self.api.post_all(self.events(name)[first:last])

    def summary(self):
        return self.api.read(self.run.path)

    def action(self, name):
        return self.api.read(f"{self.run.path}/actions/{name}")

    def in_tree(self, name):
        nodes = self.api.read(f"{self.run.path}/tree")["nodes"]
        return next(node["action"] for node in nodes if node["action"]["name"] == name)
