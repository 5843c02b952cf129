#!/usr/bin/env python3
"""Write the capture of the scale bench: scale.py DIR [--pods N] [--workloads N] [--nodes N] [--storm N] [--seed N].

An hour of a large cluster in which three things go wrong: a machine dies, an edited ConfigMap ends the pods that read it, and a release
names an image that does not exist. Everything else is a normal day: releases, cron jobs, autoscalers, the noise of a hundred kubelets. The
same arguments give the same bytes. `--storm 10` makes ten times as many events."""

import argparse
import copy
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from large import Large, number  # noqa: E402
from flow import (backoff_lines, backoff_note, become_ready, crash, created_note, created_pod, delay, deleted_pod, died_line, kill_events, ref, resize, rollout_status,  # noqa: E402
                  scaled, scheduled, start_events, start_lines)
from kit import digest, fingerprint, key, s, sec, suffix, template_hash, uid  # noqa: E402
from objs import clean, cond, container_id, pod_conditions, replicaset  # noqa: E402
from rules import alert, ksm  # noqa: E402
from story_d import edit_template, heartbeat, to_receiver  # noqa: E402


def random_time(c, *salt, last=3540):
    return c.start + s(20 + number(c.cluster, *salt) % last)


def pod_template(rs, dep):
    return {"metadata": rs["spec"]["template"]["metadata"], "spec": dep["spec"]["template"]["spec"]}


def new_set(c, dep, tpl, t, replicas=1):
    """The ReplicaSet of a new revision, as the deployment controller makes it."""
    m = dep["metadata"]
    revision = int(c.get(*key(dep))["metadata"]["annotations"]["deployment.kubernetes.io/revision"])
    rs = replicaset(c, c.get(*key(dep)), template_hash(m["namespace"], m["name"], sec(t)), t, tpl, replicas, 0, revision=revision, add=False)
    c.added(t + s(0.3), rs)
    scaled(c, dep, rs["metadata"]["name"], 0, replicas, t)
    return rs


def with_image(dep, tag):
    tpl = copy.deepcopy(dep["spec"]["template"])
    first = tpl["spec"]["containers"][0]
    first["image"] = first["image"].rsplit(":", 1)[0] + ":" + tag
    return tpl


def edit(c, dep, tpl, t):
    edit_template(c, dep, t, tpl, c.get(*key(dep))["metadata"]["generation"] + 1)


def goes(c, rs, p, t):
    """A pod is told to end, and is gone seconds later."""
    def fn(o):
        o["metadata"].update({"deletionTimestamp": sec(t + s(30)), "deletionGracePeriodSeconds": 30})
    c.modify(t, p, fn)
    kill_events(c, p, t)
    deleted_pod(c, rs, p, t)
    c.deleted(t + s(3), p)


def endpoints(c, dep, t, pods):
    m = dep["metadata"]
    where = c.slices[(m["namespace"], m["name"])]

    def fn(o):
        o["endpoints"] = c.endpoints(pods)
        o["metadata"]["annotations"]["endpoints.kubernetes.io/last-change-trigger-time"] = sec(t)
    c.modify(t, where, fn)


