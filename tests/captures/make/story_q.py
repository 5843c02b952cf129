"""Machines that fail in different ways, storage, quotas, two causes at once, and two days on which much happens and nothing is wrong."""

import copy

from fleet import (Fleet, app_of, crash_loop, cronjob, deliver, evicted, hum, incident, job_done, looping_alert, mismatch, node_pods_unready,
                   not_ready, pending, pressure, ready_again, replacement, settled, short_of, silent, stuck_creating, truth, unready_alert)
from flow import created_pod, deleted_pod, kill_events, ref, resize, rollout_status, scaled, scheduled, start_events
from kit import digest, s, sec, suffix, uid, when
from objs import cond, container, daemonset, hpa, pod, pod_conditions, pvc, service, simple, statefulset, storageclass
from rules import alert, ksm


def node_alerts(c, name, at, unreachable=True):
    out = [alert(c, "KubeNodeNotReady", at, **ksm(c, condition="Ready", node=name, status="true"))]
    if unreachable:
        out.append(alert(c, "KubeNodeUnreachable", at, **ksm(c, effect="NoSchedule", key="node.kubernetes.io/unreachable", node=name)))
    return out


def ds_alert(c, ds, at):
    return alert(c, "KubeDaemonSetRolloutStuck", at, **ksm(c, daemonset=ds["metadata"]["name"], namespace=ds["metadata"]["namespace"]))


def going(c, p, t, why="DeletionByTaintManager", text="Taint manager: deleting due to NoExecute taint"):
    """The taint manager or a drain deletes a pod; a kubelet that does not answer never confirms it."""
    def fn(o):
        o["metadata"].update({"deletionTimestamp": sec(t + s(30)), "deletionGracePeriodSeconds": 30})
        if c.minor >= 26:
            o["status"]["conditions"].append(cond("DisruptionTarget", "True", t, why, text, probe=True))
    return c.modify(t, p, fn)


def tainted(c, p, t):
    going(c, p, t)
    c.event(p, "TaintManagerEviction", f"Marking for deletion Pod {ref(p)}", t, by="taint-eviction-controller" if c.minor >= 29 else "taint-controller")


# --- machines -----------------------------------------------------------------------------------------

def hung_runtime():
    c = Fleet("f1-runtime-hung", "metal", "v1.26.9", "2023-10-12T17:00:00", "2023-10-12T17:50:00", "one machine does nothing any more",
              [("bm-01", "10.12.0.1", "control-plane"), ("bm-06", "10.12.0.6", ""), ("bm-07", "10.12.0.7", ""), ("bm-08", "10.12.0.8", "")], born="2023-05-02T08:00:00", runtime="containerd://1.6.24")
    quiet = hum(c, ["bm-06", "bm-07"])
    sick = "bm-07"
    web = app_of(c, "portal", "web", "metal.example/portal/web:5.5.1", ["bm-06", "bm-07", "bm-08"])
    queue = statefulset(c, "portal", "queue", [container("rabbitmq", "docker.io/library/rabbitmq:3.12.6", ports=[("amqp", 5672)], cpu="200m", memory="512Mi")], ["bm-06", "bm-07", "bm-08"], settled(c))
    t = c.t("17:08:20")
    for i in range(14):
        at = t + s(120 + 118 * i)
        if at >= c.end:
            break
        c.klog(sick, at, "E", "remote_runtime.go:277", '"ListPodSandbox with filter from runtime service failed" err="rpc error: code = DeadlineExceeded desc = context deadline exceeded" filter="nil"')
        c.klog(sick, at + s(0.01), "E", "kuberuntime_sandbox.go:305", '"Failed to list pod sandboxes" err="rpc error: code = DeadlineExceeded desc = context deadline exceeded"')
        c.klog(sick, at + s(0.02), "E", "generic.go:236", '"GenericPLEG: Unable to retrieve pods" err="rpc error: code = DeadlineExceeded desc = context deadline exceeded"')
    lost = t + s(190)
    text = "PLEG is not healthy: pleg was last seen active %s ago; threshold is 3m0s"
    for i in range(40):
        at = lost + s(55 * i)
        if at >= c.end:
            break
        sec_ = 182.4 + 55 * i
        c.klog(sick, at, "E", "kubelet.go:2374", f'"Skipping pod synchronization" err="{text % f"{int(sec_ // 60)}m{sec_ % 60:.9f}s"}"')
    not_ready(c, sick, lost, text % "3m2.409911623s")
    victims = node_pods_unready(c, sick, lost + s(2))
    ev = lost + s(305)
    tainted_pods = [p for p in victims if p["metadata"]["ownerReferences"][0]["kind"] in ("ReplicaSet", "StatefulSet")]
    for p in tainted_pods:
        tainted(c, p, ev)
    short_of(c, web[0], web[1], lost + s(3), 2)
    replacement(c, web, 1, "bm-08", ev + s(1))
    short_of(c, web[0], web[1], ev + s(16), 3)
    c.modify(lost + s(3), queue[0], lambda o: o["status"].update(readyReplicas=2, availableReplicas=2))
    c.event(queue[2][1], "FailedKillPod", "error killing pod: [failed to \"KillContainer\" for \"rabbitmq\" with KillContainerError: \"rpc error: code = DeadlineExceeded desc = context deadline exceeded\"]", ev + s(150), c.end - s(100), 9, "Warning", host=sick)
    alerts = node_alerts(c, sick, lost + s(15 * 60 + 20), False) + [alert(c, "KubeletPlegDurationHigh", t + s(8 * 60), value="10", node=sick, quantile="0.99", instance="10.12.0.7:10250"),
             ds_alert(c, c.cni[0], lost + s(16 * 60)), ds_alert(c, c.proxy[0], lost + s(16 * 60)), alert(c, "KubeStatefulSetReplicasMismatch", lost + s(16 * 60), **ksm(c, namespace="portal", statefulset="queue"))]
    deliver(c, alerts, quiet)
    return truth(c, "The container runtime of bm-07 hangs", [incident("runtime", [("Node", sick)], [sick, r"(?i)(PLEG|container runtime|containerd)"], [r"(?i)(containerd|runtime|crictl)"], alerts, ["PLEG is not healthy"])],
                 [r"(?i)(queue|rabbitmq|web) (is|has) (crash|broken)", r"(?i)rollout undo"])


