"""Causes that no state of a pod tells: a certificate that is over, a server without a free connection, a database of etcd that is full, a
limit that pods write past, a DNS cache of one machine, a device plugin that did not come back; and two days that only look bad."""

import copy

from fleet import (Fleet, app_of, crash_loop, deliver, evicted, hum, incident, looping_alert, mismatch, not_ready, pending, ready_again, short_of, truth, unready,
                   unready_alert)
from flow import become_ready, resize, rollout_status
from kit import Alert, s, sec, uid, when
from objs import cond, container, daemonset, endpoints, pod_conditions, service, simple, statefulset
from rules import MODERN, alert
from story_k import ordinary, root, secret, symptom
from story_q import ds_alert
from yard import Yard, birth, gone, loses_ready, makes_ready, probe_fails, roll, unavailable, web

MODERN["etcdDatabaseQuotaLowSpace"] = (
    "critical", "etcd", "etcd cluster database is running full.",
    'etcd cluster "{job}": database size exceeds the defined quota on etcd instance {instance}, please defrag or increase the quota as the writes to etcd will be disabled when it is full.',
    '(last_over_time(etcd_mvcc_db_total_size_in_bytes{job=~".*etcd.*"}[5m]) / last_over_time(etcd_server_quota_backend_bytes{job=~".*etcd.*"}[5m]))*100 > 95')


def zap(t):
    return f"{t:%Y-%m-%dT%H:%M:%S.%f}Z"


# --- u1 -----------------------------------------------------------------------------------------------