def release(c, made, t):
    """A rolling update that goes well, one pod after the other."""
    dep, old, pods = made
    n, tpl = len(pods), with_image(dep, f"5.0.{number(dep['metadata']['uid']) % 9}")
    edit(c, dep, tpl, t)
    rs = new_set(c, dep, tpl, t)
    rollout_status(c, dep, t + s(1), observedGeneration=dep["metadata"]["generation"] + 1, replicas=n + 1, updatedReplicas=1, unavailableReplicas=1,
                   progress=("True", "ReplicaSetUpdated", f'ReplicaSet "{rs["metadata"]["name"]}" is progressing.'))
    now = list(pods)
    for i, p in enumerate(pods):
        at = t + s(2 + 12 * i)
        q = c.made_pod(rs, f"{rs['metadata']['name']}-{suffix(p['metadata']['uid'])}", p["spec"]["nodeName"], at, {"metadata": rs["spec"]["template"]["metadata"], "spec": tpl["spec"]}, started=at + s(5))
        c.added(at, q)
        created_pod(c, rs, q, at)
        start_events(c, q, at, pull=2.314)
        if number(q["metadata"]["uid"]) % 2:
            c.event(q, "Unhealthy", f"Readiness probe failed: Get \"http://{q['status']['podIP']}:8080/readyz\": dial tcp {q['status']['podIP']}:8080: connect: connection refused", at + s(6), kind="Warning", host=q["spec"]["nodeName"], field=q["spec"]["containers"][0]["name"])
        start_lines(c, q["spec"]["nodeName"], q, at)
        now = now[1:] + [become_ready(c, q, at + s(9))]
        if i + 1 < n:
            scaled(c, dep, rs["metadata"]["name"], i + 1, i + 2, at + s(10))
        scaled(c, dep, old["metadata"]["name"], n - i, n - i - 1, at + s(10))
        resize(c, rs, at + s(10), min(i + 2, n), i + 1)
        resize(c, old, at + s(10), n - i - 1)
        goes(c, old, p, at + s(10))
        endpoints(c, dep, at + s(10.5), now)
    rollout_status(c, dep, t + s(4 + 12 * n), replicas=n, updatedReplicas=n, availableReplicas=n, readyReplicas=n, unavailableReplicas=0,
                   progress=("True", "NewReplicaSetAvailable", f'ReplicaSet "{rs["metadata"]["name"]}" has successfully progressed.'))


def job_runs(c, cron, tpl, t):
    """One run of a cron job that completes; the run before is cleaned up."""
    m, ns = cron["metadata"], cron["metadata"]["namespace"]
    name = f"{m['name']}-{int(t.timestamp()) // 60}"
    u = uid(ns, "job", name)
    tpl = copy.deepcopy(tpl)
    labels = {**tpl["metadata"]["labels"], "batch.kubernetes.io/controller-uid": u, "batch.kubernetes.io/job-name": name, "controller-uid": u, "job-name": name}
    tpl["metadata"]["labels"] = labels
    job = {"apiVersion": "batch/v1", "kind": "Job",
           "metadata": {**c.meta("Job", ns, name, t, m["labels"], {"batch.kubernetes.io/cronjob-scheduled-timestamp": sec(t)}, [{"apiVersion": "batch/v1", "kind": "CronJob", "name": m["name"], "uid": m["uid"], "controller": True, "blockOwnerDeletion": True}], generation=1), "uid": u},
           "spec": {"backoffLimit": 2, "completionMode": "NonIndexed", "completions": 1, "parallelism": 1, "selector": {"matchLabels": {"batch.kubernetes.io/controller-uid": u}}, "suspend": False, "template": clean(tpl)}, "status": {}}
    c.added(t, job)
    c.event(cron, "SuccessfulCreate", f"Created job {name}", t, by="cronjob-controller")
    p = c.made_pod(job, f"{name}-{suffix(u)}", c.workers[number(u) % 40], t + s(1), tpl, started=t + s(3), qos="Burstable")
    c.added(t + s(1), p)
    c.event(job, "SuccessfulCreate", f"Created pod: {p['metadata']['name']}", t + s(1), by="job-controller")
    start_events(c, p, t + s(1))
    become_ready(c, p, t + s(4))
    done = t + s(20 + number(u) % 60)
    if done > c.end - s(5):
        return

    def finish(o):
        o["status"]["phase"] = "Succeeded"
        for x in o["status"]["conditions"]:
            if x["type"] in ("Ready", "ContainersReady", "Initialized"):
                x.update({"reason": "PodCompleted", **({} if x["type"] == "Initialized" else {"status": "False", "lastTransitionTime": sec(done)})})
        for st in o["status"]["containerStatuses"]:
            st.update({"ready": False, "started": False, "state": {"terminated": {"containerID": container_id(c, name, st["name"]), "exitCode": 0, "finishedAt": sec(done), "reason": "Completed", "startedAt": sec(t + s(3))}}})
    c.modify(done, p, finish)

    def complete(o):
        o["status"] = {"startTime": sec(t), "completionTime": sec(done + s(1)), "succeeded": 1, "ready": 0, "terminating": 0, "uncountedTerminatedPods": {},
                       "conditions": [cond("SuccessCriteriaMet", "True", done + s(1), "CompletionsReached", "Reached expected number of succeeded pods"), cond("Complete", "True", done + s(1), "CompletionsReached", "Reached expected number of succeeded pods")]}
    c.modify(done + s(1), job, complete)
    c.event(job, "Completed", "Job completed", done + s(1), by="job-controller")
    c.event(cron, "SawCompletedJob", f"Saw completed job: {name}, condition: Complete", done + s(2), by="cronjob-controller")
    if t + s(300) < c.end - s(5):
        c.deleted(t + s(301), p)
        c.deleted(t + s(301), job)
        c.event(cron, "SuccessfulDelete", f"Deleted job {name}", t + s(301), by="cronjob-controller")


