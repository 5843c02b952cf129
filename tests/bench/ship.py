"""ship.py: what it costs to ship the log lines of a node.

Starts a nats-server and `kwhy collect kubelet` on a log that grows at a steady rate, lets it run, and reads from /proc
what the collector used: processor time from the first line to the last one that NATS acknowledged, and the peak of its
memory. With --source journal the log is a journal file that systemd-journal-remote appends to, and the journalctl that
the collector reads is counted beside it. Fails unless every line has arrived in KWHY_IN, each under one id.
"""

import argparse
import asyncio
import os
import pathlib
import subprocess
import sys
import tempfile
import time

import nats

TICKS = os.sysconf("SC_CLK_TCK")
# Lines as kubelets write them; one in five is a warning or an error.
TEXTS = [
    '"Reconciler: start to sync state" pod="shop/web-{n}" volume="kube-api-access-x8" attempt={n}',
    '"SyncLoop (PLEG): event for pod" pod="shop/web-{n}" event={{"ID":"6a1bb3cd-8af1-4330-a953-da78b26c352f","Type":"ContainerStarted"}}',
    '"Probe succeeded" probeType="Readiness" pod="shop/web-{n}" podUID=6a1bb3cd-8af1-4330-a953-da78b26c352f containerName="app"',
    'operationExecutor.MountVolume succeeded for volume "config" (UniqueName: "kubernetes.io/configmap/{n}-config") pod "web-{n}"',
    '"Error syncing pod, skipping" err="failed to \\"StartContainer\\" for \\"app\\" with CrashLoopBackOff" pod="shop/web-{n}"',
]


def line(number):
    now = time.gmtime()
    text = TEXTS[number % 5].format(n=number % 300)
    head = time.strftime("%m%d %H:%M:%S", now)
    return f'{"E" if number % 5 == 4 else "I"}{head}.{number % 1000000:06d}    1043 kubelet.go:2240] {text} line={number}'


def entry(number):
    """A line in the export format of the journal."""
    at = time.time_ns() // 1000
    fields = {
        "__CURSOR": f"s={'a' * 32};i={number:x};b={'1' * 32};m={number:x};t={at:x};x={number:x}",
        "__REALTIME_TIMESTAMP": at,
        "__MONOTONIC_TIMESTAMP": number,
        "_BOOT_ID": "1" * 32,
        "_MACHINE_ID": "2" * 32,
        "_HOSTNAME": "node-1",
        "_TRANSPORT": "stdout",
        "_SYSTEMD_UNIT": "kubelet.service",
        "SYSLOG_IDENTIFIER": "kubelet",
        "PRIORITY": 6,
        "_PID": 1043,
        "MESSAGE": line(number),
    }
    return "".join(f"{name}={value}\n" for name, value in fields.items()) + "\n"


