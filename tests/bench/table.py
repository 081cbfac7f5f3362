"""Print what script/bench tracker has measured, as tables that docs/performance.md can keep."""

import statistics
import subprocess

from common import machine_line

PEERS_APART = 0.02  # the share by which mean peers may differ without a remark


class Table:
    COLUMNS = [
        ("bare", "bare echo"),
        ("opentracker-workers", "opentracker, UDP workers"),
        ("opentracker", "opentracker, event loop"),
        ("rookery", "Rookery"),
    ]

    def __init__(self, bench, rows):
        self.bench = bench
        self.rows = rows
        self.notes = []

    def rates(self, row, tracker):
        return [
            result["answers_per_cpu_s"]
            for result in self.bench.results
            if result["row"] == row.key and result["tracker"] == tracker
        ]

    def mean(self, row, tracker, field):
        values = [
            result[field]
            for result in self.bench.results
            if result["row"] == row.key and result["tracker"] == tracker
        ]
        return statistics.fmean(values) if values else 0

    def cell(self, row, tracker):
        rates = sorted(rate / 1000 for rate in self.rates(row, tracker))
        if not rates:
            return "–"
        text = f"{statistics.median(rates):.0f} ({rates[0]:.0f}–{rates[-1]:.0f})"
        if "announce" in row.key or "http" in row.key:
            text += f" · {self.mean(row, tracker, 'mean_peers'):.1f}"
        closed = self.mean(row, tracker, "closed")
        if row.kind == "http-keepalive" and closed > 0.01 * self.mean(row, tracker, "answers"):
            text += " \\*"
            self.note("\\* this tracker ends the connection behind each answer, keep-alive or not.")
        return text

    def ratio(self, row, others):
        """The median over the rounds of Rookery by the best of the others in the same round."""
        ours = self.rates(row, "rookery")
        theirs = [rates for rates in (self.rates(row, other) for other in others) if rates]
        if not ours or not theirs:
            return "–"
        ratios = [mine / max(rates) for mine, *rates in zip(ours, *theirs)]
        return f"{statistics.median(ratios):.2f}"

    def note(self, text):
        if text not in self.notes:
            self.notes.append(text)

    def compare_peers(self, row):
        ours = self.mean(row, "rookery", "mean_peers")
        for other in ("opentracker-workers", "opentracker"):
            theirs = self.mean(row, other, "mean_peers")
            if ours and theirs and abs(ours - theirs) > PEERS_APART * theirs:
                data = self.bench.data[row.data]
                self.note(f"{row.title} ({data.text}): the answers do not hold equally many peers.")

    def print(self):
        columns = [column for column in self.COLUMNS if self.bench.wanted(column[0])]
        titles = ["work", *(title for _, title in columns)]
        titles += ["Rookery / opentracker", "Rookery / bare"]
        print("Thousands of answers per second of the tracker's CPU time: median (least–most),")
        print("and for announces the mean number of peers in an answer.\n")
        print("| " + " | ".join(titles) + " |")
        print("| " + " | ".join("---" for _ in titles) + " |")
        for row in self.rows:
            if row.only_memory:
                continue
            cells = [f"{row.title} ({self.bench.data[row.data].text})"]
            cells += [self.cell(row, name) for name, _ in columns]
            cells.append(self.ratio(row, ["opentracker-workers", "opentracker"]))
            cells.append(self.ratio(row, ["bare"]))
            print("| " + " | ".join(cells) + " |")
            self.compare_peers(row)
        self.print_memory(columns)
        self.print_remaining(columns)
        print("\n" + "\n".join(self.notes) if self.notes else "", end="\n\n")
        print("\n".join(machine(self.bench)))

    def print_memory(self, columns):
        columns = [column for column in columns if column[0] != "bare"]
        swarms = sorted({swarm for swarm, _ in self.bench.memory}, reverse=True)
        if not swarms:
            return
        print("\nGrowth of resident memory, bytes a peer.\n")
        print("| peers a torrent | " + " | ".join(title for _, title in columns) + " |")
        print("| --- |" + " --- |" * len(columns))
        for swarm in swarms:
            cells = [self.bench.memory.get((swarm, name)) for name, _ in columns]
            texts = ["–" if cell is None else f"{cell:.0f}" for cell in cells]
            print(f"| {swarm} | " + " | ".join(texts) + " |")


    def print_remaining(self, columns):
        remaining = self.bench.remaining
        swarms = sorted({swarm for swarm, _ in remaining}, reverse=True)
        columns = [column for column in columns if column[0] != "bare"]
        if not swarms:
            return
        print("\nResident memory after nine of ten peers have stopped, bytes a peer that remains,")
        print("and what it is when only those were ever there.\n")
        print("| peers a torrent | " + " | ".join(title for _, title in columns) + " |")
        print("| --- |" + " --- |" * len(columns))
        for swarm in swarms:
            cells = [remaining.get((swarm, name)) for name, _ in columns]
            texts = ["–" if cell is None else f"{cell[0]:.0f} / {cell[1]:.0f}" for cell in cells]
            print(f"| {swarm[0]}, then {swarm[1]} | " + " | ".join(texts) + " |")


def machine(bench):
    """What the figures were measured on."""
    options = bench.options
    lines = [
        machine_line(options.load_average),
        f"Run: {options.rounds} rounds of {options.duration} ms a row and tracker, tracker on "
        f"processor {bench.tracker_cpu}, load on {bench.load_cpu}.",
    ]
    if bench.opentracker:
        version = subprocess.run(
            ["dpkg-query", "-W", "-f", "${Version}", "opentracker"], capture_output=True, text=True
        )
        lines.append(f"opentracker: {version.stdout.strip() or bench.opentracker}.")
    else:
        lines.append("opentracker is not installed (Debian package opentracker).")
    return lines