def two_machines():
    c = Fleet("f2-two-machines-two-causes", "attic", "v1.31.4+k3s1", "2025-01-15T04:00:00", "2025-01-15T04:48:00", "two machines, one night",
              [("srv", "192.168.40.2", "control-plane"), ("attic-a", "192.168.40.11", ""), ("attic-b", "192.168.40.12", ""), ("attic-c", "192.168.40.13", "")], static=(), cni="flannel", taint=False, proxy=False, mon="metrics", release="prom",
              dns=dict(image="rancher/mirrored-coredns-coredns:1.12.0", ip="10.43.0.10", nodes=["srv"]))
    quiet = hum(c, ["attic-a", "attic-c"])
    # first: somebody stops the agent on attic-a
    pg = statefulset(c, "home", "postgres", [container("postgres", "docker.io/library/postgres:16.4", ports=[("pg", 5432)], cpu="100m", memory="256Mi")], ["attic-a"], settled(c))
    t = c.t("04:12:08")
    c.lines["attic-a"] = [x for x in c.lines["attic-a"] if x[0] < t]
    for d, text in ((0, "Stopping kubelet.service - Kubernetes agent..."), (0.4, "kubelet.service: Deactivated successfully."), (0.41, "Stopped kubelet.service - Kubernetes agent."), (0.42, "kubelet.service: Consumed 3h 12min 4.911s CPU time.")):
        c.raw_line("attic-a", t + s(d), "systemd:" + text)
    victims = silent(c, "attic-a", t - s(6), t + s(44))
    ev = t + s(44 + 305)
    for p in victims:
        if p["metadata"]["ownerReferences"][0]["kind"] != "DaemonSet":
            tainted(c, p, ev)
    c.modify(t + s(45), pg[0], lambda o: o["status"].update(readyReplicas=0, availableReplicas=0))
    # second: the disk of attic-c fills
    full = c.t("04:17:30")
    pods = []
    for i, (ns, nm) in enumerate((("blog", "ghost"), ("photos", "immich"), ("books", "calibre"))):
        made = app_of(c, ns, nm, f"docker.io/{nm}/{nm}:{i + 2}.4.1", ["attic-c"])
        pods.append((made, nm))
    pressure(c, "attic-c", full, "DiskPressure", "KubeletHasDiskPressure", "kubelet has disk pressure")
    n = c.get("Node", None, "attic-c")
    c.event(n, "FreeDiskSpaceFailed", "Failed to garbage collect required amount of images. Attempted to free 11811160064 bytes, but only found 0 bytes eligible to free.", full - s(290), c.end - s(200), 9, "Warning", host="attic-c")
    c.event(n, "EvictionThresholdMet", "Attempting to reclaim ephemeral-storage", full + s(1), c.end - s(70), 14, "Warning", host="attic-c")
    c.klog("attic-c", full + s(0.2), "W", "eviction_manager.go:372", '"Eviction manager: attempting to reclaim" resourceName="ephemeral-storage"')
    c.klog("attic-c", full + s(0.3), "I", "eviction_manager.go:383", '"Eviction manager: must evict pod(s) to reclaim" resourceName="ephemeral-storage"')
    gone = []
    for i, (made, nm) in enumerate(pods):
        at = full + s(4 + 37 * i)
        p = made[2][0]
        evicted(c, p, at, f"The node was low on resource: ephemeral-storage. Threshold quantity: 7870002790, available: {5212040 - 90211 * i}Ki. Container {nm} was using {(84, 9120, 61)[i]}{('Ki', 'Mi', 'Mi')[i]}, request is 0, has larger consumption of ephemeral-storage. ")
        c.klog("attic-c", at + s(0.1), "I", "eviction_manager.go:614", f'"Eviction manager: pod is evicted successfully" pod="{ref(p)}"')
        replacement(c, made, 1, "attic-b", at + s(3), pull=9.21)
        gone.append(p)
    a = node_alerts(c, "attic-a", t + s(44 + 15 * 60)) + [alert(c, "KubeStatefulSetReplicasMismatch", t + s(44 + 16 * 60), **ksm(c, namespace="home", statefulset="postgres"))]
    b = [alert(c, "NodeFilesystemAlmostOutOfSpace", full + s(500), value="4.1", device="/dev/nvme0n1p2", fstype="ext4", instance="192.168.40.13:9100", job="node-exporter", mountpoint="/", namespace=c.ns, pod="prom-node-exporter-x2x4v", service="prom-node-exporter", container="node-exporter", endpoint="http-metrics")]
    evs = [unready_alert(c, p, full + s(15 * 60 + 60)) for p in gone]
    deliver(c, a + b + evs, quiet)
    sym_b = [{"alert": "NodeFilesystemAlmostOutOfSpace", "labels": {"instance": "192.168.40.13:9100"}}] + [{"alert": "KubePodNotReady", "labels": {"namespace": p["metadata"]["namespace"], "pod": p["metadata"]["name"]}} for p in gone]
    return truth(c, "attic-a: the kubelet was stopped; attic-c: the disk is full and pods are evicted", [
        incident("stopped", [("Node", "attic-a")], ["attic-a", r"(?i)(not ?ready|unreachable|stopped|silent|down)"], [r"(?i)(attic-a|kubelet|node)"], a, [r"(?i)(stopp(ed|ing) kubelet|Kubelet stopped posting node status|NodeNotReady)"]),
        incident("disk", [("Node", "attic-c")], ["attic-c", r"(?i)(disk|ephemeral-storage|storage)"], [r"(?i)(free|space|prune|disk|image)"], evidence=[r"(?i)low on resource: ephemeral-storage"], symptoms=sym_b)],
        [r"(?i)(ghost|immich|calibre) (is|has) (crash|broken)", r"(?i)rollout undo"])


def rack_power():
    c = Fleet("f3-rack-power", "dc2", "v1.25.16", "2024-01-22T22:00:00", "2024-01-22T22:45:00", "half of the machines at once",
              [("dc2-m1", "10.44.0.1", "control-plane")] + [(f"dc2-{r}{i}", f"10.44.{k}.{i}", "") for k, r in ((1, "a"), (2, "b")) for i in (1, 2, 3)], born="2023-06-10T08:00:00", cni="cilium")
    for i, n in enumerate(c.nodes):
        for st in (c.store, c.initial):
            st[("Node", "", n)]["metadata"]["labels"]["topology.kubernetes.io/zone"] = "rack-b" if "-b" in n else "rack-a"
    quiet = hum(c, ["dc2-a1"])
    made = app_of(c, "trade", "quotes", "dc2.example/quotes:9.1", ["dc2-a1", "dc2-b1", "dc2-b2", "dc2-b3"])
    feed = app_of(c, "feed", "ingest", "dc2.example/ingest:4.0", ["dc2-b2", "dc2-b3"])
    t = c.t("22:11:05")
    dead = ["dc2-b1", "dc2-b2", "dc2-b3"]
    for i, n in enumerate(dead):
        for p in silent(c, n, t - s(3 * i), t + s(41 + i)):
            if p["metadata"]["ownerReferences"][0]["kind"] != "DaemonSet":
                tainted(c, p, t + s(41 + i + 305))
    short_of(c, made[0], made[1], t + s(45), 1)
    short_of(c, feed[0], feed[1], t + s(45), 0)
    msg = "0/7 nodes are available: 1 node(s) had untolerated taint {node-role.kubernetes.io/control-plane: }, 3 Insufficient cpu, 3 node(s) had untolerated taint {node.kubernetes.io/unreachable: }. preemption: 0/7 nodes are available: 3 No preemption victims found for incoming pod, 4 Preemption is not helpful for scheduling."
    pend = [pending(c, made, i, t + s(350 + i), msg) for i in range(3)] + [pending(c, feed, i, t + s(350 + i), msg) for i in range(2)]
    alerts = [x for i, n in enumerate(dead) for x in node_alerts(c, n, t + s(41 + i + 15 * 60 + 20))]
    alerts += [mismatch(c, made[0], t + s(17 * 60)), mismatch(c, feed[0], t + s(17 * 60))] + [unready_alert(c, p, t + s(350 + 15 * 60)) for p in pend]
    alerts.append(alert(c, "TargetDown", t + s(12 * 60), value="42.86", job="kubelet", namespace="kube-system", service="kubelet"))
    deliver(c, alerts, quiet)
    return truth(c, "The three machines of one rack fall silent in the same minute", [incident("rack", [("Node", n) for n in dead], [r"(?i)(not ?ready|unreachable|stopped posting|down|lost|gone|silent)"], [r"(?i)(node|machine|power|rack|host|kubelet)"],
                 evidence=[r"(Kubelet stopped posting node status|NodeNotReady)"], symptoms=[])], [r"(?i)insufficient cpu.{0,40}(cause|request)", r"(?i)(quotes|ingest) (is|has) (crash|broken)", r"(?i)(lower|reduce).{0,20}request"], extra=2)


def no_cni():
    c = Fleet("f4-cni-never-came", "orchard", "v1.29.6", "2024-08-08T11:00:00", "2024-08-08T11:40:00", "a new machine does not become ready",
              [("orchard-cp", "10.9.0.10", "control-plane"), ("orchard-3", "10.9.0.13", ""), ("orchard-4", "10.9.0.14", "")])
    quiet = hum(c, ["orchard-3"])
    t = c.t("11:02:10")
    name = "orchard-5"
    o = c.machine(name, "10.9.0.15", 5, t)
    for st in (c.store, c.initial):
        st.pop(("Node", "", name))
    text = "container runtime network not ready: NetworkReady=false reason:NetworkPluginNotReady message:Network plugin returns error: cni plugin not initialized"
    o = copy.deepcopy(o)
    for x in o["status"]["conditions"]:
        x.update(lastHeartbeatTime=sec(t), lastTransitionTime=sec(t))
        if x["type"] == "Ready":
            x.update(status="False", reason="KubeletNotReady", message=text)
    o["spec"]["taints"] = [{"effect": "NoSchedule", "key": "node.kubernetes.io/not-ready"}, {"effect": "NoExecute", "key": "node.kubernetes.io/not-ready", "timeAdded": sec(t + s(1))}]
    o["metadata"].pop("resourceVersion", None)
    c.added(t, o)
    c.event(o, "Starting", "Starting kubelet.", t, host=name)
    c.event(o, "RegisteredNode", f"Node {name} event: Registered Node {name} in Controller", t + s(2), by="node-controller")
    c.node_log(name, "short-iso", pid=733)
    x = t + s(5)
    while x < c.end:
        c.klog(name, x, "E", "kubelet.go:2920", '"Container runtime network not ready" networkReady="NetworkReady=false reason:NetworkPluginNotReady message:Network plugin returns error: cni plugin not initialized"')
        x += s(55)
    made = []
    for ds, tpl, _ in (c.cni, c.proxy):
        p = pod(c, ds, f"{ds['metadata']['name']}-{suffix(name, ds['metadata']['name'])}", name, t + s(1), copy.deepcopy(tpl), labels={**tpl["metadata"]["labels"], "controller-revision-hash": "6c9d5f7b44", "pod-template-generation": "1"}, started=t + s(9))
        made.append((ds, p))
        c.event(ds, "SuccessfulCreate", f"Created pod: {p['metadata']['name']}", t + s(1), by="daemonset-controller")
    ds, bad = made[0]
    image = bad["spec"]["containers"][0]["image"]
    stuck_creating(c, bad, t + s(1))
    bad["status"].update(podIP="10.9.0.15", podIPs=[{"ip": "10.9.0.15"}])
    err = f'failed to pull and unpack image "{image}": failed to copy: httpReadSeeker: failed open: unexpected status code https://registry-1.docker.io/v2/calico/node/manifests/sha256:{digest("m")}: 429 Too Many Requests - Server message: toomanyrequests: You have reached your pull rate limit. You may increase the limit by authenticating and upgrading: https://www.docker.com/increase-rate-limit'
    bad["status"]["containerStatuses"][0]["state"] = {"waiting": {"reason": "ImagePullBackOff", "message": f'Back-off pulling image "{image}"'}}
    c.added(t + s(4), bad)
    scheduled(c, bad, t + s(1))
    at = dict(host=name, field="calico-node")
    c.event(bad, "Pulling", f'Pulling image "{image}"', t + s(4), c.end - s(160), 9, **at)
    c.event(bad, "Failed", f'Failed to pull image "{image}": rpc error: code = Unknown desc = {err}', t + s(7), c.end - s(158), 9, "Warning", **at)
    c.event(bad, "Failed", "Error: ErrImagePull", t + s(7), c.end - s(158), 9, "Warning", **at)
    c.event(bad, "BackOff", f'Back-off pulling image "{image}"', t + s(20), c.end - s(31), 120, **at)
    c.event(bad, "Failed", "Error: ImagePullBackOff", t + s(20), c.end - s(31), 120, "Warning", **at)
    c.added(t + s(12), made[1][1])
    start_events(c, made[1][1], t + s(1), pull=7.902)
    for d, _ in made:
        c.modify(t + s(2), d, lambda q: q["status"].update(desiredNumberScheduled=4, currentNumberScheduled=4, updatedNumberScheduled=4, **({"numberUnavailable": 1} if q["metadata"]["name"] == "calico-node" else {"numberAvailable": 4, "numberReady": 4})))
    alerts = node_alerts(c, name, t + s(15 * 60 + 30), False) + [ds_alert(c, c.cni[0], t + s(16 * 60)), unready_alert(c, bad, t + s(15 * 60 + 50))]
    deliver(c, alerts, quiet)
    return truth(c, "orchard-5 has no network plugin because the image of calico-node cannot be pulled there", [incident("cni", [("Node", name), ("DaemonSet", "kube-system", "calico-node"), ("Pod", "kube-system", bad["metadata"]["name"])],
                 [r"(?i)(cni|network plugin|calico)", r"(?i)(image|pull|rate limit|toomanyrequests)"], [r"(?i)(pull|registry|mirror|credential|imagePullSecret|rate)"], alerts, [r"(?i)(toomanyrequests|ImagePullBackOff|ErrImagePull)"])], [r"(?i)typ(o|ing error)", r"(?i)reinstall"])


