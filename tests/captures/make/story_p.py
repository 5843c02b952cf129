"""DNS, webhooks, the control plane's disks and the parts of monitoring, on clusters of other shapes and versions."""

from fleet import Fleet, app_of, crash_loop, deliver, hum, incident, looping_alert, mismatch, replacement, settled, short_of, truth, unready
from flow import deleted_pod, kill_events, resize, rollout_status, scaled
from kit import s, sec, when
from objs import apiservice, app, cond, container, endpoints, hpa, service, simple
from rules import alert
from worlds import COREFILE_129

DNS_PORTS = [("dns", 53), ("dns-tcp", 53), ("metrics", 9153)]
NO_LOOP_REMOVAL = r"(?i)\b(remov|disabl|delet|drop|comment|turn)\w*( out| off)?( the)? [`'\x22]?loop[`'\x22]? ?(plugin|detection|directive|line|check|from)"


def recreate(c, made, n, old, where, t):
    """Somebody deletes a pod; its ReplicaSet makes another, whose container starts and is not yet ready."""
    kill_events(c, old, t)
    c.deleted(t + s(6), old)
    return replacement(c, made, n, where, t + s(1), ready=False)


def no_endpoints(c, svc, pods, t):
    k = ("Endpoints", svc["metadata"]["namespace"], svc["metadata"]["name"])

    def fn(o):
        sub = o["subsets"][0]
        sub.pop("addresses", None)
        sub["notReadyAddresses"] = [{"ip": p["status"]["podIP"], "nodeName": p["spec"]["nodeName"], "targetRef": {"kind": "Pod", "name": p["metadata"]["name"], "namespace": p["metadata"]["namespace"], "uid": p["metadata"]["uid"]}} for p in pods]
    c.modify(t, k, fn)


def dns_dead():
    name = "rke2-coredns-rke2-coredns"
    c = Fleet("e1-dns-down-everywhere", "plant", "v1.27.11+rke2r1", "2024-04-11T09:00:00", "2024-04-11T09:40:00", "apps in three namespaces fail after a resolver change",
              [("rke-srv1", "10.60.4.11", "control-plane"), ("rke-agt1", "10.60.4.21", ""), ("rke-agt2", "10.60.4.22", "")], mon="cattle-monitoring-system", release="rancher-monitoring", cni="canal",
              static=("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler"), hub="index.docker.io/rancher/", runtime="containerd://1.7.11-k3s2", os_image="Ubuntu 22.04.4 LTS",
              kernel="5.15.0-101-generic", taint=False,
              dns=dict(name=name, image="rancher/hardened-coredns:v1.11.1-build20240123", ip="10.43.0.10", svc=name, labels={"k8s-app": "kube-dns", "app.kubernetes.io/name": "rke2-coredns", "app.kubernetes.io/instance": "rke2-coredns"}))
    endpoints(c, c.dns_svc, c.born, c.dns[2], [], DNS_PORTS)
    quiet = hum(c, ["rke-agt1", "rke-agt2"])
    t = c.t("09:07:12")
    fresh = [recreate(c, c.dns, i, p, p["spec"]["nodeName"], t) for i, p in enumerate(c.dns[2])]
    for i, p in enumerate(fresh):
        def log(at, i=i):
            return [(at + s(0.05), ".:53"), (at + s(0.051), "[INFO] plugin/reload: Running configuration SHA512 = 591cf328cccc12bc490481273e738df59329c62c0b729d94e8b61db9961c2fa5f046dd37f1cf888b953814040d180f52594972691cd6ff41be96639138a43908"),
                    (at + s(0.052), "CoreDNS-1.11.1"), (at + s(0.053), "linux/amd64, go1.20.13 X:boringcrypto, "),
                    (at + s(0.09), f'[FATAL] plugin/loop: Loop (127.0.0.1:{41390 + i * 77} -> :53) detected for zone ".", see https://coredns.io/plugins/loop#troubleshooting. Query: "HINFO {4547991504243258144 + i}.{3688648895315093531 - i}."')]
        crash_loop(c, p, "coredns", t + s(5 + i), 1, 1, "Error", log, since=t + s(4 + i), journal=True)
    short_of(c, c.dns[0], c.dns[1], t + s(6), 0)
    no_endpoints(c, c.dns_svc, fresh, t + s(6))
    lost = t + s(40)
    why = 'lookup %s on 10.43.0.10:53: read udp %s:%d->10.43.0.10:53: read: connection refused'
    crm = app_of(c, "crm", "api", "registry.plant.example/crm/api:2024.3.1", ["rke-agt1", "rke-agt2"])
    hr = app_of(c, "hr", "payroll", "registry.plant.example/hr/payroll:7.12.0", ["rke-agt2"])
    media = app_of(c, "media", "encoder", "registry.plant.example/media/encoder:0.44.1", ["rke-agt1"])
    looped = []
    for made, host in ((crm, "crm-db.data.svc.cluster.local"), (hr, "ldap.plant.example")):
        for i, p in enumerate(made[2]):
            nm = p["spec"]["containers"][0]["name"]
            crash_loop(c, p, nm, lost + s(9 * i), 6, 1, "Error", lambda at, p=p, nm=nm, host=host: [(at + s(0.3), f'level=info msg="starting {nm}"'), (at + s(5.6), f'level=fatal msg="cannot reach backend" error="dial tcp: {why % (host, p["status"]["podIP"], 38112)}"')],
                       since=when(p["metadata"]["creationTimestamp"]) + s(3), changes=3)
            looped.append((p, nm))
        short_of(c, made[0], made[1], lost + s(12), 0)
    unready(c, media[2][0], lost + s(21), "Readiness probe failed: HTTP probe failed with statuscode: 503")
    c.log("media", media[2][0]["metadata"]["name"], "encoder", [(lost + s(20 + 61 * i), f'{{"level":"error","msg":"queue unreachable","error":"dial tcp: {why % ("rabbit.media.svc.cluster.local", media[2][0]["status"]["podIP"], 40100 + i)}"}}') for i in range(20)])
    short_of(c, media[0], media[1], lost + s(21), 0)
    alerts = [looping_alert(c, p, "coredns", t + s(15 * 60 + 40)) for p in fresh] + [mismatch(c, c.dns[0], t + s(15 * 60 + 49))]
    alerts += [looping_alert(c, p, nm, lost + s(16 * 60 + 11)) for p, nm in looped] + [mismatch(c, m[0], lost + s(16 * 60 + 31)) for m in (crm, hr, media)]
    deliver(c, alerts, quiet)
    return truth(c, "Both CoreDNS pods forward to themselves; no name resolves, and applications in three namespaces fail", [incident(
        "dns-loop", [("ConfigMap", "kube-system", name), ("Deployment", "kube-system", name), ("Node", "rke-agt1"), ("Node", "rke-agt2")],
        ["(?i)loop", r"(?i)(loopback|127\.0\.0\.|resolv\.conf)"], [r"(?i)(forward|resolvConf|resolv-conf|resolv\.conf)"], alerts, ["plugin/loop: Loop"])],
        [NO_LOOP_REMOVAL, r"(?i)rollout undo", r"(?i)(payroll|encoder|api) (is|has) (broken|a bug)"])


