"""Clusters of other shapes than the first three, built from a list of machines; and what happens in them told in one call each:
a container that crashes again and again, a pod that stops being ready, a node that falls silent, alerts and their delivery."""

import copy

from flow import backoff_lines, backoff_note, crash, created_note, created_pod, delay, kill_events, rollout_status, run, start_events
from kit import Capture, digest, fingerprint, owner, s, sec, suffix, uid, when
from objs import (app, cond, configmap, container, daemonset, node, pod, pod_conditions, service, simple, static_pod, statefulset, storageclass,
                  template)
from rules import alert, ksm
from worlds import COREFILE_129, Rack, coredns_template, kube_proxy

CNI = {
    "calico": ("kube-system", "calico-node", "docker.io/calico/node:v3.27.2", "calico-node"),
    "canal": ("kube-system", "rke2-canal", "rancher/hardened-calico:v3.26.3-build20231109", "calico-node"),
    "cilium": ("kube-system", "cilium", "quay.io/cilium/cilium:v1.15.6", "cilium-agent"),
    "flannel": ("kube-flannel", "kube-flannel-ds", "docker.io/flannel/flannel:v0.25.4", "kube-flannel"),
    "aws": ("kube-system", "aws-node", "602401143452.dkr.ecr.eu-west-1.amazonaws.com/amazon-k8s-cni:v1.18.2", "aws-node"),
}


