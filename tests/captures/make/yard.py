"""Small clusters of any version and shape for the stories of applications, and the verbs those stories share."""

import copy

from flow import backoff_note, crash, created_note, created_pod, delay, deleted_pod, kill_events, rollout_status, run, scaled, scheduled, start_events
from kit import Alert, Capture, digest, graph_url, owner, s, sec, suffix, uid, when
from objs import (app, clean, cond, container, daemonset, endpoints, node, pod, pod_conditions, replicaset, service, simple, statefulset, status_of, template)
from rules import KSM, MODERN, alert, ksm

MODERN.update({
    "KubeContainerWaiting": ("warning", "kubernetes", "Pod container waiting longer than 1 hour",
                             "pod/{pod} in namespace {namespace} on container {container} has been in waiting state for longer than 1 hour.",
                             "sum by (namespace, pod, container, cluster) (kube_pod_container_status_waiting_reason{" + KSM + "}) > 0"),
    "KubeJobFailed": ("warning", "kubernetes", "Job failed to complete.",
                      "Job {namespace}/{job_name} failed to complete. Removing failed job after investigation should clear this alert{on}.", "kube_job_failed{" + KSM + "}  > 0"),
    "KubeHpaMaxedOut": ("warning", "kubernetes", "HPA is running at max replicas",
                        "HPA {namespace}/{horizontalpodautoscaler} has been running at max replicas for longer than 15 minutes{on}.",
                        "kube_horizontalpodautoscaler_status_current_replicas{" + KSM + "} == kube_horizontalpodautoscaler_spec_max_replicas{" + KSM + "}"),
    "KubeQuotaFullyUsed": ("info", "kubernetes", "Namespace quota is fully used.", "Namespace {namespace} is using {value} of its {resource} quota{on}.",
                           "kube_resourcequota{" + KSM + ', type="used"} / ignoring(instance, job, type) (kube_resourcequota{' + KSM + ', type="hard"} > 0) == 1'),
})