TYPO = COREFILE_129 + """corp.example:53 {
    errors
    cache 30
    forwrad . 10.150.0.1
}
"""


def corefile_typo():
    c = Fleet("e2-corefile-typo", "ams", "v1.30.4", "2024-09-18T07:30:00", "2024-09-18T08:24:00", "coredns does not come back after a drain",
              [("ams-cp", "10.30.0.10", "control-plane"), ("ams-1", "10.30.0.11", ""), ("ams-2", "10.30.0.12", ""), ("ams-3", "10.30.0.13", "")], cni="cilium", proxy=False,
              dns=dict(image="registry.k8s.io/coredns/coredns:v1.11.1"))
    quiet = hum(c, ["ams-1", "ams-3"], style="short-iso-precise")
    edit = c.t("07:41:20")

    def typo(o):
        o["data"]["Corefile"] = TYPO
        o["metadata"]["managedFields"] = [{"apiVersion": "v1", "fieldsType": "FieldsV1", "fieldsV1": {"f:data": {".": {}, "f:Corefile": {}}}, "manager": "kubectl-edit", "operation": "Update", "time": sec(edit)}]
    c.modify(edit, ("ConfigMap", "kube-system", "coredns"), typo)
    err = "/etc/coredns/Corefile:26 - Error during parsing: Unknown directive 'forwrad'"
    for i, p in enumerate(c.dns[2]):
        lines = []
        at = c.t("07:42:31") + s(13 * i)
        lines += [(at, "[INFO] Reloading"), (at + s(0.01), f"[ERROR] Restart failed: {err}"), (at + s(0.02), f"[ERROR] plugin/reload: Corefile changed but reload failed: starting with listener file descriptors: {err}")]
        c.log("kube-system", p["metadata"]["name"], "coredns", lines)
    t = c.t("07:58:02")
    gone = c.dns[2][1]
    where = gone["spec"]["nodeName"]

    def cordon(o):
        o["spec"]["unschedulable"] = True
        o["spec"]["taints"] = [{"effect": "NoSchedule", "key": "node.kubernetes.io/unschedulable", "timeAdded": sec(t)}]
    n = c.modify(t, ("Node", "", where), cordon)
    c.event(n, "NodeNotSchedulable", f"Node {where} status is now: NodeNotSchedulable", t, host=where)
    bad = recreate(c, c.dns, 1, gone, "ams-3", t + s(4))
    crash_loop(c, bad, "coredns", t + s(9), 1, 1, "Error", lambda at: [(at + s(0.1), err)], since=t + s(8), journal=True)
    short_of(c, c.dns[0], c.dns[1], t + s(7), 1)
    alerts = [looping_alert(c, bad, "coredns", t + s(15 * 60 + 34)), mismatch(c, c.dns[0], t + s(15 * 60 + 40))]
    deliver(c, alerts, quiet)
    return truth(c, "A spelling mistake in the Corefile: the running pods refuse to reload it, a new pod cannot start", [incident(
        "corefile", [("ConfigMap", "kube-system", "coredns")], [r"(?i)(corefile|configmap)", r"(?i)(forwrad|pars|unknown directive|syntax)"], [r"(?i)(corefile|configmap|cm/coredns|cm coredns)"], alerts, ["Unknown directive"])],
        [r"(?i)loopback", r"(?i)uncordon", r"(?i)rollout undo"])