def certificate():
    c = Yard("u1-certificate-not-renewed", "quill", "v1.28.12", "2024-08-30T09:00:00", "2024-08-30T09:50:00", "the shop answers 502",
             [(f"quill-{i}", f"10.40.0.1{i}", "", "amd64", 8, 32) for i in (1, 2, 3)])
    w, born = c.workers, "2024-05-31T07:00:00"
    ordinary(c, "web")
    c.add({"apiVersion": "cert-manager.io/v1", "kind": "Certificate", "metadata": c.meta("Certificate", "shop", "api-tls", when(born)),
           "spec": {"secretName": "api-tls", "dnsNames": ["api.shop.svc"], "duration": "2160h0m0s", "issuerRef": {"name": "internal-ca", "kind": "ClusterIssuer"}},
           "status": {"conditions": [cond("Issuing", "True", c.t("04:05:00"), "Renewing", "Renewing certificate as renewal was scheduled at 2024-07-31 09:05:00 +0000 UTC"),
                                     cond("Ready", "True", when(born), "Ready", "Certificate is up to date and has not expired")],
                      "notAfter": "2024-08-30T09:05:00Z", "notBefore": "2024-06-01T09:05:00Z", "renewalTime": "2024-07-31T09:05:00Z"}})
    c.modify(c.t("09:05:00"), ("Certificate", "shop", "api-tls"), lambda o: o["status"]["conditions"].__setitem__(
        1, cond("Ready", "False", c.t("09:05:00"), "Expired", "Certificate expired on Fri, 30 Aug 2024 09:05:00 UTC")))
    secret(c, "shop", "api-tls", born, ["tls.crt", "tls.key", "ca.crt"], kind="kubernetes.io/tls")
    from objs import app
    app(c, "shop", "api", [web("api", "registry.quill.example/shop/api:4.1.0", port=8443)], [w[1]], born, automount=False, volumes=[{"name": "tls", "secret": {"secretName": "api-tls", "defaultMode": 420}}])
    service(c, "shop", "api", born, [("https", 443, 8443)], {"app": "api"})
    gw = app(c, "edge", "gateway", [web("gateway", "registry.quill.example/edge/gateway:7.0.3", env={"UPSTREAM": "https://api.shop.svc:443"})], [w[0], w[2]], born, revision=5, automount=False)
    # a release of the gateway six minutes before, which is innocent
    t = c.t("08:59:00")
    rs, _ = roll(c, gw, c.t("09:01:10"), [web("gateway", "registry.quill.example/edge/gateway:7.0.4", env={"UPSTREAM": "https://api.shop.svc:443"})], "6c9d8f7b5f", first=2, cut=0)
    pods = [birth(c, rs, n, c.t("09:01:11") + s(i), i, ready_after=11, pull="3") for i, n in enumerate((w[0], w[2]))]
    resize(c, rs, c.t("09:01:24"), 2)
    for i, p in enumerate(gw[2]):
        gone(c, p, c.t("09:01:26") + s(i), gw[1])
    resize(c, gw[1], c.t("09:01:28"), 0)
    rollout_status(c, gw[0], c.t("09:01:30"), replicas=2, updatedReplicas=2, availableReplicas=2, readyReplicas=2, unavailableReplicas=0, ok=True,
                   progress=("True", "NewReplicaSetAvailable", f'ReplicaSet "{rs["metadata"]["name"]}" has successfully progressed.'))
    t = c.t("09:05:10")
    for i, p in enumerate(pods):
        c.log("edge", p["metadata"]["name"], "gateway", [(c.t("09:01:30") + s(31 * k + i), '{"level":"info","msg":"request","path":"/v1/items","status":200}') for k in range(7)] + [
            (t + s(17 * k + i), '{"level":"error","msg":"upstream","error":"Get \\"https://api.shop.svc:443/v1/items\\": tls: failed to verify certificate: x509: certificate has expired or is not yet valid: current time %s is after 2024-08-30T09:05:00Z"}' % sec(t + s(17 * k + i)))
            for k in range(150)])
    a = c.custom("GatewayErrorRatioHigh", t + s(300), "edge/gateway answers more than 5% errors", namespace="edge", deployment="gateway")
    b = Alert({"alertname": "CertManagerCertNotReady", "severity": "critical", "prometheus": c.prom_label, "namespace": "shop", "name": "api-tls", "condition": "False", "job": "cert-manager"},
              {"summary": "The cert `api-tls` is not ready to serve traffic.", "description": "This certificate has not been ready to serve traffic for at least 10m.", "runbook_url": "https://github.com/imusmanmalik/cert-manager-mixin/blob/main/RUNBOOK.md#certmanagercertnotready"},
              t + s(600), None, c.prom_url + "/graph?g0.expr=certmanager_certificate_ready_status&g0.tab=1")
    c.fired.append(b)
    for n in w[:2]:
        c.hum(n)
    c.deliver()
    return truth(c, "cert-manager did not renew the certificate of api; the gateway does not trust it any more", [{
        "id": "expired", "root": root("Certificate/shop/api-tls", "Secret/shop/api-tls", "Service/shop/api", "Deployment/shop/api"), "says": [r"(?i)certificate", r"(?i)expired", r"shop/api"],
        "remedy": [r"api-tls"], "symptoms": [symptom(a, "deployment"), symptom(b, "name")], "evidence": [r"x509: certificate has expired"]}],
        [r"(?i)rollout undo deployment/gateway", r"(?i)network ?polic", r"(?i)kubeadm certs"])


# --- u2 -----------------------------------------------------------------------------------------------

