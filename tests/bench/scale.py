#!/usr/bin/env python3
"""The scale bench: makes the capture of make/scale.py, checks kwhy's answer against its key, and measures whole runs.

    cargo xtask packs && cargo build --release && target/tools/venv/bin/python tests/bench/scale.py

It prints wall and CPU time and the peak of the memory of each run of `kwhy diagnose`, as the kernel counts them, and
their medians. It needs PyYAML, which `cargo xtask setup` brings."""

import argparse
import os
import subprocess
import sys
import time
from statistics import median

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
CAPTURES = os.path.join(ROOT, "tests", "captures")


def measured(argv):
    """Wall and CPU seconds and peak MiB of one run, its output thrown away."""
    start = time.monotonic()
    pid = os.posix_spawnp(argv[0], argv, os.environ, file_actions=[(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)])
    _, status, used = os.wait4(pid, 0)
    if os.waitstatus_to_exitcode(status) != 1:  # 1 says that there are findings
        sys.exit(f"{' '.join(argv)} failed")
    return time.monotonic() - start, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--kwhy", default=os.path.join(ROOT, "target", "release", "kwhy"), help="the binary to measure")
    ap.add_argument("--runs", type=int, default=5, help="runs that count; those of the check warm up")
    for name, default in (("pods", 5000), ("workloads", 1000), ("nodes", 100), ("storm", 1)):
        ap.add_argument("--" + name, type=int, default=default, help="see make/scale.py")
    args = ap.parse_args()
    capture = os.path.join(ROOT, "target", "bench", f"scale-{args.pods}-{args.workloads}-{args.nodes}-{args.storm}")
    if not os.path.exists(os.path.join(capture, "truth.yaml")):  # written last: half a capture is none
        os.makedirs(os.path.dirname(capture), exist_ok=True)
        make = [sys.executable, os.path.join(CAPTURES, "make", "scale.py"), capture]
        for name in ("pods", "workloads", "nodes", "storm"):
            make += ["--" + name, str(getattr(args, name))]
        subprocess.run(make, check=True)
    # the three causes, nothing else above INFO, the same bytes twice
    subprocess.run([sys.executable, os.path.join(CAPTURES, "score.py"), "--kwhy", args.kwhy, "--twice", capture], check=True)
    runs = []
    for n in range(args.runs):
        runs.append(measured([args.kwhy, "diagnose", capture, "--output", "json"]))
        print("run %d: %.2f s wall, %.2f s CPU, %.0f MiB peak" % (n + 1, *runs[-1]))
    for what, column in zip(("wall s", "CPU s", "peak MiB"), zip(*runs)):
        print(f"{what:9} {median(column):8.2f}   ({min(column):.2f} .. {max(column):.2f})")


if __name__ == "__main__":
    main()