def used(pid):
    """Processor seconds of a process so far."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def peak(pid):
    """Peak memory of a process, MiB."""
    for status in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if status.startswith("VmHWM:"):
            return int(status.split()[1]) / 1024
    return 0.0


def children(pid):
    return [int(child) for task in pathlib.Path(f"/proc/{pid}/task").iterdir() for child in (task / "children").read_text().split()]


def started(args, ready, **options):
    process = subprocess.Popen(args, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, **options)
    for said in process.stderr:
        if ready in said:
            # What it says later must not fill the pipe.
            subprocess.Popen(["cat"], stdin=process.stderr, stdout=subprocess.DEVNULL)
            return process, said
    raise SystemExit(f"{args[0]} did not get ready")


async def arrived(url):
    """Lines in KWHY_IN, and how many different ids they have. Counted by their marks: no protobuf is needed for it."""
    client = await nats.connect(url)
    stream = client.jetstream()
    subscription = await stream.subscribe("kwhy.in.bench.kubelet.>", ordered_consumer=True)
    info = await stream.stream_info("KWHY_IN")
    lines, messages, size, numbers = 0, 0, 0, set()
    while messages < info.state.messages:
        try:
            message = await subscription.next_msg(timeout=5)
        except nats.errors.TimeoutError:
            break
        messages += 1
        size += len(message.data)
        for piece in message.data.split(b" line=")[1:]:
            digits = piece[: next((at for at, byte in enumerate(piece) if not 48 <= byte <= 57), len(piece))]
            lines += 1
            numbers.add(int(digits))
    await client.close()
    return lines, messages, size, numbers


def measure(options, source):
    with tempfile.TemporaryDirectory() as folder:
        dir = pathlib.Path(folder)
        server, said = started(
            [options.nats_server, "--addr", "127.0.0.1", "--port", "-1", "--jetstream", "--store_dir", str(dir / "js")],
            "Listening for client connections",
        )
        url = "nats://" + said.rsplit(" ", 1)[1].strip()
        run = [options.kwhy, "run", "--nats", url, "--cluster", "bench"]
        engine, _ = started(run, "ready", cwd=dir)
        engine.terminate()
        engine.wait()
        log, journal = dir / "kubelet.log", dir / "journal"
        log.touch()
        journal.mkdir()
        collect = [options.kwhy, "collect", "kubelet", "--nats", url, "--cluster", "bench", "--node", "node-1"]
        if source == "file":
            collect += ["--file", str(log)]
            out, make, writer = log.open("a"), (lambda number: line(number) + "\n"), None
        else:
            collect += ["--journal", "--journal-directory", str(journal)]
            writer = subprocess.Popen(
                [options.journal_remote, "-o", str(journal / "x.journal"), "-"],
                stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, text=True,
            )
            out, make = writer.stdin, entry
        collector, _ = started(collect, "ready", cwd=dir)
        # What it takes to start is not what it takes to ship.
        time.sleep(3)
        pid, total = collector.pid, options.rate * options.seconds
        cpu, begin, done, helper = used(pid), time.monotonic(), 0, {}
        while done < total:
            due = min(total, int((time.monotonic() - begin) * options.rate))
            out.write("".join(make(number) for number in range(done, due)))
            out.flush()
            done = due
            for child in children(pid):
                helper[child] = used(child)
            time.sleep(0.01)
        wall = time.monotonic() - begin
        for _ in range(60):
            lines, messages, size, numbers = asyncio.run(arrived(url))
            if len(numbers) == total:
                break
            time.sleep(0.5)
        for child in children(pid):
            helper[child] = used(child)
        cpu, rss = used(pid) - cpu, peak(pid)
        collector.terminate()
        collector.wait()
        if writer:
            writer.stdin.close()
            writer.wait()
        server.terminate()
        server.wait()
        if lines != total or numbers != set(range(total)):
            raise SystemExit(f"{lines} lines came, {len(numbers)} different ones, of {total}")
        return {
            "source": source, "rate": total / wall, "core": 100 * cpu / wall, "rss": rss, "lines": lines / messages,
            "bytes": size / lines, "journalctl": 100 * sum(helper.values()) / wall,
        }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kwhy", required=True)
    parser.add_argument("--nats-server", required=True)
    parser.add_argument("--journal-remote", required=True)
    parser.add_argument("--rate", type=int, default=5000, help="lines a second")
    parser.add_argument("--seconds", type=int, default=30)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--source", choices=["file", "journal", "both"], default="both")
    options = parser.parse_args()
    print("| source | lines a second | collector, % of a core | journalctl, % of a core | peak MiB | lines a message | bytes a line |")
    print("|---|---|---|---|---|---|---|")
    bad = []
    for source in ["file", "journal"] if options.source == "both" else [options.source]:
        for _ in range(options.runs):
            run = measure(options, source)
            print("| {source} | {rate:.0f} | {core:.1f} | {journalctl:.1f} | {rss:.0f} | {lines:.0f} | {bytes:.0f} |".format(**run), flush=True)
            if run["core"] > 25 or run["rss"] > 50:
                bad.append(source)
    if bad:
        sys.exit(f"above 25 % of a core or 50 MiB: {bad}")


main()