def connections():
    c = Yard("u2-database-without-a-free-connection", "lund", "v1.27.11", "2024-03-02T09:00:00", "2024-03-02T09:50:00", "orders and labels are red",
             [(f"lund-{i}", f"10.41.0.1{i}", "", "amd64", 8, 32) for i in (1, 2, 3)])
    w, born = c.workers, "2023-06-03T07:00:00"
    ordinary(c, "web")
    pg = container("postgres", "postgres:15.6", ports=[("postgres", 5432)], cpu="500m", memory="1Gi", limit_memory="2Gi", token=False)
    pg["readinessProbe"] = {"exec": {"command": ["pg_isready", "-U", "postgres"]}, "failureThreshold": 3, "periodSeconds": 10, "successThreshold": 1, "timeoutSeconds": 1}
    _, _, (db,) = statefulset(c, "data", "core-pg", [pg], [w[1]], born, claims=[("data", "gp3", "50Gi")], automount=False)
    svc = service(c, "data", "core-pg", born, [("postgres", 5432, "postgres")], {"app": "core-pg"})
    endpoints(c, svc, born, [db], [], [("postgres", 5432)])
    from objs import app
    t = c.t("09:08:00")
    # the autoscaler of a third program made it greedy, which holds its connections and is well
    batch = app(c, "batch", "importer", [web("importer", "registry.lund.example/batch/importer:2", env={"PGHOST": "core-pg.data"})], [w[0]], born, automount=False)
    c.modify(c.t("09:04:30"), batch[0], lambda o: (o["spec"].update(replicas=3), o["metadata"].update(generation=2)))
    resize(c, batch[1], c.t("09:04:31"), 3)
    for i in (1, 2):
        birth(c, batch[1], w[i], c.t("09:04:31"), i, ready_after=9)
    rollout_status(c, batch[0], c.t("09:04:42"), replicas=3, updatedReplicas=3, availableReplicas=3, readyReplicas=3, observedGeneration=2)
    c.log("data", "core-pg-0", "postgres", [(t + s(2.3 * k), f'{(t + s(2.3 * k)):%Y-%m-%d %H:%M:%S}.100 UTC [{9000 + k}] FATAL:  sorry, too many clients already') for k in range(700)])
    alerts = []
    for ns, nm, words in (("orders", "orders", "org.postgresql.util.PSQLException: FATAL: sorry, too many clients already"),
                          ("ship", "labels", '{"level":"error","msg":"acquire","error":"failed to connect to `host=core-pg.data user=labels database=labels`: server error (FATAL: sorry, too many clients already (SQLSTATE 53300))"}')):
        made = app(c, ns, nm, [web(nm, f"registry.lund.example/{ns}/{nm}:9", env={"PGHOST": "core-pg.data"})], [w[0], w[2]], born, automount=False)
        for i, p in enumerate(made[2]):
            loses_ready(c, p, t + s(20 + i))
            probe_fails(c, p, "Readiness", "HTTP probe failed with statuscode: 503", t + s(10), c.end - s(5), 455)
            c.log(ns, p["metadata"]["name"], nm, [(t + s(5 + 21 * k), words) for k in range(115)])
        unavailable(c, made[0], t + s(22), 0)
        alerts.append(c.fire("KubeDeploymentReplicasMismatch", t + s(930), deployment=nm, namespace=ns))
    c.hum(w[0])
    c.deliver()
    return truth(c, "All connections of core-pg are taken, by the pods that importer got; two other programs get none", [{
        "id": "full", "root": root("Service/data/core-pg", "StatefulSet/data/core-pg", "Pod/data/core-pg-0", "Deployment/batch/importer"), "says": [r"core-pg", r"(?i)connection"],
        "remedy": [r"(?i)(max_connections|pg_stat_activity|connections)"], "symptoms": [symptom(a, "deployment") for a in alerts], "evidence": [r"too many clients already"]}],
        [r"(?i)rollout undo", r"(?i)password", r"(?i)network ?polic", r"(?i)readinessProbe"])


# --- u3 -----------------------------------------------------------------------------------------------

