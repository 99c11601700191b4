"""How disturbed this machine is, and figures of several runs. Used by bench.py and peers.py."""
import statistics


def look():
    """(busy, stolen, all) processor seconds since the start of the system, in ticks, and the load average; zeros elsewhere than on Linux."""
    try:
        with open("/proc/stat") as f:
            t = [int(x) for x in f.readline().split()[1:9]]
        with open("/proc/loadavg") as f:
            load = float(f.read().split()[0])
    except (OSError, ValueError):
        return {"busy": 0, "stolen": 0, "all": 0, "load": 0.0}
    return {"busy": sum(t) - t[3] - t[4] - t[7], "stolen": t[7], "all": sum(t), "load": load}


def between(before, after):
    """Load average at both ends, fraction of the processors' time that was stolen."""
    total = max(1, after["all"] - before["all"])
    return {"load": [before["load"], after["load"]], "stolen": round((after["stolen"] - before["stolen"]) / total, 4)}


def higher_is_better(metric):
    return metric.endswith("_tps")


def figures(values, metric):
    """Of repeated runs: the best, the middle, and how far apart the quarters lie, as a fraction of the middle."""
    v = sorted(values)
    middle = statistics.median(v)
    quarter = statistics.quantiles(v, n=4) if len(v) > 3 else [v[0], middle, v[-1]]
    return {"best": round(v[-1] if higher_is_better(metric) else v[0], 3), "median": round(middle, 3), "n": len(v),
            "spread": round((quarter[2] - quarter[0]) / middle, 4) if middle else 0}


def speed_ratio(ours, other, metric):
    """How many times as fast we are, by the medians."""
    a, b = ours["median"], other["median"]
    if not a or not b:
        return 0
    return round(a / b if higher_is_better(metric) else b / a, 4)