def upstream():
    nodes = [(f"ip-10-0-{a}-{b}.eu-west-1.compute.internal", f"10.0.{a}.{b}", "") for a, b in ((1, 44), (2, 87), (3, 19))]
    c = Fleet("e3-upstream-dns", "prod-eu", "v1.28.7-eks-b9c9ed7", "2024-05-29T20:10:00", "2024-05-29T20:50:00", "checkout and scorer not ready", nodes, cni="aws", kernel="5.10.210-201.852.amzn2.x86_64",
              os_image="Amazon Linux 2", dns=dict(image="602401143452.dkr.ecr.eu-west-1.amazonaws.com/eks/coredns:v1.10.1-eksbuild.7", ip="172.20.0.10"), hub="602401143452.dkr.ecr.eu-west-1.amazonaws.com/eks/")
    quiet = hum(c, [nodes[0][0]])
    t = c.t("20:16:40")
    names = ["api.psp.example.", "sts.eu-west-1.amazonaws.com.", "feed.scores.example.", "hooks.chat.example."]
    for i, p in enumerate(c.dns[2]):
        c.log("kube-system", p["metadata"]["name"], "coredns", [(t + s(7.1 * k + i), f"[ERROR] plugin/errors: 2 {names[(k + i) % 4]} {'A' if k % 3 else 'AAAA'}: read udp {p['status']['podIP']}:{33010 + 7 * k}->10.0.0.2:53: i/o timeout") for k in range(110)])
    outs = []
    for ns, nm, host in (("booking", "checkout", "api.psp.example"), ("fraud", "scorer", "feed.scores.example")):
        made = app_of(c, ns, nm, f"{ns}.registry.example/{nm}:v5.2.0", c.nodes[:2])
        for p in made[2]:
            unready(c, p, t + s(60), "Readiness probe failed: HTTP probe failed with statuscode: 500")
            c.log(ns, p["metadata"]["name"], nm, [(t + s(20 + 40 * k), f'ERROR upstream call failed: Get "https://{host}/v1": dial tcp: lookup {host} on 172.20.0.10:53: server misbehaving') for k in range(30)])
        short_of(c, made[0], made[1], t + s(61), 0)
        outs.append(made)
    alerts = [alert(c, "CoreDNSErrorsHigh", t + s(11 * 60), value="41.3%", job="kube-dns", namespace="kube-system", service="kube-dns")]
    alerts += [mismatch(c, m[0], t + s(17 * 60)) for m in outs]
    deliver(c, alerts, quiet)
    return truth(c, "The resolver that CoreDNS forwards to does not answer; names outside the cluster fail", [incident(
        "upstream", [("Deployment", "kube-system", "coredns"), ("ConfigMap", "kube-system", "coredns"), ("Service", "kube-system", "kube-dns")],
        [r"(?i)(upstream|forward)", r"(?i)(time[sd]? ?out|not answer|unreachable|no answer)"], [r"(?i)(upstream|forward|resolv|10\.0\.0\.2)"], alerts, [r"10\.0\.0\.2:53: i/o timeout"])],
        [r"(?i)loop", r"(?i)rollout undo"])


def nxdomain():
    c = Fleet("e4-nxdomain-noise", "lab", "v1.33.1", "2025-08-05T13:00:00", "2025-08-05T13:30:00", "a quiet half hour, DNS included",
              [("lab-0", "10.77.0.10", "control-plane"), ("lab-1", "10.77.0.11", ""), ("lab-2", "10.77.0.12", "")], era=2026, mon="o11y", release="mon", cni="cilium",
              dns=dict(image="registry.k8s.io/coredns/coredns:v1.12.0"))
    quiet = hum(c, ["lab-1", "lab-2"])
    for i, p in enumerate(c.dns[2]):
        c.log("kube-system", p["metadata"]["name"], "coredns", [(c.start + s(20 + 41 * k), f'[INFO] 10.244.1.{9 + k % 5}:4{k:04d} - {5100 + k} "A IN feeds.partner.example.tools.svc.cluster.local. udp 62 false 512" NXDOMAIN qr,aa,rd 155 0.000141{k:03d}s') for k in range(38)]
              + [(c.t("13:11:09") + s(i), f"[ERROR] plugin/errors: 2 old-nas.lab.example. A: read udp {p['status']['podIP']}:40112->10.77.0.1:53: i/o timeout")])
    made = app_of(c, "tools", "harvester", "ghcr.io/tools/harvester:v1.19.0", ["lab-1", "lab-2"])
    c.log("tools", made[2][0]["metadata"]["name"], "harvester", [(c.start + s(95 + 240 * k), 'level=warn msg="feed skipped" feed=old-partner error="Get \\"https://feeds.old-partner.example/x.xml\\": dial tcp: lookup feeds.old-partner.example on 10.96.0.10:53: no such host"') for k in range(7)])
    # the proportional autoscaler adds a third replica
    t = c.t("13:14:31")
    dep, rs, _ = c.dns
    c.modify(t, dep, lambda o: (o["spec"].update(replicas=3), o["metadata"].update(generation=2)))
    scaled(c, dep, rs["metadata"]["name"], 2, 3, t)
    resize(c, rs, t + s(0.5), 3, 2)
    rollout_status(c, dep, t + s(1), observedGeneration=2, replicas=3, updatedReplicas=3, unavailableReplicas=1)
    p = replacement(c, c.dns, 3, "lab-1", t + s(1), pull=2.114)
    c.event(p, "Unhealthy", "Readiness probe failed: HTTP probe failed with statuscode: 503", t + s(6), kind="Warning", host="lab-1", field="coredns")
    resize(c, rs, t + s(16), 3)
    rollout_status(c, dep, t + s(16), availableReplicas=3, readyReplicas=3, unavailableReplicas=0)
    deliver(c, [], quiet, raw=True)
    return truth(c, "Names that do not exist, one slow answer, a third replica: nothing is wrong", [], [r"(?i)coredns.{0,40}(down|loop|fail|crash)", r"(?i)harvester.{0,30}(down|fail|crash)"])