def etcd_full():
    c = Fleet("u3-etcd-database-full", "mesa", "v1.28.9", "2024-07-02T05:00:00", "2024-07-02T05:45:00", "nothing can be deployed",
              [("mesa-m", "10.45.0.10", "control-plane"), ("mesa-1", "10.45.0.11", ""), ("mesa-2", "10.45.0.12", "")])
    quiet = hum(c, ["mesa-1"], cron=False)
    t = c.t("05:06:00")
    c.log("kube-system", "etcd-mesa-m", "etcd", [
        (t, f'{{"level":"warn","ts":"{zap(t)}","caller":"etcdserver/server.go:2109","msg":"alarm raised","alarm":"NOSPACE","from":"8e9e05c52164694d"}}')] + [
        (t + s(5 + 20 * i), f'{{"level":"warn","ts":"{zap(t + s(5 + 20 * i))}","caller":"etcdserver/util.go:123","msg":"failed to apply request","took":"10.558µs","request":"header:<ID:{16997569631274120200 + i} > txn:<compare:<target:MOD key:\\"/registry/leases/kube-node-lease/mesa-1\\" mod_revision:{88123 + i} > success:<request_put:<key:\\"/registry/leases/kube-node-lease/mesa-1\\" value_size:493 >> failure:<>>","response":"","error":"etcdserver: no space"}}')
        for i in range(110)])
    c.log("kube-system", "kube-apiserver-mesa-m", "kube-apiserver", [
        (t + s(6 + 20 * i), f'E{t + s(6 + 20 * i):%m%d %H:%M:%S}.000000       1 status.go:71] apiserver received an error that is not an metav1.Status: &status.Error{{s:(*status.Status)(0xc00{i:03d}8010)}}: rpc error: code = ResourceExhausted desc = etcdserver: mvcc: database space exceeded')
        for i in range(110)])
    for i in range(85):
        c.klog("mesa-1", t + s(10 + 25 * i), "E", "controller.go:195", '"Failed to update lease" err="etcdserver: mvcc: database space exceeded"')
        c.klog("mesa-1", t + s(12 + 25 * i), "E", "kubelet_node_status.go:549", '"Error updating node status, will retry" err="failed to patch status \\"{\\\\\\"status\\\\\\":{}}\\" for node \\"mesa-1\\": etcdserver: mvcc: database space exceeded"')
    a = alert(c, "etcdDatabaseQuotaLowSpace", t - s(3000), job="kube-etcd", instance="10.45.0.10:2381", namespace="kube-system", pod="etcd-mesa-m", service="kube-prometheus-stack-kube-etcd", endpoint="http-metrics")
    deliver(c, [a], quiet)
    return truth(c, "The database of etcd has reached its quota; nothing can be written", [incident(
        "full", [("Pod", "kube-system", "etcd-mesa-m"), ("Node", "mesa-m")], ["(?i)etcd", r"(?i)(quota|full|no space|space exceeded)"], [r"(?i)defrag", r"(?i)disarm"], evidence=[r"(?i)(NOSPACE|no space|space exceeded)"],
        symptoms=[{"alert": "etcdDatabaseQuotaLowSpace", "labels": {"pod": "etcd-mesa-m"}}])], [r"(?i)mesa-1.{0,40}(is|has) (down|lost|cut off)", r"(?i)snapshot restore", r"(?i)disk .{0,20}slow"])


# --- u4 -----------------------------------------------------------------------------------------------

def storage_limit():
    c = Yard("u4-pods-write-past-their-limit", "kelp", "v1.29.5", "2024-06-18T10:00:00", "2024-06-18T10:50:00", "renderings vanish",
             [(f"kelp-{i}", f"10.42.0.1{i}", "", "amd64", 8, 32) for i in (1, 2, 3)])
    w = c.workers
    ordinary(c, "web")
    from objs import app
    ct = web("render", "registry.kelp.example/media/render:2.1")
    ct["resources"]["limits"]["ephemeral-storage"] = "1Gi"
    made = app(c, "media", "render", [ct], [w[0], w[1]], "2024-02-03T07:00:00", automount=False)
    t, live = c.t("10:05:00"), list(made[2])
    for k in range(6):
        evicted(c, live.pop(0), t, "Pod ephemeral local storage usage exceeds the total limit of containers 1Gi. ")
        unavailable(c, made[0], t + s(2), 1)
        live.append(birth(c, made[1], w[k % 3], t + s(3), 10 + k, ready_after=160))
        unavailable(c, made[0], t + s(164), 2)
        t += s(430)
    a = c.fire("KubeDeploymentReplicasMismatch", "10:30:00", deployment="render", namespace="media")
    c.hum(w[0])
    c.deliver()
    return truth(c, "Pods of render write more than their limit of local storage and are thrown out, one after the other; the machines have room", [{
        "id": "limit", "root": root("Deployment/media/render"), "says": [r"(?i)render", r"(?i)(limit|ephemeral)", r"1Gi"], "remedy": [r"(?i)ephemeral-storage"],
        "symptoms": [symptom(a, "deployment")], "evidence": [r"exceeds the total limit of containers"]}], [r"(?i)kelp-\d.{0,40}(short of|pressure)", r"(?i)crictl rmi", r"(?i)rollout undo"])