def daily_life(c):
    """What happens on any day: releases, cron jobs, node status, autoscalers, readiness that flaps."""
    small = [m for m in c.apps if 2 <= len(m[2]) <= 5 and all(p["spec"]["nodeName"] != DEAD for p in m[2])]
    for i, made in enumerate(small[7::13][:40]):
        release(c, made, random_time(c, "release", i, last=3300))
    for cron, tpl in c.crons:
        first = c.start + s(60 * (number(cron["metadata"]["namespace"], cron["metadata"]["name"]) % 5 + 1))
        for i in range(12):
            if first + s(300 * i) < c.end - s(10):
                job_runs(c, cron, tpl, first + s(300 * i))
    for i, name in enumerate(c.nodes):
        t = c.start + s(295 - 290 * i // len(c.nodes))
        while t < c.end:
            def beat(o, t=t):
                for x in o["status"]["conditions"]:
                    x["lastHeartbeatTime"] = sec(t)
            c.modify(t, ("Node", "", name), beat)
            t += s(300)
    for i, k in enumerate(sorted(k for k in c.store if k[0] == "HorizontalPodAutoscaler")):
        for j in range(6):
            def use(o, j=j):
                now = 20 + number(o["metadata"]["name"], j) % 40
                o["status"]["currentMetrics"][0]["resource"]["current"] = {"averageUtilization": now, "averageValue": f"{now}m"}
            c.modify(random_time(c, "hpa", i, j), k, use)


def noise(c, events):
    """Events that mean nothing, up to the number wanted, in the proportions of a day."""
    pods = [p for _, _, pods in c.apps for p in pods if key(p) in c.store]
    for p in pods[::97]:
        t = random_time(c, "flap", p["metadata"]["uid"], last=3000)
        c.event(p, "Unhealthy", f"Readiness probe failed: Get \"http://{p['status']['podIP']}:8080/readyz\": context deadline exceeded (Client.Timeout exceeded while awaiting headers)", t, t + s(10), 2, "Warning",
                host=p["spec"]["nodeName"], field=p["spec"]["containers"][0]["name"])
    limits = "Nameserver limits were exceeded, some nameservers have been omitted, the applied nameserver line is: 10.8.0.2 1.1.1.1 9.9.9.9"
    for k in sorted(c.store):
        p = c.store[k]
        if k[0] == "Pod" and p["spec"].get("hostNetwork") and p["spec"]["nodeName"] in c.workers[10:60] and not k[2].startswith("kube-proxy"):
            c.event(p, "DNSConfigForming", limits, c.start - s(86400 * 9), c.start + s(3300 + number(k) % 240 if p["spec"]["nodeName"] != DEAD else 400), 9000 + number(k) % 4000, "Warning", host=p["spec"]["nodeName"])
    i = 0
    while len(c.events) < events:
        dep, _, own = c.apps[number("noise", i) % len(c.apps)]
        t = random_time(c, "noise", i, last=3570)
        pick = i % 20
        if pick == 0:
            p = own[number("of", i) % len(own)]
            c.event(p, "PolicyViolation", f"policy require-requests-limits/validate-resources fail: validation error: CPU and memory resource requests and limits are required. rule validate-resources failed at path /spec/containers/{i % 3}/resources/limits/cpu/",
                    t, kind="Warning", by="kyverno-scan", shape="events.k8s.io")
        else:
            m = dep["metadata"]
            work = {"apiVersion": "kustomize.toolkit.fluxcd.io/v1", "kind": "Kustomization", "metadata": {"name": m["name"], "namespace": m["namespace"], "uid": uid("flux", m["uid"])}}
            c.event(work, "ReconciliationSucceeded", f"Reconciliation finished in {100 + i % 900}.{i % 999}ms, next run in 5m0s", t, by="kustomize-controller")
        i += 1


def kubelets(c, lines):
    """What a hundred kubelets write: of a hundred lines one is a warning or an error, and none of these means anything."""
    for n, name in enumerate(c.nodes):
        c.node_log(name, "short-iso", pid=900 + n)
        pods = c.on.get(name, [])
        step = 3600 * len(c.nodes) / lines
        until = LOST - s(46) if name == DEAD else c.end - s(1)
        i, t = 0, c.start + s(1 + n % 7 / 10)
        while t < until:
            p = pods[i % len(pods)]
            u, what = p["metadata"]["uid"], i % 7
            if i % 100 == 37:
                c.klog(name, t, "E", "dns.go:153", '"Nameserver limits exceeded" err="Nameserver limits were exceeded, some nameservers have been omitted, the applied nameserver line is: 10.8.0.2 1.1.1.1 9.9.9.9"')
            elif what < 3:
                c.klog(name, t, "I", "kubelet_getters.go:219", f'"Pod status updated" pod="{ref(p)}" status="Running"')
            elif what == 3:
                c.klog(name, t, "I", "kubelet.go:2569", f'"SyncLoop (probe)" probe="readiness" status="ready" pod="{ref(p)}"')
            elif what == 4:
                c.klog(name, t, "I", "scope.go:117", f'"RemoveContainer" containerID="{digest(u, i)}"')
            elif what == 5:
                c.klog(name, t, "I", "kubelet_volumes.go:163", f'"Cleaned up orphaned pod volumes dir" podUID="{uid(u, i)}" path="/var/lib/kubelet/pods/{uid(u, i)}/volumes"')
            else:
                c.klog(name, t, "I", "reconciler_common.go:251", f'"operationExecutor.VerifyControllerAttachedVolume started for volume \\"config\\" (UniqueName: \\"kubernetes.io/configmap/{u}-config\\") pod \\"{p["metadata"]["name"]}\\" (UID: \\"{u}\\") " pod="{ref(p)}"')
            i += 1
            t += s(step)


def container_logs(c, pods, lines):
    for p in pods:
        name = p["spec"]["containers"][0]["name"]
        out = []
        for i in range(lines):
            t = c.start + s(1 + i * 3595 / lines)
            level = "warn" if i % 97 == 41 else "info"
            out.append((t, f'{{"level":"{level}","ts":"{sec(t)}","caller":"http/access.go:40","msg":"request","path":"/v1/{digest(p["metadata"]["uid"], i)[:8]}","status":{200 if i % 31 else 404},"duration_ms":{5 + number(i, "d") % 180}}}'))
        c.log(p["metadata"]["namespace"], p["metadata"]["name"], name, out)


# --- the three incidents --------------------------------------------------------------------------------

DEAD, LOST = "fleet-w042", None


def node_dies(c):
    """The machine stops; after five minutes its pods are evicted and made anew elsewhere."""
    t, beat = LOST, LOST - s(47)
    conditions = copy.deepcopy(c.initial[("Node", "", DEAD)]["status"]["conditions"])
    c.changes = [x for x in c.changes if not (x[3]["kind"] == "Node" and x[3]["metadata"]["name"] == DEAD and x[0] > beat)]

    def unknown(o):
        o["status"]["conditions"] = [{**x, "status": "Unknown", "reason": "NodeStatusUnknown", "message": "Kubelet stopped posting node status.", "lastHeartbeatTime": sec(beat), "lastTransitionTime": sec(t)} for x in conditions]
        o["spec"]["taints"] = [{"effect": "NoSchedule", "key": "node.kubernetes.io/unreachable", "timeAdded": sec(t)}]
    n = c.modify(t, ("Node", "", DEAD), unknown)
    c.modify(t + s(5), ("Node", "", DEAD), lambda o: o["spec"]["taints"].append({"effect": "NoExecute", "key": "node.kubernetes.io/unreachable", "timeAdded": sec(t + s(5))}))
    c.event(n, "NodeNotReady", f"Node {DEAD} status is now: NodeNotReady", t, by="node-controller")
    ev, work, stuck = t + s(305), {key(p): m for m in c.apps for p in m[2]}, []
    victims = [o for k, o in sorted(c.store.items()) if k[0] == "Pod" and o["spec"].get("nodeName") == DEAD and o["status"]["phase"] == "Running"]
    for p in victims:
        def unready(o):
            for x in o["status"]["conditions"]:
                if x["type"] == "Ready":
                    x.update({"status": "False", "lastTransitionTime": sec(t)})
        c.modify(t + s(0.4), p, unready)
        c.event(p, "NodeNotReady", "Node is not ready", t, kind="Warning", by="node-controller")
        kind = p["metadata"]["ownerReferences"][0]["kind"]
        if kind in ("DaemonSet", "Node"):
            continue

        def evict(o):
            o["metadata"].update({"deletionTimestamp": sec(ev + s(30)), "deletionGracePeriodSeconds": 30})
            o["status"]["conditions"].append(cond("DisruptionTarget", "True", ev, "DeletionByTaintManager", "Taint manager: deleting due to NoExecute taint", probe=True))
        c.modify(ev, p, evict)
        c.event(p, "TaintManagerEviction", f"Marking for deletion Pod {ref(p)}", ev, by="taint-eviction-controller")
        if kind == "StatefulSet":
            stuck.append(p)
        made = work.get(key(p))
        if made is None:
            continue
        dep, rs, pods = made
        up = len(pods)
        rollout_status(c, dep, t + s(1), availableReplicas=up - 1, readyReplicas=up - 1, unavailableReplicas=1)
        c.modify(t + s(1), rs, lambda o: o["status"].update({"availableReplicas": up - 1, "readyReplicas": up - 1}))
        q = c.made_pod(rs, f"{rs['metadata']['name']}-{suffix('anew', p['metadata']['uid'])}", c.workers[number(p["metadata"]["uid"]) % 40], ev, pod_template(rs, dep), started=ev + s(3))
        c.added(ev + s(1), q)
        created_pod(c, rs, q, ev)
        start_events(c, q, ev + s(1))
        ready = become_ready(c, q, ev + s(12))
        rollout_status(c, dep, ev + s(13), availableReplicas=up, readyReplicas=up, unavailableReplicas=0)
        c.modify(ev + s(13), rs, lambda o: o["status"].update({"availableReplicas": up, "readyReplicas": up}))
        endpoints(c, dep, ev + s(13), [ready if x is p or key(x) == key(p) else x for x in pods])
    late = []
    for ds, _, _ in c.daemons:
        n_all = len(c.nodes)
        c.modify(t + s(1), ds, lambda o: o["status"].update({"numberAvailable": n_all - 1, "numberReady": n_all - 1, "numberUnavailable": 1}))
        late.append(alert(c, "KubeDaemonSetRolloutStuck", t + s(915), **ksm(c, daemonset=ds["metadata"]["name"], namespace=ds["metadata"]["namespace"])))
    for p in stuck:
        own = ("StatefulSet", p["metadata"]["namespace"], p["metadata"]["ownerReferences"][0]["name"])
        have = c.get(*own)["spec"]["replicas"] - 1
        c.modify(t + s(1), own, lambda o: o["status"].update({"readyReplicas": have, "availableReplicas": have}))
        late.append(alert(c, "KubeStatefulSetReplicasMismatch", t + s(915), **ksm(c, namespace=own[1], statefulset=own[2])))
    late.append(alert(c, "KubeNodeNotReady", t + s(915), **ksm(c, condition="Ready", node=DEAD, status="true")))
    late.append(alert(c, "KubeNodeUnreachable", t + s(915), **ksm(c, effect="NoSchedule", key="node.kubernetes.io/unreachable", node=DEAD)))
    ip = next(a["address"] for a in c.get("Node", "", DEAD)["status"]["addresses"] if a["type"] == "InternalIP")
    late.append(alert(c, "KubeletInstanceUnreachable", t + s(930), endpoint="https-metrics", instance=f"{ip}:10250", job="kubelet", metrics_path="/metrics", namespace="kube-system", node=DEAD, service="kubelet"))
    truth = {"id": "node-down", "root": [{"kind": "Node", "name": DEAD}], "says": [DEAD, r"(?i)(not ?ready|unreachable|stopped posting|down|lost|gone)"], "remedy": [r"(?i)(" + DEAD + "|node|machine|host|power|kubelet)"],
             "symptoms": [{"alert": a.labels["alertname"], "labels": {k: a.labels[k] for k in ("node", "daemonset", "statefulset") if k in a.labels}} for a in late],
             "evidence": [r"(Kubelet stopped posting node status|status is now: NodeNotReady)"]}
    return late, truth


def config_breaks(c, made):
    """Somebody edits the configuration of a service and restarts it: the new pods end at once."""
    dep, old, pods = made
    m, n = dep["metadata"], len(pods)
    ns, name = m["namespace"], m["name"]
    edited, t = c.start + s(1081), c.start + s(1205)

    def broken(o):
        o["data"]["config.yaml"] = o["data"]["config.yaml"].replace("  level: info\n", "  level: info format: json\n")
    c.modify(edited, ("ConfigMap", ns, name), broken)
    tpl = copy.deepcopy(dep["spec"]["template"])
    tpl["metadata"]["annotations"] = {"kubectl.kubernetes.io/restartedAt": sec(t)}
    edit(c, dep, tpl, t)
    rs = new_set(c, dep, tpl, t)
    box = tpl["spec"]["containers"][0]["name"]
    p = c.made_pod(rs, f"{rs['metadata']['name']}-x7k2p", c.workers[11], t, {"metadata": rs["spec"]["template"]["metadata"], "spec": tpl["spec"]}, started=t + s(2))
    where = p["spec"]["nodeName"]
    c.added(t + s(1), p)
    created_pod(c, rs, p, t)
    scheduled(c, p, t)
    rollout_status(c, dep, t + s(1), observedGeneration=m["generation"] + 1, replicas=n + 1, updatedReplicas=1, unavailableReplicas=1, progress=("True", "ReplicaSetUpdated", f'ReplicaSet "{rs["metadata"]["name"]}" is progressing.'))
    start_lines(c, where, p, t)
    x, k, runs = t + s(2), 0, []
    while x < c.end - s(5):
        crash(c, p, box, x, x + s(1), 1, "Error", k, k, ready_since=t)
        died_line(c, where, p, box, x + s(1), x, 1)
        runs.append(x)
        k += 1
        x += s(1 + delay(k - 1)[0] + 2)
    for i, (a, b) in enumerate(zip(runs, runs[1:] + [c.end])):
        backoff_lines(c, where, p, box, a + s(2), b - s(1), text=delay(i)[1], dead=digest("cfg", a))
    at = dict(host=where, field=box)
    image = tpl["spec"]["containers"][0]["image"]
    c.event(p, "Pulled", f'Container image "{image}" already present on machine', t + s(1), runs[-1], k, **at)
    c.event(p, "Created", created_note(c, box), t + s(1), runs[-1], k, **at)
    c.event(p, "Started", f"Started container {box}", t + s(2), runs[-1], k, **at)
    c.event(p, "BackOff", backoff_note(c, p, box), t + s(5), c.end - s(29), 180, "Warning", **at)
    rollout_status(c, dep, t + s(601), progress=("False", "ProgressDeadlineExceeded", f'ReplicaSet "{rs["metadata"]["name"]}" has timed out progressing.'))
    for prev in (False, True):
        b = runs[-1]
        c.log(ns, p["metadata"]["name"], box, [(b + s(0.21), '{"level":"info","ts":"%s","caller":"main.go:31","msg":"starting %s"}' % (sec(b), name)),
                                               (b + s(0.214), '{"level":"fatal","ts":"%s","caller":"config/load.go:58","msg":"cannot load configuration","file":"/etc/%s/config.yaml","error":"yaml: line 4: mapping values are not allowed in this context"}' % (sec(b), name))], previous=prev)
    alerts = [alert(c, "KubePodCrashLooping", t + s(919), **ksm(c, container=box, namespace=ns, pod=p["metadata"]["name"], reason="CrashLoopBackOff", uid=p["metadata"]["uid"])),
              alert(c, "KubeDeploymentRolloutStuck", t + s(1519), **ksm(c, condition="Progressing", deployment=name, namespace=ns, status="false"))]
    truth = {"id": "bad-config", "root": [{"kind": "ConfigMap", "namespace": ns, "name": name}], "says": [name, r"(?i)(chang|edit|modif|updat)", r"(?i)(crash|exit|fail|restart|end)"],
             "remedy": [rf"(?i)({name}|configmap)", r"(?i)(revert|restore|undo|fix|correct|edit|roll ?back|mend)"],
             "symptoms": [{"alert": "KubePodCrashLooping", "labels": {"pod": p["metadata"]["name"]}}, {"alert": "KubeDeploymentRolloutStuck", "labels": {"deployment": name}}], "evidence": ["mapping values are not allowed", "level: info format: json"]}
    return alerts, truth


def image_missing(c, made):
    """A release names a tag that was never pushed."""
    dep, _, pods = made
    m, n = dep["metadata"], len(pods)
    ns, name, t = m["namespace"], m["name"], c.start + s(1500)
    tpl = with_image(dep, "4.310.2")
    edit(c, dep, tpl, t)
    rs = new_set(c, dep, tpl, t)
    box, image = tpl["spec"]["containers"][0]["name"], tpl["spec"]["containers"][0]["image"]
    why = f'rpc error: code = NotFound desc = failed to pull and unpack image "{image}": failed to resolve reference "{image}": {image}: not found'
    p = c.made_pod(rs, f"{rs['metadata']['name']}-m4p7c", c.workers[23], t, {"metadata": rs["spec"]["template"]["metadata"], "spec": tpl["spec"]})
    names = [x["name"] for x in tpl["spec"]["containers"]]

    def status(reason, message):
        waiting = {"reason": reason, **({"message": message} if message else {})}
        first = {"name": box, "image": image, "imageID": "", "lastState": {}, "ready": False, "restartCount": 0, "started": False, "state": {"waiting": waiting}}
        return {**p["status"], "phase": "Pending", "conditions": pod_conditions(c, t, None, False, [box]), "containerStatuses": [first] + [x for x in p["status"]["containerStatuses"] if x["name"] in names[1:]]}
    p["status"] = status("ContainerCreating", "")
    c.added(t + s(1), p)
    created_pod(c, rs, p, t)
    scheduled(c, p, t)
    rollout_status(c, dep, t + s(1), observedGeneration=m["generation"] + 1, replicas=n + 1, updatedReplicas=1, unavailableReplicas=1, progress=("True", "ReplicaSetUpdated", f'ReplicaSet "{rs["metadata"]["name"]}" is progressing.'))
    tries, x, d = [], t + s(1), 10
    while x < c.end - s(20):
        tries.append(x)
        x += s(d + 1)
        d = min(300, d * 2)
    where = p["spec"]["nodeName"]
    for x in tries:
        c.modify(x + s(1), p, lambda o: o.update({"status": status("ErrImagePull", why)}))
        c.modify(x + s(14), p, lambda o: o.update({"status": status("ImagePullBackOff", f'Back-off pulling image "{image}"')}))
        quoted = why.replace('"', '\\"')
        c.klog(where, x + s(0.601), "E", "log.go:32", f'"PullImage from image service failed" err="{quoted}" image="{image}"')
        c.klog(where, x + s(0.604), "E", "kuberuntime_image.go:42", f'"Failed to pull image" err="{quoted}" image="{image}"')
    at = dict(host=where, field=box)
    c.event(p, "Pulling", f'Pulling image "{image}"', tries[0], tries[-1], len(tries), **at)
    c.event(p, "Failed", f'Failed to pull image "{image}": {why}', tries[0] + s(1), tries[-1] + s(1), len(tries), "Warning", **at)
    c.event(p, "Failed", "Error: ErrImagePull", tries[0] + s(1), tries[-1] + s(1), len(tries), "Warning", **at)
    c.event(p, "BackOff", f'Back-off pulling image "{image}"', tries[0] + s(2), c.end - s(23), 150, **at)
    c.event(p, "Failed", "Error: ImagePullBackOff", tries[0] + s(2), c.end - s(23), 150, "Warning", **at)
    rollout_status(c, dep, t + s(601), progress=("False", "ProgressDeadlineExceeded", f'ReplicaSet "{rs["metadata"]["name"]}" has timed out progressing.'))
    alerts = [alert(c, "KubePodNotReady", t + s(923), job="kube-state-metrics", namespace=ns, pod=p["metadata"]["name"]),
              alert(c, "KubeDeploymentRolloutStuck", t + s(1519), **ksm(c, condition="Progressing", deployment=name, namespace=ns, status="false"))]
    truth = {"id": "bad-image", "root": [{"kind": "Deployment", "namespace": ns, "name": name}], "says": [r"4\.310\.2", r"(?i)(not found|does not exist|no such|unknown|missing)"], "remedy": [r"(?i)(set image|tag|rollout undo|roll ?back)"],
             "symptoms": [{"alert": "KubePodNotReady", "labels": {"pod": p["metadata"]["name"]}}, {"alert": "KubeDeploymentRolloutStuck", "labels": {"deployment": name}}], "evidence": [r"(code = NotFound|: not found)"]}
    return alerts, truth


def build(args):
    global LOST
    c = Large(args.pods, args.workloads, args.nodes, args.seed)
    LOST = c.start + s(698)
    c.on = {}
    for k, p in sorted(c.store.items()):
        if k[0] == "Pod":
            c.on.setdefault(p["spec"]["nodeName"], []).append(p)
    kubelets(c, args.lines)
    daily_life(c)
    calm = [m for m in c.apps if 3 <= len(m[2]) <= 5 and all(p["spec"]["nodeName"] != DEAD and key(p) in c.store for p in m[2])]
    parts = [node_dies(c), config_breaks(c, calm[len(calm) // 7]), image_missing(c, calm[len(calm) // 2])]
    noise(c, args.events * args.storm)
    container_logs(c, [m[2][0] for m in calm[len(calm) // 2 + 1::7][:40]], 500)
    firing = [a for alerts, _ in parts for a in alerts]
    hot = calm[len(calm) // 3][2][0]
    throttle = alert(c, "CPUThrottlingHigh", c.start - s(1400), value="28.9%", container=hot["spec"]["containers"][0]["name"], namespace=hot["metadata"]["namespace"], pod=hot["metadata"]["name"])
    inhibit = alert(c, "InfoInhibitor", c.start - s(1370), namespace=hot["metadata"]["namespace"])
    throttle.inhibited = [fingerprint(inhibit.labels)]
    wd = c.watchdog()
    c.repeat_posts([wd, throttle, inhibit] + firing, c.start + s(12.4), c.end - s(3), every=60)
    heartbeat(c, wd, c.start + s(129.441), 4, 900)
    c.api_alerts(firing + [throttle, inhibit, wd], to_receiver)
    c.truth = {"title": "A machine dies, an edited ConfigMap ends the pods that read it, and a release names an image that does not exist", "incidents": [t for _, t in parts], "never": [], "extra_findings": 0}
    return c


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("dir", help="the capture's folder; its parent must be there")
    for name, default, what in (("pods", 5000, "pods that stand when the hour begins"), ("workloads", 1000, "workloads"), ("nodes", 100, "machines"), ("events", 20000, "events"),
                                ("lines", 200000, "lines of all kubelets"), ("storm", 1, "times as many events"), ("seed", 0, "another number, other names and times")):
        ap.add_argument("--" + name, type=int, default=default, help=what)
    args = ap.parse_args()
    c = build(args)
    c.name = os.path.basename(os.path.normpath(args.dir))
    size = c.write(os.path.dirname(os.path.abspath(args.dir)))
    count = {k: sum(1 for x in c.initial if x[0] == k) for k in ("Pod", "Node")}
    work = sum(1 for x in c.initial if x[0] in ("Deployment", "StatefulSet", "DaemonSet", "CronJob"))
    print(f"{size / 2**20:.0f} MiB: {len(c.initial)} objects ({count['Pod']} pods, {work} workloads, {count['Node']} nodes), {len(c.changes)} changes, {len(c.events)} events, {len(c.deliveries)} deliveries of alerts, "
          f"{sum(len(x) for x in c.lines.values())} kubelet lines, {sum(len(x) for x in c.logs.values())} container lines")


if __name__ == "__main__":
    main()
