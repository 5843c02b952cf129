"""A member of etcd lost, a clock that is wrong, a runtime and a kubelet that do not agree, a cluster whose only DNS pod goes with its node, two
causes on one machine, and a night of storage that only looks bad."""

import copy

from fleet import (Fleet, app_of, crash_loop, cronjob, deliver, hum, incident, job_done, looping_alert, mismatch, replacement, settled, short_of, silent, truth, unready, unready_alert)
from flow import created_pod, rollout_status, scaled, scheduled
from kit import s, suffix, when
from objs import clean, container, pod, pod_conditions, pvc, replicaset, statefulset, storageclass, template
from rules import alert, ksm
from story_q import ds_alert, node_alerts, tainted


def lost_member():
    c = Fleet("r1-etcd-member-lost", "atlas", "v1.28.13", "2024-09-03T21:00:00", "2024-09-03T21:45:00", "one control plane machine in trouble",
              [(f"atlas-m{i}", f"10.33.0.{10 + i}", "control-plane") for i in (1, 2, 3)] + [("atlas-w1", "10.33.0.21", ""), ("atlas-w2", "10.33.0.22", "")], cni="cilium")
    quiet = hum(c, ["atlas-w1"])
    sick = "atlas-m3"
    t = c.t("21:07:18")
    etcd = c.get("Pod", "kube-system", f"etcd-{sick}")
    api = c.get("Pod", "kube-system", f"kube-apiserver-{sick}")

    def etcd_log(at):
        z = f"{at + s(0.3):%Y-%m-%dT%H:%M:%S.%f}Z"
        return [(at + s(0.2), f'{{"level":"info","ts":"{z}","caller":"embed/etcd.go:310","msg":"starting an etcd server","etcd-version":"3.5.12","git-sha":"e7b3bb6cc","go-version":"go1.20.13","data-dir":"/var/lib/etcd"}}'),
                (at + s(0.9), f'{{"level":"fatal","ts":"{z}","caller":"etcdserver/storage.go:96","msg":"failed to open WAL","error":"walpb: crc mismatch"}}')]
    crash_loop(c, etcd, "etcd", t, 2, 1, "Error", etcd_log, since=when(etcd["metadata"]["creationTimestamp"]) + s(3))
    crash_loop(c, api, "kube-apiserver", t + s(31), 21, 1, "Error", lambda at: [
        (at + s(1), f"I{at + s(1):%m%d %H:%M:%S}.000000       1 options.go:220] external host was not specified, using 10.33.0.13"),
        (at + s(20), f'W{at + s(20):%m%d %H:%M:%S}.000000       1 logging.go:59] [core] [Channel #1 SubChannel #2] grpc: addrConn.createTransport failed to connect to {{Addr: "127.0.0.1:2379", ServerName: "127.0.0.1:2379", }}. Err: connection error: desc = "transport: Error while dialing: dial tcp 127.0.0.1:2379: connect: connection refused"'),
        (at + s(20.8), f"F{at + s(20):%m%d %H:%M:%S}.800000       1 instance.go:290] Error creating leases: error creating storage factory: context deadline exceeded")], since=when(api["metadata"]["creationTimestamp"]) + s(3))
    e = dict(job="kube-etcd", namespace="kube-system", service="kube-prometheus-stack-kube-etcd")
    alerts = [alert(c, "etcdMembersDown", t + s(20 * 60), value="1", **e), looping_alert(c, etcd, "etcd", t + s(16 * 60)), looping_alert(c, api, "kube-apiserver", t + s(17 * 60)),
              alert(c, "TargetDown", t + s(11 * 60), value="33.33", **e)]
    deliver(c, alerts, quiet)
    return truth(c, "The member of etcd on atlas-m3 finds its log damaged and cannot start; the API server beside it waits for it", [incident(
        "member", [("Pod", "kube-system", f"etcd-{sick}"), ("Node", sick)], ["(?i)etcd", r"(?i)(crc mismatch|damaged|corrupt|WAL|crash|cannot start|does not start|ends)"],
        [r"(?i)(member|data-dir|/var/lib/etcd|logs)"], alerts, ["crc mismatch"])], [r"(?i)rollout undo", r"(?i)lost its majority", r"(?i)snapshot restore"])


