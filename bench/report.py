"""The table, the JSON file and the chart."""

import dataclasses
import html
import json
import math

WIDTH, ROW_HEIGHT, LEFT = 860, 24, 470
STYLE = """<style>
text { font: 13px system-ui, sans-serif; fill: #24292f }
.small { font-size: 11px; fill: #57606a }
.met { fill: #2da44e } .missed { fill: #cf222e }
.axis { stroke: #8c959f; fill: none } .curve { stroke: #0969da; stroke-width: 2; fill: none }
.second { stroke: #bf8700 } .dot { fill: #0969da }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 } .small { fill: #8d96a0 } .axis { stroke: #6e7681 }
}
</style>"""


def goal_text(row):
    return "none" if row.goal is None else f"{'≥' if row.at_least else '≤'} {row.goal:g}"


BAR = {True: "met", False: "missed", None: "dot"}
MET = {True: "met", False: "**missed**", None: ""}


def table(rows):
    """The rows in Markdown."""
    lines = ["| # | case | figure | limit | ratio | goal | |", "|---|---|---|---|---|---|---|"]
    lines += [
        f"| {row.case} | {row.what} | {row.figure} | {row.limit} | {row.ratio:.3g}"
        f" | {goal_text(row)} | {MET[row.is_met]} |"
        for row in rows
    ]
    return "\n".join(lines)


def write_json(path, machine, rows, curves):
    document = {
        "machine": machine,
        "rows": [dataclasses.asdict(row) | {"met": row.is_met} for row in rows],
        "growth": curves,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n")


def text(x, y, content, kind="", anchor="start"):
    return (
        f'<text x="{x}" y="{y}" class="{kind}" text-anchor="{anchor}">{html.escape(content)}</text>'
    )


def strength(row):
    """How far the goal is reached: 1 is the goal itself, or the limit where there is none; more is
    better."""
    if row.goal is None:
        return row.ratio
    if row.at_least:
        return row.ratio / row.goal
    return row.goal / row.ratio if row.ratio > 0 else 4


def bars(rows, top):
    """One bar a row; the line is the goal. Cut at four times the goal."""
    scale = (WIDTH - LEFT - 110) / 2
    parts = [text(LEFT + scale / 1, top + 14, "goal", "small", "middle")]
    for i, row in enumerate(rows):
        y = top + 24 + i * ROW_HEIGHT
        length = scale * (1 + math.log2(min(max(strength(row), 0.25), 4)) / 2)
        label = row.what if len(row.what) < 62 else row.what[:60] + "…"
        parts.append(text(34, y + 14, row.case, anchor="end"))
        parts.append(text(42, y + 14, label, "small"))
        parts.append(
            f'<rect x="{LEFT}" y="{y + 3}" width="{max(length, 2):.1f}" height="14"'
            f' class="{BAR[row.is_met]}"/>'
        )
        parts.append(
            text(LEFT + max(length, 2) + 6, y + 14, f"{row.ratio:.3g} ({goal_text(row)})", "small")
        )
    bottom = top + 24 + len(rows) * ROW_HEIGHT
    parts.append(
        f'<line x1="{LEFT + scale:.1f}" x2="{LEFT + scale:.1f}" y1="{top + 18}"'
        f' y2="{bottom}" class="axis"/>'
    )
    return parts, bottom


def curve(points, title, left, top, width=240, height=150):
    """Points on two logarithmic axes; a third column is a second curve."""
    xs = [math.log10(point[0]) for point in points]
    values = [value for point in points for value in point[1:]]
    low, high = math.log10(min(values)), math.log10(max(values))
    low, high = math.floor(low * 2) / 2, math.ceil(high * 2 + 0.01) / 2

    def place(point, column):
        x = left + (math.log10(point[0]) - xs[0]) / max(xs[-1] - xs[0], 1e-9) * width
        y = top + height - (math.log10(point[column]) - low) / (high - low) * height
        return f"{x:.1f},{y:.1f}"

    parts = [
        text(left, top - 10, title),
        f'<path class="axis" d="M{left},{top} V{top + height} H{left + width}"/>',
    ]
    for column in range(1, len(points[0])):
        kind = "curve" if column == 1 else "curve second"
        line = " ".join(place(point, column) for point in points)
        parts.append(f'<polyline class="{kind}" points="{line}"/>')
    for exponent in range(math.ceil(low), math.floor(high) + 1):
        y = top + height - (exponent - low) / (high - low) * height
        parts.append(text(left - 4, round(y + 4), f"{10**exponent:,g}", "small", "end"))
    for point in (points[0], points[-1]):
        parts.append(
            text(
                place(point, 1).split(",")[0], top + height + 16, f"{point[0]:,}", "small", "middle"
            )
        )
    return parts


def write_chart(path, rows, curves):
    parts, bottom = bars(rows, 10)
    height = bottom + 20
    titles = {
        "events_per_batch": "events/s by events a POST",
        "watchers": "ms to half, to 99 % of watchers",
        "actions": "ms to open by actions",
    }
    if curves:
        for i, (name, points) in enumerate(curves.items()):
            parts += curve(points, titles[name], 50 + i * 285, bottom + 60)
        height = bottom + 250
    path.write_text(
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}"'
        f' width="{WIDTH}" height="{height}" role="img">\n<title>runtree: figures'
        f" against limits of the same run</title>\n{STYLE}\n" + "\n".join(parts) + "\n</svg>\n"
    )