def memory_hog():
    c = Fleet("f5-memory-hog", "lake", "v1.27.13", "2024-05-15T08:30:00", "2024-05-15T09:20:00", "pods of two teams evicted",
              [("lake-0", "10.70.0.10", "control-plane"), ("hv-1", "10.70.0.21", ""), ("hv-2", "10.70.0.22", "")])
    quiet = hum(c, ["hv-2"])
    nb = app_of(c, "analytics", "notebook", "jupyter/scipy-notebook:2024-04-22", ["hv-2"], memory=None, limit=None, ready=False)
    inv = app_of(c, "billing", "invoicer", "lake.example/billing/invoicer:2.2.0", ["hv-2"], memory="64Mi", limit=None)
    rel = app_of(c, "chat", "relay", "lake.example/chat/relay:0.31.0", ["hv-2"], memory="64Mi", limit=None)
    for st in (c.store, c.initial):  # a notebook asks for nothing
        for k, o in st.items():
            if k[1] == "analytics" and k[0] in ("Pod", "Deployment", "ReplicaSet"):
                (o["spec"] if k[0] == "Pod" else o["spec"]["template"]["spec"])["containers"][0]["resources"] = {}
                if k[0] == "Pod":
                    o["status"]["qosClass"] = "BestEffort"
    t = c.t("08:41:12")
    n = c.get("Node", None, "hv-2")
    p = c.get("Pod", "analytics", nb[2][0]["metadata"]["name"])
    c.event(n, "SystemOOM", "System OOM encountered, victim process: python3, pid: 88121", t, kind="Warning", host="hv-2")
    c.klog("hv-2", t + s(0.2), "I", "oom_watcher_linux.go:80", f'"Got sys oom event" event={{"Pid":88121,"ProcessName":"python3","TimeOfDeath":"{t:%Y-%m-%dT%H:%M:%S}Z","ContainerName":"/","VictimContainerName":"/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod{p["metadata"]["uid"].replace("-", "_")}.slice/cri-containerd-{digest("nb")}.scope","Constraint":"CONSTRAINT_NONE"}}')
    pressure(c, "hv-2", t + s(9), "MemoryPressure", "KubeletHasInsufficientMemory", "kubelet has insufficient memory available")
    c.event(n, "EvictionThresholdMet", "Attempting to reclaim memory", t + s(9), t + s(70), 3, "Warning", host="hv-2")
    gone = []
    for i, (made, nm, used, want) in enumerate(((nb, "notebook", "27914Mi", "0"), (inv, "invoicer", "412Mi", "64Mi"), (rel, "relay", "298Mi", "64Mi"))):
        at = t + s(11 + 22 * i)
        q = c.get("Pod", made[2][0]["metadata"]["namespace"], made[2][0]["metadata"]["name"])
        evicted(c, q, at, f"The node was low on resource: memory. Threshold quantity: 100Mi, available: {66820 - 9211 * i}Ki. Container {nm} was using {used}, request is {want}, has larger consumption of memory. ")
        c.klog("hv-2", at + s(0.1), "I", "eviction_manager.go:616", f'"Eviction manager: pod is evicted successfully" pod="{ref(q)}"')
        replacement(c, made, 1, "hv-1", at + s(3), pull=3.3)
        gone.append(q)
    pressure(c, "hv-2", t + s(400), "MemoryPressure", "KubeletHasSufficientMemory", "kubelet has sufficient memory available", on=False)
    alerts = [unready_alert(c, q, t + s(16 * 60)) for q in gone]
    deliver(c, alerts, quiet)
    return truth(c, "A notebook without a memory limit fills hv-2; the kernel and the kubelet remove it and its neighbours", [incident("memory", [("Node", "hv-2"), ("Deployment", "analytics", "notebook"), ("Pod", "analytics", p["metadata"]["name"])],
                 ["(?i)memory", "notebook"], [r"(?i)(limit|request)"], alerts, [r"(System OOM encountered|low on resource: memory)"])], [r"(?i)(invoicer|relay) (is|has) (a )?(leak|crash|broken)", r"(?i)rollout undo"])


def expired():
    c = Fleet("f6-kubelet-certificate", "ny", "v1.22.17", "2023-04-20T03:00:00", "2023-04-20T03:40:00", "machine lost after an unattended upgrade",
              [("ny-m1", "10.21.0.11", "control-plane"), ("ny-w1", "10.21.0.21", ""), ("ny-w2", "10.21.0.22", "")], born="2022-04-19T08:00:00", runtime="docker://20.10.17", cni="flannel", os_image="Ubuntu 20.04.6 LTS", kernel="5.4.0-146-generic", era=2022)
    quiet = hum(c, ["ny-w1", "ny-w2"], style="short")
    t = c.t("03:06:31")
    c.lines["ny-w2"] = [x for x in c.lines["ny-w2"] if x[0] < t]
    c.raw_line("ny-w2", t, "systemd:Stopping kubelet: The Kubernetes Node Agent...")
    c.raw_line("ny-w2", t + s(0.1), "systemd:Stopped kubelet: The Kubernetes Node Agent.")
    x = t + s(0.4)
    while x < c.end - s(3):
        c.raw_line("ny-w2", x, "systemd:Started kubelet: The Kubernetes Node Agent.")
        c.klog("ny-w2", x + s(0.6), "E", "bootstrap.go:265", "part of the existing bootstrap client certificate in /etc/kubernetes/kubelet.conf is expired: 2023-04-19 08:03:11 +0000 UTC")
        c.klog("ny-w2", x + s(0.7), "E", "server.go:294", '"Failed to run kubelet" err="failed to run Kubelet: unable to load bootstrap kubeconfig: stat /etc/kubernetes/bootstrap-kubelet.conf: no such file or directory"')
        c.raw_line("ny-w2", x + s(1), "systemd:kubelet.service: Main process exited, code=exited, status=1/FAILURE")
        c.raw_line("ny-w2", x + s(1.01), "systemd:kubelet.service: Failed with result 'exit-code'.")
        x += s(41)
    c.lines["ny-w2"].sort(key=lambda y: y[0])
    web = app_of(c, "press", "cms", "ny.example/cms:88", ["ny-w1", "ny-w2"])
    for p in silent(c, "ny-w2", t - s(4), t + s(42)):
        if p["metadata"]["ownerReferences"][0]["kind"] == "ReplicaSet":
            tainted(c, p, t + s(42 + 305))
    short_of(c, web[0], web[1], t + s(44), 1)
    replacement(c, web, 1, "ny-w1", t + s(348))
    short_of(c, web[0], web[1], t + s(364), 2)
    alerts = node_alerts(c, "ny-w2", t + s(42 + 15 * 60)) + [alert(c, "TargetDown", t + s(11 * 60), value="33.33", job="kubelet", namespace="kube-system", service="kube-prometheus-stack-kubelet"), ds_alert(c, c.cni[0], t + s(17 * 60))]
    deliver(c, alerts, quiet)
    return truth(c, "The client certificate of the kubelet on ny-w2 is expired; after a restart it cannot join", [incident("certificate", [("Node", "ny-w2")], ["ny-w2", r"(?i)certificate", r"(?i)expired"], [r"(?i)(kubelet\.conf|renew|bootstrap|kubeadm|rotat|certificate)"], alerts,
                 [r"client certificate in /etc/kubernetes/kubelet.conf is expired"])], [r"(?i)rollout undo"])