def wrong_clock():
    c = Fleet("r2-clock-of-one-machine", "bay", "v1.30.2", "2024-08-20T09:00:00", "2024-08-20T09:45:00", "logins fail now and then",
              [("bay-cp", "10.61.0.10", "control-plane"), ("bay-1", "10.61.0.11", ""), ("bay-2", "10.61.0.12", "")])
    quiet = hum(c, ["bay-1"])
    t = c.t("09:06:00")
    made = app_of(c, "sso", "gate", "bay.example/sso/gate:11.2", ["bay-1", "bay-2"])
    for p in made[2]:
        late = p["spec"]["nodeName"] == "bay-2"
        c.log("sso", p["metadata"]["name"], "gate", [(t + s(70 * i), '{"level":"%s","msg":"%s"}' % (("error", "token rejected: token used before issued (iat 2024-08-20T09:14:02Z)") if late else ("info", "login accepted"))) for i in range(28)])
    ne = dict(job="node-exporter", instance="10.61.0.12:9100", namespace=c.ns, pod="kps-node-exporter-9zx4k", service="kps-node-exporter", container="node-exporter", endpoint="http-metrics")
    alerts = [alert(c, "NodeClockSkewDetected", t + s(10 * 60 + 30), **ne), alert(c, "NodeClockNotSynchronising", t + s(10 * 60 + 40), **ne)]
    deliver(c, alerts, quiet)
    return truth(c, "The clock of bay-2 is wrong and not synchronised; what runs there rejects tokens", [incident(
        "clock", [("Node", "bay-2")], ["bay-2", r"(?i)(clock|time)"], [r"(?i)(ntp|chrony|timesync|clock)"], evidence=[], symptoms=[{"alert": "NodeClockSkewDetected", "labels": {"instance": "10.61.0.12:9100"}}, {"alert": "NodeClockNotSynchronising", "labels": {"instance": "10.61.0.12:9100"}}])],
        [r"(?i)rollout (undo|restart)"])


def cgroup_driver():
    c = Fleet("r3-cgroup-driver", "silo", "v1.21.12", "2022-06-14T12:00:00", "2022-06-14T12:40:00", "a machine stays away after its runtime was updated",
              [("silo-m", "10.17.0.10", "control-plane"), ("silo-1", "10.17.0.11", ""), ("silo-2", "10.17.0.12", "")], born="2021-09-01T08:00:00", runtime="docker://20.10.16", cni="flannel", os_image="Ubuntu 22.04 LTS", kernel="5.15.0-37-generic", era=2022)
    quiet = hum(c, ["silo-1", "silo-2"], style="short")
    t = c.t("12:05:44")
    c.lines["silo-2"] = [x for x in c.lines["silo-2"] if x[0] < t]
    x = t
    while x < c.end - s(3):
        c.raw_line("silo-2", x, "systemd:Started kubelet: The Kubernetes Node Agent.")
        c.klog("silo-2", x + s(1.2), "E", "server.go:292", '"Failed to run kubelet" err="failed to run Kubelet: misconfiguration: kubelet cgroup driver: \\"cgroupfs\\" is different from docker cgroup driver: \\"systemd\\""')
        c.raw_line("silo-2", x + s(1.5), "systemd:kubelet.service: Main process exited, code=exited, status=1/FAILURE")
        c.raw_line("silo-2", x + s(1.51), "systemd:kubelet.service: Failed with result 'exit-code'.")
        x += s(37)
    made = app_of(c, "grain", "scale", "silo.example/scale:4", ["silo-1", "silo-2"])
    for p in silent(c, "silo-2", t - s(7), t + s(41)):
        if p["metadata"]["ownerReferences"][0]["kind"] == "ReplicaSet":
            tainted(c, p, t + s(41 + 305))
    short_of(c, made[0], made[1], t + s(42), 1)
    replacement(c, made, 1, "silo-1", t + s(348))
    short_of(c, made[0], made[1], t + s(364), 2)
    alerts = node_alerts(c, "silo-2", t + s(41 + 15 * 60)) + [ds_alert(c, c.cni[0], t + s(17 * 60)), ds_alert(c, c.proxy[0], t + s(17 * 60))]
    deliver(c, alerts, quiet)
    return truth(c, "The kubelet of silo-2 and docker use different cgroup drivers, so it does not start", [incident(
        "cgroup", [("Node", "silo-2")], ["silo-2", r"(?i)cgroup"], [r"(?i)(cgroup|systemd|kubelet)"], alerts, ["is different from docker cgroup driver"])], [r"(?i)rollout undo", r"(?i)certificate"])


