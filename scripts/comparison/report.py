"""What came of the rounds: rows with medians and ratios, as a table and as a plot."""
import math
import statistics
from xml.sax.saxutils import escape

from scripts.comparison.groups import GROUPS, is_measured
from scripts.comparison.load import is_short
from scripts.comparison.systems import SYSTEMS


def ratio(ours, theirs, more_is_better):
    """Above 1 where qbroker is better. None: one of them has no figure."""
    if ours is None or theirs is None:
        return None
    good, bad = (ours, theirs) if more_is_better else (theirs, ours)
    return good / bad if bad > 0 else float("inf")


def table_rows(results, modes):
    """One dict a row of the table; `results`: {group: {mode: {system: [round]}}}, a round having
    `values` and `reports` by row. Rows without any figure are left out."""
    rows = []
    for group_name, by_mode in results.items():
        for mode in modes:
            for row in GROUPS[group_name].rows:
                if mode in by_mode and is_measured(row, mode):
                    rows.append(table_row(group_name, mode, row, by_mode[mode]))
    return [row for row in rows if row["qbroker"] is not None or row["kafka"] is not None]


def table_row(group_name, mode, row, rounds):
    columns = (*SYSTEMS, "floor")
    values = {column: [one["values"].get(row.key) for one in rounds.get(column, [])] for column in columns}
    medians = {column: statistics.median(known) if (known := [v for v in values[column] if v is not None])
               else None for column in columns}
    short = [system for system in SYSTEMS if row.paced and any(
        is_short(one["reports"].get(row.key)) for one in rounds.get(system, []))]
    pairs = [] if row.is_of_its_own else zip(values["qbroker"], values["kafka"])
    ratios = [found for a, b in pairs if (found := ratio(a, b, row.more_is_better)) is not None]
    reach = (row.reach or {}).get(mode)
    ours = medians["qbroker"]
    return {"group": group_name, "fsync": mode, "row": row.name, "unit": row.unit, **medians,
            "ratio": None if row.is_of_its_own else ratio(ours, medians["kafka"], row.more_is_better),
            "ratio_min": min(ratios, default=None), "ratio_max": max(ratios, default=None),
            "reach": reach, "reached": None if reach is None or ours is None else
            (ours >= reach if row.more_is_better else ours <= reach), "rate_not_kept_by": short}


def number(value):
    if value is None:
        return "-"
    return f"{value:.2f}" if value < 1000 else f"{value:,.0f}"


def format_table(rows):
    lines = [("FSYNC", "WORKLOAD", "QBROKER", "KAFKA", "", "RATIO", "ROUNDS", "FLOOR", "REACH")]
    group = None
    for row in rows:
        if row["group"] != group and group is not None:
            lines.append(("",) * len(lines[0]))
        group = row["group"]
        mark = {system: "*" if system in row["rate_not_kept_by"] else "" for system in SYSTEMS}
        spread = ("" if row["ratio_min"] is None else f"{row['ratio_min']:.2f}..{row['ratio_max']:.2f}")
        reach = ("" if row["reach"] is None else
                 f"{row['reach']:g} {'yes' if row['reached'] else 'NO'}")
        lines.append((row["fsync"], row["row"], number(row["qbroker"]) + mark["qbroker"],
                      number(row["kafka"]) + mark["kafka"], row["unit"], number(row["ratio"]), spread,
                      "" if row["floor"] is None else number(row["floor"]), reach))
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    text = "\n".join("  ".join(cell.rjust(width) if i in (2, 3, 5, 7) else cell.ljust(width) for
                               i, (cell, width) in enumerate(zip(line, widths))).rstrip()
                     for line in lines)
    if any(row["rate_not_kept_by"] for row in rows):
        text += "\n* the rate was not kept: the latency of records not sent is not in it"
    return text