class Fleet(Capture):
    """nodes: (name, address, role) each; role "" is a worker."""

    def __init__(self, name, cluster, version, start, end, title, nodes, era=2024, mon="monitoring", release="kube-prometheus-stack", cni="calico",
                 static=("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler"), bind="0.0.0.0", os_image="Debian GNU/Linux 12 (bookworm)",
                 kernel="6.1.0-18-amd64", runtime="containerd://1.7.13", born="2024-01-09T08:00:00", proxy=True, dns=None, taint=True, hub="registry.k8s.io/"):
        super().__init__(name, cluster, version, start, end, title)
        self.gz.update({"objects.json", "changes.ndjson"})
        self.era, self.ns, self.release, self.born = era, mon, release, born
        self.prom_label = f"{mon}/{release}-prometheus"
        self.prom_url = f"http://{release}-prometheus.{mon}:9090"
        self.am_url = f"http://{release}-alertmanager.{mon}:9093"
        heads = [n for n in nodes if n[2]]
        self.control_plane = heads[0][0] if heads else f"ip-10-0-{int(digest(cluster)[:2], 16)}-17"
        self.nodes = [n[0] for n in nodes]
        self.workers = [n[0] for n in nodes if not n[2]] or self.nodes
        for i, (n, ip, role) in enumerate(nodes):
            taints = [{"effect": "NoSchedule", "key": f"node-role.kubernetes.io/{'control-plane' if self.minor > 19 else 'master'}"}] if role and taint else None
            self.machine(n, ip, i, when(born) + s(70 * i), role, taints, kernel, os_image, runtime, cni)
        up = sec(when(born) + s(40)).rstrip("Z")
        for n, ip, role in heads:
            o = self.get("Node", None, n)
            for part in static:
                tag = f"{hub}etcd:3.5.10-0" if part == "etcd" else f"{hub}{part}:{version.split('+')[0]}"
                args = {"etcd": ["etcd", f"--advertise-client-urls=https://{ip}:2379", f"--listen-metrics-urls=http://{bind}:2381"],
                        "kube-apiserver": ["kube-apiserver", f"--advertise-address={ip}", "--service-cluster-ip-range=10.96.0.0/12"]}.get(part, [part, f"--bind-address={bind}", "--leader-elect=true"])
                static_pod(self, part, o, up, tag, args, port={"etcd": 2381, "kube-apiserver": 6443, "kube-controller-manager": 10257, "kube-scheduler": 10259}[part])
        ns, ds, image, c = CNI[cni]
        self.cni = daemonset(self, ns, ds, [container(c, image, cpu="100m", mounts=[("cni-net-dir", "/host/etc/cni/net.d", False)])], self.nodes, up, labels={"k8s-app": ds}, sa=ds, host_network=True,
                             priority="system-node-critical", tolerations=[{"operator": "Exists"}], volumes=[{"hostPath": {"path": "/etc/cni/net.d", "type": ""}, "name": "cni-net-dir"}])
        if proxy:
            self.proxy = kube_proxy(self, self.nodes, up, f"{hub}kube-proxy:{version.split('+')[0]}", None, "0.0.0.0:10249", "10.244.0.0/16", nodes[0][1], pod_created=up)
        self.resolver(up, **(dns or {}))
        storageclass(self, "standard", up)
        self.watchers(sec(when(born) + s(3600)).rstrip("Z"))

    def machine(self, n, ip, i, created, role="", taints=None, kernel="6.1.0-18-amd64", os_image="Debian GNU/Linux 12 (bookworm)", runtime="containerd://1.7.13", cni="calico", labels=None):
        o = node(self, n, ip, sec(created).rstrip("Z"), f"10.244.{i}.0/24", roles=[role] if role else [], cpu="8", memory="32594396Ki", kernel=kernel, os_image=os_image, taints=taints,
                 runtime=runtime, extra_labels=labels)
        notes = o["metadata"]["annotations"]
        if cni != "flannel":
            o["metadata"]["annotations"] = {k: v for k, v in notes.items() if "flannel" not in k}
            o["status"]["conditions"] = o["status"]["conditions"][1:]
        for st in (self.store, self.initial):
            st[("Node", "", n)] = copy.deepcopy(o)
        return o

    def resolver(self, up, name="coredns", cm=None, image="registry.k8s.io/coredns/coredns:v1.11.1", nodes=None, corefile=COREFILE_129, ip="10.96.0.10", labels=None, svc="kube-dns"):
        cm = cm or name
        labels = labels or {"k8s-app": "kube-dns"}
        configmap(self, "kube-system", cm, up, {"Corefile": corefile})
        self.dns_svc = service(self, "kube-system", svc, up, [("dns", 53, 53), ("dns-tcp", 53, 53), ("metrics", 9153, 9153)], labels, ip=ip,
                               labels={"k8s-app": "kube-dns", "kubernetes.io/cluster-service": "true", "kubernetes.io/name": "CoreDNS"})
        cs, kw = coredns_template(image, self.minor)
        kw["volumes"] = [{"configMap": {"defaultMode": 420, "items": [{"key": "Corefile", "path": "Corefile"}], "name": cm}, "name": "config-volume"}]
        self.dns = app(self, "kube-system", name, cs, nodes or self.workers[:2], up, labels=labels, **kw)

    def watchers(self, t):
        """kube-state-metrics, Prometheus and Alertmanager, as the operator's chart names them."""
        ns, r = self.ns, self.release
        w = self.workers
        _, _, pods = app(self, ns, f"{r}-kube-state-metrics", [container("kube-state-metrics", "registry.k8s.io/kube-state-metrics/kube-state-metrics:v2.10.1", ports=[("http", 8080)])], [w[-1]], t,
                         labels={"app.kubernetes.io/name": "kube-state-metrics", "app.kubernetes.io/instance": r})
        self.ksm_target = {"container": "kube-state-metrics", "endpoint": "http", "instance": pods[0]["status"]["podIP"] + ":8080", "job": "kube-state-metrics",
                           "pod": pods[0]["metadata"]["name"], "service": f"{r}-kube-state-metrics"}
        if self.era == 2026:
            self.ksm_target = {"job": "kube-state-metrics"}
        t0 = when(t) + s(30)
        prom = simple(self, "Prometheus", ns, f"{r}-prometheus", t0, api="monitoring.coreos.com/v1", spec={"replicas": 1})
        am = simple(self, "Alertmanager", ns, f"{r}-alertmanager", t0, api="monitoring.coreos.com/v1", spec={"replicas": 1})
        self.prom = statefulset(self, ns, f"prometheus-{r}-prometheus", [container("prometheus", "quay.io/prometheus/prometheus:v2.50.1", args=["--storage.tsdb.path=/prometheus"], ports=[("http-web", 9090)])],
                                [w[-1]], t0, labels={"app.kubernetes.io/name": "prometheus", "prometheus": f"{r}-prometheus"}, owners=[owner(prom)], sa=f"{r}-prometheus")
        self.am = statefulset(self, ns, f"alertmanager-{r}-alertmanager", [container("alertmanager", "quay.io/prometheus/alertmanager:v0.27.0", ports=[("http-web", 9093)])],
                              [w[0]], t0, labels={"app.kubernetes.io/name": "alertmanager", "alertmanager": f"{r}-alertmanager"}, owners=[owner(am)], sa=f"{r}-alertmanager")