class Yard(Capture):
    """nodes: (name, address, zone, architecture, cpu, memory in Gi) each. A managed cluster has no node of the control plane."""

    def __init__(self, name, cluster, version, start, end, title, nodes, born="2021-01-11T08:00:00", control=None, era=2024, zone_of="topology.kubernetes.io/zone", dns=True,
                 monitoring="monitoring", release="kube-prometheus-stack"):
        super().__init__(name, cluster, version, start, end, title)
        self.era, self.control_plane, self.ns = era, control or f"{cluster}-master", monitoring
        self.prom_label = f"{monitoring}/{release}-prometheus"
        self.prom_url, self.am_url = f"http://prometheus.{cluster}.example", f"http://alertmanager.{cluster}.example"
        self.nodes = []
        for i, (nm, ip, zone, arch, cpu, gi) in enumerate(nodes):
            master = nm == control
            self.join(nm, ip, zone, arch, cpu, gi, when(born) + s(60 * i), f"10.{100 + int(digest(cluster)[:1], 16)}.{i}.0/24", master, zone_of)
            self.nodes.append(nm)
        self.workers = [n for n in self.nodes if n != control]
        w = self.workers
        proxy = container("kube-proxy", f"registry.k8s.io/kube-proxy:{version}", command=["kube-proxy", "--config=/var/lib/kube-proxy-config/config"], cpu="100m", token=False)
        daemonset(self, "kube-system", "kube-proxy", [proxy], self.nodes, born, labels={"k8s-app": "kube-proxy"}, sa="kube-proxy", host_network=True, automount=False,
                  priority="system-node-critical", tolerations=[{"operator": "Exists"}])
        if dns:
            c = container("coredns", "registry.k8s.io/coredns/coredns:v1.10.1", args=["-conf", "/etc/coredns/Corefile"], ports=[("dns", 53), ("dns-tcp", 53)], cpu="100m", memory="70Mi",
                          limit_memory="170Mi", ready=("/ready", 8181, "HTTP", 0, 10, 1, 3))
            self.dns = app(self, "kube-system", "coredns", [c], [w[0], w[-1]], born, labels={"k8s-app": "kube-dns"}, automount=False, dns="Default", priority="system-cluster-critical")
            svc = service(self, "kube-system", "kube-dns", born, [("dns", 53, 53), ("dns-tcp", 53, 53)], {"k8s-app": "kube-dns"}, labels={"k8s-app": "kube-dns"})
            endpoints(self, svc, born, self.dns[2], [], [("dns", 53), ("dns-tcp", 53)])
        c = container("kube-state-metrics", "registry.k8s.io/kube-state-metrics/kube-state-metrics:v2.9.2", ports=[("http", 8080)], live=("/healthz", 8080, "HTTP", 5, 10, 5, 3))
        _, _, pods = app(self, monitoring, f"{release}-kube-state-metrics", [c], [w[-1]], born, labels={"app.kubernetes.io/name": "kube-state-metrics", "app.kubernetes.io/instance": release}, automount=False)
        self.ksm_target = {"endpoint": "http", "instance": pods[0]["status"]["podIP"] + ":8080", "job": "kube-state-metrics", "pod": pods[0]["metadata"]["name"],
                           "service": f"{release}-kube-state-metrics", "container": "kube-state-metrics"}
        if era == 2026:
            self.ksm_target = {"container": "kube-rbac-proxy-main", "instance": pods[0]["status"]["podIP"] + ":8443", "job": "kube-state-metrics"}
        c = container("prometheus", "quay.io/prometheus/prometheus:v2.45.0", args=["--config.file=/etc/prometheus/config_out/prometheus.env.yaml"], ports=[("http-web", 9090)],
                      ready=("/-/ready", "http-web", "HTTP", 0, 5, 3, 3))
        statefulset(self, monitoring, f"prometheus-{release}-prometheus", [c], [w[0]], born, labels={"app.kubernetes.io/name": "prometheus", "app.kubernetes.io/instance": release}, automount=False)
        self.fired = []
        self.gz.update({"changes.ndjson", "events.json"} if int(digest(name)[:1], 16) % 4 else {"changes.ndjson"})

    def join(self, nm, ip, zone, arch, cpu, gi, born, cidr, master=False, zone_of="topology.kubernetes.io/zone", more=None, add=True):
        role = "control-plane" if self.minor >= 24 else "master"
        labels = {"topology.kubernetes.io/region": zone[:-1], zone_of: zone, "node.kubernetes.io/instance-type": "m6g.xlarge" if arch == "arm64" else "m6i.xlarge"} if zone else {}
        n = node(self, nm, ip, sec(born)[:-1], cidr, roles=[role] if master else (), cpu=str(cpu), memory=f"{gi * 1024 * 1024}Ki", kernel="5.15.0-87-generic", os_image="Ubuntu 22.04.3 LTS",
                 taints=[{"effect": "NoSchedule", "key": f"node-role.kubernetes.io/{role}"}] if master else None, extra_labels={**labels, **(more or {})}, heartbeat=max(born, self.start) - s(14) if add else born + s(40))
        k = ("Node", "", nm)
        n = self.store[k]
        n["metadata"]["annotations"] = {a: v for a, v in n["metadata"]["annotations"].items() if "flannel" not in a}
        n["metadata"]["labels"].update({"beta.kubernetes.io/arch": arch, "kubernetes.io/arch": arch})
        n["status"]["nodeInfo"]["architecture"] = arch
        n["status"]["conditions"] = n["status"]["conditions"][1:]
        self.initial[k] = copy.deepcopy(n)
        return n

    def settle(self, nm, t):
        """The pods that every new node gets."""
        for k, ds in sorted(self.store.items()):
            if k[0] == "DaemonSet":
                p = pod(self, ds, f"{k[2]}-{suffix(self.cluster, k[2], nm)}", nm, t, ds["spec"]["template"], started=t + s(6))
                self.added(t + s(8), p)
                start_events(self, p, t)
                self.event(ds, "SuccessfulCreate", f"Created pod: {p['metadata']['name']}", t, by="daemonset-controller")

    # alerts

    def fire(self, name, starts, ends=None, **labels):
        """An alert of kube-prometheus about an object that kube-state-metrics counts."""
        a = alert(self, name, self.at(starts), self.at(ends) if ends else None, **(labels if name in ("KubePodNotReady", "KubeQuotaFullyUsed") else ksm(self, **labels)))
        self.fired.append(a)
        return a

    def custom(self, name, starts, summary, ends=None, severity="critical", **labels):
        """An alert that the owners of the applications wrote themselves."""
        full = {"alertname": name, "severity": severity, "prometheus": self.prom_label, **labels}
        a = Alert(full, {"summary": summary}, self.at(starts), self.at(ends) if ends else None, graph_url(self.prom_url, f"{name.lower()}:ratio > 0.05"))
        self.fired.append(a)
        return a

    def at(self, text):
        return self.t(text) if isinstance(text, str) else text

    def deliver(self, by=("namespace",), receiver="oncall", posts=False, state=True, webhooks=True):
        """Every alert by webhook half a minute after it starts and after it ends; the state at the end as Alertmanager lists it."""
        wd = alert(self, "Watchdog", self.start - s(86400 * 3 + 4011))
        moments = sorted({m for a in self.fired for m in (a.starts, a.ends) if m and self.start <= m < self.end - s(31)})
        if webhooks:
            for m in moments:
                t = m + s(30.2)
                groups = {}
                for a in self.fired:
                    if a.starts <= t and (a.ends is None or a.ends > t - s(60)) and a.labels["severity"] != "info":
                        groups.setdefault(tuple((g, a.labels.get(g, "")) for g in by), []).append(a)
                for g, alerts in sorted(groups.items()):
                    if any(m in (a.starts, a.ends) for a in alerts):
                        self.webhook(t, receiver, dict(g), alerts, "{}/{}")
            self.webhook(self.start + s(70), "deadman", {"alertname": "Watchdog"}, [wd], '{}/{alertname="Watchdog"}')
            self.webhook(self.end - s(90), "deadman", {"alertname": "Watchdog"}, [wd], '{}/{alertname="Watchdog"}')
        if posts:
            self.repeat_posts([wd] + self.fired, self.start + s(20), self.end - s(2), every=posts)
        if state:
            self.api_alerts(self.fired + [wd], lambda a: "deadman" if a.labels["alertname"] == "Watchdog" else receiver)

    # what goes on in any cluster

    def hum(self, node_name, every=140, style="short-iso"):
        """The kubelet's chatter on a quiet node."""
        self.node_log(node_name, style, pid=900 + int(digest(node_name)[:2], 16))
        t, i = self.start + s(9), 0
        while t < self.end:
            gone = digest("gone", self.name, node_name, i)
            pick = int(gone[:2], 16) % 3
            if self.minor < 21:
                self.klog(node_name, t, *[("I", "topology_manager.go:221", f"[topologymanager] RemoveContainer - Container ID: {gone}"),
                                          ("W", "manager.go:1176", f"Failed to process watch event {{EventType:0 Name:/kubepods/burstable/pod{uid('x', i)}/{gone} WatchSource:0}}: task {gone[:64]} not found: not found"),
                                          ("I", "setters.go:77", f"Using node IP: \"{self.ips[node_name][2]}\"")][pick])
            else:
                orphan = uid("orphan", self.name, node_name, i)
                self.klog(node_name, t, *[("I", "scope.go:117", f'"RemoveContainer" containerID="{gone}"'),
                                          ("I", "kubelet_volumes.go:161", f'"Cleaned up orphaned pod volumes dir" podUID={orphan} path="/var/lib/kubelet/pods/{orphan}/volumes"'),
                                          ("I", "pod_container_deletor.go:80", f'"Container not found in pod\'s containers" containerID="{gone}"')][pick])
            t += s(every + int(gone[2:4], 16) % 60)
            i += 1

    def job_run(self, ns, cron, image, start, took, lines=(), codes=(0,), node_name=None, container_name="main", owned=True, schedule="0 * * * *", backoff=6, env=None):
        """One run of a CronJob, each code the end of one pod; returns the Job."""
        t = self.at(start)
        k = ("CronJob", ns, cron)
        api = "batch/v1" if self.minor >= 21 else "batch/v1beta1"
        spec = template([container(container_name, image, token=False, env=env)], {}, sa=None)["spec"]
        spec["restartPolicy"] = "Never"
        if owned and k not in self.store:
            simple(self, "CronJob", ns, cron, self.start - s(86400 * 90), api=api, spec={"concurrencyPolicy": "Forbid", "failedJobsHistoryLimit": 1, "schedule": schedule, "successfulJobsHistoryLimit": 3,
                   "suspend": False, "jobTemplate": {"metadata": {"creationTimestamp": None}, "spec": {"backoffLimit": backoff, "template": {"metadata": {"creationTimestamp": None}, "spec": clean({"metadata": {}, "spec": spec})["spec"]}}}},
                   status={"lastScheduleTime": sec(t)})
        cj = self.store.get(k)
        name = f"{cron}-{int(t.timestamp()) // 60}" if owned else cron
        labels = {"job-name": name}
        job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": self.meta("Job", ns, name, t, labels, None, [owner(cj)] if owned else None, generation=1),
               "spec": {"backoffLimit": backoff, "completions": 1, "parallelism": 1, "selector": {"matchLabels": {"controller-uid": uid("job", ns, name)}},
                        "template": {"metadata": {"creationTimestamp": None, "labels": labels}, "spec": clean({"metadata": {}, "spec": spec})["spec"]}},
               "status": {"active": 1, "startTime": sec(t)}}
        self.added(t + s(0.2), job)
        if owned:
            self.event(cj, "SuccessfulCreate", f"Created job {name}", t, by="cronjob-controller")
        x, failed = t, 0
        for i, code in enumerate(codes):
            p = pod(self, job, f"{name}-{suffix(name, i)}", node_name or self.workers[i % len(self.workers)], x, {"metadata": {"labels": labels}, "spec": spec}, started=x + s(2), qos="BestEffort")
            p["spec"]["restartPolicy"] = "Never"
            done = x + s(took)
            self.added(x + s(3), p)
            start_events(self, p, x)
            self.event(job, "SuccessfulCreate", f"Created pod: {p['metadata']['name']}", x, by="job-controller")

            def fin(o, code=code, done=done, x=x):
                st = o["status"]["containerStatuses"][0]
                st.update({"ready": False, "started": False, "state": {"terminated": {"containerID": st["containerID"], "exitCode": code, "finishedAt": sec(done), "reason": "Completed" if code == 0 else "Error", "startedAt": sec(x + s(2))}}})
                o["status"]["phase"] = "Succeeded" if code == 0 else "Failed"
                o["status"]["conditions"] = [cond(c, "True" if c in ("Initialized", "PodScheduled") else "False", done, probe=True, reason="PodCompleted" if code == 0 and c != "PodScheduled" else None) for c in ("Initialized", "Ready", "ContainersReady", "PodScheduled")]
            self.modify(done, p, fin)
            self.log(ns, p["metadata"]["name"], container_name, [(x + s(2 + 0.7 * (j + 1)), text) for j, text in enumerate(lines if not isinstance(lines, dict) else lines[code])])
            failed += code != 0
            x = done + s(10 * 2 ** i)
        end = self.last_end = x - s(10 * 2 ** (len(codes) - 1)) + s(1)
        good = codes[-1] == 0

        def complete(o):
            o["status"] = {"startTime": sec(t), **({"succeeded": 1, "completionTime": sec(end)} if good else {}), **({"failed": failed} if failed else {}),
                           "conditions": [dict(cond("Complete", "True", end) if good else cond("Failed", "True", end, "BackoffLimitExceeded", "Job has reached the specified backoff limit"), lastProbeTime=sec(end))]}
        self.modify(end, job, complete)
        if good:
            self.event(job, "Completed", "Job completed", end, by="job-controller")
        else:
            self.event(job, "BackoffLimitExceeded", "Job has reached the specified backoff limit", end, kind="Warning", by="job-controller")
        if owned:
            self.event(cj, "SawCompletedJob", f"Saw completed job: {name}, status: {'Complete' if good else 'Failed'}", end, by="cronjob-controller")
        return job