def format_markdown(rows):
    """The same for a README: a line a row, the modes side by side; floors if there are any."""
    modes = list(dict.fromkeys(row["fsync"] for row in rows))
    titles = ["qbroker", "Kafka", "ratio"] + (["floor"] if any(row["floor"] is not None for row in rows) else [])
    head = "".join(f" {mode}: {' | '.join(titles)} |" for mode in modes)
    lines = [f"| | |{head}", "|---|---|" + "--:|" * len(titles) * len(modes)]
    by_name = {}
    for row in rows:
        by_name.setdefault((row["row"], row["unit"]), {})[row["fsync"]] = row
    for (name, unit), found in by_name.items():
        line = f"| {name} | {unit} |"
        for mode in modes:
            row = found.get(mode)
            if row is None:
                line += " |" * len(titles)
                continue
            cells = [number(row[system]) + ("*" if system in row["rate_not_kept_by"] else "") for system in SYSTEMS]
            cells += [number(row["ratio"]), "" if row["floor"] is None else number(row["floor"])]
            line += "".join(f" {cell} |" for cell in cells[:len(titles)])
        lines.append(line)
    return "\n".join(lines) + "\n"


def draw(rows, facts, subtitle):
    """The ratios as an SVG: a bar from 1 to each median on a logarithmic axis, a line over the rounds."""
    rows = [row for row in rows if row["ratio"] is not None]
    left, width, height, top = 420, 480, 24, 70
    known = [ratio for row in rows for ratio in (row["ratio_min"], row["ratio_max"])
             if ratio is not None and 0 < ratio < float("inf")]
    low = min(0.5, *known, 0.5)
    high = max(2.0, *known, 2.0)
    powers = [p for p in range(-10, 20) if low / 2 < 2.0 ** p < high * 2]
    first, last = powers[0], powers[-1]

    def x(value):
        place = (math.log2(max(min(value, 2.0 ** last), 2.0 ** first)) - first) / (last - first)
        return left + place * width
    bottom = top + height * len(rows)
    total = bottom + 40 + 15 * len(facts)
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + width + 90}" height="{total}" '
             f'font-family="sans-serif" font-size="12">',
             f'<rect width="{left + width + 90}" height="{total}" fill="white"/>',
             '<text x="10" y="22" font-size="16">qbroker against Apache Kafka</text>',
             f'<text x="10" y="40">{escape(subtitle)}</text>']
    for power in powers:
        parts.append(f'<line x1="{x(2.0 ** power):.1f}" x2="{x(2.0 ** power):.1f}" y1="{top - 6}" '
                     f'y2="{bottom}" stroke="{"black" if power == 0 else "#ccc"}"/>'
                     f'<text x="{x(2.0 ** power):.1f}" y="{top - 10}" text-anchor="middle">'
                     f'{2.0 ** power:g}</text>')
    for index, row in enumerate(rows):
        y = top + height * index
        middle = y + height / 2
        start, end = sorted((x(1), x(row["ratio"])))
        mark = "*" if row["rate_not_kept_by"] else ""
        color = "#2a7f4f" if row["ratio"] >= 1 else "#b5452c"
        parts.append(
            f'<text x="{left - 8}" y="{middle + 4}" text-anchor="end">'
            f'{escape(row["fsync"] + ": " + row["row"] + mark)}</text>'
            f'<rect x="{start:.1f}" y="{y + 4}" width="{max(end - start, 1):.1f}" '
            f'height="{height - 8}" fill="{color}"/>'
            f'<line x1="{x(row["ratio_min"]):.1f}" x2="{x(row["ratio_max"]):.1f}" y1="{middle}" '
            f'y2="{middle}" stroke="black"/>'
            f'<text x="{left + width + 8}" y="{middle + 4}">{row["ratio"]:.2f}{mark}</text>')
    for index, (name, value) in enumerate(facts):
        parts.append(f'<text x="10" y="{bottom + 30 + 15 * index}" font-size="11">'
                     f'{escape(f"{name}: {value}")}</text>')
    return "\n".join(parts) + "\n</svg>\n"