def webhook():
    c = Fleet("g1-webhook-without-backend", "core", "v1.28.9", "2024-06-06T13:00:00", "2024-06-06T13:45:00", "no new pods anywhere",
              [("core-m1", "10.5.0.11", "control-plane"), ("core-n1", "10.5.0.21", ""), ("core-n2", "10.5.0.22", "")])
    quiet = hum(c, ["core-n1"], cron=False)
    kyv = app_of(c, "kyverno", "kyverno-admission-controller", "ghcr.io/kyverno/kyverno:v1.11.4", ["core-n1"], svc=False)
    svc = service(c, "kyverno", "kyverno-svc", c.born, [("https", 443, 9443)], {"app": "kyverno-admission-controller"})
    endpoints(c, svc, c.born, kyv[2], [], [("https", 9443)])
    simple(c, "ValidatingWebhookConfiguration", None, "kyverno-resource-validating-webhook-cfg", c.born, api="admissionregistration.k8s.io/v1", labels={"webhook.kyverno.io/managed-by": "kyverno"},
           webhooks=[{"name": "validate.kyverno.svc-fail", "admissionReviewVersions": ["v1"], "clientConfig": {"service": {"name": "kyverno-svc", "namespace": "kyverno", "path": "/validate/fail", "port": 443}},
                      "failurePolicy": "Fail", "matchPolicy": "Equivalent", "sideEffects": "NoneOnDryRun", "timeoutSeconds": 10,
                      "rules": [{"apiGroups": ["*"], "apiVersions": ["*"], "operations": ["CREATE", "UPDATE", "DELETE", "CONNECT"], "resources": ["*/*"], "scope": "*"}]}])
    ledger = app_of(c, "pay", "ledger", "core.example/pay/ledger:v88", ["core-n1", "core-n2"])
    front = app_of(c, "web", "front", "core.example/web/front:r1041", ["core-n2", "core-n2"])
    imp = app_of(c, "intake", "importer", "core.example/intake/importer:1.0.9", ["core-n1"])
    t = c.t("13:04:10")
    # scaled to nothing before maintenance, and forgotten
    dep, rs, pods = kyv
    c.modify(t, dep, lambda o: (o["spec"].update(replicas=0), o["metadata"].update(generation=2)))
    scaled(c, dep, rs["metadata"]["name"], 1, 0, t)
    deleted_pod(c, rs, pods[0], t)
    kill_events(c, pods[0], t)
    resize(c, rs, t + s(0.4), 0)
    rollout_status(c, dep, t + s(1), observedGeneration=2, replicas=0, updatedReplicas=0, availableReplicas=0, readyReplicas=0)
    c.deleted(t + s(4), pods[0])
    c.modify(t + s(4), ("Endpoints", "kyverno", "kyverno-svc"), lambda o: o.update(subsets=[]))
    msg = 'Internal error occurred: failed calling webhook "validate.kyverno.svc-fail": failed to call webhook: Post "https://kyverno-svc.kyverno.svc:443/validate/fail?timeout=10s": no endpoints available for service "kyverno-svc"'
    alerts = []
    for i, (made, n) in enumerate(((ledger, 1), (front, 1), (imp, 1))):
        at = c.t("13:09:20") + s(140 * i)
        d, r, ps = made
        p = ps[0]
        kill_events(c, p, at)
        c.deleted(at + s(5), p)
        c.event(r, "FailedCreate", f"Error creating: {msg}", at + s(1), c.end - s(30 + 41 * i), 17, "Warning", by="replicaset-controller")
        left = len(ps) - n
        short_of(c, d, r, at + s(2), left)
        c.modify(at + s(2), r, lambda o: o["status"].update(replicas=left, fullyLabeledReplicas=left, conditions=[cond("ReplicaFailure", "True", at + s(2), "FailedCreate", msg)]))
        alerts.append(mismatch(c, d, at + s(15 * 60 + 22)))
    deliver(c, alerts, quiet)
    return truth(c, "An admission webhook that must answer has no backend: no pod can be created in any namespace", [incident(
        "webhook", [("ValidatingWebhookConfiguration", "kyverno-resource-validating-webhook-cfg"), ("Deployment", "kyverno", "kyverno-admission-controller"), ("Service", "kyverno", "kyverno-svc")],
        ["(?i)webhook", "kyverno", r"(?i)(endpoint|scaled|0 replicas|no (ready )?pod|no backend|zero)"], [r"(?i)(scale|failurePolicy|kyverno-admission-controller)"], alerts, ["failed calling webhook"])],
        [r"(?i)(ledger|front|importer) (is|has) (crash|broken)", r"(?i)rollout undo"])