# --- verbs ---------------------------------------------------------------------------------------------

def web(name, image, port=8080, live=None, ready=("/ready", "http", "HTTP", 2, 5, 2, 3), **kw):
    kw.setdefault("cpu", "100m")
    kw.setdefault("memory", "128Mi")
    kw.setdefault("limit_memory", "512Mi")
    return container(name, image, ports=[("http", port)], live=live, ready=ready, token=False, **kw)


def roll(c, made, t, containers, hash_, first=1, annotate=None, by=None, cut=0, init=None, **tpl_args):
    """A new template: the edit, the new ReplicaSet with its first pods wanted, the old one smaller by cut. Returns (rs, template)."""
    dep, old, _ = made
    dep = c.get("Deployment", dep["metadata"]["namespace"], dep["metadata"]["name"])
    tpl_args.setdefault("automount", False)
    tpl = template(containers, dep["spec"]["template"]["metadata"]["labels"], **tpl_args)
    if init:
        tpl["spec"]["initContainers"] = init
    rev = int(dep["metadata"]["annotations"]["deployment.kubernetes.io/revision"]) + 1

    def fn(o):
        o["spec"]["template"] = clean(tpl)
        o["metadata"]["generation"] += 1
        o["metadata"]["annotations"]["deployment.kubernetes.io/revision"] = str(rev)
        o["metadata"]["annotations"].update(annotate or {})
        if by:
            managed(o, by, t, {"f:spec": {"f:template": {"f:spec": {"f:containers": {'k:{"name":"%s"}' % containers[0]["name"]: {"f:image": {}}}}}}})
    dep = c.modify(t, dep, fn)
    rs = replicaset(c, dep, hash_, t, tpl, first, 0, revision=rev, add=False)
    c.added(t + s(0.3), rs)
    scaled(c, dep, rs["metadata"]["name"], 0, first, t)
    if cut:
        n = old["spec"]["replicas"]
        scaled(c, dep, old["metadata"]["name"], n, n - cut, t)
    n = dep["spec"]["replicas"]
    rollout_status(c, dep, t + s(1), observedGeneration=dep["metadata"]["generation"], replicas=n + first - cut, updatedReplicas=first, unavailableReplicas=first,
                   progress=("True", "ReplicaSetUpdated", f'ReplicaSet "{rs["metadata"]["name"]}" is progressing.'))
    return rs, tpl