def kured():
    c = Fleet("f7-planned-reboot", "coop", "v1.32.2", "2025-03-11T02:00:00", "2025-03-11T02:40:00", "a reboot in the night",
              [("coop-1", "10.3.3.1", "control-plane"), ("coop-2", "10.3.3.2", ""), ("coop-3", "10.3.3.3", "")], cni="cilium", mon="mon", release="kp")
    quiet = hum(c, ["coop-2", "coop-3"])
    made = app_of(c, "hub", "broker", "coop.example/broker:6", ["coop-2", "coop-3"])
    t = c.t("02:05:00")
    drained(c, "coop-3", t, [(made, "coop-2"), (c.dns, "coop-2")], reboot=True)
    deliver(c, [], quiet)
    return truth(c, "A machine is drained, rebooted and taken back, as planned", [], [r"(?i)coop-3.{0,40}(is|has) (down|lost|fail)", r"(?i)broker.{0,30}(is|has) (down|crash|fail)"])


def drained(c, name, t, moves, reboot=False, version=None, back=150, by=None):
    """A node is cordoned, its pods go elsewhere, it restarts (or only its kubelet does) and it takes pods again."""
    def cordon(o):
        o["spec"]["unschedulable"] = True
        o["spec"]["taints"] = o["spec"].get("taints", []) + [{"effect": "NoSchedule", "key": "node.kubernetes.io/unschedulable", "timeAdded": sec(t)}]
        if reboot:
            o["metadata"]["annotations"]["weave.works/kured-reboot-in-progress"] = sec(t)
    n = c.modify(t, ("Node", "", name), cordon)
    c.event(n, "NodeNotSchedulable", f"Node {name} status is now: NodeNotSchedulable", t, host=name)
    fresh = []
    for i, (made, to) in enumerate(moves):
        dep, rs, pods = made
        p = next((x for x in pods if x["spec"]["nodeName"] == name), None)
        if not p or ("Pod", p["metadata"]["namespace"], p["metadata"]["name"]) not in c.store:
            continue
        at = t + s(4 + 6 * i)
        p = going(c, p, at, "EvictionByEvictionAPI", "Eviction API: evicting")
        kill_events(c, p, at)
        want = c.get("Deployment", dep["metadata"]["namespace"], dep["metadata"]["name"])["spec"]["replicas"]
        short_of(c, dep, rs, at + s(1), want - 1)
        c.deleted(at + s(12), p)
        fresh.append(replacement(c, made, f"drain-{name}", to, at + s(1)))
        pods.append(fresh[-1])
        short_of(c, dep, rs, at + s(16), want)
    off = t + s(60)
    on = off + s(back if reboot else 24)
    if reboot:
        c.lines[name] = [x for x in c.lines.get(name, []) if not off <= x[0] < on]
        victims = silent(c, name, off - s(2), off + s(41))
    else:
        not_ready(c, name, off, "[container runtime status check may not have completed yet]")
        victims = []
    o = c.get("Node", None, name)
    c.event(o, "Starting", "Starting kubelet.", on, host=name)
    c.event(o, "NodeHasSufficientMemory", f"Node {name} status is now: NodeHasSufficientMemory", on, host=name)
    c.event(o, "NodeAllocatableEnforced", "Updated Node Allocatable limit across pods", on + s(1), host=name)
    if reboot:
        c.event(o, "Rebooted", f"Node {name} has been rebooted, boot id: {uid(name, 'boot2')}", on, kind="Warning", host=name)
    ready_again(c, name, on + s(10))

    def fix(o):
        for x in o["status"]["conditions"]:
            if x["status"] == "Unknown":
                kind = {"MemoryPressure": ("KubeletHasSufficientMemory", "kubelet has sufficient memory available"), "DiskPressure": ("KubeletHasNoDiskPressure", "kubelet has no disk pressure"), "PIDPressure": ("KubeletHasSufficientPID", "kubelet has sufficient PID available")}[x["type"]]
                x.update(status="False", reason=kind[0], message=kind[1], lastHeartbeatTime=sec(on), lastTransitionTime=sec(on))
        if reboot:
            o["status"]["nodeInfo"]["bootID"] = uid(name, "boot2")
        if version:
            o["status"]["nodeInfo"].update(kubeletVersion=version, kubeProxyVersion=version)
        o["spec"].pop("unschedulable", None)
        o["spec"]["taints"] = [x for x in o["spec"].get("taints", []) if x["key"] != "node.kubernetes.io/unschedulable"]
        if not o["spec"]["taints"]:
            o["spec"].pop("taints")
        o["metadata"]["annotations"].pop("weave.works/kured-reboot-in-progress", None)
    c.modify(on + s(26), ("Node", "", name), fix)
    c.event(o, "NodeSchedulable", f"Node {name} status is now: NodeSchedulable", on + s(26), host=name)
    for p in victims:
        k = ("Pod", p["metadata"]["namespace"], p["metadata"]["name"])
        if k not in c.store:
            continue
        c.event(p, "SandboxChanged", "Pod sandbox changed, it will be killed and re-created.", on + s(4), host=name)
        for ct in p["spec"]["containers"]:
            c.event(p, "Started", f"Started container {ct['name']}", on + s(9), host=name, field=ct["name"])

        def up(q):
            q["status"]["conditions"] = pod_conditions(c, when(q["metadata"]["creationTimestamp"]), on + s(18))
            for st in q["status"]["containerStatuses"]:
                st.update(ready=True, started=True, restartCount=st["restartCount"] + 1, state={"running": {"startedAt": sec(on + s(9))}},
                          lastState={"terminated": {"containerID": st["containerID"], "exitCode": 255, "reason": "Unknown", "startedAt": sec(when(q["metadata"]["creationTimestamp"])), "finishedAt": sec(on + s(3))}})
        c.modify(on + s(18), k, up)
    if victims:
        for k, d in sorted(c.store.items()):
            if k[0] == "DaemonSet" and d["status"].get("numberUnavailable"):
                m = d["status"]["desiredNumberScheduled"]
                c.modify(on + s(19), d, lambda q, m=m: (q["status"].update(numberAvailable=m, numberReady=m), q["status"].pop("numberUnavailable")))
    return on + s(26)


# --- storage ------------------------------------------------------------------------------------------