def loopback_metrics():
    c = Fleet("g2-scheduler-metrics-loopback", "fresh", "v1.30.4", "2024-10-02T15:00:00", "2024-10-02T15:35:00", "scheduler and controller manager reported down on a new cluster",
              [("fresh-1", "192.168.61.10", "control-plane"), ("fresh-2", "192.168.61.11", ""), ("fresh-3", "192.168.61.12", "")], bind="127.0.0.1", cni="flannel", born="2024-10-02T13:10:00", release="kps")
    quiet = hum(c, ["fresh-1", "fresh-2"], cron=False)
    parts = (("kube-scheduler", 10259), ("kube-controller-manager", 10257), ("kube-etcd", 2381))
    for part, port in parts:
        p = c.get("Pod", "kube-system", f"{part.replace('kube-etcd', 'etcd')}-fresh-1")
        svc = service(c, "kube-system", f"kps-{part}", "2024-10-02T14:10:02", [("http-metrics", port, port)], {"component": part.replace("kube-etcd", "etcd")}, headless=True, labels={"app": f"kps-{part}", "jobLabel": part})
        endpoints(c, svc, "2024-10-02T14:10:02", [p], [], [("http-metrics", port)])
    c.log("kube-system", "kube-scheduler-fresh-1", "kube-scheduler", [(c.t("13:11:08.2"), 'I1002 13:11:08.200114       1 secure_serving.go:213] Serving securely on 127.0.0.1:10259'), (c.t("13:11:24.9"), "I1002 13:11:24.900221       1 leaderelection.go:260] successfully acquired lease kube-system/kube-scheduler")])
    alerts = [alert(c, "KubeSchedulerDown", c.t("14:26:11.4")), alert(c, "KubeControllerManagerDown", c.t("14:26:11.4")),
              alert(c, "etcdInsufficientMembers", c.t("14:14:41.1"), value="0", job="kube-etcd", namespace="kube-system", service="kps-kube-etcd"),
              alert(c, "etcdMembersDown", c.t("14:31:41.1"), value="1", job="kube-etcd", namespace="kube-system", service="kps-kube-etcd")]
    alerts += [alert(c, "TargetDown", c.t("14:21:50.9"), value="100", job=p, namespace="kube-system", service=f"kps-{p}") for p, _ in parts]
    c.webhook(c.t("15:04:11.9"), "kwhy", {"severity": "critical"}, [a for a in alerts if a.labels["severity"] == "critical"], "{}/{}")
    c.api_alerts(alerts + quiet, lambda a: "heartbeat" if a.labels["alertname"] == "Watchdog" else "null" if a.labels["severity"] in ("none", "info") else "kwhy")
    roots = [("Pod", "kube-system", f"{p}-fresh-1") for p in ("kube-scheduler", "kube-controller-manager", "etcd")] + [("Node", "fresh-1")] + [("Service", "kube-system", f"kps-{p}") for p, _ in parts]
    return truth(c, "The scheduler, the controller manager and etcd serve their metrics on the loopback only; nothing is down", [incident(
        "loopback", roots, [r"(?i)(127\.0\.0\.1|loopback|localhost)"], [r"(?i)(bind-address|listen-metrics-urls|0\.0\.0\.0)"], symptoms=[])],
        [r"(?i)(scheduler|controller[- ]manager|etcd) (is|are) (down|dead|crash|not running|unavailable)", r"(?i)restart (the )?(etcd|kube-scheduler)", r"(?i)member (remove|add)"], extra=2)


def slow_etcd():
    c = Fleet("g3-etcd-slow-disk", "hall9", "v1.26.12", "2024-02-13T02:00:00", "2024-02-13T02:45:00", "controllers restart at night",
              [(f"hall9-m{i}", f"10.90.0.{10 + i}", "control-plane") for i in (1, 2, 3)] + [("hall9-w1", "10.90.0.21", ""), ("hall9-w2", "10.90.0.22", "")])
    quiet = hum(c, ["hall9-m2", "hall9-w1"])
    t = c.t("02:08:30")
    sick = "hall9-m2"

    def etcd_line(at, level, where, msg, rest):
        return (at, f'{{"level":"{level}","ts":"{at:%Y-%m-%dT%H:%M:%S.%f}Z","caller":"{where}","msg":"{msg}",{rest}}}')
    lines = []
    for i in range(40):
        at = t + s(52 * i)
        lines.append(etcd_line(at, "warn", "wal/wal.go:805", "slow fdatasync", f'"took":"{1.4 + (i * 37 % 29) / 10:.9f}s","expected-duration":"1s"'))
        lines.append(etcd_line(at + s(0.2), "warn", "etcdserver/raft.go:416", "leader failed to send out heartbeat on time; took too long, leader is overloaded likely from slow disk", f'"to":"8e9e05c52164694d","heartbeat-interval":"100ms","expected-duration":"200ms","exceeded-duration":"{1.1 + i % 7 / 10:.6f}s"'))
        lines.append(etcd_line(at + s(0.3), "warn", "etcdserver/util.go:170", "apply request took too long", f'"took":"{1.2 + i % 5 / 10:.6f}s","expected-duration":"100ms","prefix":"read-only range ","request":"key:\\"/registry/leases/kube-system/kube-controller-manager\\" ","response":"range_response_count:1 size:508"'))
    c.log("kube-system", f"etcd-{sick}", "etcd", lines)
    kcm = c.get("Pod", "kube-system", f"kube-controller-manager-{sick}")
    k = "kube-controller-manager"
    crash_loop(c, kcm, k, t + s(70), 95, 1, "Error", lambda at: [
        (at + s(2.1), f"I{at + s(2.1):%m%d %H:%M:%S}.100000       1 serving.go:348] Generated self-signed cert in-memory"),
        (at + s(84), f'E{at + s(84):%m%d %H:%M:%S}.000000       1 leaderelection.go:330] error retrieving resource lock kube-system/kube-controller-manager: Get "https://10.90.0.12:6443/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/kube-controller-manager?timeout=5s": context deadline exceeded'),
        (at + s(94), f"E{at + s(94):%m%d %H:%M:%S}.000000       1 controllermanager.go:294] \"leaderelection lost\"")], since=when(kcm["metadata"]["creationTimestamp"]) + s(3))
    inj = app_of(c, "cert-manager", "cert-manager-cainjector", "quay.io/jetstack/cert-manager-cainjector:v1.13.3", ["hall9-w1"], svc=False)
    crash_loop(c, inj[2][0], "cert-manager-cainjector", t + s(110), 80, 1, "Error", lambda at: [
        (at + s(70), f'E{at + s(70):%m%d %H:%M:%S}.000000       1 leaderelection.go:332] error retrieving resource lock kube-system/cert-manager-cainjector-leader-election: Get "https://10.96.0.1:443/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/cert-manager-cainjector-leader-election": context deadline exceeded'),
        (at + s(79), f'E{at + s(79):%m%d %H:%M:%S}.000000       1 start.go:174] "cert-manager/ca-injector: error running manager" err="leader election lost"')], since=when(inj[2][0]["metadata"]["creationTimestamp"]) + s(3))
    short_of(c, inj[0], inj[1], t + s(112), 0)
    e = dict(job="kube-etcd", instance="10.90.0.12:2381", namespace="kube-system", pod=f"etcd-{sick}", service="kube-prometheus-stack-kube-etcd", endpoint="http-metrics")
    alerts = [alert(c, "etcdHighFsyncDurations", t + s(13 * 60), value="2.71", **e), alert(c, "etcdHighCommitDurations", t + s(13 * 60 + 30), value="1.9", **e),
              looping_alert(c, kcm, k, t + s(17 * 60)), looping_alert(c, inj[2][0], "cert-manager-cainjector", t + s(18 * 60)), mismatch(c, inj[0], t + s(19 * 60))]
    deliver(c, alerts, quiet)
    return truth(c, "The disk of etcd on hall9-m2 is slow; leases cannot be renewed in time and their holders restart", [incident(
        "etcd-disk", [("Pod", "kube-system", f"etcd-{sick}"), ("Node", sick)], ["(?i)etcd", r"(?i)(disk|fsync|fdatasync)"], [r"(?i)(disk|storage|ssd|i/?o\b)"], alerts, ["slow fdatasync"])],
        [r"(?i)member remove", r"(?i)rollout undo", r"(?i)cert-manager-cainjector (is|has) (broken|a bug)"])