def managed(o, manager, t, fields, operation="Update", sub=None):
    m = o["metadata"].setdefault("managedFields", [])
    m[:] = [x for x in m if x["manager"] != manager or x.get("subresource") != sub]
    m.append({"apiVersion": o["apiVersion"], "fieldsType": "FieldsV1", "fieldsV1": fields, "manager": manager, "operation": operation, "time": sec(t), **({"subresource": sub} if sub else {})})


def stuck(c, dep, rs, t):
    """Ten minutes later the rollout has not moved."""
    return rollout_status(c, dep, t + s(601), progress=("False", "ProgressDeadlineExceeded", f'ReplicaSet "{rs["metadata"]["name"]}" has timed out progressing.'))


def birth(c, rs, node_name, t, n=0, ready_after=None, waiting=None, message="", start=True, pull=None, **kw):
    """A pod of a ReplicaSet (or StatefulSet): announced, scheduled and, where it starts, ready after some seconds or waiting for a reason."""
    nm = f"{rs['metadata']['name']}-{suffix(c.name, rs['metadata']['name'], n)}"
    spec = rs["spec"]["template"]
    p = pod(c, rs, nm, node_name, t, spec, started=t + s(3), phase="Pending" if waiting else "Running", **kw)
    if waiting:
        p["status"]["containerStatuses"] = [status_of(c, x, t, ready=False, state={"waiting": {"message": message, "reason": waiting} if message else {"reason": waiting}}, seen=False) for x in spec["spec"]["containers"]]
        p["status"]["conditions"] = pod_conditions(c, t, None, False, [x["name"] for x in spec["spec"]["containers"]])
    else:
        for st in p["status"]["containerStatuses"]:
            st["ready"] = False
        p["status"]["conditions"] = pod_conditions(c, t, None, False, [x["name"] for x in spec["spec"]["containers"]])
    c.added(t + s(3), p)
    created_pod(c, rs, p, t)
    if waiting or not start:
        scheduled(c, p, t)
    else:
        start_events(c, p, t, pull=pull)
    if ready_after:
        makes_ready(c, p, t + s(ready_after))
    return p