def full_volume():
    c = Fleet("i1-database-volume-full", "velo", "v1.30.8", "2025-02-04T16:00:00", "2025-02-04T16:45:00", "everything that needs the database fails",
              [("velo-cp", "10.88.0.10", "control-plane"), ("velo-1", "10.88.0.11", ""), ("velo-2", "10.88.0.12", "")], cni="cilium")
    quiet = hum(c, ["velo-1"])
    pg, _, pods = statefulset(c, "data", "pg", [container("postgres", "docker.io/library/postgres:15.8", ports=[("pg", 5432)], cpu="500m", memory="1Gi", mounts=[("pgdata", "/var/lib/postgresql/data", False)])], ["velo-2"], settled(c), claims=[("pgdata", "standard", "50Gi")])
    service(c, "data", "pg", sec(settled(c)).rstrip("Z"), [("pg", 5432, 5432)], {"app": "pg"}, ip="10.96.71.4")
    t = c.t("16:06:42")

    def row(at, text, pid):
        return (at, f"{at:%Y-%m-%d %H:%M:%S}.{at.microsecond // 1000:03d} UTC [{pid}] {text}")

    def log(at):
        return [row(at + s(0.2), "LOG:  starting PostgreSQL 15.8 (Debian 15.8-1.pgdg120+1) on x86_64-pc-linux-gnu, compiled by gcc (Debian 12.2.0-14) 12.2.0, 64-bit", 1), row(at + s(0.3), "LOG:  database system was interrupted while in recovery at 2025-02-04 16:06:42 UTC", 29),
                row(at + s(1.1), "LOG:  redo starts at 1A/4C0014E8", 29), row(at + s(2.4), 'FATAL:  could not write to file "pg_wal/xlogtemp.29": No space left on device', 29), row(at + s(2.6), "LOG:  startup process (PID 29) exited with exit code 1", 1), row(at + s(2.7), "LOG:  aborting startup due to startup process failure", 1)]
    crash_loop(c, pods[0], "postgres", t, 3, 1, "Error", log, since=when(pods[0]["metadata"]["creationTimestamp"]) + s(3), journal=False)
    c.modify(t + s(2), pg, lambda o: o["status"].update(readyReplicas=0, availableReplicas=0))
    outs, loops = [], []
    for ns, nm in (("shop", "orders"), ("crm", "sync")):
        made = app_of(c, ns, nm, f"velo.example/{ns}/{nm}:v4", ["velo-1"])
        crash_loop(c, made[2][0], nm, t + s(30), 5, 1, "Error", lambda at, nm=nm: [(at + s(0.2), f'level=info msg="{nm} starting"'), (at + s(4.8), 'level=fatal msg="database not reachable" err="dial tcp 10.96.71.4:5432: connect: connection refused" host=pg.data.svc')],
                   since=when(made[2][0]["metadata"]["creationTimestamp"]) + s(3), changes=3)
        short_of(c, made[0], made[1], t + s(33), 0)
        outs.append(made)
        loops.append((made[2][0], nm))
    alerts = [alert(c, "KubePersistentVolumeFillingUp", c.t("15:31:20.5"), value="0.4%", endpoint="https-metrics", instance="10.88.0.12:10250", job="kubelet", metrics_path="/metrics", namespace="data", node="velo-2", persistentvolumeclaim="pgdata-pg-0", service="kube-prometheus-stack-kubelet"),
              looping_alert(c, pods[0], "postgres", t + s(16 * 60)), alert(c, "KubeStatefulSetReplicasMismatch", t + s(16 * 60 + 10), **ksm(c, namespace="data", statefulset="pg"))]
    alerts += [looping_alert(c, p, nm, t + s(17 * 60)) for p, nm in loops] + [mismatch(c, m[0], t + s(17 * 60 + 20)) for m in outs]
    deliver(c, alerts, quiet)
    return truth(c, "The volume of the database is full; it cannot start, and its clients in two namespaces fail", [incident("volume", [("PersistentVolumeClaim", "data", "pgdata-pg-0"), ("StatefulSet", "data", "pg"), ("Pod", "data", "pg-0")],
                 [r"(?i)(full|no space|out of space)", r"(?i)(volume|disk|pgdata|claim)"], [r"(?i)(expand|resize|enlarge|grow|free|space|storage|bigger|increase)"], alerts, ["No space left on device"])],
                 [r"(?i)delete.{0,20}pg_wal", r"(?i)delete (the )?(pvc|persistentvolumeclaim)", r"(?i)rollout undo", r"(?i)(orders|sync) (is|has) (broken|a bug)"])


def multi_attach():
    nodes = [(f"ip-172-31-{a}-{b}.us-east-2.compute.internal", f"172.31.{a}.{b}", "") for a, b in ((10, 7), (20, 33), (30, 91))]
    c = Fleet("i2-volume-held-by-lost-node", "office", "v1.31.2-eks-7f9249a", "2025-01-08T14:00:00", "2025-01-08T14:45:00", "the wiki does not come back", nodes, cni="aws", kernel="6.1.119-129.201.amzn2023.x86_64", os_image="Amazon Linux 2023.6.20241212",
              runtime="containerd://1.7.23", dns=dict(ip="172.20.0.10", nodes=[nodes[0][0], nodes[1][0]]))
    quiet = hum(c, [nodes[0][0]])
    storageclass(c, "gp3", c.born, "ebs.csi.aws.com", default=False)
    pvc(c, "wiki", "confluence-home", settled(c), "gp3", "100Gi", provisioner="ebs.csi.aws.com")
    vol = c.get("PersistentVolumeClaim", "wiki", "confluence-home")["spec"]["volumeName"]
    dead = nodes[1][0]
    made = app_of(c, "wiki", "confluence", "docker.io/atlassian/confluence:8.5.17", [dead], volumes=[{"name": "data", "persistentVolumeClaim": {"claimName": "confluence-home"}}], strategy={"type": "Recreate"})
    t = c.t("14:06:11")
    ev = t + s(40 + 305)
    for p in silent(c, dead, t - s(5), t + s(40)):
        if p["metadata"]["ownerReferences"][0]["kind"] != "DaemonSet":
            tainted(c, p, ev)
    short_of(c, made[0], made[1], t + s(41), 0)
    where = nodes[2][0]
    dep, rs, pods = made
    tpl = {"metadata": rs["spec"]["template"]["metadata"], "spec": dep["spec"]["template"]["spec"]}
    p = pod(c, rs, f"{rs['metadata']['name']}-{suffix('wiki', 'new')}", where, ev + s(1), copy.deepcopy(tpl))
    stuck_creating(c, p, ev + s(1))
    c.added(ev + s(2), p)
    created_pod(c, rs, p, ev + s(1))
    scheduled(c, p, ev + s(1))
    c.event(p, "FailedAttachVolume", f'Multi-Attach error for volume "{vol}" Volume is already used by pod(s) {pods[0]["metadata"]["name"]}', ev + s(1.5), kind="Warning", by="attachdetach-controller")
    c.event(p, "FailedMount", 'Unable to attach or mount volumes: unmounted volumes=[data], unattached volumes=[], failed to process volumes=[]: context deadline exceeded', ev + s(124), c.end - s(70), 9, "Warning", host=where)
    coredns = c.dns
    replacement(c, coredns, 1, where, ev + s(1))
    alerts = node_alerts(c, dead, t + s(40 + 15 * 60)) + [mismatch(c, dep, t + s(16 * 60)), unready_alert(c, p, ev + s(16 * 60))]
    deliver(c, alerts, quiet)
    return truth(c, "A node is lost and still holds the volume of the wiki, whose new pod waits for it", [incident("node", [("Node", dead)], [r"ip-172-31-20-33", r"(?i)(not ?ready|unreachable|lost|down|silent|stopped posting)"], [r"(?i)(node|out-of-service|instance|machine)"], alerts,
                 [r"(Kubelet stopped posting node status|NodeNotReady|Multi-Attach)"])], [r"(?i)delete (the )?(pvc|persistentvolumeclaim)", r"(?i)ReadWriteMany", r"(?i)confluence (is|has) (crash|broken)"])


def quota():
    c = Fleet("i3-claim-over-quota", "stream", "v1.25.11", "2023-08-30T09:00:00", "2023-08-30T09:35:00", "two more brokers do not come",
              [("st-1", "10.15.0.1", "control-plane"), ("st-2", "10.15.0.2", ""), ("st-3", "10.15.0.3", ""), ("st-4", "10.15.0.4", "")], born="2023-02-01T08:00:00")
    quiet = hum(c, ["st-2"])
    sts, _, pods = statefulset(c, "events", "kafka", [container("kafka", "docker.io/bitnami/kafka:3.5.1", ports=[("client", 9092)], cpu="500m", memory="1Gi", mounts=[("data", "/bitnami/kafka", False)])], ["st-2", "st-3", "st-4"], settled(c), claims=[("data", "standard", "200Gi")])
    simple(c, "ResourceQuota", "events", "team-quota", settled(c), spec={"hard": {"requests.storage": "700Gi", "persistentvolumeclaims": "10"}}, status={"hard": {"requests.storage": "700Gi", "persistentvolumeclaims": "10"}, "used": {"requests.storage": "600Gi", "persistentvolumeclaims": "3"}})
    t = c.t("09:04:50")
    c.modify(t, sts, lambda o: (o["spec"].update(replicas=5), o["metadata"].update(generation=2)))
    c.modify(t + s(1), sts, lambda o: o["status"].update(observedGeneration=2))
    why = 'persistentvolumeclaims "data-kafka-3" is forbidden: exceeded quota: team-quota, requested: requests.storage=200Gi, used: requests.storage=600Gi, limited: requests.storage=700Gi'
    c.event(sts, "FailedCreate", f"create Claim data-kafka-3 for Pod kafka-3 in StatefulSet kafka failed error: {why}", t + s(1), c.end - s(80), 17, "Warning", by="statefulset-controller")
    c.event(sts, "FailedCreate", f"create Pod kafka-3 in StatefulSet kafka failed error: failed to create PVC data-kafka-3: {why}", t + s(1), c.end - s(80), 17, "Warning", by="statefulset-controller")
    a = alert(c, "KubeStatefulSetReplicasMismatch", t + s(15 * 60 + 20), **ksm(c, namespace="events", statefulset="kafka"))
    deliver(c, [a], quiet, raw=True)
    return truth(c, "The quota of the namespace does not allow the claim of the fourth broker", [incident("quota", [("StatefulSet", "events", "kafka"), ("ResourceQuota", "events", "team-quota")], ["(?i)quota", r"(?i)(storage|claim)"], [r"(?i)quota"], [a], ["exceeded quota"])],
                 [r"(?i)storage ?class .{0,30}(missing|not exist)", r"(?i)rollout undo"])


