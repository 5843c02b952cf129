"""The cluster of the scale bench: a hundred machines, Kubernetes 1.33, some thousand workloads of many teams, as they stand before the hour begins."""

import base64
import copy

from kit import Capture, digest, key, owner, s, suffix, template_hash, when
from objs import (apiservice, app, clean, cm_volume, cond, configmap, container, daemonset, hpa, node, pod, service, simple, static_pod, statefulset,
                  storageclass, template)
from rules import alert
from worlds import COREFILE_129, coredns_template, kube_proxy

TEAMS = ("accounts billing catalog checkout claims content delivery discovery fleetops fraud identity inventory ledger loyalty mail mapping media "
         "orders partners payments pricing quotes reports returns reviews routing search sessions").split()
PARTS = ("api worker gateway cache sync indexer exporter planner ranker notifier consumer bff scheduler importer proxy ingest matcher renderer "
         "archiver relay enricher auditor").split()
SIZES = (1, 1, 2, 2, 2, 3, 3, 3, 3, 4, 4, 5, 6, 6, 8, 10, 14)
MANAGERS = {"Pod": "kube-controller-manager", "ReplicaSet": "kube-controller-manager", "Job": "kube-controller-manager", "EndpointSlice": "kube-controller-manager",
            "PersistentVolume": "csi-provisioner", "PersistentVolumeClaim": "kube-controller-manager", "Node": "kubeadm"}


def number(*parts):
    return int(digest(*parts)[:8], 16)


def fields(value):
    """What `fieldsV1` says of a value: every field that somebody set."""
    if isinstance(value, dict):
        return {f"f:{k}": fields(v) for k, v in value.items()}
    if isinstance(value, list) and value and all(isinstance(v, dict) for v in value):
        for k in ("name", "type", "ip", "uid", "mountPath"):
            if all(k in v for v in value):
                return {f'k:{{"{k}":"{v[k]}"}}': {".": {}, **fields(v)} for v in value}
    return {}


def managed(obj):
    """The object with its managedFields, as an API server stores it: who wrote the spec, who the status."""
    meta = obj["metadata"]
    body = {k: v for k, v in obj.items() if k not in ("apiVersion", "kind", "metadata", "status")}
    own = {k: v for k, v in meta.items() if k in ("labels", "annotations", "ownerReferences", "generateName")}
    entries = [{"apiVersion": obj["apiVersion"], "fieldsType": "FieldsV1", "fieldsV1": fields({"metadata": own, **body}),
                "manager": MANAGERS.get(obj["kind"], "helm"), "operation": "Update", "time": meta["creationTimestamp"]}]
    if obj.get("status"):
        entries.append({"apiVersion": obj["apiVersion"], "fieldsType": "FieldsV1", "fieldsV1": fields({"status": obj["status"]}),
                        "manager": "kubelet" if obj["kind"] in ("Pod", "Node") else "kube-controller-manager", "operation": "Update", "subresource": "status",
                        "time": meta["creationTimestamp"]})
    return {**obj, "metadata": {**meta, "managedFields": entries}}