def dns_with_node():
    c = Fleet("r4-only-dns-pod-with-its-node", "cabin", "v1.33.4+k3s1", "2025-09-02T18:00:00", "2025-09-02T18:40:00", "everything fails at once at home",
              [("cabin-0", "192.168.9.2", "control-plane"), ("cabin-1", "192.168.9.3", ""), ("cabin-2", "192.168.9.4", "")], static=(), cni="flannel", taint=False, proxy=False, era=2026, mon="obs", release="k", runtime="containerd://2.0.5-k3s2",
              dns=dict(image="rancher/mirrored-coredns-coredns:1.12.3", ip="10.43.0.10", nodes=["cabin-1"]))
    quiet = hum(c, ["cabin-0"])
    t = c.t("18:06:30")
    ev = t + s(42 + 305)
    for p in silent(c, "cabin-1", t - s(4), t + s(42)):
        if p["metadata"]["ownerReferences"][0]["kind"] != "DaemonSet":
            tainted(c, p, ev)
    short_of(c, c.dns[0], c.dns[1], t + s(43), 0)
    # the replacement runs and waits for the API server a quarter of an hour; that outage of the DNS may be told by itself
    dep, rs, _ = c.dns
    p = pod(c, rs, f"{rs['metadata']['name']}-{suffix('dns', 'cabin')}", "cabin-2", ev + s(1), {"metadata": rs["spec"]["template"]["metadata"], "spec": copy.deepcopy(dep["spec"]["template"]["spec"])}, started=ev + s(9))
    for st in p["status"]["containerStatuses"]:
        st["ready"] = False
    p["status"]["conditions"] = pod_conditions(c, ev + s(1), None, False, ["coredns"])
    c.added(ev + s(2), p)
    created_pod(c, rs, p, ev + s(1))
    scheduled(c, p, ev + s(1))
    up = ev + s(840)

    def ready(o):
        o["status"]["conditions"] = pod_conditions(c, ev + s(1), up)
        for st in o["status"]["containerStatuses"]:
            st["ready"] = True
    c.event(p, "Unhealthy", "Readiness probe failed: HTTP probe failed with statuscode: 503", ev + s(12), up - s(5), 80, "Warning", host="cabin-2", field="coredns")
    c.modify(up, p, ready)
    short_of(c, c.dns[0], c.dns[1], up + s(1), 1)
    alerts = node_alerts(c, "cabin-1", t + s(42 + 15 * 60))
    for ns, nm in (("media", "jelly"), ("house", "hub"), ("notes", "wiki")):
        made = app_of(c, ns, nm, f"ghcr.io/{ns}/{nm}:2.{len(nm)}", ["cabin-0"])
        unready(c, made[2][0], t + s(70), "Readiness probe failed: HTTP probe failed with statuscode: 502", until=up + s(40))
        c.log(ns, made[2][0]["metadata"]["name"], nm, [(t + s(60 + 40 * i), f'level=error msg="request failed" err="Get \\"https://db.{ns}.svc.cluster.local\\": dial tcp: lookup db.{ns}.svc.cluster.local on 10.43.0.10:53: read udp 10.244.0.{9 + i}:4{i:04d}->10.43.0.10:53: i/o timeout"') for i in range(24)])
        short_of(c, made[0], made[1], t + s(71), 0)
        short_of(c, made[0], made[1], up + s(41), 1)
        alerts.append(mismatch(c, made[0], t + s(16 * 60 + 30), ends=up + s(70)))
    alerts.append(mismatch(c, c.dns[0], t + s(16 * 60), ends=up + s(45)))
    deliver(c, alerts, quiet)
    return truth(c, "cabin-1 is lost and with it the only DNS pod; three applications elsewhere fail until there is another", [incident(
        "node", [("Node", "cabin-1")], ["cabin-1", r"(?i)(not ?ready|unreachable|down|silent|stopped posting|lost)"], [r"(?i)(cabin-1|node|kubelet)"], alerts[:2] + alerts[-1:], [r"(Kubelet stopped posting node status|NodeNotReady)"])],
        [r"(?i)(jelly|hub|wiki) (is|has) (broken|crash)", r"(?i)rollout undo", r"(?i)plugin/loop"], extra=1)