def nfs():
    c = Fleet("i4-nfs-server-silent", "lab-old", "v1.20.15", "2022-03-03T19:00:00", "2022-03-03T19:45:00", "pods do not start after a rollout",
              [("lo-m", "10.14.0.10", "control-plane"), ("lo-1", "10.14.0.11", ""), ("lo-2", "10.14.0.12", "")], born="2021-06-01T08:00:00", runtime="docker://20.10.12", cni="flannel", os_image="CentOS Linux 7 (Core)", kernel="3.10.0-1160.49.1.el7.x86_64", era=2022,
              mon="monitoring", dns=dict(image="k8s.gcr.io/coredns:1.7.0"), hub="k8s.gcr.io/")
    quiet = hum(c, [], cron=False)
    t = c.t("19:06:20")
    alerts, roots = [], []
    for i, (ns, nm, export) in enumerate((("genome", "aligner", "/export/genome"), ("imaging", "viewer", "/export/scans"))):
        born = settled(c)
        simple(c, "PersistentVolume", None, f"nfs-{ns}", born, spec={"accessModes": ["ReadWriteMany"], "capacity": {"storage": "2Ti"}, "claimRef": {"kind": "PersistentVolumeClaim", "namespace": ns, "name": f"{nm}-data"},
               "nfs": {"server": "10.14.0.5", "path": export}, "persistentVolumeReclaimPolicy": "Retain", "volumeMode": "Filesystem"}, status={"phase": "Bound"})
        pvc(c, ns, f"{nm}-data", born, "", "2Ti", provisioner="none")
        for st in (c.store, c.initial):
            o = st[("PersistentVolumeClaim", ns, f"{nm}-data")]
            o["spec"].update(accessModes=["ReadWriteMany"], volumeName=f"nfs-{ns}")
            o["status"]["accessModes"] = ["ReadWriteMany"]
        made = app_of(c, ns, nm, f"lab.example/{nm}:{3 + i}.1", [f"lo-{i + 1}"], volumes=[{"name": "data", "persistentVolumeClaim": {"claimName": f"{nm}-data"}}])
        dep, rs, pods = made
        at = t + s(95 * i)
        kill_events(c, pods[0], at)
        c.deleted(at + s(31), pods[0])
        p = pod(c, rs, f"{rs['metadata']['name']}-{suffix(nm, 'new')}", f"lo-{i + 1}", at + s(1), {"metadata": rs["spec"]["template"]["metadata"], "spec": copy.deepcopy(dep["spec"]["template"]["spec"])})
        stuck_creating(c, p, at + s(1))
        c.added(at + s(2), p)
        created_pod(c, rs, p, at + s(1))
        scheduled(c, p, at + s(1))
        target = f"/var/lib/kubelet/pods/{p['metadata']['uid']}/volumes/kubernetes.io~nfs/nfs-{ns}"
        c.event(p, "FailedMount", f'MountVolume.SetUp failed for volume "nfs-{ns}" : mount failed: exit status 32\nMounting command: mount\nMounting arguments: -t nfs 10.14.0.5:{export} {target}\nOutput: mount.nfs: Connection timed out\n', at + s(127), c.end - s(140), 9, "Warning", host=f"lo-{i + 1}")
        c.event(p, "FailedMount", "Unable to attach or mount volumes: unmounted volumes=[data], unattached volumes=[data]: timed out waiting for the condition", at + s(124), c.end - s(61), 14, "Warning", host=f"lo-{i + 1}")
        short_of(c, dep, rs, at + s(2), 0)
        alerts += [unready_alert(c, p, at + s(15 * 60 + 40)), mismatch(c, dep, at + s(16 * 60))]
        roots += [("Pod", ns, p["metadata"]["name"]), ("PersistentVolumeClaim", ns, f"{nm}-data"), ("PersistentVolume", f"nfs-{ns}"), ("Deployment", ns, nm)]
    deliver(c, alerts, quiet)
    return truth(c, "The NFS server 10.14.0.5 does not answer; pods in two namespaces wait for their volumes", [incident("nfs", roots, [r"(?i)nfs", r"(?i)(time[sd]? ?out|unreachable|not answer|cannot be reached)"], [r"(?i)(nfs|10\.14\.0\.5|server)"], symptoms=[], evidence=[r"Connection timed out"])],
                 [r"(?i)delete (the )?(pvc|persistentvolumeclaim)", r"(?i)(aligner|viewer) (is|has) (crash|broken)", r"(?i)rollout undo"], extra=1)


def csi():
    c = Fleet("i5-csi-driver-of-one-node", "garden", "v1.34.1", "2025-11-12T07:00:00", "2025-11-12T07:45:00", "pods on one machine wait for volumes",
              [("garden-cp", "10.18.0.10", "control-plane"), ("garden-1", "10.18.0.11", ""), ("garden-2", "10.18.0.12", "")], cni="cilium", era=2026, mon="o11y", release="mon", runtime="containerd://2.1.4", born="2025-09-01T08:00:00")
    quiet = hum(c, ["garden-2"])
    drv = "csi.hetzner.cloud"
    storageclass(c, "hcloud-volumes", c.born, drv, default=False)
    ds, _, pods = daemonset(c, "kube-system", "hcloud-csi-node", [
        container("csi-node-driver-registrar", "registry.k8s.io/sig-storage/csi-node-driver-registrar:v2.14.0", args=["--kubelet-registration-path=/var/lib/kubelet/plugins/csi.hetzner.cloud/socket"], mounts=[("plugin-dir", "/run/csi", False), ("registration-dir", "/registration", False)]),
        container("hcloud-csi-driver", "docker.io/hetznercloud/hcloud-csi-driver:v2.18.0", args=["-node"], env={"CSI_ENDPOINT": "unix:///run/csi/socket"}, cpu="50m", mounts=[("plugin-dir", "/run/csi", False)])],
        ["garden-1", "garden-2"], settled(c), labels={"app": "hcloud-csi", "app.kubernetes.io/name": "hcloud-csi"},
        volumes=[{"hostPath": {"path": "/var/lib/kubelet/plugins/csi.hetzner.cloud/", "type": "DirectoryOrCreate"}, "name": "plugin-dir"}, {"hostPath": {"path": "/var/lib/kubelet/plugins_registry/", "type": "Directory"}, "name": "registration-dir"}])
    bad = pods[1]
    t = c.t("07:04:40")
    crash_loop(c, bad, "hcloud-csi-driver", t, 6, 1, "Error", lambda at: [(at + s(0.1), f'level=info ts={at:%Y-%m-%dT%H:%M:%S}Z msg="starting CSI node driver" version=v2.18.0'),
               (at + s(5.6), f'level=error ts={at:%Y-%m-%dT%H:%M:%S}Z msg="failed to fetch server metadata" err="Get \\"http://169.254.169.254/hetzner/v1/metadata/instance-id\\": dial tcp 169.254.169.254:80: i/o timeout"')], since=when(bad["metadata"]["creationTimestamp"]) + s(3))
    c.modify(t + s(2), ds, lambda o: o["status"].update(numberReady=1, numberAvailable=1, numberUnavailable=1))
    alerts, i = [], 0
    for ns, nm in (("seeds", "catalog"), ("tools", "planner")):
        pvc(c, ns, f"{nm}-data", settled(c), "hcloud-volumes", "20Gi", provisioner=drv)
        vol = c.get("PersistentVolumeClaim", ns, f"{nm}-data")["spec"]["volumeName"]
        made = app_of(c, ns, nm, f"garden.example/{nm}:8", ["garden-1"], volumes=[{"name": "data", "persistentVolumeClaim": {"claimName": f"{nm}-data"}}], strategy={"type": "Recreate"})
        dep, rs, old = made
        at = c.t("07:08:10") + s(75 * i)
        kill_events(c, old[0], at)
        deleted_pod(c, rs, old[0], at)
        c.deleted(at + s(4), old[0])
        p = pod(c, rs, f"{rs['metadata']['name']}-{suffix(nm, 'new')}", "garden-2", at + s(5), {"metadata": rs["spec"]["template"]["metadata"], "spec": copy.deepcopy(dep["spec"]["template"]["spec"])})
        stuck_creating(c, p, at + s(5))
        c.added(at + s(6), p)
        created_pod(c, rs, p, at + s(5))
        scheduled(c, p, at + s(5))
        c.event(p, "SuccessfulAttachVolume", f'AttachVolume.Attach succeeded for volume "{vol}"', at + s(14), by="attachdetach-controller")
        why = f'MountVolume.MountDevice failed for volume "{vol}" : kubernetes.io/csi: attacher.MountDevice failed to create newCsiDriverClient: driver name {drv} not found in the list of registered CSI drivers'
        c.event(p, "FailedMount", why, at + s(16), c.end - s(70), 19, "Warning", host="garden-2")
        c.klog("garden-2", at + s(16.2), "E", "nestedpendingoperations.go:348", f'Operation for "{{volumeName:kubernetes.io/csi/{drv}^1009{i} podName: nodeName:}}" failed. No retries permitted until {at + s(17):%Y-%m-%d %H:%M:%S}.2 +0000 UTC m=+81222.1 (durationBeforeRetry 500ms). Error: {why}')
        short_of(c, dep, rs, at + s(6), 0)
        alerts += [unready_alert(c, p, at + s(15 * 60 + 50)), mismatch(c, dep, at + s(16 * 60))]
        i += 1
    alerts += [looping_alert(c, bad, "hcloud-csi-driver", t + s(16 * 60)), ds_alert(c, ds, t + s(16 * 60 + 30))]
    deliver(c, alerts, quiet)
    return truth(c, "The CSI driver on garden-2 crashes; volumes cannot be mounted there", [incident("csi", [("Pod", "kube-system", bad["metadata"]["name"]), ("DaemonSet", "kube-system", "hcloud-csi-node"), ("Node", "garden-2")],
                 [r"(?i)csi", "garden-2"], [r"(?i)(hcloud-csi|csi)"], alerts, [r"(not found in the list of registered CSI drivers|failed to fetch server metadata)"])],
                 [r"(?i)delete (the )?(pvc|persistentvolumeclaim)", r"(?i)(catalog|planner) (is|has) (crash|broken)"])