# --- u5 -----------------------------------------------------------------------------------------------

def dns_cache():
    c = Fleet("u5-dns-cache-of-one-machine", "fjell", "v1.29.10", "2024-12-04T09:00:00", "2024-12-04T09:50:00", "half of the pods fail",
              [("fjell-m", "10.46.0.10", "control-plane"), ("fjell-1", "10.46.0.11", ""), ("fjell-2", "10.46.0.12", "")])
    quiet = hum(c, ["fjell-1", "fjell-2"])
    ds, _, pods = daemonset(c, "kube-system", "node-local-dns", [container("node-cache", "registry.k8s.io/dns/k8s-dns-node-cache:1.23.1", args=["-localip", "169.254.20.10,10.96.0.10", "-conf", "/etc/Corefile", "-upstreamsvc", "kube-dns-upstream"],
                            ports=[("dns", 53)], memory="25Mi", limit_memory="64Mi")], c.nodes, "2024-02-01T08:00:00", labels={"k8s-app": "node-local-dns"}, host_network=True, dns="Default", priority="system-node-critical", tolerations=[{"operator": "Exists"}])
    t, p = c.t("09:06:00"), pods[2]
    crash_loop(c, p, "node-cache", t, 21, 137, "OOMKilled", lambda a: [(a + s(.1), f"{a:%Y/%m/%d %H:%M:%S} [INFO] Starting node-cache image: 1.23.1"), (a + s(.2), f"{a:%Y/%m/%d %H:%M:%S} [INFO] Using Corefile /etc/Corefile"),
                                                                        (a + s(1), "[INFO] plugin/reload: Running configuration SHA512 = 6c6b3a0f1f0c")])
    c.modify(t + s(5), ds, lambda d: d["status"].update(numberAvailable=2, numberReady=2, numberUnavailable=1))
    alerts = [looping_alert(c, p, "node-cache", t + s(500)), ds_alert(c, ds, t + s(950))]
    for ns, nm in (("shop", "cart"), ("crm", "leads")):
        made = app_of(c, ns, nm, f"registry.fjell.example/{ns}/{nm}:2", ["fjell-1", "fjell-2"])
        q = made[2][1]
        unready(c, q, t + s(40), "Readiness probe failed: HTTP probe failed with statuscode: 503")
        c.log(ns, q["metadata"]["name"], nm, [(t + s(20 + 30 * i), '{"level":"error","msg":"request failed","error":"dial tcp: lookup payments.pay.svc.cluster.local on 169.254.20.10:53: read udp 10.244.2.7:%d->169.254.20.10:53: read: connection refused"}' % (41000 + 13 * i)) for i in range(80)])
        c.log(ns, made[2][0]["metadata"]["name"], nm, [(t + s(22 + 60 * i), '{"level":"info","msg":"request","status":200}') for i in range(40)])
        short_of(c, made[0], made[1], t + s(42), 1)
        alerts.append(mismatch(c, made[0], t + s(960)))
    deliver(c, alerts, quiet)
    return truth(c, "The DNS cache of fjell-2 is killed for its memory limit; pods of that machine resolve nothing", [incident(
        "cache", [("DaemonSet", "kube-system", "node-local-dns"), ("Pod", "kube-system", p["metadata"]["name"]), ("Node", "fjell-2")], [r"(?i)node-local-dns", r"(?i)(memory|OOMKilled)"], [r"(?i)memory"],
        alerts, ["OOMKilled"])], [r"(?i)(cart|leads).{0,40}(undo|readinessProbe)", r"(?i)coredns.{0,40}(is|are) down"])


# --- u6 -----------------------------------------------------------------------------------------------