def makes_ready(c, p, t):
    def fn(o):
        o["status"]["phase"] = "Running"
        o["status"]["conditions"] = pod_conditions(c, when(o["metadata"]["creationTimestamp"]), t)
        for st in o["status"]["containerStatuses"]:
            if "running" not in st["state"]:
                st["state"] = {"running": {"startedAt": sec(t - s(4))}}
            st.update({"ready": True, "started": True})
    return c.modify(t, p, fn)


def loses_ready(c, p, t):
    """A running pod whose readiness probe fails from t on."""
    def fn(o):
        names = [st["name"] for st in o["status"]["containerStatuses"]]
        for st in o["status"]["containerStatuses"]:
            st["ready"] = False
        o["status"]["conditions"] = pod_conditions(c, when(o["metadata"]["creationTimestamp"]), t, False, names, not_ready_since=t)
    return c.modify(t, p, fn)


def probe_fails(c, p, what, text, first, last, count, name=None):
    return c.event(p, "Unhealthy", f"{what} probe failed: {text}", first, last, count, "Warning", host=p["spec"]["nodeName"], field=name or p["spec"]["containers"][0]["name"])


def unavailable(c, dep, t, ready, total=None):
    n = total or c.get("Deployment", dep["metadata"]["namespace"], dep["metadata"]["name"])["spec"]["replicas"]
    return rollout_status(c, dep, t, availableReplicas=ready, readyReplicas=ready, unavailableReplicas=n - ready, ok=ready >= n - max(1, n // 4) if n > 1 else ready == n)


def loop(c, p, started, until, ran, code, reason, words, restarts=0, keep=4, ready_since=None, step=None):
    """A container that ends again and again; the watch events of all but the first and last few runs are left out. words(t) gives the log of a run that starts at t."""
    name = p["spec"]["containers"][0]["name"]
    starts, x, n = [], started, 0
    while x + s(ran) < until:
        starts.append(x)
        x += s(ran + delay(n if step is None else step)[0] + 2)
        n += 1
    for i, a in enumerate(starts):
        if i < 2 or i >= len(starts) - keep:
            if i and i >= len(starts) - 1:
                run(c, p, name, a, restarts + i)
            crash(c, p, name, a, a + s(ran), code, reason, restarts + i, i if step is None else step, ready_since=ready_since or started)
    at = dict(host=p["spec"]["nodeName"], field=name)
    c.event(p, "Pulled", f'Container image "{p["spec"]["containers"][0]["image"]}" already present on machine', starts[0] - s(1), starts[-1], len(starts), **at)
    c.event(p, "Created", created_note(c, name), starts[0], starts[-1], len(starts), **at)
    c.event(p, "Started", f"Started container {name}", starts[0], starts[-1], len(starts), **at)
    if len(starts) > 1:
        c.event(p, "BackOff", backoff_note(c, p, name), starts[0] + s(ran + 4), min(until, c.end) - s(11), int((min(until, c.end) - starts[0]).total_seconds() // 14), "Warning", **at)
    m = p["metadata"]
    c.log(m["namespace"], m["name"], name, words(starts[-1]))
    if len(starts) > 1:
        c.log(m["namespace"], m["name"], name, words(starts[-2] if "waiting" not in c.get("Pod", m["namespace"], m["name"])["status"]["containerStatuses"][0]["state"] else starts[-1]), previous=True)
    return starts


def pull_fails(c, p, error, first, last, count, reason="ErrImagePull"):
    """What the kubelet tells of a pull that fails again and again."""
    x = p["spec"]["containers"][0]
    at = dict(host=p["spec"]["nodeName"], field=x["name"])
    c.event(p, "Pulling", f'Pulling image "{x["image"]}"', first, last - s(90), count, **at)
    c.event(p, "Failed", f'Failed to pull image "{x["image"]}": {error}', first + s(2), last - s(88), count, "Warning", **at)
    c.event(p, "Failed", "Error: ErrImagePull", first + s(2), last - s(88), count, "Warning", **at)
    c.event(p, "BackOff", f'Back-off pulling image "{x["image"]}"', first + s(15), last, count * 5, **at)
    c.event(p, "Failed", "Error: ImagePullBackOff", first + s(15), last, count * 5, "Warning", **at)


def lacks(c, rs, t, have, error):
    """A ReplicaSet that has fewer pods than it wants."""
    def fn(o):
        o["status"].update({"replicas": have, "fullyLabeledReplicas": have, "readyReplicas": have, "availableReplicas": have})
        o["status"]["conditions"] = [cond("ReplicaFailure", "True", t, "FailedCreate", error)]
    return c.modify(t, rs, fn)


def not_created(c, rs, error, first, last, count):
    return c.event(rs, "FailedCreate", f"Error creating: {error}", first, last, count, "Warning", by="replicaset-controller")


def gone(c, p, t, rs=None):
    """A pod that is stopped and leaves."""
    if rs:
        deleted_pod(c, rs, p, t)
    kill_events(c, p, t)
    c.deleted(t + s(3), p)


def json_words(t, *msgs):
    return [(t + s(0.3 * (i + 1)), m) for i, m in enumerate(msgs)]