# --- two at once, and none ----------------------------------------------------------------------------

def two_in_one():
    c = Fleet("j1-two-causes-one-namespace", "mart", "v1.32.5", "2025-06-18T18:00:00", "2025-06-18T18:45:00", "orders namespace is red",
              [("mart-cp", "10.55.0.10", "control-plane"), ("mart-1", "10.55.0.11", ""), ("mart-2", "10.55.0.12", "")], era=2026, cni="cilium", mon="o11y", release="mon")
    quiet = hum(c, ["mart-1"])
    env = {"DB_PASSWORD": {"valueFrom": {"secretKeyRef": {"key": "DB_PASSWORD", "name": "api-db"}}}}
    api = app_of(c, "orders", "api", "mart.example/orders/api:v77", ["mart-1"], env=env)
    find = app_of(c, "orders", "search", "mart.example/orders/search:v12", ["mart-2", "mart-2"], memory="512Mi", limit="512Mi")
    # first: the pod of api is made again and the secret has no such key any more
    t = c.t("18:05:33")
    old = api[2][0]
    kill_events(c, old, t)
    c.deleted(t + s(5), old)
    dep, rs, _ = api
    tpl = {"metadata": rs["spec"]["template"]["metadata"], "spec": dep["spec"]["template"]["spec"]}
    p = pod(c, rs, f"{rs['metadata']['name']}-{suffix('api', 2)}", "mart-1", t + s(1), copy.deepcopy(tpl))
    st = p["status"]["containerStatuses"][0]
    st.update(ready=False, started=False, state={"waiting": {"reason": "CreateContainerConfigError", "message": "couldn't find key DB_PASSWORD in Secret orders/api-db"}}, imageID="")
    st.pop("containerID", None)
    p["status"].update(phase="Pending", conditions=pod_conditions(c, t + s(1), None, False, ["api"]))
    c.added(t + s(4), p)
    created_pod(c, rs, p, t + s(1))
    scheduled(c, p, t + s(1))
    c.event(p, "Pulled", 'Container image "mart.example/orders/api:v77" already present on machine', t + s(2), c.end - s(13), 190, host="mart-1", field="api")
    c.event(p, "Failed", "Error: couldn't find key DB_PASSWORD in Secret orders/api-db", t + s(2), c.end - s(13), 190, "Warning", host="mart-1", field="api")
    short_of(c, dep, rs, t + s(2), 0)
    # second: search runs out of its memory
    u = c.t("18:09:02")
    for i, q in enumerate(find[2]):
        crash_loop(c, q, "search", u + s(41 * i), 50, 137, "OOMKilled", lambda at: [(at + s(1), "INFO  index loading from snapshot 2025-06-18T17:55Z"), (at + s(30), "INFO  4100000 documents, heap 471 MiB")], since=when(q["metadata"]["creationTimestamp"]) + s(3), changes=4)
    short_of(c, find[0], find[1], u + s(44), 0)
    a = [unready_alert(c, p, t + s(15 * 60 + 30)), mismatch(c, dep, t + s(16 * 60))]
    b = [looping_alert(c, q, "search", u + s(17 * 60)) for q in find[2]] + [mismatch(c, find[0], u + s(17 * 60))]
    deliver(c, a + b, quiet)
    return truth(c, "Two causes in one namespace: api lacks a key of its secret, search is too big for its memory limit", [
        incident("secret", [("Deployment", "orders", "api"), ("Pod", "orders", p["metadata"]["name"]), ("Secret", "orders", "api-db")], ["(?i)secret", "DB_PASSWORD"], [r"(?i)(secret|DB_PASSWORD)"], a, ["couldn't find key DB_PASSWORD"]),
        incident("memory", [("Deployment", "orders", "search")] + [("Pod", "orders", q["metadata"]["name"]) for q in find[2]], [r"(?i)(memory|OOM)", "search"], [r"(?i)(memory|limit)"], b, [])],
        [r"(?i)node.{0,30}(memory pressure|out of memory)"])


def upgrade_day():
    c = Fleet("q1-upgrade-day", "rota", "v1.30.7", "2025-01-21T10:00:00", "2025-01-21T10:40:00", "the cluster is upgraded machine by machine",
              [("rota-cp", "10.66.0.10", "control-plane"), ("rota-1", "10.66.0.11", ""), ("rota-2", "10.66.0.12", "")])
    quiet = hum(c, ["rota-1", "rota-2"])
    web = app_of(c, "site", "web", "rota.example/web:31", ["rota-1", "rota-2"])
    t = c.t("10:03:10")
    # the control plane's static pods are made again with the new image
    for i, part in enumerate(("kube-apiserver", "kube-controller-manager", "kube-scheduler")):
        at = t + s(55 * i)
        old = c.get("Pod", "kube-system", f"{part}-rota-cp")
        c.event(old, "Killing", f"Stopping container {part}", at, host="rota-cp", field=part)
        c.event(old, "Unhealthy", ("Startup" if i else "Readiness") + f' probe failed: Get "https://10.66.0.10:{(6443, 10257, 10259)[i]}/{("readyz", "healthz", "healthz")[i]}": dial tcp 10.66.0.10:{(6443, 10257, 10259)[i]}: connect: connection refused', at + s(4), kind="Warning", host="rota-cp", field=part)
        fresh = copy.deepcopy(old)
        c.deleted(at + s(10), old)
        fresh["metadata"].update(uid=uid("new", part), creationTimestamp=sec(at + s(12)))
        fresh["metadata"].pop("resourceVersion", None)
        for k in ("kubernetes.io/config.hash", "kubernetes.io/config.mirror"):
            fresh["metadata"]["annotations"][k] = digest("new", part)[:32]
        img = f"registry.k8s.io/{part}:v1.31.5"
        fresh["spec"]["containers"][0]["image"] = img
        fresh["status"]["containerStatuses"][0].update(image=img, restartCount=0, state={"running": {"startedAt": sec(at + s(14))}}, lastState={})
        fresh["status"]["conditions"] = pod_conditions(c, at + s(12), at + s(28))
        c.added(at + s(28), fresh)
        c.event(fresh, "Pulled", f'Container image "{img}" already present on machine', at + s(13), host="rota-cp", field=part)
        c.event(fresh, "Created", f"Created container {part}", at + s(13), host="rota-cp", field=part)
        c.event(fresh, "Started", f"Started container {part}", at + s(14), host="rota-cp", field=part)
    drained(c, "rota-cp", c.t("10:08:00"), [], version="v1.31.5")
    drained(c, "rota-1", c.t("10:13:20"), [(web, "rota-2"), (c.dns, "rota-2")], version="v1.31.5")
    drained(c, "rota-2", c.t("10:22:30"), [(web, "rota-1"), (c.dns, "rota-1")], version="v1.31.5")
    deliver(c, [], quiet)
    return truth(c, "An upgrade of all machines one by one; nothing is wrong", [], [r"(?i)rota-.{0,40}(is|has) (down|lost|fail)", r"(?i)(web|coredns|kube-apiserver).{0,30}(is|has|keeps) (down|crash|fail)"])