def metrics_firewall():
    nodes = [(f"ip-10-8-{a}-{b}.ec2.internal", f"10.8.{a}.{b}", "") for a, b in ((3, 41), (4, 12), (5, 90))]
    c = Fleet("h1-metrics-server-firewall", "stage-us", "v1.31.0-eks-a737599", "2024-11-20T11:00:00", "2024-11-20T11:40:00", "autoscaling stopped", nodes, cni="aws", kernel="6.1.112-122.189.amzn2023.x86_64", os_image="Amazon Linux 2023.6.20241010",
              runtime="containerd://1.7.22", mon="observability", release="obs", dns=dict(ip="172.20.0.10"))
    quiet = hum(c, [nodes[1][0]])
    cs = [container("metrics-server", "registry.k8s.io/metrics-server/metrics-server:v0.7.2", args=["--secure-port=10250", "--cert-dir=/tmp", "--kubelet-preferred-address-types=InternalIP,ExternalIP,Hostname", "--kubelet-use-node-status-port", "--metric-resolution=15s"],
                    ports=[("https", 10250)], cpu="100m", memory="200Mi", live=("/livez", "https", "HTTPS", 0, 10, 1, 3), ready=("/readyz", "https", "HTTPS", 20, 10, 1, 3))]
    made = app(c, "observability", "ms-metrics-server", cs, [nodes[0][0]], "2024-10-28T10:00:00", labels={"app.kubernetes.io/name": "metrics-server", "app.kubernetes.io/instance": "ms"}, sa="ms-metrics-server", priority="system-cluster-critical")
    service(c, "observability", "ms-metrics-server", "2024-10-28T10:00:00", [("https", 443, "https")], {"app.kubernetes.io/name": "metrics-server", "app.kubernetes.io/instance": "ms"})
    t = c.t("11:03:20")
    api = apiservice(c, "v1beta1.metrics.k8s.io", "2024-10-28T10:00:00", "observability", "ms-metrics-server", "True", when("2024-10-28T10:01:00"), "Passed", "all checks passed")
    p = made[2][0]
    unready(c, p, t + s(31), "Readiness probe failed: HTTP probe failed with statuscode: 500", field="metrics-server")
    short_of(c, made[0], made[1], t + s(31), 0)
    c.modify(t + s(33), api, lambda o: o["status"].update(conditions=[cond("Available", "False", t + s(33), "MissingEndpoints", "endpoints for service/ms-metrics-server in \"observability\" have no addresses with port name \"https\"")]))
    lines = []
    for i in range(45):
        at = t + s(45 * i)
        for k, (n, ip, _) in enumerate(nodes):
            x = at + s(10 + k * 0.01)
            lines.append((x, f'E{x:%m%d %H:%M:%S.%f}       1 scraper.go:149] "Failed to scrape node, timeout to access kubelet" err="Get \\"https://{ip}:10250/metrics/resource\\": dial tcp {ip}:10250: i/o timeout" node="{n}" timeout="10s"'))
        x = at + s(11)
        lines.append((x, f'I{x:%m%d %H:%M:%S.%f}       1 server.go:191] "Failed probe" probe="metric-storage-ready" err="no metrics to serve"'))
    c.log("observability", p["metadata"]["name"], "metrics-server", lines)
    app_of(c, "storefront", "web", "storefront.example/web:v12", c.nodes[:2])
    h = hpa(c, "storefront", "web", "2024-10-28T11:00:00", "web", 2, 12, 2, [cond("AbleToScale", "True", when("2024-10-28T11:00:15"), "SucceededGetScale", "the HPA controller was able to get the target's current scale"),
            cond("ScalingActive", "False", t + s(70), "FailedGetResourceMetric", "the HPA was unable to compute the replica count: failed to get cpu utilization: unable to get metrics for resource cpu: unable to fetch metrics from resource metrics API: the server is currently unable to handle the request (get pods.metrics.k8s.io)")])
    c.event(h, "FailedGetResourceMetric", "failed to get cpu utilization: unable to get metrics for resource cpu: unable to fetch metrics from resource metrics API: the server is currently unable to handle the request (get pods.metrics.k8s.io)", t + s(70), c.end - s(20), 140, "Warning", by="horizontal-pod-autoscaler")
    c.event(h, "FailedComputeMetricsReplicas", "invalid metrics (1 invalid out of 1), first error is: failed to get cpu resource metric value: failed to get cpu utilization: unable to get metrics for resource cpu: unable to fetch metrics from resource metrics API: the server is currently unable to handle the request (get pods.metrics.k8s.io)", t + s(70), c.end - s(20), 140, "Warning", by="horizontal-pod-autoscaler")
    alerts = [alert(c, "KubeAggregatedAPIDown", t + s(12 * 60), value="0", name="v1beta1.metrics.k8s.io", namespace="default"), mismatch(c, made[0], t + s(16 * 60))]
    deliver(c, alerts, quiet)
    return truth(c, "metrics-server cannot reach the kubelets on port 10250: the packets are dropped", [incident(
        "kubelet-port", [("Deployment", "observability", "ms-metrics-server"), ("APIService", "v1beta1.metrics.k8s.io")], [r"(?i)(10250|kubelet)", r"(?i)(firewall|security group|network|time[sd]? ?out|unreachable|drop)"],
        [r"(?i)(10250|firewall|security group|network ?polic)"], symptoms=[{"alert": "KubeAggregatedAPIDown", "labels": {"name": "v1beta1.metrics.k8s.io"}}, {"alert": "KubeDeploymentReplicasMismatch", "labels": {"deployment": "ms-metrics-server"}}], evidence=["i/o timeout"])],
        [r"(?i)kubelet-insecure-tls", r"(?i)\bSAN\b", r"(?i)x509", r"(?i)web (is|has) (broken|crash)"])