def node_and_tag():
    c = Fleet("r5-lost-node-and-wrong-tag", "dock", "v1.29.8", "2024-10-10T14:00:00", "2024-10-10T14:50:00", "two alarms in ten minutes",
              [("dock-cp", "10.48.0.10", "control-plane"), ("dock-1", "10.48.0.11", ""), ("dock-2", "10.48.0.12", ""), ("dock-3", "10.48.0.13", "")], cni="cilium")
    quiet = hum(c, ["dock-1"])
    api = app_of(c, "freight", "api", "dock.example/freight/api:v31", ["dock-1", "dock-2", "dock-3"])
    track = app_of(c, "freight", "tracker", "dock.example/freight/tracker:v9", ["dock-2", "dock-2"])
    # first: a rollout of tracker with a tag that does not exist
    t = c.t("14:04:20")
    dep, old, pods = track
    cs = copy.deepcopy(dep["spec"]["template"]["spec"]["containers"])
    cs[0]["image"] = "dock.example/freight/tracker:v10-rc"
    cs[0]["_token"] = True
    tpl = template(cs, {"app": "tracker"}, automount=False)
    c.modify(t, dep, lambda o: (o["spec"].update(template=clean(tpl)), o["metadata"].update(generation=2), o["metadata"]["annotations"].update({"deployment.kubernetes.io/revision": "2"})))
    rs = replicaset(c, c.get("Deployment", "freight", "tracker"), "6d8c9f7b5d", t, tpl, 1, 0, revision=2, add=False)
    c.added(t + s(0.3), rs)
    scaled(c, dep, rs["metadata"]["name"], 0, 1, t)
    image = cs[0]["image"]
    p = pod(c, rs, "tracker-6d8c9f7b5d-q7x2m", "dock-1", t + s(1), {"metadata": rs["spec"]["template"]["metadata"], "spec": tpl["spec"]})
    st = p["status"]["containerStatuses"][0]
    st.update(ready=False, started=False, state={"waiting": {"reason": "ImagePullBackOff", "message": f'Back-off pulling image "{image}"'}}, imageID="")
    st.pop("containerID", None)
    p["status"].update(phase="Pending", conditions=pod_conditions(c, t + s(1), None, False, ["tracker"]))
    c.added(t + s(4), p)
    created_pod(c, rs, p, t + s(1))
    scheduled(c, p, t + s(1))
    at = dict(host="dock-1", field="tracker")
    err = f'rpc error: code = NotFound desc = failed to pull and unpack image "{image}": failed to resolve reference "{image}": {image}: not found'
    c.event(p, "Pulling", f'Pulling image "{image}"', t + s(2), c.end - s(200), 10, **at)
    c.event(p, "Failed", f'Failed to pull image "{image}": {err}', t + s(4), c.end - s(199), 10, "Warning", **at)
    c.event(p, "Failed", "Error: ErrImagePull", t + s(4), c.end - s(199), 10, "Warning", **at)
    c.event(p, "BackOff", f'Back-off pulling image "{image}"', t + s(17), c.end - s(25), 170, **at)
    c.event(p, "Failed", "Error: ImagePullBackOff", t + s(17), c.end - s(25), 170, "Warning", **at)
    rollout_status(c, dep, t + s(1), observedGeneration=2, replicas=3, updatedReplicas=1, unavailableReplicas=1, progress=("True", "ReplicaSetUpdated", f'ReplicaSet "{rs["metadata"]["name"]}" is progressing.'))
    rollout_status(c, dep, t + s(601), progress=("False", "ProgressDeadlineExceeded", f'ReplicaSet "{rs["metadata"]["name"]}" has timed out progressing.'))
    # second: dock-3 is lost
    u = c.t("14:11:48")
    for q in silent(c, "dock-3", u - s(5), u + s(40)):
        if q["metadata"]["ownerReferences"][0]["kind"] != "DaemonSet":
            tainted(c, q, u + s(345))
    short_of(c, api[0], api[1], u + s(41), 2)
    replacement(c, api, 1, "dock-2", u + s(346))
    short_of(c, api[0], api[1], u + s(361), 3)
    a = [alert(c, "KubeDeploymentRolloutStuck", t + s(601 + 15 * 60), **ksm(c, condition="Progressing", deployment="tracker", namespace="freight", status="false")), unready_alert(c, p, t + s(16 * 60))]
    b = node_alerts(c, "dock-3", u + s(40 + 15 * 60)) + [ds_alert(c, c.cni[0], u + s(16 * 60))]
    deliver(c, a + b, quiet)
    return truth(c, "tracker's new tag does not exist; dock-3 is lost; neither has to do with the other", [
        incident("tag", [("Deployment", "freight", "tracker"), ("Pod", "freight", p["metadata"]["name"]), ("ReplicaSet", "freight", rs["metadata"]["name"])], [r"v10-rc", r"(?i)(not found|does not exist|no such)"], [r"(?i)(image|tag|rollout undo)"], a, ["not found"]),
        incident("node", [("Node", "dock-3")], ["dock-3", r"(?i)(not ?ready|unreachable|down|silent|stopped posting|lost)"], [r"(?i)(dock-3|node|kubelet)"], b, [r"(Kubelet stopped posting node status|NodeNotReady)"])],
        [r"(?i)imagePullSecret"])