def device_plugin():
    c = Fleet("u6-devices-gone-after-a-reboot", "vox", "v1.31.3", "2025-01-02T05:00:00", "2025-01-02T05:55:00", "the training does not start",
              [("vox-m", "10.47.0.10", "control-plane"), ("vox-1", "10.47.0.11", ""), ("vox-gpu", "10.47.0.12", "")])
    quiet = hum(c, ["vox-1"])
    k = ("Node", "", "vox-gpu")
    for st in (c.store, c.initial):
        st[k]["status"]["capacity"]["nvidia.com/gpu"] = "4"
        st[k]["status"]["allocatable"]["nvidia.com/gpu"] = "4"
    ds, _, (p,) = daemonset(c, "gpu-operator", "nvidia-device-plugin-daemonset", [container("nvidia-device-plugin", "nvcr.io/nvidia/k8s-device-plugin:v0.16.2")], ["vox-gpu"], "2024-03-01T08:00:00", labels={"app": "nvidia-device-plugin-daemonset"})
    t = c.t("05:05:00")
    n = c.modify(t, k, lambda o: o["status"]["nodeInfo"].update(bootID=uid("boot", "new")))
    c.event(n, "Rebooted", f"Node vox-gpu has been rebooted, boot id: {uid('boot', 'new')}", t, kind="Warning", host="vox-gpu")
    c.modify(t + s(4), k, lambda o: [o["status"][part].pop("nvidia.com/gpu") for part in ("allocatable", "capacity")])
    crash_loop(c, p, "nvidia-device-plugin", t + s(30), 2, 1, "Error", lambda a: [
        (a + s(.3), f"I{a:%m%d %H:%M:%S}.300000       1 main.go:199] Starting FS watcher."),
        (a + s(1), f"E{a:%m%d %H:%M:%S}.910000       1 main.go:132] error starting plugins: error creating plugin manager: unable to create plugin manager: nvml init failed: Driver/library version mismatch")])
    c.modify(t + s(32), ds, lambda d: d["status"].update(numberAvailable=0, numberReady=0, numberUnavailable=1))
    made = app_of(c, "ml", "trainer", "registry.vox.example/ml/trainer:8", [])
    for st in (c.store, c.initial):
        for key in (("Deployment", "ml", "trainer"), ("ReplicaSet", "ml", made[1]["metadata"]["name"])):
            st[key]["spec"]["template"]["spec"]["containers"][0]["resources"] = {"limits": {"nvidia.com/gpu": "2"}, "requests": {"nvidia.com/gpu": "2"}}
    made[0]["spec"]["template"]["spec"]["containers"][0]["resources"] = {"limits": {"nvidia.com/gpu": "2"}, "requests": {"nvidia.com/gpu": "2"}}
    q = pending(c, made, 1, t + s(200), "0/3 nodes are available: 1 node(s) had untolerated taint {node-role.kubernetes.io/control-plane: }, 2 Insufficient nvidia.com/gpu. preemption: 0/3 nodes are available: 1 Preemption is not helpful for scheduling, 2 No preemption victims found for incoming pod.")
    alerts = [looping_alert(c, p, "nvidia-device-plugin", t + s(700)), unready_alert(c, q, t + s(1120)), ds_alert(c, ds, t + s(1000))]
    deliver(c, alerts, quiet)
    return truth(c, "After a reboot the device plugin of vox-gpu does not start, so no machine offers devices", [incident(
        "plugin", [("DaemonSet", "gpu-operator", "nvidia-device-plugin-daemonset"), ("Pod", "gpu-operator", p["metadata"]["name"]), ("Node", "vox-gpu")], [r"(?i)nvidia", r"(?i)(plugin|does not run|crash)"],
        [r"(?i)nvidia-device-plugin-daemonset"], alerts, [])], [r"(?i)lower the nvidia", r"(?i)rollout undo", r"(?i)add a .{0,20}node"])


# --- u7, u8: nothing is wrong -------------------------------------------------------------------------

