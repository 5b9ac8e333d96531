"""Tables of benchmark runs, as Markdown."""

import statistics

from measure import WORKLOADS


def shown(value):
    if value is None:
        return "-"
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def table(results, names, cell, title):
    print(f"\n### {title}\n")
    print("| workload | mode | clients | " + " | ".join(names) + " |")
    print("|---|---|---|" + "---:|" * len(names))
    keys = []
    for r in results:
        key = (r["workload"], r["mode"], r["clients"])
        if key not in keys:
            keys.append(key)
    order = list(WORKLOADS)
    modes = ["simple", "extended", "prepared"]
    keys.sort(key=lambda k: (order.index(k[0]), modes.index(k[1]), k[2]))
    for key in keys:
        cells = []
        for name in names:
            rs = [r for r in results if r["target"] == name
                  and (r["workload"], r["mode"], r["clients"]) == key]
            cells.append(cell(rs, key))
        print(f"| {key[0]} | {key[1]} | {key[2]} | " + " | ".join(cells) + " |")


def median(values):
    values = [v for v in values if v is not None]
    return statistics.median(values) if values else None


def hit_ratio(rs, _key=None):
    hits = sum(r["outcomes"].get("hit", 0) for r in rs if "outcomes" in r)
    total = sum(sum(r["outcomes"].values()) for r in rs if "outcomes" in r)
    return f"{100 * hits / total:.2f}" if total else "-"


def report(results, names):
    def tps(rs, _key):
        good = [r["tps"] for r in rs if r["tps"] is not None]
        if not good:
            return "failed" if rs else "-"
        spread = (max(good) - min(good)) / statistics.median(good) * 100
        mark = f" ±{spread / 2:.0f}%" if spread >= 10 else ""
        return shown(statistics.median(good)) + mark

    def versus(reference):
        def cell(rs, key):
            mine = median([r["tps"] for r in rs])
            theirs = median([r["tps"] for r in results if r["target"] == reference
                             and (r["workload"], r["mode"], r["clients"]) == key])
            return f"{mine / theirs:.2f}" if mine and theirs else "-"
        return cell

    def per_query(field):
        def cell(rs, _key):
            values = [r[field] / r["count"] * 1e6 for r in rs
                      if r["tps"] is not None and r.get(field) is not None]
            return shown(median(values))
        return cell

    table(results, names, tps, "TPS (median; ± half the spread when the runs differ by 10 % or more)")
    table(results, names, lambda rs, _k: shown(median([r["latency_ms"] for r in rs])),
          "Latency average, ms (median)")
    table(results, names, versus("direct"), "TPS as a multiple of direct PostgreSQL")
    for reference in ("limit", "limit-percore"):
        if reference in names:
            table(results, names, versus(reference), f"TPS as a share of {reference}")
    if "pgbouncer" in names:
        table(results, names, versus("pgbouncer"), "TPS as a multiple of PgBouncer")
    table(results, names, per_query("server_cpu"), "Server CPU per query, µs (the target's own processes)")
    table(results, names, per_query("pg_cpu"), "PostgreSQL CPU per query, µs")
    table(results, names, per_query("client_cpu"), "pgbench CPU per query, µs")
    if any(r.get("relay_cpu") is not None for r in results):
        table(results, names, per_query("relay_cpu"), "Relay CPU per query, µs")
    counted = [name for name in names if any("outcomes" in r for r in results if r["target"] == name)]
    if counted:
        table(results, counted, hit_ratio, "Hits among all statements, % (Larder's own counters over the run)")
    worst = max(results, key=lambda r: r["foreign_cpu"])
    noisy = [r for r in results if r["foreign_cpu"] > 0.1 * r["elapsed"]]
    print(f"\nRuns: {len(results)}; other processes used more than 10 % of one core in {len(noisy)}"
          f" of them (most: {worst['foreign_cpu']} s in {worst['elapsed']} s);"
          f" stolen CPU in all: {sum(r['steal'] for r in results):.1f} s.")
    for r in results:
        if r["tps"] is None:
            print(f"failed: {r['target']} {r['workload']} {r['mode']} {r['clients']}: {r['error']}")


