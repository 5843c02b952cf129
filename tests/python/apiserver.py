"""An API server that serves the cluster of a capture as it stands at its end, and an Alertmanager beside it.

apiserver.py CAPTURE [--forbid PLURAL]... [--broken PLURAL]... [--own NAMESPACE]

Says `port N`. Lists come in pages, without apiVersion and kind in their items, as a real one gives them. Kinds that are forbidden may be
listed in the namespace --own alone. All times are moved so that the capture ends now. One Secret is added, whose value must never be seen again."""

import argparse
import datetime
import json
import pathlib
import re
import sys
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

args = argparse.ArgumentParser()
args.add_argument("capture", type=pathlib.Path)
args.add_argument("--forbid", action="append", default=[])
args.add_argument("--broken", action="append", default=[])
args.add_argument("--own", default="")
args = args.parse_args()

KINDS = {"pods": "Pod", "nodes": "Node", "services": "Service", "configmaps": "ConfigMap", "secrets": "Secret", "events": "Event",
         "persistentvolumeclaims": "PersistentVolumeClaim", "persistentvolumes": "PersistentVolume", "storageclasses": "StorageClass",
         "deployments": "Deployment", "replicasets": "ReplicaSet", "statefulsets": "StatefulSet", "daemonsets": "DaemonSet", "jobs": "Job",
         "cronjobs": "CronJob", "namespaces": "Namespace", "serviceaccounts": "ServiceAccount", "endpointslices": "EndpointSlice",
         "horizontalpodautoscalers": "HorizontalPodAutoscaler", "poddisruptionbudgets": "PodDisruptionBudget", "ingresses": "Ingress"}


TIME = re.compile(r"\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?=(\.\d+)?Z)")
END = re.search(r"^to: (\S+)Z", (args.capture / "capture.yaml").read_text(), re.M)[1]
SHIFT = datetime.datetime.now(datetime.timezone.utc).replace(tzinfo=None, microsecond=0) - datetime.datetime.fromisoformat(END)


def text(path):
    return TIME.sub(lambda at: (datetime.datetime.fromisoformat(at[0]) + SHIFT).isoformat(), path.read_text())


def read(name):
    path = args.capture / name
    return json.loads(text(path)) if path.exists() else {"items": []}


def key(o):
    m = o["metadata"]
    return (o["kind"], m.get("namespace", ""), m["name"])


objects = {key(o): o for o in read("objects.json")["items"]}
for event in read("events.json")["items"]:
    objects[key({**event, "kind": "Event"})] = {**event, "kind": "Event"}
changes = args.capture / "changes.ndjson"
for line in text(changes).splitlines() if changes.exists() else []:
    change = json.loads(line)
    if change["type"] == "DELETED":
        objects.pop(key(change["object"]), None)
    else:
        objects[key(change["object"])] = change["object"]
secret = {"kind": "Secret", "type": "Opaque", "data": {"password": "c2VjcmV0LWNhbmFyeQ=="},
          "metadata": {"name": "canary", "namespace": "default", "uid": "canary", "annotations": {"tool/copy": "secret-canary"}}}
objects[key(secret)] = secret

LIST = re.compile(r"^/(?:api/v1|apis/(?P<group>[^/]+)/v\d+)(?:/namespaces/(?P<namespace>[^/]+))?/(?P<plural>[a-z]+)$")
LOG = re.compile(r"^/api/v1/namespaces/(?P<namespace>[^/]+)/pods/(?P<pod>[^/]+)/log$")


class Answer(BaseHTTPRequestHandler):
    def give(self, code, body):
        body = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(code)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(body)

    def status(self, code, reason, message):
        self.give(code, {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": code, "reason": reason,
                         "message": message})

    def do_GET(self):
        url = urllib.parse.urlparse(self.path)
        query = {name: values[0] for name, values in urllib.parse.parse_qs(url.query).items()}
        if url.path == "/api/v2/alerts":
            return self.give(200, text(args.capture / "alerts.json").encode())
        if log := LOG.match(url.path):
            end = ".previous.log" if query.get("previous") == "true" else ".log"
            path = args.capture / "pods" / log["namespace"] / log["pod"] / (query["container"] + end)
            if "pods/log" in args.forbid:
                return self.status(403, "Forbidden", "pods/log is forbidden")
            if not path.exists():
                return self.status(400, "BadRequest", "previous terminated container not found")
            assert query["timestamps"] == "true" and int(query["tailLines"]) > 0
            return self.give(200, text(path).encode())
        found = LIST.match(url.path)
        # Events are told under their old name.
        if not found or found["plural"] not in KINDS or found["group"] == "events.k8s.io":
            return self.status(404, "NotFound", "the server could not find the requested resource")
        plural, namespace = found["plural"], found["namespace"]
        if plural in args.broken:
            return self.status(500, "InternalError", "etcdserver: request timed out")
        if plural in args.forbid and (namespace is None or namespace != args.own):
            return self.status(403, "Forbidden", f"{plural} is forbidden")
        kind = KINDS[plural]
        items = [o for k, o in sorted(objects.items()) if k[0] == kind and namespace in (None, k[1])]
        start, limit = int(query.get("continue", 0)), min(int(query["limit"]), 7)
        page = [{k: v for k, v in o.items() if k not in ("kind", "apiVersion")} for o in items[start:start + limit]]
        more = {"continue": str(start + limit)} if start + limit < len(items) else {}
        self.give(200, {"kind": kind + "List", "apiVersion": "v1", "metadata": {"resourceVersion": "1", **more}, "items": page})

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
print(f"port {server.server_port}", file=sys.stderr, flush=True)
try:
    server.serve_forever()
except KeyboardInterrupt:
    sys.exit(0)