def renewed():
    c = Fleet("u7-control-plane-started-anew", "rota2", "v1.31.7", "2025-03-21T10:00:00", "2025-03-21T10:40:00", "certificates were renewed",
              [(f"rota-m{i}", f"10.48.0.1{i}", "control-plane") for i in (1, 2, 3)] + [("rota-w1", "10.48.0.21", ""), ("rota-w2", "10.48.0.22", "")], cni="cilium")
    quiet = hum(c, ["rota-w1", "rota-w2"])
    parts = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler")
    lease = simple(c, "Lease", "kube-system", "kube-controller-manager", "2024-01-09T08:00:00", api="coordination.k8s.io/v1", spec={"holderIdentity": "rota-m1_5c"})
    for i in (1, 2, 3):
        t, j = c.t(f"10:{5 + 5 * i:02d}:00"), i % 3 + 1
        for part in parts:
            p = c.get("Pod", "kube-system", f"{part}-rota-m{i}")

            def anew(o, t=t, part=part):
                st = o["status"]["containerStatuses"][0]
                lost = part == "kube-controller-manager"
                st.update(ready=False, started=False, restartCount=st["restartCount"] + 1, state={"running": {"startedAt": sec(t + s(2))}}, lastState={"terminated": {
                    "exitCode": 1 if lost else 0, "reason": "Error" if lost else "Completed", "startedAt": o["status"]["startTime"], "finishedAt": sec(t), "containerID": st["containerID"]}})
                o["status"]["conditions"] = pod_conditions(c, when(o["metadata"]["creationTimestamp"]), t, False, [part], not_ready_since=t)
            c.modify(t + s(3), p, anew)
            c.event(p, "Killing", f"Stopping container {part}", t, host=f"rota-m{i}", field=part)
            if part == "kube-apiserver":
                probe_fails(c, p, "Startup", f'Get "https://10.48.0.1{i}:6443/livez": dial tcp 10.48.0.1{i}:6443: connect: connection refused', t + s(5), t + s(25), 3, part)
            become_ready(c, p, t + s(32))
        c.log("kube-system", f"etcd-rota-m{j}", "etcd", [
            (t + s(1), f'{{"level":"info","ts":"{zap(t + s(1))}","logger":"raft","caller":"etcdserver/zap_raft.go:77","msg":"raft.node: 8e9e05c52164694d lost leader 91bc3c398fb3c146 at term {i + 4}"}}'),
            (t + s(1.5), f'{{"level":"warn","ts":"{zap(t + s(1.5))}","caller":"rafthttp/stream.go:421","msg":"lost TCP streaming connection with remote peer","stream-reader-type":"stream MsgApp v2","local-member-id":"8e9e05c52164694d","remote-peer-id":"91bc3c398fb3c146","error":"EOF"}}'),
            (t + s(2), f'{{"level":"info","ts":"{zap(t + s(2))}","logger":"raft","caller":"etcdserver/zap_raft.go:77","msg":"raft.node: 8e9e05c52164694d elected leader 8e9e05c52164694d at term {i + 5}"}}'),
            (t + s(3.5), f'{{"level":"warn","ts":"{zap(t + s(3.5))}","caller":"etcdserver/util.go:170","msg":"apply request took too long","took":"214.22ms","expected-duration":"100ms","prefix":"read-only range ","request":"key:\\"/registry/health\\" ","response":"","error":"context canceled"}}')])
        c.log("kube-system", f"kube-controller-manager-rota-m{j}", "kube-controller-manager", [
            (t + s(2), f'E{t:%m%d %H:%M:%S}.000000       1 leaderelection.go:436] error retrieving resource lock kube-system/kube-controller-manager: Get "https://10.48.0.1{i}:6443/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/kube-controller-manager?timeout=5s": dial tcp 10.48.0.1{i}:6443: connect: connection refused')])
        c.event(lease, "LeaderElection", f"rota-m{j}_{9 + i}b became leader", t + s(20), by="kube-controller-manager")
        for w in ("rota-w1", "rota-w2"):
            for k in range(4):
                c.klog(w, t + s(3 + 7 * k), "E", "controller.go:195", f'"Failed to update lease" err="Put \\"https://10.48.0.9:6443/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/{w}?timeout=10s\\": dial tcp 10.48.0.9:6443: connect: connection refused"')
            c.klog(w, t + s(5), "E", "kubelet_node_status.go:549", f'"Error updating node status, will retry" err="error getting node \\"{w}\\": etcdserver: leader changed"')
            c.klog(w, t + s(6), "W", "reflector.go:484", 'object-"kube-system"/"kube-root-ca.crt": watch of *v1.ConfigMap ended with: very short watch: object-"kube-system"/"kube-root-ca.crt": Unexpected watch close - watch lasted less than a second and no items received')
    deliver(c, [], quiet)
    return truth(c, "The control plane is started anew, machine by machine, after its certificates were renewed; nothing is wrong", [], [r"(?i)rota-.{0,40}(is|has) (down|lost|fail)", r"(?i)etcd.{0,30}(slow|no leader)"])