def notify():
    c = Fleet("h2-alertmanager-cannot-notify", "farm", "v1.24.17+k3s1", "2023-11-09T06:00:00", "2023-11-09T06:35:00", "the channel has been silent",
              [("farm-a", "10.2.0.4", "control-plane"), ("farm-b", "10.2.0.5", "")], static=(), cni="flannel", runtime="containerd://1.7.3-k3s1", os_image="openSUSE Leap Micro 5.4", kernel="5.14.21-150400", taint=False,
              born="2023-03-09T08:00:00", dns=dict(image="rancher/mirrored-coredns-coredns:1.10.1", ip="10.43.0.10", nodes=["farm-a"]), proxy=False)
    quiet = hum(c, ["farm-a"])
    am = c.am[2][0]
    t = c.t("06:03:17")
    err = 'chat/slack[0]: notify retry canceled due to unrecoverable error after 1 attempts: channel \\"#ops-alerts\\": unexpected status code 404: channel_not_found'
    c.log(c.ns, am["metadata"]["name"], "alertmanager", [(t + s(300 * i), f'ts={t + s(300 * i):%Y-%m-%dT%H:%M:%S}.214Z caller=dispatch.go:352 level=error component=dispatcher msg="Notify for alerts failed" num_alerts=2 err="{err}"') for i in range(7)])
    a = alert(c, "AlertmanagerFailedToSendAlerts", t + s(660), value="100%", integration="slack", job=f"{c.release}-alertmanager", namespace=c.ns, pod=am["metadata"]["name"], service=f"{c.release}-alertmanager", container="alertmanager", endpoint="http-web", instance=am["status"]["podIP"] + ":9093")
    deliver(c, [a], quiet)
    sts = c.am[0]["metadata"]["name"]
    return truth(c, "Alertmanager cannot post to its Slack channel, which does not exist; nobody is told", [incident(
        "notify", [("StatefulSet", c.ns, sts), ("Pod", c.ns, am["metadata"]["name"]), ("Alertmanager", c.ns, f"{c.release}-alertmanager")], ["(?i)(notif|deliver|send)", "(?i)slack", r"(?i)(404|channel_not_found|not found|does not exist)"],
        [r"(?i)(receiver|channel|slack|api_url|webhook|configuration)"], symptoms=[{"alert": "AlertmanagerFailedToSendAlerts", "labels": {"integration": "slack"}}], evidence=["channel_not_found"])], [r"(?i)alertmanager (is|has) (down|crash)"])


