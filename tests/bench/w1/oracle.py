#!/usr/bin/env python3
"""The expected W1 findings, in event time:  oracle.py --rules 100 klog.txt > expected.txt

One line a finding: `rule pod`, sorted. Finding: B of rule r on pod p, at most 300 s after the latest A of r on p,
and no finding for (r, p) in the last 600 s. Compare any engine's output with `sort engine.txt | cmp - expected.txt`.
"""
import argparse
import re
import sys

from ruleset import DEDUPE_S, WINDOW_S, rules

LINE = re.compile(r'^[EW]\d\d(\d\d) (\d\d):(\d\d):(\d\d\.\d+) .*?\] "([^"]+)" .*?\bpod="([^"]+)"')


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--rules", type=int, default=100)
    ap.add_argument("log")
    a = ap.parse_args()
    side = {}
    for r, x, y in rules(a.rules):
        side[x], side[y] = (r, 0), (r, 1)
    last_a, last_f, out = {}, {}, []
    for line in open(a.log, encoding="utf-8"):
        if line[0] == "I":
            continue
        m = LINE.match(line)
        if not m:
            continue
        k = side.get(m[5])
        if k is None:
            continue
        t = int(m[1]) * 86400 + int(m[2]) * 3600 + int(m[3]) * 60 + float(m[4])
        key = (k[0], m[6])
        if k[1] == 0:
            last_a[key] = t
        elif key in last_a and t - last_a[key] <= WINDOW_S and (key not in last_f or t - last_f[key] >= DEDUPE_S):
            last_f[key] = t
            out.append(f"{key[0]} {key[1]}\n")
    out.sort()
    sys.stdout.write("".join(out))


if __name__ == "__main__":
    main()
