"""shipper.py URL CLUSTER CAPTURE: ships a capture as it is, like Vector, Fluent Bit or a script of somebody would.

Nothing is converted: objects, events and alerts are published as kubectl and Alertmanager print them, kubelet and
container lines as text, all under kwhy.in.CLUSTER.raw.…, in the order in which they came about. The last message, a tick
as JSON, lets the time pass up to the end of the capture. Prints how many messages were stored.
"""

import asyncio
import gzip
import json
import pathlib
import re
import sys
from datetime import datetime, timedelta, timezone

import nats
import yaml

url, cluster, capture = sys.argv[1], sys.argv[2], pathlib.Path(sys.argv[3])
RAW = f"kwhy.in.{cluster}.raw"
SYSLOG = re.compile(r"^(\w{3}) ([ \d]\d) (\d\d:\d\d:\d\d)")


def when(text):
    return datetime.fromisoformat(str(text).replace("Z", "+00:00"))


def rfc3339(at):
    return at.astimezone(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def content(path):
    """A file of the capture, packed or not; empty where there is none."""
    packed = path.with_name(path.name + ".gz")
    if packed.exists():
        return gzip.decompress(packed.read_bytes()).decode(errors="replace")
    return path.read_text(errors="replace") if path.exists() else ""


def items(name):
    text = content(capture / name)
    return json.loads(text)["items"] if text else []


def logs(pattern):
    """The logs in the capture, each once, by the name that it has unpacked."""
    found = [*capture.glob(pattern), *capture.glob(pattern + ".gz")]
    return sorted({file.with_name(file.name.removesuffix(".gz")) for file in found})


def written(line, begin):
    """When journalctl says that a line was written; None where it does not say it."""
    stamp = SYSLOG.match(line)
    if stamp:
        at = datetime.strptime(f"{begin.year} {' '.join(stamp.groups())}", "%Y %b %d %H:%M:%S")
        return at.replace(tzinfo=timezone.utc)
    return datetime.fromisoformat(line.split(" ")[0]) if line[:1].isdigit() else None


def messages(span):
    """Time, subject, header Kwhy-At, body and id of each message."""
    begin, end = when(span["from"]), when(span["to"])
    objects = items("objects.json")
    for at in range(0, len(objects), 20):
        body = json.dumps({"kind": "List", "items": objects[at : at + 20]})
        yield begin, "objects", begin, body, f"objects/{at}"
    for number, line in enumerate(content(capture / "changes.ndjson").splitlines()):
        at = when(json.loads(line)["at"])
        yield at, "objects", at, line, f"change/{number}"
    for event in items("events.json"):
        at = when(event.get("lastTimestamp") or event.get("eventTime") or event["metadata"]["creationTimestamp"])
        yield at, "events", None, json.dumps(event), f"event/{event['metadata']['uid']}/{at}"
    for number, line in enumerate(content(capture / "alerts.ndjson").splitlines()):
        delivery = json.loads(line)
        at = when(delivery["at"])
        yield at, "alerts", at, json.dumps(delivery["payload"]), f"delivery/{number}"
    for file in logs("kubelet/*.log"):
        for number, line in enumerate(content(file).splitlines()):
            at = written(line, begin)
            if at:
                yield at, f"kubelet.{file.stem}", at, line, f"{file.stem}/{number}"
    for file in logs("pods/*/*/*.log"):
        namespace, pod, container = *file.parts[-3:-1], file.name.split(".")[0]
        for line in content(file).splitlines():
            at = when(line.split(" ")[0][:19] + "+00:00")
            # What has neither its own id nor a message id gets one from its place in the stream.
            yield at, f"log.{namespace}.{pod}.{container}", None, line, None
    yield end + timedelta(milliseconds=1), None, None, json.dumps(
        {"signals": [{"id": "tick/end", "source": "tick", "at": rfc3339(end)}]}
    ), None


async def main():
    span = yaml.safe_load((capture / "capture.yaml").read_text())
    client = await nats.connect(url)
    stream = client.jetstream()
    stored = 0
    for _, kind, at, body, name in sorted(messages(span), key=lambda message: message[0]):
        headers = {"Nats-Msg-Id": name} if name else {}
        if at:
            headers["Kwhy-At"] = rfc3339(at)
        if kind is None:
            headers["Content-Type"] = "application/json"
        subject = f"{RAW}.{kind}" if kind else f"kwhy.in.{cluster}.tick._"
        await stream.publish(subject, body.encode(), headers=headers)
        stored += 1
    print(stored)
    await client.close()


asyncio.run(main())