def settled(c):
    """When the applications of a cluster came to it."""
    born = when(c.born)
    return born + s(86400 * 3) if born + s(86400 * 4) < c.start else born + s(1200)


def app_of(c, ns, name, image, nodes, created=None, env=None, memory="256Mi", limit="512Mi", ready=True, svc=True, port=8080, **kw):
    """A small service with a readiness probe."""
    created = created or sec(settled(c)).rstrip("Z")
    probe = ("/ready", "http", "HTTP", 2, 5, 2, 3) if ready else None
    got = app(c, ns, name, [container(name, image, ports=[("http", port)], cpu="100m", memory=memory, limit_memory=limit, ready=probe, env=env)], nodes, created, automount=False, **kw)
    if svc:
        service(c, ns, name, created, [("http", 80, "http")], {"app": name})
    return got


def unready(c, p, t, why=None, until=None, count=None, field=None):
    """The pod's containers fail their readiness probe from t on; with `until`, they pass again from then."""
    names = [x["name"] for x in p["spec"]["containers"]]

    def fn(o):
        for st in o["status"]["containerStatuses"]:
            st["ready"] = False
        o["status"]["conditions"] = pod_conditions(c, when(o["metadata"]["creationTimestamp"]), None, False, names, not_ready_since=t)
    c.modify(t, p, fn)
    if why:
        last = (until or c.end) - s(4)
        c.event(p, "Unhealthy", why, t - s(10), last, count or max(2, int((last - t).total_seconds() // 10)), "Warning", host=p["spec"]["nodeName"], field=field or names[0])
    if until:
        def back(o):
            for st in o["status"]["containerStatuses"]:
                st["ready"] = True
            o["status"]["conditions"] = pod_conditions(c, when(o["metadata"]["creationTimestamp"]), until)
        c.modify(until, p, back)


def short_of(c, dep, rs, t, ready):
    """The Deployment and its ReplicaSet have only so many ready replicas."""
    want = c.get("Deployment", dep["metadata"]["namespace"], dep["metadata"]["name"])["spec"]["replicas"]
    rollout_status(c, dep, t, availableReplicas=ready, readyReplicas=ready, unavailableReplicas=want - ready, ok=ready >= want - max(0, want // 4))

    def fn(o):
        for k in ("availableReplicas", "readyReplicas"):
            if ready:
                o["status"][k] = ready
            else:
                o["status"].pop(k, None)
    c.modify(t, rs, fn)


def crash_loop(c, p, name, first, lasts, code, reason, log, since=None, journal=False, changes=6):
    """The container ends at `first` and from then on after each start, until the capture ends. log(t): the lines of the run that starts at t."""
    where = p["spec"]["nodeName"]
    x = since or first - s(lasts)
    end, n, runs = first, 0, []
    image = next(k["image"] for k in p["spec"]["containers"] if k["name"] == name)
    while end < c.end - s(2):
        if 0 < n < changes:
            run(c, p, name, x, n)
        crash(c, p, name, x, end, code, reason, n, n, ready_since=first)
        runs.append((x, end))
        n += 1
        x = end + s(delay(n - 1)[0] + 2)
        end = x + s(lasts)
    at = dict(host=where, field=name)
    if n > 1:
        c.event(p, "Pulled", f'Container image "{image}" already present on machine', runs[1][0], runs[-1][0], n - 1, **at)
        c.event(p, "Created", created_note(c, name), runs[1][0], runs[-1][0], n - 1, **at)
        c.event(p, "Started", f"Started container {name}", runs[1][0], runs[-1][0], n - 1, **at)
    c.event(p, "BackOff", backoff_note(c, p, name), first + s(3), c.end - s(17), max(3, 4 * n), "Warning", **at)
    if journal:
        for i, ((_, a), (b, _)) in enumerate(zip(runs, runs[1:] + [(c.end, None)])):
            backoff_lines(c, where, p, name, a + s(3), b - s(1), text=delay(i)[1], every=31.0, dead=digest(name, a))
    m = p["metadata"]
    for prev in (False, True):
        lines = [x for x in log(runs[-1][0]) if x[0] >= when(m["creationTimestamp"])]
        c.log(m["namespace"], m["name"], name, lines, previous=prev)
    return runs


def silent(c, name, beat, lost, evict=True):
    """The kubelet of a node posts no more: conditions Unknown, taints, its pods not ready. Returns the pods."""
    def unknown(o):
        for x in o["status"]["conditions"]:
            if x["type"] != "NetworkUnavailable":
                x.update({"status": "Unknown", "reason": "NodeStatusUnknown", "message": "Kubelet stopped posting node status.", "lastHeartbeatTime": sec(beat), "lastTransitionTime": sec(lost)})
        o["spec"].setdefault("taints", []).extend([{"effect": "NoSchedule", "key": "node.kubernetes.io/unreachable", "timeAdded": sec(lost)}, {"effect": "NoExecute", "key": "node.kubernetes.io/unreachable", "timeAdded": sec(lost + s(5))}])
    n = c.modify(lost, ("Node", "", name), unknown)
    c.event(n, "NodeNotReady", f"Node {name} status is now: NodeNotReady", lost, by="node-controller")
    return node_pods_unready(c, name, lost)


def node_pods_unready(c, name, lost):
    victims = [o for k, o in sorted(c.store.items()) if k[0] == "Pod" and o["spec"].get("nodeName") == name]
    for p in victims:
        def fn(o):
            for x in o["status"]["conditions"]:
                if x["type"] == "Ready":
                    x.update({"status": "False", "lastTransitionTime": sec(lost)})
        c.modify(lost + s(0.4), p, fn)
        c.event(p, "NodeNotReady", "Node is not ready", lost, kind="Warning", by="node-controller")
    for k, o in sorted(c.store.items()):
        if k[0] == "DaemonSet" and any(p["metadata"]["ownerReferences"][0]["uid"] == o["metadata"]["uid"] for p in victims):
            c.modify(lost + s(1), o, lambda d: d["status"].update({"numberAvailable": d["status"]["numberAvailable"] - 1, "numberReady": d["status"]["numberReady"] - 1, "numberUnavailable": d["status"].get("numberUnavailable", 0) + 1}))
    return victims


def not_ready(c, name, t, message, reason="KubeletNotReady"):
    """The kubelet itself says that it is not ready."""
    def fn(o):
        for x in o["status"]["conditions"]:
            if x["type"] == "Ready":
                x.update({"status": "False", "reason": reason, "message": message, "lastHeartbeatTime": sec(t), "lastTransitionTime": sec(t)})
        o["spec"].setdefault("taints", []).append({"effect": "NoSchedule", "key": "node.kubernetes.io/not-ready", "timeAdded": sec(t)})
    n = c.modify(t, ("Node", "", name), fn)
    c.event(n, "NodeNotReady", f"Node {name} status is now: NodeNotReady", t, host=name)
    return n


def ready_again(c, name, t):
    def fn(o):
        for x in o["status"]["conditions"]:
            if x["type"] == "Ready":
                x.update({"status": "True", "reason": "KubeletReady", "message": "kubelet is posting ready status", "lastHeartbeatTime": sec(t), "lastTransitionTime": sec(t)})
        o["spec"]["taints"] = [x for x in o["spec"].get("taints", []) if not x["key"].startswith("node.kubernetes.io/")]
        if not o["spec"]["taints"]:
            o["spec"].pop("taints")
    n = c.modify(t, ("Node", "", name), fn)
    c.event(n, "NodeReady", f"Node {name} status is now: NodeReady", t, host=name)


def pressure(c, name, t, kind, reason, message, on=True):
    """A pressure condition of a node goes on or off."""
    def fn(o):
        for x in o["status"]["conditions"]:
            if x["type"] == kind:
                x.update({"status": "True" if on else "False", "reason": reason, "message": message, "lastHeartbeatTime": sec(t), "lastTransitionTime": sec(t)})
        key = {"DiskPressure": "disk-pressure", "MemoryPressure": "memory-pressure"}[kind]
        taints = [x for x in o["spec"].get("taints", []) if x["key"] != f"node.kubernetes.io/{key}"]
        o["spec"]["taints"] = taints + ([{"effect": "NoSchedule", "key": f"node.kubernetes.io/{key}", "timeAdded": sec(t)}] if on else [])
    n = c.modify(t, ("Node", "", name), fn)
    word = {"DiskPressure": ("NodeHasDiskPressure", "NodeHasNoDiskPressure"), "MemoryPressure": ("NodeHasInsufficientMemory", "NodeHasSufficientMemory")}[kind][0 if on else 1]
    c.event(n, word, f"Node {name} status is now: {word}", t, host=name)


def evicted(c, p, t, message):
    """The kubelet evicts a pod."""
    c.event(p, "Evicted", message, t, kind="Warning", host=p["spec"]["nodeName"])
    kill_events(c, p, t)

    def fn(o):
        o["status"] = {"phase": "Failed", "reason": "Evicted", "message": message, "startTime": o["status"]["startTime"], "qosClass": o["status"]["qosClass"],
                       "conditions": [cond("DisruptionTarget", "True", t, "TerminationByKubelet", message, probe=True)] + [cond(k, "False" if k in ("Ready", "ContainersReady") else "True", t, probe=True) for k in ("Initialized", "Ready", "ContainersReady", "PodScheduled")],
                       "containerStatuses": [dict(st, ready=False, started=False, state={"terminated": {"exitCode": 137, "reason": "Error", "startedAt": o["status"]["startTime"], "finishedAt": sec(t + s(2)), "containerID": st["containerID"]}}) for st in o["status"]["containerStatuses"]]}
        if c.minor < 26:
            o["status"]["conditions"] = o["status"]["conditions"][1:]
    c.modify(t + s(2), p, fn)


def replacement(c, made, n, where, t, ready=True, pull=None):
    """A new pod of the ReplicaSet, ready ten seconds later."""
    dep, rs, _ = made
    name = f"{rs['metadata']['name']}-{suffix(c.name, rs['metadata']['name'], n)}"
    tpl = {"metadata": rs["spec"]["template"]["metadata"], "spec": dep["spec"]["template"]["spec"]}
    p = pod(c, rs, name, where, t, copy.deepcopy(tpl), started=t + s(3))
    for st in p["status"]["containerStatuses"]:
        st["ready"] = False
    p["status"]["conditions"] = pod_conditions(c, t, None, False, [x["name"] for x in p["spec"]["containers"]])
    c.added(t + s(3), p)
    created_pod(c, rs, p, t)
    start_events(c, p, t, pull)
    if ready:
        def fn(o):
            o["status"]["conditions"] = pod_conditions(c, t, t + s(14))
            for st in o["status"]["containerStatuses"]:
                st.update({"ready": True, "started": True})
        c.modify(t + s(14), p, fn)
    return p


def pending(c, made, n, t, message, count=8, where=None):
    """A new pod that the scheduler cannot place."""
    dep, rs, _ = made
    name = f"{rs['metadata']['name']}-{suffix(c.name, rs['metadata']['name'], n)}"
    tpl = {"metadata": rs["spec"]["template"]["metadata"], "spec": dep["spec"]["template"]["spec"]}
    p = pod(c, rs, name, None, t, copy.deepcopy(tpl), pending={"phase": "Pending", "conditions": [cond("PodScheduled", "False", t, "Unschedulable", message, probe=True)]})
    c.added(t + s(1), p)
    created_pod(c, rs, p, t)
    c.event(p, "FailedScheduling", message, t + s(0.3), c.end - s(50), count, "Warning", by="default-scheduler")
    return p


def stuck_creating(c, p, t):
    """The state of a pod that is bound to a node and whose containers are not created yet."""
    names = [x["name"] for x in p["spec"]["containers"]]
    p["status"].pop("podIP", None)
    p["status"].pop("podIPs", None)
    p["status"]["phase"] = "Pending"
    for st in p["status"]["containerStatuses"]:
        st.update({"ready": False, "started": False, "state": {"waiting": {"reason": "ContainerCreating"}}, "imageID": "", "lastState": {}})
        st.pop("containerID", None)
    p["status"]["conditions"] = pod_conditions(c, t, None, False, names, not_ready_since=t)
    return p


def job_done(c, ns, cron, name, start, took, where, fails=0):
    """A CronJob's run that is over by itself, with so many failed tries before."""
    num = str(int(start.timestamp()) // 60)
    full = f"{name}-{num}"
    job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": c.meta("Job", ns, full, start, {"job-name": full}, None, [owner(cron)], generation=1),
           "spec": {"backoffLimit": 3, "completions": 1, "parallelism": 1, "selector": {"matchLabels": {"controller-uid": uid("job", full)}},
                    "template": {"metadata": {"creationTimestamp": None, "labels": {"job-name": full}}, "spec": cron["spec"]["jobTemplate"]["spec"]["template"]["spec"]}},
           "status": {"active": 1, "startTime": sec(start)}}
    c.added(start + s(0.2), job)
    c.event(cron, "SuccessfulCreate", f"Created job {full}", start, by="cronjob-controller")
    x = start
    image = cron["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"][0]["image"]
    for k in range(fails + 1):
        last = k == fails
        p = pod(c, job, f"{full}-{suffix('job', full, k)}", where, x, {"metadata": {"labels": {"job-name": full}}, "spec": template([container(name, image)], {}, sa=None)["spec"]}, started=x + s(1), qos="BestEffort")
        p["spec"]["restartPolicy"] = "Never"
        c.added(x + s(1), p)
        start_events(c, p, x)
        c.event(job, "SuccessfulCreate", f"Created pod: {p['metadata']['name']}", x, by="job-controller")
        done = x + s(took if last else 7)

        def fin(o, done=done, last=last, x=x):
            st = o["status"]["containerStatuses"][0]
            st.update({"ready": False, "started": False, "state": {"terminated": {"containerID": st["containerID"], "exitCode": 0 if last else 1, "finishedAt": sec(done), "reason": "Completed" if last else "Error", "startedAt": sec(x + s(1))}}})
            o["status"]["phase"] = "Succeeded" if last else "Failed"
            o["status"]["conditions"] = [cond(k, "False" if k in ("Ready", "ContainersReady") else "True", done, "PodCompleted" if last and k != "PodScheduled" else None, probe=True) for k in ("Initialized", "Ready", "ContainersReady", "PodScheduled")]
        c.modify(done, p, fin)
        x = done + s(10)
    end = x - s(8)
    c.modify(end, job, lambda o: o.update(status={"startTime": sec(start), "completionTime": sec(end), "succeeded": 1, **({"failed": fails} if fails else {}), "conditions": [cond("Complete", "True", end)]}))
    c.event(job, "Completed", "Job completed", end, by="job-controller")
    c.event(cron, "SawCompletedJob", f"Saw completed job: {full}, status: Complete", end, by="cronjob-controller")


def cronjob(c, ns, name, image, schedule="*/10 * * * *"):
    return simple(c, "CronJob", ns, name, sec(settled(c)).rstrip("Z"), api="batch/v1" if c.minor > 20 else "batch/v1beta1",
                  spec={"concurrencyPolicy": "Forbid", "failedJobsHistoryLimit": 1, "jobTemplate": {"metadata": {"creationTimestamp": None}, "spec": {"backoffLimit": 3, "template": {"metadata": {"creationTimestamp": None}, "spec": {
                      "containers": [{"image": image, "imagePullPolicy": "IfNotPresent", "name": name, "resources": {}}], "restartPolicy": "Never"}}}}, "schedule": schedule, "successfulJobsHistoryLimit": 3, "suspend": False}, status={})


# --- noise --------------------------------------------------------------------------------------------

def hum(c, journals=(), every=240, style="short-iso", cron=True, chatter="ledger"):
    """What any living cluster has: a cron job, an old warning that is over, kubelet chatter, info alerts. Returns the alerts."""
    for i, n in enumerate(journals):
        if n not in c.lines:
            c.node_log(n, style, pid=900 + 37 * i)
        Rack.quiet_kubelet(c, n, c.start, c.end - s(20), every)
    made = app_of(c, chatter, "gateway", f"ghcr.io/{chatter}/gateway:v3.1.{len(c.name)}", [c.workers[0]])
    p = made[2][0]
    early = c.start - s(640)
    if early > c.end - s(3500):
        c.event(p, "Unhealthy", f'Readiness probe failed: Get "http://{p["status"]["podIP"]}:8080/ready": context deadline exceeded (Client.Timeout exceeded while awaiting headers)', early, early + s(10), 2, "Warning", host=p["spec"]["nodeName"], field="gateway")
    c.log(chatter, p["metadata"]["name"], "gateway", [(c.start + s(61 + 173 * i), '{"level":"%s","msg":"%s","path":"/v1/%s","status":%d}' % (
        ("info", "request", "accounts", 200), ("warn", "upstream slow", "search", 200), ("info", "request", "login", 401), ("error", "request failed", "orders/88", 404))[i % 4]) for i in range(6)])
    if cron:
        cj = cronjob(c, chatter, "rollup", f"ghcr.io/{chatter}/rollup:v0.9.2")
        job_done(c, chatter, cj, "rollup", c.start.replace(second=0) + s(120), 31, c.workers[0])
    wd = alert(c, "Watchdog", max(c.start - s(86400 * 3 + 11), when(c.born) + s(4011)))
    a = alert(c, "CPUThrottlingHigh", c.start - s(1900), value="33.1%", container="gateway", namespace=chatter, pod=p["metadata"]["name"])
    b = alert(c, "InfoInhibitor", c.start - s(1870), alertstate="firing", container="gateway", namespace=chatter, pod=p["metadata"]["name"])
    a.inhibited = [fingerprint(b.labels)]
    return [wd, a, b]


def deliver(c, alerts, quiet, by=("namespace",), raw=False):
    """Alertmanager sends each alert half a minute after it starts, grouped; the API lists what fires at the end."""
    if raw:
        c.repeat_posts(alerts + quiet[:1], c.start + s(51), c.end - s(3), every=420)
    else:
        groups = {}
        for a in alerts:
            groups.setdefault(tuple((k, a.labels.get(k, "")) for k in by), []).append(a)
        for g, items in sorted(groups.items()):
            times = sorted({a.starts for a in items})
            sent = []
            for t in times:
                at = t + s(30.2)
                if sent and at < sent[-1] + s(300):
                    at = sent[-1] + s(300)
                if at >= c.end or at in sent:
                    continue
                sent.append(at)
                c.webhook(max(at, c.start + s(1)), "kwhy", {k: v for k, v in g if v}, [a for a in items if a.starts <= at], "{}/{}")
            ends = sorted({a.ends for a in items if a.ends})
            for t in ends:
                at = t + s(61)
                if at < c.end:
                    c.webhook(at, "kwhy", {k: v for k, v in g if v}, [a for a in items if a.ends and a.ends <= at], "{}/{}")
        c.webhook(c.start + s(71), "heartbeat", {"alertname": "Watchdog"}, quiet[:1], '{}/{alertname="Watchdog"}')
    c.api_alerts(alerts + quiet, lambda a: "heartbeat" if a.labels["alertname"] == "Watchdog" else "null" if a.labels["severity"] in ("none", "info") else "kwhy")


def folded(alerts, *keys):
    keys = keys or ("namespace", "node", "deployment", "statefulset", "daemonset", "pod", "service", "persistentvolumeclaim", "horizontalpodautoscaler")
    out = []
    for a in alerts:
        labels = {k: v for k, v in a.labels.items() if k in keys and not (k in ("pod", "service") and "kube-state-metrics" in v)}
        out.append({"alert": a.labels["alertname"], "labels": labels})
    return out


def incident(id_, root, says, remedy, alerts=(), evidence=(), symptoms=None):
    return {"id": id_, "root": [dict(zip(("kind", "namespace", "name") if len(r) == 3 else ("kind", "name"), r)) for r in root], "says": list(says), "remedy": list(remedy),
            "symptoms": symptoms if symptoms is not None else folded(alerts), "evidence": list(evidence)}


def truth(c, title, incidents, never=(), extra=0):
    c.truth = {"title": title, "incidents": incidents, "never": list(never), "extra_findings": extra}
    return c


def looping_alert(c, p, name, at, **more):
    m = p["metadata"]
    if c.era == 2026:
        return alert(c, "KubePodCrashLooping", at, job="kube-state-metrics", namespace=m["namespace"], pod=m["name"], container=name, reason="CrashLoopBackOff", **more)
    return alert(c, "KubePodCrashLooping", at, **ksm(c, container=name, namespace=m["namespace"], pod=m["name"], reason="CrashLoopBackOff", uid=m["uid"]), **more)


def mismatch(c, dep, at, **more):
    m = dep["metadata"]
    return alert(c, "KubeDeploymentReplicasMismatch", at, **ksm(c, deployment=m["name"], namespace=m["namespace"]), **more)


def unready_alert(c, p, at, **more):
    m = p["metadata"]
    return alert(c, "KubePodNotReady", at, job="kube-state-metrics", namespace=m["namespace"], pod=m["name"], **more)