def power():
    c = Fleet("u8-power-back-at-home", "nest", "v1.31.4+k3s1", "2025-01-15T04:00:00", "2025-01-15T04:50:00", "the lights went out", [("nest-0", "192.168.9.2", "control-plane"), ("nest-1", "192.168.9.3", ""), ("nest-2", "192.168.9.4", "")],
              static=(), cni="flannel", proxy=False, taint=False, runtime="containerd://1.7.23-k3s2")
    quiet = hum(c, [], cron=False)
    for nm in ("hass", "mqtt", "zigbee"):
        app_of(c, "home", nm, f"ghcr.io/nest/{nm}:1", ["nest-1", "nest-2"])
    t = c.t("04:12:00")
    for n in c.nodes:
        nd = c.get("Node", None, n)
        c.event(nd, "Starting", "Starting kubelet.", t, host=n)
        c.event(nd, "InvalidDiskCapacity", "invalid capacity 0 on image filesystem", t, kind="Warning", host=n)
        c.modify(t + s(1), ("Node", "", n), lambda o, n=n: o["status"]["nodeInfo"].update(bootID=uid("boot", n)))
        c.event(nd, "Rebooted", f"Node {n} has been rebooted, boot id: {uid('boot', n)}", t + s(1), kind="Warning", host=n)
        not_ready(c, n, t + s(1), "container runtime network not ready: NetworkReady=false reason:NetworkPluginNotReady message:Network plugin returns error: cni plugin not initialized")
        ready_again(c, n, t + s(40))
    for k, p in sorted((k, o) for k, o in copy.deepcopy(c.store).items() if k[0] == "Pod"):
        def anew(o):
            for st in o["status"]["containerStatuses"]:
                st.update(ready=False, started=False, restartCount=1, state={"running": {"startedAt": sec(t + s(50))}},
                          lastState={"terminated": {"exitCode": 255, "reason": "Unknown", "startedAt": o["status"]["startTime"], "finishedAt": sec(t), "containerID": st["containerID"]}})
            o["status"]["conditions"] = pod_conditions(c, when(o["metadata"]["creationTimestamp"]), t, False, [x["name"] for x in o["spec"]["containers"]], not_ready_since=t + s(1))
        c.modify(t + s(52), p, anew)
        host = p["spec"]["nodeName"]
        c.event(p, "SandboxChanged", "Pod sandbox changed, it will be killed and re-created.", t + s(20), t + s(45), 3, host=host)
        if not p["spec"].get("hostNetwork"):
            c.event(p, "FailedCreatePodSandBox", f'Failed to create pod sandbox: rpc error: code = Unknown desc = failed to setup network for sandbox "{uid(*k)[:12]}": plugin type="flannel" failed (add): loadFlannelSubnetEnv failed: open /run/flannel/subnet.env: no such file or directory',
                    t + s(22), t + s(38), 2, "Warning", host=host)
            probe_fails(c, p, "Readiness", "HTTP probe failed with statuscode: 503", t + s(60), t + s(85 if k[1] != "home" else 300), 6 if k[1] != "home" else 24)
        makes_ready(c, p, t + s(90 if k[1] != "home" else 330))
    deliver(c, [], quiet)
    return truth(c, "All machines of a home boot after a power cut and are well five minutes later", [], [r"(?i)(is|are) (down|lost)\b.{0,20}open", r"(?i)rollout undo"])


def build():
    return [f() for f in (certificate, connections, etcd_full, storage_limit, dns_cache, device_plugin, renewed, power)]