def goals(results):
    """The project's own bars, where these results tell."""
    cells = {}
    for r in results:
        if r["tps"]:
            key = (r["target"], r["workload"], r["mode"], r["clients"], bool(r["distance"]))
            cells.setdefault(key, []).append(r)

    def value(field, target, workload, mode, clients, far=False):
        rs = cells.get((target, workload, mode, clients, far), [])
        if field.endswith("_cpu"):
            return median([r[field] / r["count"] * 1e6 for r in rs if r.get(field) is not None])
        return median([r[field] for r in rs])

    def ratios(field, mine, theirs, workload, modes, far=False, counts=(8, 32)):
        pairs = [(value(field, mine, workload, mode, n, far), value(field, theirs, workload, mode, n, far))
                 for mode in modes for n in counts]
        return [a / b for a, b in pairs if a and b]

    rows = []

    def row(title, values, bar, want, worst=min):
        if values:
            got = worst(values)
            met = got >= bar if worst is min else got <= bar
            rows.append(f"| {title} | {got:.2f} | {bar} | {want} | {'yes' if met else 'no'} |")

    limit = "limit-percore" if any(k[0] == "limit-percore" for k in cells) else "limit"
    every = ("simple", "extended", "prepared")
    row("hit, point, 8 and 32 clients, share of limit", ratios("tps", "larder", limit, "point", every), 0.80, 0.95)
    row("hit, 100 rows, 8 and 32 clients, share of limit", ratios("tps", "larder", limit, "rows100", every), 0.85, 0.97)
    for mode, bar in zip(every, (2.0, 2.3, 1.15)):
        row(f"hit, point, {mode}, 8 and 32 clients, multiple of direct",
            ratios("tps", "larder", "direct", "point", [mode]), bar, "0.95 of limit")
    row("hit, point, PostgreSQL away, 1 client, multiple of direct",
        ratios("tps", "larder", "direct", "point", every, True, (1,)), 5, 15)
    for name, what in (("larder-off", "pass-through"), ("larder-miss", "miss")):
        row(f"{what}, point, 8 and 32 clients, multiple of PgBouncer",
            ratios("tps", name, "pgbouncer", "point", every), 1.0, 1.3)
        row(f"{what}, CPU per query, extended and prepared, multiple of PgBouncer",
            ratios("server_cpu", name, "pgbouncer", "point", every[1:]), 1.0, 0.7, max)
        row(f"{what}, CPU per query, simple, multiple of PgBouncer",
            ratios("server_cpu", name, "pgbouncer", "point", every[:1]), 2.0, 1.3, max)
    above = [value("server_cpu", "larder", "point", mode, n) - value("server_cpu", limit, "point", mode, n)
             for mode in every for n in (8, 32)
             if value("server_cpu", "larder", "point", mode, n) and value("server_cpu", limit, "point", mode, n)]
    row("CPU per hit above limit's, point, 8 and 32 clients, µs", above, 4, 0.5, max)

    def break_even(field, clients, far, invert):
        costs = [value(field, name, "point", "prepared", clients, far) for name in ("larder-miss", "direct", "larder")]
        if not all(costs):
            return []
        miss, direct, hit = [1 / c for c in costs] if invert else costs
        return [(miss - direct) / (miss - hit)] if miss > hit else []

    row("break-even hit ratio, latency, PostgreSQL away, 1 client", break_even("latency_ms", 1, True, False),
        0.15, 0.06, max)
    row("break-even hit ratio, throughput, same machine, 8 clients", break_even("tps", 8, False, True), 0.9, 0.6, max)
    started = [r["started_kib"] / 1024 for r in results if r["target"] == "larder" and r.get("started_kib")]
    row("memory started (RSS), MiB", started, 20, 10, max)
    if rows:
        print("\n### The bars (the worst of the cells named)\n")
        print("| number | measured | at least / at most | wanted | met |\n|---|---:|---:|---:|---|")
        print("\n".join(rows))
    poor = [r for r in results if r["target"] == "larder" and r.get("outcomes") and float(hit_ratio([r])) < 99]
    for r in poor:
        print(f"\nNot hits: larder {r['workload']} {r['mode']} {r['clients']}: {hit_ratio([r])} % of the statements.")