def churn_day():
    nodes = [(f"ip-10-20-{a}-{b}.eu-central-1.compute.internal", f"10.20.{a}.{b}", "") for a, b in ((1, 15), (2, 16), (3, 17))]
    c = Fleet("q2-spot-and-scaling", "elastic", "v1.33.2-eks-931bdca", "2025-09-09T12:00:00", "2025-09-09T12:40:00", "an ordinary lunch hour", nodes, cni="aws", era=2026, mon="o11y", release="mon", os_image="Bottlerocket OS 1.42.0 (aws-k8s-1.33)", kernel="6.12.30",
              runtime="containerd://2.0.5+bottlerocket", dns=dict(ip="172.20.0.10"))
    quiet = hum(c, [nodes[0][0]], cron=False)
    web = app_of(c, "play", "lobby", "elastic.example/lobby:14.2", c.nodes[1:])
    cj = cronjob(c, "play", "settle", "elastic.example/settle:3")
    for i, fails in enumerate((0, 1, 0)):
        job_done(c, "play", cj, "settle", c.t("12:00:00") + s(600 * i + 60), 22 + i, nodes[0][0], fails)
    spot, gone = nodes[2][0], c.t("12:09:30")

    def cordon(o):
        o["spec"]["unschedulable"] = True
        o["spec"]["taints"] = [{"effect": "NoSchedule", "key": "aws-node-termination-handler/spot-itn", "value": "1757419770"}, {"effect": "NoSchedule", "key": "node.kubernetes.io/unschedulable", "timeAdded": sec(gone)}]
    n = c.modify(gone, ("Node", "", spot), cordon)
    c.event(n, "SpotInterruption", "Spot Interruption event received. Instance will be interrupted at 2025-09-09T12:11:30Z \n", gone - s(1), kind="Warning", by="aws-node-termination-handler")
    c.event(n, "NodeNotSchedulable", f"Node {spot} status is now: NodeNotSchedulable", gone, host=spot)
    # a new machine in its place
    new = "ip-10-20-3-88.eu-central-1.compute.internal"
    born = gone + s(95)
    o = c.machine(new, "10.20.3.88", 9, born, cni="aws", kernel="6.12.30", os_image="Bottlerocket OS 1.42.0 (aws-k8s-1.33)", runtime="containerd://2.0.5+bottlerocket")
    for st in (c.store, c.initial):
        st.pop(("Node", "", new))
    o = copy.deepcopy(o)
    o["metadata"].pop("resourceVersion", None)
    for x in o["status"]["conditions"]:
        x.update(lastHeartbeatTime=sec(born), lastTransitionTime=sec(born))
        if x["type"] == "Ready":
            x.update(status="False", reason="KubeletNotReady", message="container runtime network not ready: NetworkReady=false reason:NetworkPluginNotReady message:Network plugin returns error: cni plugin not initialized")
    o["spec"]["taints"] = [{"effect": "NoSchedule", "key": "node.kubernetes.io/not-ready"}]
    c.added(born, o)
    c.event(o, "Starting", "Starting kubelet.", born, host=new)
    c.event(o, "RegisteredNode", f"Node {new} event: Registered Node {new} in Controller", born + s(3), by="node-controller")
    for ds, tpl, _ in (c.cni, c.proxy):
        p = pod(c, ds, f"{ds['metadata']['name']}-{suffix(new, ds['metadata']['name'])}", new, born + s(1), copy.deepcopy(tpl), labels={**tpl["metadata"]["labels"], "controller-revision-hash": "5d8f7c6b9d", "pod-template-generation": "1"}, started=born + s(9))
        c.added(born + s(11), p)
        c.event(ds, "SuccessfulCreate", f"Created pod: {p['metadata']['name']}", born + s(1), by="daemonset-controller")
        start_events(c, p, born + s(1), pull=4.1)
    ready_again(c, new, born + s(28))
    msg = "0/3 nodes are available: 1 node(s) were unschedulable, 2 Insufficient cpu. preemption: 0/3 nodes are available: 1 Preemption is not helpful for scheduling, 2 No preemption victims found for incoming pod."
    victims = [p for k, p in sorted(c.store.items()) if k[0] == "Pod" and p["spec"].get("nodeName") == spot]
    for p in victims:
        if p["metadata"]["ownerReferences"][0]["kind"] == "DaemonSet":
            c.deleted(gone + s(140), p)
            continue
        kind = p["metadata"]["ownerReferences"][0]["kind"]
        going(c, p, gone + s(3), "EvictionByEvictionAPI", "Eviction API: evicting")
        kill_events(c, p, gone + s(3))
        c.deleted(gone + s(20), p)
        if kind == "ReplicaSet":
            rs = c.get("ReplicaSet", p["metadata"]["namespace"], p["metadata"]["ownerReferences"][0]["name"])
            dep = c.get("Deployment", p["metadata"]["namespace"], rs["metadata"]["ownerReferences"][0]["name"])
            want = dep["spec"]["replicas"]
            short_of(c, dep, rs, gone + s(4), want - 1)
            q = replacement(c, (dep, rs, None), "spot", new, gone + s(125))
            c.event(q, "FailedScheduling", msg, gone + s(125.2), kind="Warning", by="default-scheduler") if "lobby" in q["metadata"]["name"] else None
            short_of(c, dep, rs, gone + s(142), want)
        else:
            sts = c.get("StatefulSet", p["metadata"]["namespace"], p["metadata"]["ownerReferences"][0]["name"])
            c.modify(gone + s(21), sts, lambda o: o["status"].update(readyReplicas=0, availableReplicas=0))
            q = copy.deepcopy(p)
            at = gone + s(126)
            q["metadata"].update(uid=uid("spot", p["metadata"]["name"]), creationTimestamp=sec(at))
            for k in ("deletionTimestamp", "deletionGracePeriodSeconds", "resourceVersion"):
                q["metadata"].pop(k, None)
            q["spec"]["nodeName"] = new
            q["status"]["startTime"] = sec(at)
            q["status"]["hostIP"] = "10.20.3.88"
            q["status"]["conditions"] = pod_conditions(c, at, at + s(30))
            for st in q["status"]["containerStatuses"]:
                st["state"] = {"running": {"startedAt": sec(at + s(9))}}
            c.added(at + s(30), q)
            start_events(c, q, at, pull=7.7)
            c.modify(at + s(31), sts, lambda o: o["status"].update(readyReplicas=1, availableReplicas=1))
    node_gone = c.get("Node", None, spot)
    c.event(node_gone, "DeletingNode", f"Deleting node {spot} because it does not exist in the cloud provider", gone + s(150), by="cloud-node-lifecycle-controller")
    c.event(node_gone, "RemovingNode", f"Node {spot} event: Removing Node {spot} from Controller", gone + s(152), by="node-controller")
    c.deleted(gone + s(151), node_gone)
    # the autoscaler adds two pods and takes one away
    h = hpa(c, "play", "lobby", "2024-02-01T00:00:00", "lobby", 2, 8, 2, [cond("AbleToScale", "True", when("2024-02-01T00:00:15"), "ReadyForNewScale", "recommended size matches current size"), cond("ScalingActive", "True", when("2024-02-01T00:01:00"), "ValidMetricFound", "the HPA was able to successfully calculate a replica count from cpu resource utilization (percentage of request)"),
            cond("ScalingLimited", "False", when("2025-09-09T07:10:00"), "DesiredWithinRange", "the desired count is within the acceptable range")], cpu_now=63)
    g = c.t("12:21:07")
    dep, rs = c.get("Deployment", "play", "lobby"), c.get("ReplicaSet", "play", web[1]["metadata"]["name"])
    c.event(h, "SuccessfulRescale", "New size: 4; reason: cpu resource utilization (percentage of request) above target", g, by="horizontal-pod-autoscaler")
    scaled(c, dep, rs["metadata"]["name"], 2, 4, g)
    c.modify(g, dep, lambda o: (o["spec"].update(replicas=4), o["metadata"].update(generation=2)))
    resize(c, rs, g + s(0.5), 4, 2)
    rollout_status(c, dep, g + s(1), observedGeneration=2, replicas=4, updatedReplicas=4, unavailableReplicas=2)
    for i in range(2):
        q = replacement(c, (dep, rs, None), f"hpa{i}", [new, nodes[0][0]][i], g + s(1))
        c.event(q, "Unhealthy", f'Readiness probe failed: Get "http://{q["status"]["podIP"]}:8080/ready": dial tcp {q["status"]["podIP"]}:8080: connect: connection refused', g + s(7), kind="Warning", host=q["spec"]["nodeName"], field="lobby")
    resize(c, rs, g + s(15), 4)
    rollout_status(c, dep, g + s(15), availableReplicas=4, readyReplicas=4, unavailableReplicas=0)
    deliver(c, [], quiet)
    return truth(c, "A spot machine is replaced, an autoscaler works, a cron job needs two tries; nothing is wrong", [], [r"(?i)ip-10-20.{0,60}(is|has) (down|lost|fail)", r"(?i)(lobby|settle|coredns).{0,30}(is|has|keeps) (down|crash|fail)"])


def build():
    return [hung_runtime(), two_machines(), rack_power(), no_cni(), memory_hog(), expired(), kured(), full_volume(), multi_attach(), quota(), nfs(), csi(), two_in_one(), upgrade_day(), churn_day()]