class Large(Capture):
    indent = 4

    def __init__(self, pods, workloads, nodes, seed):
        super().__init__("scale", f"fleet{seed or ''}", "v1.33.4", "2026-06-10T09:00:00", "2026-06-10T10:00:00", "an hour of a large cluster")
        self.era, self.control_plane, self.ns = 2026, "fleet-cp1", "monitoring"
        self.prom_label, self.prom_url, self.am_url = "monitoring/k8s", "http://prometheus-k8s.monitoring:9090", "http://alertmanager-main.monitoring:9093"
        self.placed = 0
        self.apps, self.sets, self.crons, self.slices = [], [], [], {}
        self.machines(nodes)
        self.system()
        self.teams(pods, workloads)

    def written(self, obj):
        return managed(obj)

    # what is there

    def machines(self, nodes):
        dist = dict(kernel="6.12.48+deb13-amd64", os_image="Debian GNU/Linux 13 (trixie)", runtime="containerd://2.1.4")
        self.nodes = [f"fleet-cp{i}" for i in (1, 2, 3)] + [f"fleet-w{i:03d}" for i in range(1, nodes - 2)]
        self.workers = self.nodes[3:]
        for i, name in enumerate(self.nodes):
            cp = i < 3
            obj = node(self, name, f"10.8.{i // 200}.{10 + i % 200}", f"2026-02-{3 + i % 20:02d}T10:{i % 60:02d}:00", f"10.{64 + i // 250}.{i % 250}.0/24",
                       roles=["control-plane"] if cp else [], cpu="8" if cp else "32", memory="33554432Ki" if cp else "131072000Ki",
                       taints=[{"effect": "NoSchedule", "key": "node-role.kubernetes.io/control-plane"}] if cp else None,
                       heartbeat=self.start - s(5 + i * 290 // nodes),
                       extra_labels={"topology.kubernetes.io/zone": f"eu-1{'abc'[i % 3]}", "topology.kubernetes.io/region": "eu-1", "node.kubernetes.io/instance-type": "m7.8xlarge"}, **dist)
            obj["metadata"]["annotations"] = {k: v for k, v in obj["metadata"]["annotations"].items() if "flannel" not in k}
            obj["status"]["conditions"] = obj["status"]["conditions"][1:]
            obj["status"]["images"] = [{"names": [f"registry.fleet.example/{TEAMS[n % len(TEAMS)]}/{PARTS[n % len(PARTS)]}@sha256:{digest('image', n)}",
                                                  f"registry.fleet.example/{TEAMS[n % len(TEAMS)]}/{PARTS[n % len(PARTS)]}:{1 + n % 9}.{n % 40}.{n % 7}"],
                                        "sizeBytes": 9000000 + n * 7919 % 400000000} for n in (number(name, j) % 900 for j in range(40))]
            self.store[key(obj)] = copy.deepcopy(obj)
            self.initial[key(obj)] = copy.deepcopy(obj)

    def system(self):
        hub, up = "registry.k8s.io/", "2026-05-11T04:00:10"
        for ns in ("kube-system", "monitoring", "logging", "default"):
            self.namespace(ns)
        for i, name in enumerate(self.nodes[:3]):
            cp = self.get("Node", "", name)
            for what, image, port in (("etcd", "etcd:3.5.21-0", 2381), ("kube-apiserver", "kube-apiserver:v1.33.4", 6443),
                                      ("kube-controller-manager", "kube-controller-manager:v1.33.4", 10257), ("kube-scheduler", "kube-scheduler:v1.33.4", 10259)):
                static_pod(self, what, cp, up, hub + image, [what, f"--bind-address=10.8.0.{10 + i}"], port=port)
        self.daemons = [kube_proxy(self, self.nodes, "2026-02-03T10:01:00", hub + "kube-proxy:v1.33.4", None, "0.0.0.0:10249", "10.64.0.0/14", "10.8.0.10", pod_created=up)]
        for ns, name, image, port in (("kube-system", "cilium", "quay.io/cilium/cilium:v1.17.4", 9962), ("kube-system", "ebs-csi-node", "public.ecr.aws/ebs-csi-driver/aws-ebs-csi-driver:v1.44.0", 3302),
                                      ("monitoring", "node-exporter", "quay.io/prometheus/node-exporter:v1.9.1", 9100), ("logging", "fluent-bit", "cr.fluentbit.io/fluent/fluent-bit:4.0.3", 2020)):
            self.daemons.append(daemonset(self, ns, name, [container(name, image, ports=[("metrics", port)], cpu="100m", memory="128Mi", limit_memory="512Mi",
                                                                     live=("/healthz", port, "HTTP", 30, 10, 5, 5), mounts=[("run", "/run/" + name, False)])],
                                          self.nodes, "2026-02-03T10:20:00", labels={"app.kubernetes.io/name": name}, sa=name, host_network=True, priority="system-node-critical",
                                          tolerations=[{"operator": "Exists"}], volumes=[{"hostPath": {"path": "/run/" + name, "type": "DirectoryOrCreate"}, "name": "run"}]))
        configmap(self, "kube-system", "coredns", "2026-02-03T10:00:40", {"Corefile": COREFILE_129})
        cs, kw = coredns_template(hub + "coredns/coredns:v1.12.0", 33)
        _, _, dns = app(self, "kube-system", "coredns", cs, self.workers[:3], "2026-02-03T10:00:40", labels={"k8s-app": "kube-dns"}, **kw)
        service(self, "kube-system", "kube-dns", "2026-02-03T10:00:40", [("dns", 53, 53), ("dns-tcp", 53, 53), ("metrics", 9153, 9153)], {"k8s-app": "kube-dns"}, ip="10.96.0.10", labels={"k8s-app": "kube-dns"})
        app(self, "kube-system", "metrics-server", [container("metrics-server", hub + "metrics-server/metrics-server:v0.7.2", args=["--secure-port=10250", "--kubelet-preferred-address-types=InternalIP", "--kubelet-use-node-status-port"], ports=[("https", 10250)],
                                                              live=("/livez", "https", "HTTPS", 0, 10, 1, 3), ready=("/readyz", "https", "HTTPS", 20, 10, 1, 3))],
            self.workers[3:5], "2026-02-03T11:00:00", labels={"k8s-app": "metrics-server"})
        service(self, "kube-system", "metrics-server", "2026-02-03T11:00:00", [("https", 443, "https")], {"k8s-app": "metrics-server"}, labels={"k8s-app": "metrics-server"})
        apiservice(self, "v1beta1.metrics.k8s.io", "2026-02-03T11:00:00", "kube-system", "metrics-server", "True", when("2026-05-11T04:03:00"), "Passed", "all checks passed")
        storageclass(self, "gp3", "2026-02-03T10:30:00", provisioner="ebs.csi.aws.com")
        part = {"app.kubernetes.io/part-of": "kube-prometheus"}
        _, _, kp = app(self, "monitoring", "kube-state-metrics", [container("kube-state-metrics", hub + "kube-state-metrics/kube-state-metrics:v2.15.0", args=["--host=127.0.0.1", "--port=8081"]),
                                                                  container("kube-rbac-proxy-main", "quay.io/brancz/kube-rbac-proxy:v0.19.1", args=["--secure-listen-address=:8443", "--upstream=http://127.0.0.1:8081/"], ports=[("https-main", 8443)])],
                       [self.workers[5]], "2026-02-03T11:00:00", labels={"app.kubernetes.io/name": "kube-state-metrics", **part}, sa="kube-state-metrics")
        self.ksm_target = {"container": "kube-rbac-proxy-main", "instance": kp[0]["status"]["podIP"] + ":8443", "job": "kube-state-metrics"}
        pr = simple(self, "Prometheus", "monitoring", "k8s", "2026-02-03T11:00:00", api="monitoring.coreos.com/v1", spec={"image": "quay.io/prometheus/prometheus:v3.4.1", "replicas": 1, "version": "3.4.1"})
        statefulset(self, "monitoring", "prometheus-k8s", [container("prometheus", "quay.io/prometheus/prometheus:v3.4.1", args=["--config.file=/etc/prometheus/config_out/prometheus.env.yaml"], ports=[("web", 9090)])],
                    [self.workers[6]], "2026-02-03T11:00:40", labels={"app.kubernetes.io/name": "prometheus", "prometheus": "k8s"}, service_name="prometheus-operated", owners=[owner(pr)], sa="prometheus-k8s", fs_group=2000)

    def namespace(self, name):
        simple(self, "Namespace", None, name, "2026-02-03T10:00:30", labels={"kubernetes.io/metadata.name": name}, spec={"finalizers": ["kubernetes"]}, status={"phase": "Active"})
        configmap(self, name, "kube-root-ca.crt", "2026-02-03T10:00:31", {"ca.crt": "-----BEGIN CERTIFICATE-----\n" + "\n".join(digest(name, i)[:64] for i in range(17)) + "\n-----END CERTIFICATE-----\n"})

    # the teams

    def place(self, n):
        """The next n machines, evenly, as the scheduler spreads them."""
        self.placed += n
        return [self.workers[(self.placed - n + i) * 37 % len(self.workers)] for i in range(n)]

    def teams(self, pods, workloads):
        spaces = [f"{t}-{env}" for env in ("prod", "stage") for t in TEAMS]
        for ns in spaces:
            self.namespace(ns)
            simple(self, "NetworkPolicy", ns, "same-namespace", "2026-02-04T08:00:00", api="networking.k8s.io/v1",
                   spec={"ingress": [{"from": [{"podSelector": {}}, {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "ingress"}}}]}], "podSelector": {}, "policyTypes": ["Ingress"]})
        count = workloads - sum(1 for k in self.store if k[0] in ("Deployment", "StatefulSet", "DaemonSet"))
        names = [(spaces[i % len(spaces)], f"{spaces[i % len(spaces)].split('-')[0]}-{PARTS[i // len(spaces) % len(PARTS)]}" + (f"-{i // len(spaces) // len(PARTS)}" if i >= len(spaces) * len(PARTS) else "")) for i in range(count)]
        kinds = ["cron" if i % 17 == 5 else "set" if i % 11 == 3 else "app" for i in range(count)]
        sizes = [0 if k == "cron" else 1 + number(*n) % 3 if k == "set" else SIZES[number(*n) % len(SIZES)] for n, k in zip(names, kinds)]
        left, i = pods - sum(1 for k in self.store if k[0] == "Pod") - sum(sizes), 0
        while left:
            if kinds[i % count] == "app" and (left > 0 or sizes[i % count] > 1):
                sizes[i % count] += 1 if left > 0 else -1
                left -= 1 if left > 0 else -1
            i += 1
        for (ns, name), kind, size in zip(names, kinds, sizes):
            {"app": self.deploy, "set": self.store_of, "cron": self.cron}[kind](ns, name, size)

    def parts(self, ns, name, tag=None, claim=None):
        """The containers and volumes of a team's pod, as charts write them."""
        team, role = ns.rsplit("-", 1)[0], name.split("-", 1)[1]
        ref = {"valueFrom": {"secretKeyRef": {"key": "db-password", "name": name}}}
        env = {"POD_NAME": {"valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.name"}}}, "POD_IP": {"valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "status.podIP"}}},
               "DB_HOST": f"{team}-db.{ns}.svc.cluster.local", "DB_PASSWORD": ref, "DB_USER": {"valueFrom": {"configMapKeyRef": {"key": "db-user", "name": name}}},
               "OTEL_EXPORTER_OTLP_ENDPOINT": "http://otel-collector.monitoring.svc.cluster.local:4317", "OTEL_SERVICE_NAME": name, "OTEL_RESOURCE_ATTRIBUTES": f"deployment.environment={ns.rsplit('-', 1)[1]},service.namespace={team}",
               "LOG_LEVEL": "info", "LOG_FORMAT": "json", "HTTP_PORT": "8080", "GOMEMLIMIT": "430MiB", "FEATURE_FLAGS_URL": "http://flags.platform.svc.cluster.local:8013"}
        c = container(role, f"registry.fleet.example/{team}/{role}:{tag or f'4.{number(name) % 30}.{number(ns, name) % 9}'}", ports=[("http", 8080), ("metrics", 9090)], cpu="100m", memory="256Mi", limit_memory="512Mi", env=env,
                      live=("/livez", "http", "HTTP", 10, 10, 2, 3), ready=("/readyz", "http", "HTTP", 2, 5, 2, 3), mounts=[("config", "/etc/" + name, True), ("tmp", "/tmp", False)] + ([(claim, "/var/lib/data", False)] if claim else []),
                      security={"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}, "readOnlyRootFilesystem": True, "runAsNonRoot": True})
        side = container("otel-agent", "otel/opentelemetry-collector-contrib:0.127.0", args=["--config=env:OTEL_CONFIG"], cpu="20m", memory="64Mi", limit_memory="128Mi", env={"OTEL_CONFIG": "receivers: {otlp: {protocols: {grpc: {}}}}", "GOMEMLIMIT": "100MiB"})
        return [c, side][: 1 + (number(name, "side") % 3 == 0)], [cm_volume("config", name), {"emptyDir": {}, "name": "tmp"}]

    def around(self, ns, name, created, labels, pods, port="http"):
        """ConfigMap, Secret, Service and EndpointSlice of a workload."""
        configmap(self, ns, name, created, {"db-user": name, "config.yaml": f"service: {name}\nlisten: :8080\nlog:\n  level: info\n" + "".join(f"route_{i}:\n  path: /v1/{digest(name, i)[:10]}\n  timeout: {1 + i}s\n" for i in range(12))},
                  labels=labels, annotations={"meta.helm.sh/release-name": name, "meta.helm.sh/release-namespace": ns})
        simple(self, "Secret", ns, name, created, labels=labels, type="Opaque", data={k: base64.b64encode(digest(ns, name, k).encode()).decode() for k in ("db-password", "api-token", "tls.key")})
        svc = service(self, ns, name, created, [("http", 80, port)], labels, labels=labels)
        self.slice(svc, pods)

    def slice(self, svc, pods):
        m = svc["metadata"]
        obj = {"addressType": "IPv4", "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
               "metadata": self.meta("EndpointSlice", m["namespace"], f"{m['name']}-{suffix(m['uid'])}", when(m["creationTimestamp"]), {**m.get("labels", {}), "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io", "kubernetes.io/service-name": m["name"]},
                                     {"endpoints.kubernetes.io/last-change-trigger-time": m["creationTimestamp"]}, [owner(svc)], generateName=m["name"] + "-", generation=1),
               "endpoints": self.endpoints(pods), "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}]}
        self.slices[(m["namespace"], m["name"])] = key(self.add(obj))

    def endpoints(self, pods):
        def ready(p):
            return any(c["type"] == "Ready" and c["status"] == "True" for c in p["status"]["conditions"])
        return [{"addresses": [p["status"]["podIP"]], "conditions": {"ready": ready(p), "serving": ready(p), "terminating": "deletionTimestamp" in p["metadata"]}, "nodeName": p["spec"]["nodeName"],
                 "targetRef": {"kind": "Pod", "name": p["metadata"]["name"], "namespace": p["metadata"]["namespace"], "uid": p["metadata"]["uid"]}, "zone": "eu-1a"} for p in pods if p["status"].get("podIP")]

    def labels(self, name):
        return {"app.kubernetes.io/name": name, "app.kubernetes.io/instance": name, "app.kubernetes.io/managed-by": "Helm", "helm.sh/chart": "service-3.14.2"}

    def deploy(self, ns, name, size):
        labels, n = self.labels(name), number(ns, name)
        created, revision = when("2026-02-10T08:00:00") + s(n % 5_000_000), 3 + n % 40
        latest = when("2026-05-12T08:00:00") + s(n % 2_300_000)
        cs, vols = self.parts(ns, name)
        old = [(template_hash(ns, name, "old", i), latest - s(86400 * 3 * (i + 1)), revision - i - 1) for i in range(2)]
        dep, rs, pods = app(self, ns, name, cs, self.place(size), created, labels=labels, revision=revision, rs_created=latest, history=old, volumes=vols, restarts=n % 40 // 39,
                            affinity={"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [{"podAffinityTerm": {"labelSelector": {"matchLabels": {"app.kubernetes.io/name": name}}, "topologyKey": "kubernetes.io/hostname"}, "weight": 100}]}},
                            annotations={"meta.helm.sh/release-name": name, "meta.helm.sh/release-namespace": ns})
        self.around(ns, name, created, {k: labels[k] for k in ("app.kubernetes.io/name", "app.kubernetes.io/instance")}, pods)
        if size > 2 and n % 3 == 0:
            ok = [cond("AbleToScale", "True", created, "ReadyForNewScale", "recommended size matches current size"), cond("ScalingActive", "True", created, "ValidMetricFound", "the HPA was able to successfully calculate a replica count from cpu resource utilization (percentage of request)"),
                  cond("ScalingLimited", "False", created, "DesiredWithinRange", "the desired count is within the acceptable range")]
            hpa(self, ns, name, created, name, size, size * 3, size, ok, 20 + n % 40)
        if size > 2 and n % 4 == 1:
            simple(self, "PodDisruptionBudget", ns, name, created, api="policy/v1", spec={"maxUnavailable": 1, "selector": {"matchLabels": {"app.kubernetes.io/name": name}}},
                   status={"currentHealthy": size, "desiredHealthy": size - 1, "disruptionsAllowed": 1, "expectedPods": size, "observedGeneration": 1})
        self.apps.append((dep, rs, pods))

    def store_of(self, ns, name, size):
        labels, n = self.labels(name), number(ns, name)
        created = when("2026-02-10T08:00:00") + s(n % 5_000_000)
        cs, vols = self.parts(ns, name, claim="data")
        made = statefulset(self, ns, name, cs, self.place(size), created, labels=labels, claims=[("data", "gp3", "50Gi")], volumes=vols, fs_group=1000)
        for i in range(size):
            claim = self.get("PersistentVolumeClaim", ns, f"data-{name}-{i}")
            m = claim["metadata"]
            simple(self, "PersistentVolume", None, f"pvc-{m['uid']}", created + s(9), annotations={"pv.kubernetes.io/provisioned-by": "ebs.csi.aws.com"},
                   spec={"accessModes": ["ReadWriteOnce"], "capacity": {"storage": "50Gi"}, "claimRef": {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "name": m["name"], "namespace": ns, "uid": m["uid"]},
                         "csi": {"driver": "ebs.csi.aws.com", "fsType": "ext4", "volumeHandle": f"vol-0{digest(m['uid'])[:16]}"}, "persistentVolumeReclaimPolicy": "Delete", "storageClassName": "gp3", "volumeMode": "Filesystem"}, status={"phase": "Bound"})
        self.around(ns, name, created, {k: labels[k] for k in ("app.kubernetes.io/name", "app.kubernetes.io/instance")}, made[2])
        self.sets.append(made)

    def cron(self, ns, name, _):
        labels, n = self.labels(name), number(ns, name)
        created = when("2026-02-10T08:00:00") + s(n % 5_000_000)
        cs, vols = self.parts(ns, name)
        for c in cs:
            c.pop("livenessProbe", None)
            c.pop("readinessProbe", None)
        configmap(self, ns, name, created, {"db-user": name, "config.yaml": f"service: {name}\nmode: batch\n"}, labels=labels)
        simple(self, "Secret", ns, name, created, labels=labels, type="Opaque", data={"db-password": base64.b64encode(digest(ns, name).encode()).decode()})
        tpl = clean(template(cs[:1], labels, volumes=vols))
        tpl["spec"]["restartPolicy"] = "Never"
        c = simple(self, "CronJob", ns, name, created, api="batch/v1", labels=labels,
                   spec={"concurrencyPolicy": "Forbid", "failedJobsHistoryLimit": 1, "jobTemplate": {"metadata": {"creationTimestamp": None}, "spec": {"backoffLimit": 2, "template": tpl}}, "schedule": f"{n % 5}-59/5 * * * *", "successfulJobsHistoryLimit": 1, "suspend": False},
                   status={"lastScheduleTime": None, "lastSuccessfulTime": None})
        c["status"] = {}
        self.store[key(c)]["status"] = {}
        self.initial[key(c)]["status"] = {}
        self.crons.append((c, tpl))

    def watchdog(self):
        return alert(self, "Watchdog", when("2026-06-02T06:14:51.226"))

    def made_pod(self, own, name, where, t, tpl, **kw):
        """A pod that is made during the hour: its containers are not ready yet."""
        p = pod(self, own, name, where, t, tpl, **kw)
        for st in p["status"].get("containerStatuses", []):
            st["ready"] = False
        p["status"]["conditions"] = [cond("PodReadyToStartContainers", "True", t + s(2), probe=True), cond("Initialized", "True", t, probe=True),
                                     cond("Ready", "False", t, "ContainersNotReady", "containers with unready status", probe=True),
                                     cond("ContainersReady", "False", t, "ContainersNotReady", "containers with unready status", probe=True), cond("PodScheduled", "True", t, probe=True)]
        return p