def prometheus_memory():
    c = Fleet("h4-prometheus-out-of-memory", "hive", "v1.21.14", "2022-09-27T05:00:00", "2022-09-27T06:05:00", "the heartbeat stopped",
              [("hive-m", "10.31.0.10", "control-plane"), ("hive-1", "10.31.0.11", ""), ("hive-2", "10.31.0.12", "")], born="2022-01-10T08:00:00", era=2022, runtime="containerd://1.5.13", cni="calico", release="prometheus-stack", mon="telemetry")
    quiet = hum(c, ["hive-2"], style="short", every=400)
    p = c.prom[2][0]
    for st in (c.store, c.initial):
        for k, o in st.items():
            if k[1] == c.ns and "prometheus-prometheus-stack" in k[2] and k[0] in ("Pod", "StatefulSet"):
                (o["spec"] if k[0] == "Pod" else o["spec"]["template"]["spec"])["containers"][0]["resources"] = {"limits": {"memory": "2Gi"}, "requests": {"memory": "2Gi"}}
    t = c.t("05:17:22")

    def log(at):
        z = lambda d: f"{at + s(d):%Y-%m-%dT%H:%M:%S.}{(at + s(d)).microsecond // 1000:03d}Z"
        return [(at + s(0.2), f'ts={z(0.2)} caller=main.go:543 level=info msg="Starting Prometheus Server" mode=server version="(version=2.38.0, branch=HEAD, revision=818d6e60888b2a3ea363aee8a9828c7bafd73699)"'),
                (at + s(1.1), f'ts={z(1.1)} caller=head.go:536 level=info component=tsdb msg="Replaying on-disk memory mappable chunks if any"'),
                (at + s(9.3), f'ts={z(9.3)} caller=head.go:580 level=info component=tsdb msg="Replaying WAL, this may take a while"'),
                (at + s(14.9), f'ts={z(14.9)} caller=head.go:651 level=info component=tsdb msg="WAL segment loaded" segment=4410 maxSegment=4473')]
    crash_loop(c, p, "prometheus", t, 41, 137, "OOMKilled", log, since=when(p["metadata"]["creationTimestamp"]) + s(3))
    c.modify(t + s(2), c.prom[0], lambda o: o["status"].pop("readyReplicas", None))
    wd = quiet[0]
    wd.stale = t - s(10)
    for i in range(4):
        c.webhook(c.start + s(71 + 300 * i), "heartbeat", {"alertname": "Watchdog"}, [wd], '{}/{alertname="Watchdog"}')
    c.api_alerts([], "kwhy")
    sts = c.prom[0]["metadata"]["name"]
    return truth(c, "Prometheus runs out of its memory limit while it replays its log; no alert can fire", [incident(
        "prometheus", [("StatefulSet", c.ns, sts), ("Pod", c.ns, p["metadata"]["name"]), ("Prometheus", c.ns, f"{c.release}-prometheus")], [r"(?i)(watchdog|heartbeat|alert)", r"(?i)(memory|OOM)"], [r"(?i)(memory|limit)"], symptoms=[])],
        [r"(?i)all (is |are )?(clear|well|quiet|resolved)", r"(?i)alertmanager (is|has) (down|crash|failed)", r"(?i)node.{0,30}(out of memory|memory pressure)"], extra=1)


def policy():
    c = Fleet("h3-scrapes-behind-a-policy", "talos-ox", "v1.29.3", "2024-07-17T10:00:00", "2024-07-17T10:40:00", "targets of one namespace down",
              [("ox-cp-1", "172.16.4.10", "control-plane"), ("ox-w-1", "172.16.4.20", ""), ("ox-w-2", "172.16.4.21", "")], static=("kube-apiserver", "kube-controller-manager", "kube-scheduler"), cni="cilium", proxy=False,
              os_image="Talos (v1.6.7)", kernel="6.1.82-talos", runtime="containerd://1.7.13")
    quiet = hum(c, ["ox-w-1"])
    made = app_of(c, "orders", "orders-api", "ox.example/orders-api:v3.0.2", ["ox-w-1", "ox-w-2"])
    endpoints(c, c.get("Service", "orders", "orders-api"), sec(settled(c)).rstrip("Z"), made[2], [], [("http", 8080)])
    t = c.t("10:05:02")
    for nm, spec in (("default-deny-ingress", {"podSelector": {}, "policyTypes": ["Ingress"]}), ("allow-same-namespace", {"podSelector": {}, "ingress": [{"from": [{"podSelector": {}}]}], "policyTypes": ["Ingress"]})):
        c.added(t, {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": c.meta("NetworkPolicy", "orders", nm, t), "spec": spec})
    for p in made[2]:
        c.log("orders", p["metadata"]["name"], "orders-api", [(c.start + s(30 + 120 * i), '{"level":"info","msg":"order accepted","id":%d}' % (9100 + i)) for i in range(18)])
    a = alert(c, "TargetDown", t + s(11 * 60), value="100", job="orders-api", namespace="orders", service="orders-api")
    deliver(c, [a], quiet)
    return truth(c, "A new NetworkPolicy lets nobody from outside the namespace in, Prometheus included; the targets are well", [incident(
        "policy", [("NetworkPolicy", "orders", "default-deny-ingress"), ("NetworkPolicy", "orders", "allow-same-namespace")], [r"(?i)network ?polic", r"(?i)(prometheus|scrape|monitoring)"], [r"(?i)(allow|ingress|namespaceSelector)"], [a], [])],
        [r"(?i)orders-api (is|are|has) (down|crash|fail)", r"(?i)rollout (undo|restart)"])


def build():
    return [dns_dead(), corefile_typo(), upstream(), nxdomain(), webhook(), loopback_metrics(), slow_etcd(), metrics_firewall(), notify(), policy(), prometheus_memory()]