def storage_noise():
    c = Fleet("r6-storage-noise", "vault", "v1.31.6", "2025-04-09T01:00:00", "2025-04-09T01:40:00", "backups at night",
              [("vault-cp", "10.27.0.10", "control-plane"), ("vault-1", "10.27.0.11", ""), ("vault-2", "10.27.0.12", "")], cni="cilium", mon="mon", release="m")
    quiet = hum(c, ["vault-1", "vault-2"], cron=False)
    storageclass(c, "ceph-block", c.born, "rook-ceph.rbd.csi.ceph.com", default=False)
    snap = app_of(c, "kube-system", "snapshot-controller", "registry.k8s.io/sig-storage/snapshot-controller:v8.2.0", ["vault-1"], svc=False, ready=False)
    c.log("kube-system", snap[2][0]["metadata"]["name"], "snapshot-controller", [(c.t("01:05:11") + s(13 * i), f'E{c.t("01:05:11") + s(13 * i):%m%d %H:%M:%S}.110000       1 snapshot_controller.go:107] checkandUpdateContentStatus [snapcontent-{i}]: error occurred failed to take snapshot of the volume csi-vol-{i}: "rpc error: code = Aborted desc = an operation with the given Snapshot ID snapshot-{i} already exists"') for i in range(9)]
          + [(c.t("01:08:40"), 'I0409 01:08:40.000000       1 snapshot_controller.go:660] syncSnapshot: snapshot "books/pg-nightly" is ready to use')])
    pg = statefulset(c, "books", "pg", [container("postgres", "docker.io/library/postgres:16.8", ports=[("pg", 5432)], cpu="200m", memory="512Mi", mounts=[("data", "/var/lib/postgresql/data", False)])], ["vault-1"], settled(c), claims=[("data", "ceph-block", "20Gi")])
    cj = cronjob(c, "books", "dump", "books.example/dump:5")
    job_done(c, "books", cj, "dump", c.t("01:03:00"), 210, "vault-2", 1)
    # a claim of a restore test that is made, waits a moment, is bound, and goes away again
    t = c.t("01:12:05")
    claim = pvc(c, "books", "restore-test", t, "ceph-block", "20Gi", bound=False)
    for st in (c.store, c.initial):
        st.pop(("PersistentVolumeClaim", "books", "restore-test"))
    claim["metadata"].pop("resourceVersion", None)
    c.added(t, claim)
    c.event(claim, "WaitForFirstConsumer", "waiting for first consumer to be created before binding", t, t + s(10), 2, by="persistentvolume-controller")
    c.event(claim, "ExternalProvisioning", "Waiting for a volume to be created either by the external provisioner 'rook-ceph.rbd.csi.ceph.com' or manually by the system administrator. If volume creation is delayed, please verify that the provisioner is running and correctly registered.", t + s(11), t + s(41), 4, by="persistentvolume-controller")
    c.event(claim, "ProvisioningFailed", 'failed to provision volume with StorageClass "ceph-block": rpc error: code = Aborted desc = an operation with the given Volume ID already exists', t + s(24), kind="Warning", by="rook-ceph.rbd.csi.ceph.com_csi-rbdplugin-provisioner")
    c.event(claim, "ProvisioningSucceeded", f"Successfully provisioned volume pvc-{claim['metadata']['uid']}", t + s(49), by="rook-ceph.rbd.csi.ceph.com_csi-rbdplugin-provisioner")
    c.modify(t + s(50), claim, lambda o: (o["spec"].update(volumeName=f"pvc-{claim['metadata']['uid']}"), o["status"].update(phase="Bound", accessModes=["ReadWriteOnce"], capacity={"storage": "20Gi"})))
    web = app_of(c, "books", "reader", "books.example/reader:12", ["vault-2"])
    c.event(web[2][0], "FailedMount", 'MountVolume.SetUp failed for volume "kube-api-access-7xk2p" : failed to sync configmap cache: timed out waiting for the condition', c.t("01:20:10"), kind="Warning", host="vault-2")
    c.event(pg[2][0], "FailedAttachVolume", f'Multi-Attach error for volume "{c.get("PersistentVolumeClaim", "books", "data-pg-0")["spec"]["volumeName"]}" Volume is already exclusively attached to one node and can\'t be attached to another', c.t("00:48:10"), kind="Warning", by="attachdetach-controller")
    c.event(pg[2][0], "SuccessfulAttachVolume", f'AttachVolume.Attach succeeded for volume "{c.get("PersistentVolumeClaim", "books", "data-pg-0")["spec"]["volumeName"]}"', c.t("00:48:32"), by="attachdetach-controller")
    deliver(c, [], quiet)
    return truth(c, "Snapshots, a restore test and a dump at night; each trouble ends by itself", [], [r"(?i)(pg|reader|restore-test|data-pg-0|snapshot).{0,40}(is|has|cannot) (full|down|fail|mounted|crash)"])


def build():
    return [lost_member(), wrong_clock(), cgroup_driver(), dns_with_node(), node_and_tag(), storage_noise()]
