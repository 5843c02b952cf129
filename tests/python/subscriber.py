"""subscriber.py URL CLASSES COUNT: a subscriber of findings that somebody else could have written.

Subscribes to all that is said about findings and says `subscribed` on standard error. When COUNT revisions have come
in both encodings, it prints one JSON line for each: its subject, and what the classes that protoc made of proto/ read.
"""

import asyncio
import json
import sys

import nats
from google.protobuf import json_format

url, classes, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
sys.path.insert(0, classes)
from kwhy.v1 import finding_pb2  # noqa: E402


async def main():
    client = await nats.connect(url, allow_reconnect=False)
    subscription = await client.subscribe("kwhy.findings.>")
    await client.flush()
    print("subscribed", file=sys.stderr, flush=True)
    decoded, twins = [], {}
    while len(decoded) < count or len(twins) < count:
        message = await subscription.next_msg(timeout=60)
        kind = message.headers["Content-Type"]
        if kind == "application/json; message=kwhy.v1.Finding":
            finding = json_format.Parse(message.data, finding_pb2.Finding())
            twins[finding.id, finding.revision] = finding, json.loads(message.data)
        elif kind == "application/x-protobuf; message=kwhy.v1.Finding":
            finding = finding_pb2.Finding()
            finding.ParseFromString(message.data)
            decoded.append((message.subject, message.headers, finding))
        else:
            raise SystemExit(f"{message.subject}: what is {kind}?")
    for subject, headers, finding in decoded:
        twin, text = twins[finding.id, finding.revision]
        assert twin == finding, f"the JSON twin of {finding.id}/{finding.revision} says something else"
        fields = json_format.MessageToDict(finding)
        assert fields == text, f"JSON that is not the canonical one: protobuf says {fields}, kwhy says {text}"
        line = {"subject": subject, "sequence": headers["Nats-Sequence"], "finding": fields}
        print(json.dumps(line))
    await client.close()


asyncio.run(main())
