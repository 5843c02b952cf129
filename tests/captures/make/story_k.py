"""Applications in trouble: configuration, credentials, images, probes, admission, networks; causes that lie far from what hurts."""

import copy

from flow import created_pod, resize, rollout_status, scaled, scheduled
from kit import digest, s, sec, suffix, when
from objs import app, clean, cm_volume, cond, configmap, container, deployment, endpoints, hpa, pod, pod_conditions, replicaset, service, simple, statefulset, status_of, template
from yard import (Yard, birth, gone, json_words, lacks, loop, loses_ready, makes_ready, managed, not_created, probe_fails, pull_fails, roll, stuck, unavailable, web)


def secret(c, ns, name, created, keys, t=None, kind="Opaque", owners=None):
    """A Secret as careful people hand it over: without its values."""
    o = {"apiVersion": "v1", "kind": "Secret", "type": kind, "metadata": c.meta("Secret", ns, name, when(created) if isinstance(created, str) else created, owners=owners), "data": {k: "UkVEQUNURUQ=" for k in keys}}
    return c.added(t, o) if t else c.add(o)


def from_secret(name, key):
    return {"valueFrom": {"secretKeyRef": {"key": key, "name": name}}}


def from_config(name, key):
    return {"valueFrom": {"configMapKeyRef": {"key": key, "name": name}}}


def truth(c, title, incidents, never=(), extra=0):
    c.truth = {"title": title, "incidents": incidents, "never": list(never), "extra_findings": extra}
    return c


def root(*names):
    out = []
    for n in names:
        parts = n.split("/")
        out.append({"kind": parts[0], "namespace": parts[1], "name": parts[2]} if len(parts) == 3 else {"kind": parts[0], "name": parts[1]})
    return out


def symptom(a, *labels):
    return {"alert": a.labels["alertname"], "labels": {k: a.labels[k] for k in labels}}


def ordinary(c, ns, name="gateway", image="nginx:1.25.2", n=2):
    """A workload that is well, with a warning of long ago: each capture has some."""
    made = app(c, ns, name, [web(name, image)], [c.workers[i % len(c.workers)] for i in range(n)], c.start - s(86400 * 40), revision=3, automount=False)
    p = made[2][0]
    probe_fails(c, p, "Readiness", f'Get "http://{p["status"]["podIP"]}:8080/ready": context deadline exceeded (Client.Timeout exceeded while awaiting headers)', c.start - s(800), c.start - s(790), 2)
    return made


# --- k1 -----------------------------------------------------------------------------------------------

def password():
    c = Yard("k1-database-password-rotated", "fjord", "v1.27.6", "2023-09-14T09:00:00", "2023-09-14T09:50:00", "billing and the customer portal answer errors",
             [(f"ip-10-3-{12 + i}-4{i}.eu-north-1.compute.internal", f"10.3.{12 + i}.4{i}", f"eu-north-1{z}", "amd64", 4, 16) for i, z in enumerate("abc")])
    c.gz.update({"objects.json", "events.json"})
    w = c.workers
    born = "2023-02-20T10:00:00"
    pg = container("postgres", "postgres:15.4", ports=[("postgres", 5432)], cpu="500m", memory="2Gi", limit_memory="2Gi", mounts=[("data", "/var/lib/postgresql/data", False)], token=False)
    pg["readinessProbe"] = {"exec": {"command": ["pg_isready", "-U", "postgres"]}, "failureThreshold": 3, "periodSeconds": 10, "successThreshold": 1, "timeoutSeconds": 1}
    _, _, (db,) = statefulset(c, "data", "pg-main", [pg], [w[1]], born, claims=[("data", "gp3", "50Gi")], automount=False)
    svc = service(c, "data", "pg-main", born, [("postgres", 5432, "postgres")], {"app": "pg-main"})
    endpoints(c, svc, born, [db], [], [("postgres", 5432)])
    for ns in ("data", "billing", "portal"):
        secret(c, ns, "ledger-db", born, ["username", "password"])
    env = {"PGHOST": "pg-main.data.svc.cluster.local", "PGUSER": from_secret("ledger-db", "username"), "PGPASSWORD": from_secret("ledger-db", "password")}
    made = {}
    for ns, nm, nodes in (("billing", "invoicer", [w[0], w[2]]), ("billing", "dunning", [w[0]]), ("portal", "accounts", [w[1], w[2]])):
        made[nm] = app(c, ns, nm, [web(nm, f"registry.fjord.example/{ns}/{nm}:2023.36.1", env=env, live=("/alive", "http", "HTTP", 20, 10, 2, 6) if nm == "dunning" else None)], nodes, born, revision=9, rs_created="2023-09-06T13:10:00", automount=False)
        service(c, ns, nm, born, [("http", 80, "http")], {"app": nm})
    ordinary(c, "portal", "static", "nginx:1.25.2")
    t = c.t("09:15:00")
    c.job_run("data", "rotate-ledger-db", "registry.fjord.example/ops/pg-rotate:1.4.0", t, 14, node_name=w[1], schedule="15 9 14 */3 *",
              lines=("ALTER ROLE ledger_rw: password changed", "secret data/ledger-db updated", "done"))
    c.modify(t + s(9), ("Secret", "data", "ledger-db"), lambda o: managed(o, "pg-rotate", t + s(9), {"f:data": {"f:password": {}}}))
    fail = 'FATAL: password authentication failed for user "ledger_rw" (SQLSTATE 28P01)'
    c.log("data", "pg-main-0", "postgres", [(c.t("09:05:12.1"), "2023-09-14 09:05:12.100 UTC [27] LOG:  checkpoint complete: wrote 412 buffers (2.5%); 0 WAL file(s) added, 0 removed, 1 recycled")] + [
        x for i in range(14) for x in ((c.t("09:21:40.2") + s(95 * i), f'{(c.t("09:21:40.2") + s(95 * i)):%Y-%m-%d %H:%M:%S}.200 UTC [{8112 + 7 * i}] FATAL:  password authentication failed for user "ledger_rw"'),
                                       (c.t("09:21:40.201") + s(95 * i), f'{(c.t("09:21:40.2") + s(95 * i)):%Y-%m-%d %H:%M:%S}.201 UTC [{8112 + 7 * i}] DETAIL:  Connection matched pg_hba.conf line 100: "host all all all scram-sha-256"'))])
    alerts = []
    for nm, at in (("invoicer", "09:21:44"), ("accounts", "09:23:10")):
        dep, _, pods = made[nm]
        for i, p in enumerate(pods):
            x = c.t(at) + s(37 * i)
            loses_ready(c, p, x)
            probe_fails(c, p, "Readiness", "HTTP probe failed with statuscode: 503", x - s(10), c.end - s(7), int((c.end - x).total_seconds() // 5))
            c.log(p["metadata"]["namespace"], p["metadata"]["name"], nm, [(c.t("09:01:22.4") + s(i), '{"level":"info","msg":"request","path":"/api/v2/open","status":200,"ms":31}')] + [
                (x - s(9) + s(61 * j), '{"level":"error","msg":"acquire connection","error":"failed to connect to `host=pg-main.data.svc.cluster.local user=ledger_rw database=ledger`: failed SASL auth (%s)"}' % fail) for j in range(22)])
        unavailable(c, dep, c.t(at) + s(38), 0)
        ns = dep["metadata"]["namespace"]
        alerts.append(c.fire("KubeDeploymentReplicasMismatch", c.t(at) + s(915), deployment=nm, namespace=ns))
    dep, _, (p,) = made["dunning"]
    loop(c, p, c.t("09:22:30"), c.end - s(15), 3, 1, "Error", lambda a: json_words(a, "dunning 2023.36.1 starting", "connecting to pg-main.data.svc.cluster.local:5432/ledger as ledger_rw", "panic: connect ledger: " + fail,
                                                                                "goroutine 1 [running]:", "main.main()", "\t/src/cmd/dunning/main.go:71 +0x3c8"))
    unavailable(c, dep, c.t("09:22:35"), 0)
    alerts.append(c.fire("KubePodCrashLooping", "09:33:12.4", container="dunning", namespace="billing", pod=p["metadata"]["name"], reason="CrashLoopBackOff", uid=p["metadata"]["uid"]))
    slo = c.custom("PortalErrorRatioHigh", "09:27:12.4", "portal/accounts answers more than 5% errors", namespace="portal", service="accounts")
    for n in w[:2]:
        c.hum(n)
    c.deliver()
    return truth(c, "The password of ledger_rw was rotated in the database; the copies in billing and portal still hold the old one", [{
        "id": "old-password", "root": root("Secret/data/ledger-db", "Secret/billing/ledger-db", "Secret/portal/ledger-db", "StatefulSet/data/pg-main", "Service/data/pg-main", "Pod/data/pg-main-0", "CronJob/data/rotate-ledger-db"),
        "says": [r"(?i)(password|credential|authenticat)", r"(?i)(rotat|chang|old|updated)"], "remedy": [r"(?i)(secret|password|credential)"],
        "symptoms": [symptom(a, "namespace") for a in alerts] + [symptom(slo, "service")], "evidence": [r"password authentication failed"],
    }], [r"(?i)rollout undo", r"(?i)(raise|increase) .{0,20}(memory|limit)", r"(?i)(restart|delete) .{0,30}pg-main", r"(?i)network ?polic"])


# --- k2 -----------------------------------------------------------------------------------------------

def key_removed():
    c = Yard("k2-configmap-key-removed", "tarn", "v1.31.4", "2025-02-18T14:00:00", "2025-02-18T14:45:00", "pods do not start after a node was drained",
             [("tarn-a", "172.20.4.11", "", "amd64", 8, 32), ("tarn-b", "172.20.4.12", "", "amd64", 8, 32), ("tarn-c", "172.20.4.13", "", "amd64", 8, 32)], era=2024)
    w = c.workers
    born = "2024-06-03T07:00:00"
    configmap(c, "storefront", "catalog-settings", born, {"SEARCH_TIMEOUT": "2s", "SEARCH_URL": "http://search.storefront:9200", "PAGE_SIZE": "48"})
    env = {"SEARCH_TIMEOUT": from_config("catalog-settings", "SEARCH_TIMEOUT"), "SEARCH_URL": from_config("catalog-settings", "SEARCH_URL")}
    cat = app(c, "storefront", "catalog", [web("catalog", "ghcr.io/tarn/catalog:5.2.0", env=env)], [w[0], w[1], w[2]], born, revision=14, rs_created="2025-02-03T10:02:00", automount=False)
    idx = app(c, "storefront", "indexer", [web("indexer", "ghcr.io/tarn/indexer:5.2.0", env=env)], [w[2]], born, revision=8, rs_created="2025-02-03T10:02:30", automount=False)
    other = app(c, "storefront", "cart", [web("cart", "ghcr.io/tarn/cart:3.0.9")], [w[2], w[0]], born, revision=4, rs_created="2025-01-20T10:02:30", automount=False)
    ordinary(c, "web")

    def edit(o):
        o["data"] = {"SEARCH_TIMEOUT_MS": "2000", "SEARCH_URL": o["data"]["SEARCH_URL"], "PAGE_SIZE": "48"}
        managed(o, "kubectl-edit", c.t("14:04:20"), {"f:data": {"f:SEARCH_TIMEOUT_MS": {}}})
    c.modify(c.t("14:04:20"), ("ConfigMap", "storefront", "catalog-settings"), edit)
    # the drain of a node, twelve minutes later, is what brings it to light
    t = c.t("14:16:02")

    def cordon(o):
        o["spec"]["unschedulable"] = True
        o["spec"]["taints"] = [{"effect": "NoSchedule", "key": "node.kubernetes.io/unschedulable", "timeAdded": sec(t)}]
    nd = c.modify(t, ("Node", "", w[2]), cordon)
    c.event(nd, "NodeNotSchedulable", f"Node {w[2]} status is now: NodeNotSchedulable", t, by="kubelet", host=w[2])
    note = "couldn't find key SEARCH_TIMEOUT in ConfigMap storefront/catalog-settings"
    alerts = []
    for i, ((dep, rs, pods), p) in enumerate(((cat, cat[2][2]), (idx, idx[2][0]), (other, other[2][0]))):
        x = t + s(2 + i)
        nm = dep["metadata"]["name"]
        gone(c, p, x)
        if nm == "cart":
            birth(c, rs, w[1], x + s(1), 9, ready_after=9)
            continue
        q = birth(c, rs, w[i], x + s(1), 9, waiting="CreateContainerConfigError", message=note)
        at = dict(host=w[i], field=nm)
        c.event(q, "Pulled", f'Container image "ghcr.io/tarn/{nm}:5.2.0" already present on machine', x + s(2), c.end - s(20), 126, **at)
        c.event(q, "Failed", f"Error: {note}", x + s(2), c.end - s(20), 126, "Warning", **at)
        unavailable(c, dep, x + s(3), len(pods) - 1)
        alerts += [(c.fire("KubePodNotReady", x + s(930), namespace="storefront", pod=q["metadata"]["name"]), "pod"), (c.fire("KubeDeploymentReplicasMismatch", x + s(945), deployment=nm, namespace="storefront"), "deployment")]
    c.hum(w[0])
    c.hum(w[1], style="short")
    c.deliver()
    return truth(c, "catalog-settings lost the key SEARCH_TIMEOUT; pods made anew cannot start", [{
        "id": "key-gone", "root": root("ConfigMap/storefront/catalog-settings"), "says": [r"SEARCH_TIMEOUT", r"catalog-settings"], "remedy": [r"(?i)(SEARCH_TIMEOUT|configmap|catalog-settings)"],
        "symptoms": [symptom(a, k) for a, k in alerts], "evidence": [r"couldn't find key SEARCH_TIMEOUT"],
    }], [r"(?i)uncordon", r"(?i)rollout undo", r"(?i)node .{0,20}(is|are) (down|not ready)"])


# --- k3 -----------------------------------------------------------------------------------------------

def secret_missing():
    c = Yard("k3-missing-secret-restored", "heath", "v1.22.17", "2022-11-08T10:00:00", "2022-11-08T10:50:00", "half of the new namespace does not start",
             [("heath-cp", "10.77.0.10", "", "amd64", 4, 8), ("heath-n1", "10.77.0.21", "", "amd64", 8, 32), ("heath-n2", "10.77.0.22", "", "amd64", 8, 32)], control="heath-cp", era=2022)
    w = c.workers
    ordinary(c, "production", "mailer", "registry.heath.example/mailer:41")
    t = c.t("10:04:10")
    alerts = []
    env = {"SMTP_USER": from_secret("smtp-credentials", "user"), "SMTP_PASSWORD": from_secret("smtp-credentials", "password")}
    fix = c.t("10:31:44")
    for i, nm in enumerate(("mailer", "signup", "browse")):
        x = t + s(i)
        tpl = template([web(nm, f"registry.heath.example/{nm}:42", env=env if nm != "browse" else None)], {"app": nm}, automount=False)
        dep = deployment(c, "staging-eu", nm, x, tpl, 1, 1, current=f"{nm}-{digest(nm)[:9]}")
        del c.store[("Deployment", "staging-eu", nm)], c.initial[("Deployment", "staging-eu", nm)]
        dep["status"] = {"observedGeneration": 1, "replicas": 1, "updatedReplicas": 1, "unavailableReplicas": 1, "conditions": [
            cond("Available", "False", x, "MinimumReplicasUnavailable", "Deployment does not have minimum availability.", update=x), cond("Progressing", "True", x, "ReplicaSetUpdated", f'ReplicaSet "{nm}" is progressing.', update=x)]}
        c.added(x, dep)
        rs = replicaset(c, dep, ("7d9f5b6c4d", "5c8d7f4b9c", "66f9b4d5c7")[i], x, tpl, 1, 0, add=False)
        c.added(x + s(0.2), rs)
        scaled(c, dep, rs["metadata"]["name"], 0, 1, x)
        if nm == "browse":
            birth(c, rs, w[0], x, ready_after=11)
            resize(c, rs, x + s(11.2), 1)
            rollout_status(c, dep, x + s(12), availableReplicas=1, readyReplicas=1, unavailableReplicas=0, ok=True, progress=("True", "NewReplicaSetAvailable", f'ReplicaSet "{rs["metadata"]["name"]}" has successfully progressed.'))
            continue
        note = 'secret "smtp-credentials" not found'
        p = birth(c, rs, w[i], x, waiting="CreateContainerConfigError", message=note)
        at = dict(host=w[i], field=nm)
        c.event(p, "Pulled", f'Container image "registry.heath.example/{nm}:42" already present on machine', x + s(2), fix - s(4), 131, **at)
        c.event(p, "Failed", f"Error: {note}", x + s(2), fix - s(4), 131, "Warning", **at)
        stuck(c, dep, rs, x)
        b = fix + s(9 + i * 4)
        makes_ready(c, p, b + s(6))
        resize(c, rs, b + s(6.2), 1)
        c.event(p, "Created", f"Created container {nm}", b, **at)
        c.event(p, "Started", f"Started container {nm}", b, **at)
        rollout_status(c, dep, b + s(7), availableReplicas=1, readyReplicas=1, unavailableReplicas=0, ok=True, progress=("True", "NewReplicaSetAvailable", f'ReplicaSet "{rs["metadata"]["name"]}" has successfully progressed.'))
        alerts += [(c.fire("KubePodNotReady", x + s(925), fix + s(50), namespace="staging-eu", pod=p["metadata"]["name"]), "pod"), (c.fire("KubeDeploymentReplicasMismatch", x + s(940), fix + s(55), deployment=nm, namespace="staging-eu"), "deployment")]
        c.log("staging-eu", p["metadata"]["name"], nm, [(b + s(0.4), f"{nm} 42 listening on :8080"), (b + s(1.4), "smtp relay.heath.example:587 authenticated")])
    secret(c, "staging-eu", "smtp-credentials", fix, ["user", "password"], t=fix)
    c.job_run("production", "newsletter", "registry.heath.example/newsletter:12", c.t("10:30:00"), 21, lines=("sent 0 letters",), schedule="30 * * * *")
    c.hum("heath-n1", style="short")
    c.deliver(by=("alertname", "namespace"))
    return truth(c, "staging-eu had no Secret smtp-credentials; it was made at 10:31:44 and both workloads started", [{
        "id": "no-secret", "root": root("Secret/staging-eu/smtp-credentials", "Deployment/staging-eu/mailer", "Deployment/staging-eu/signup"), "says": [r"smtp-credentials", r"(?i)(not found|does not exist|missing|no secret|never made)", r"(?i)(fixed|resolved|recovered|confirmed|mended|cleared|created|made|gone)"],
        "remedy": [r"(?i)smtp-credentials"], "symptoms": [symptom(a, k, "namespace") for a, k in alerts], "evidence": [r'secret "smtp-credentials" not found'],
    }], [r"(?i)rollout undo", r"(?i)production.{0,30}(fail|down|broken)"])


# --- k4 -----------------------------------------------------------------------------------------------

def architecture():
    c = Yard("k4-image-for-another-architecture", "delta", "v1.28.9", "2024-05-21T16:00:00", "2024-05-21T16:40:00", "half of the thumbnailers crash",
             [("delta-x-01", "10.40.0.11", "eu-west-1a", "amd64", 4, 16), ("delta-x-02", "10.40.0.12", "eu-west-1b", "amd64", 4, 16), ("delta-g-01", "10.40.0.31", "eu-west-1a", "arm64", 8, 32)])
    born = "2023-10-02T09:00:00"
    dep, rs, pods = app(c, "media", "thumbnailer", [web("thumbnailer", "registry.delta.example/media/thumbnailer:1.31.0")], ["delta-x-01", "delta-x-02"], born, revision=11, rs_created="2024-05-02T12:00:00", automount=False)
    ordinary(c, "web", "edge", "envoyproxy/envoy:v1.29.2", 3)
    h = hpa(c, "media", "thumbnailer", born, "thumbnailer", 2, 6, 2, [
        cond("AbleToScale", "True", when("2023-10-02T09:00:15"), "ReadyForNewScale", "recommended size matches current size"),
        cond("ScalingActive", "True", when("2024-05-01T06:09:00"), "ValidMetricFound", "the HPA was able to successfully calculate a replica count from cpu resource utilization (percentage of request)"),
        cond("ScalingLimited", "False", when("2024-05-20T07:10:00"), "DesiredWithinRange", "the desired count is within the acceptable range")], cpu_now=88)
    t = c.t("16:05:30")
    c.event(h, "SuccessfulRescale", "New size: 4; reason: cpu resource utilization (percentage of request) above target", t, by="horizontal-pod-autoscaler")
    scaled(c, dep, rs["metadata"]["name"], 2, 4, t)

    def grow(o):
        o["spec"]["replicas"] = 4
        o["metadata"]["generation"] += 1
    c.modify(t, dep, grow)
    c.modify(t, h, lambda o: o["status"].update({"desiredReplicas": 4, "currentReplicas": 4}))
    alerts = []
    for i in range(2):
        p = birth(c, rs, "delta-g-01", t + s(0.2), i, start=False)
        loop(c, p, t + s(4 + i), c.end - s(15), 1, 1, "Error", lambda a: [(a + s(0.08), "exec /usr/local/bin/thumbnailer: exec format error")])
        alerts.append(c.fire("KubePodCrashLooping", t + s(905 + 30 * i), container="thumbnailer", namespace="media", pod=p["metadata"]["name"], reason="CrashLoopBackOff", uid=p["metadata"]["uid"]))
    resize(c, rs, t + s(1), 4, 2)
    unavailable(c, dep, t + s(5), 2)
    alerts.append(c.fire("KubeDeploymentReplicasMismatch", t + s(960), deployment="thumbnailer", namespace="media"))
    for p in pods:
        c.log("media", p["metadata"]["name"], "thumbnailer", [(c.start + s(70 * i + 3.3), f'level=info msg="resized" source=s3://originals/{digest(i)[:8]}.jpg took={40 + i * 13 % 70}ms') for i in range(20)])
    c.hum("delta-g-01")
    c.hum("delta-x-01")
    c.deliver()
    return truth(c, "thumbnailer's image holds amd64 programs alone; two of its pods were placed on an arm64 node", [{
        "id": "wrong-architecture", "root": root("Deployment/media/thumbnailer", "Node/delta-g-01"), "says": [r"(?i)(architecture|arm64|exec format)", r"delta-g-01|arm64"],
        "remedy": [r"(?i)(multi-?arch|amd64|arm64|nodeSelector|affinity|architecture|platform)"], "symptoms": [symptom(a, "pod" if "Crash" in a.labels["alertname"] else "deployment") for a in alerts], "evidence": ["exec format error"],
    }], [r"(?i)rollout undo", r"(?i)(memory|OOM)", r"(?i)(lower|reduce) maxReplicas"])


# --- k5 -----------------------------------------------------------------------------------------------

def one_node_cannot_pull():
    c = Yard("k5-one-node-cannot-pull", "quarry", "v1.20.15", "2021-12-02T21:00:00", "2021-12-02T21:40:00", "some pods of the evening releases do not start",
             [("quarry-cp", "10.8.0.10", "", "amd64", 4, 8), ("quarry-1", "10.8.0.21", "", "amd64", 8, 32), ("quarry-2", "10.8.0.22", "", "amd64", 8, 32), ("quarry-3", "10.8.0.23", "", "amd64", 8, 32)], born="2020-01-11T08:00:00", control="quarry-cp", era=2022)
    alerts = []
    for i, (ns, nm) in enumerate((("crm", "leads"), ("mrp", "planner"), ("intranet", "wiki"))):
        born = "2021-03-01T08:00:00"
        made = app(c, ns, nm, [web(nm, f"registry.quarry.example/{ns}/{nm}:88")], ["quarry-1", "quarry-2"], born, revision=20 + i, rs_created="2021-11-20T08:00:00", automount=False)
        t = c.t("21:02:10") + s(220 * i)
        rs, tpl = roll(c, made, t, [web(nm, f"registry.quarry.example/{ns}/{nm}:89")], ("6bd9c5f7d8", "7f8c9d6b54", "5d4c8b7f96")[i], first=1)
        ok = birth(c, rs, f"quarry-{1 + i % 2}", t + s(0.4), 0, ready_after=14, pull=3.217)
        gone(c, made[2][0], t + s(15), made[1])
        scaled(c, made[0], made[1]["metadata"]["name"], 2, 1, t + s(15))
        scaled(c, made[0], rs["metadata"]["name"], 1, 2, t + s(15))
        resize(c, made[1], t + s(15), 1)
        resize(c, rs, t + s(15), 2, 1)
        bad = birth(c, rs, "quarry-3", t + s(15.2), 1, waiting="ImagePullBackOff", message=f'Back-off pulling image "registry.quarry.example/{ns}/{nm}:89"')
        pull_fails(c, bad, "rpc error: code = Unknown desc = Error response from daemon: Get https://registry.quarry.example/v2/: proxyconnect tcp: dial tcp 10.8.0.3:3128: connect: connection refused", t + s(17), c.end - s(23 + i), 10 - i)
        rollout_status(c, made[0], t + s(16), replicas=3, updatedReplicas=2, availableReplicas=2, readyReplicas=2, unavailableReplicas=1)
        stuck(c, made[0], rs, t + s(16))
        if t + s(950) < c.end:
            alerts.append(c.fire("KubePodNotReady", t + s(935), namespace=ns, pod=bad["metadata"]["name"]))
    nd = c.get("Node", "", "quarry-3")
    c.event(nd, "Starting", "Starting kubelet.", c.t("20:47:02"), by="kubelet", host="quarry-3")
    c.event(nd, "NodeAllocatableEnforced", "Updated Node Allocatable limit across pods", c.t("20:47:04"), by="kubelet", host="quarry-3")
    ordinary(c, "intranet", "chat", "registry.quarry.example/intranet/chat:3")
    for n in ("quarry-2", "quarry-3"):
        c.hum(n, style="short")
    for i in range(6):
        c.klog("quarry-3", c.t("21:06:30") + s(300 * i), "E", "remote_image.go:113", 'PullImage "registry.quarry.example/crm/leads:89" from image service failed: rpc error: code = Unknown desc = Error response from daemon: Get https://registry.quarry.example/v2/: proxyconnect tcp: dial tcp 10.8.0.3:3128: connect: connection refused')
    c.deliver(by=("alertname",))
    return truth(c, "quarry-3 pulls images through a proxy that refuses connections; other nodes pull from the same registry", [{
        "id": "node-proxy", "root": root("Node/quarry-3"), "says": [r"quarry-3", r"(?i)(pull|registry)", r"(?i)(proxy|refused|reach|connect)"], "remedy": [r"(?i)(proxy|registry|network|connect)"],
        "symptoms": [symptom(a, "pod") for a in alerts], "evidence": [r"proxyconnect tcp"],
    }], [r"(?i)(tag|image) .{0,30}(does not exist|wrong|misspelt)", r"(?i)imagePullSecret", r"(?i)rollout undo", r"(?i)log ?in"])


# --- k6 -----------------------------------------------------------------------------------------------

def hub_limit():
    c = Yard("k6-docker-hub-rate-limit", "ostrava", "v1.25.16", "2023-12-11T05:00:00", "2023-12-11T05:45:00", "pods wait for images after the night's node replacement",
             [("pool-a-x7k2", "10.128.0.4", "europe-west3a", "amd64", 4, 16), ("pool-a-q9d5", "10.128.0.5", "europe-west3b", "amd64", 4, 16)])
    t = c.t("05:03:00")
    c.join("pool-a-m4zt", "10.128.0.9", "europe-west3a", "amd64", 4, 16, t, "10.120.9.0/24", add=False)
    c.workers.append("pool-a-m4zt")
    c.settle("pool-a-m4zt", t + s(25))
    note = "rpc error: code = Unknown desc = failed to pull and unpack image \"docker.io/%s\": failed to copy: httpReadSeeker: failed open: unexpected status code https://registry-1.docker.io/v2/%s/manifests/sha256:%s: 429 Too Many Requests - Server message: toomanyrequests: You have reached your pull rate limit. You may increase the limit by authenticating and upgrading: https://www.docker.com/increase-rate-limit"
    alerts = []
    for i, (ns, nm, image, full) in enumerate((("sessions", "redis", "redis:7.2.3-alpine", "library/redis:7.2.3-alpine"), ("forms", "clamav", "clamav/clamav:1.2.1", "clamav/clamav:1.2.1"), ("forms", "pdf", "gotenberg/gotenberg:7.10.1", "gotenberg/gotenberg:7.10.1"))):
        dep, rs, pods = app(c, ns, nm, [web(nm, image)], ["pool-a-x7k2", "pool-a-q9d5"], "2023-05-02T08:00:00", revision=3, rs_created="2023-11-21T08:00:00", automount=False)
        x = t + s(130 + 20 * i)
        gone(c, pods[0], x)
        p = birth(c, rs, "pool-a-m4zt", x + s(1), 5, waiting="ImagePullBackOff", message=f'Back-off pulling image "{image}"')
        pull_fails(c, p, note % (full, full.split(":")[0], digest(full)), x + s(4), c.end - s(31 + i), 9)
        unavailable(c, dep, x + s(4), 1)
        alerts += [(c.fire("KubePodNotReady", x + s(920), namespace=ns, pod=p["metadata"]["name"]), "pod"), (c.fire("KubeDeploymentReplicasMismatch", x + s(950), deployment=nm, namespace=ns), "deployment")]
    dep, rs, pods = app(c, "forms", "frontdoor", [web("frontdoor", "europe-docker.pkg.dev/ostrava/web/frontdoor:71")], ["pool-a-x7k2", "pool-a-q9d5"], "2023-05-02T08:00:00", automount=False)
    x = t + s(190)
    gone(c, pods[0], x)
    birth(c, rs, "pool-a-m4zt", x + s(1), 5, ready_after=12, pull=4.602)
    c.hum("pool-a-q9d5")
    c.deliver(webhooks=False, posts=600)
    return truth(c, "Docker Hub refuses further pulls: the limit of anonymous pulls is used up", [{
        "id": "rate-limit", "root": root("Deployment/sessions/redis", "Deployment/forms/clamav", "Deployment/forms/pdf", "Node/pool-a-m4zt"), "says": [r"(?i)(rate ?limit|too many requests|pull limit)", r"(?i)(docker hub|docker\.io|registry)"],
        "remedy": [r"(?i)(imagePullSecret|authenticat|log ?in|mirror|cache|credential|wait)"], "symptoms": [symptom(a, k) for a, k in alerts], "evidence": [r"toomanyrequests"],
    }], [r"(?i)(tag|image) .{0,30}(does not exist|wrong|misspelt)", r"(?i)rollout undo", r"(?i)(drain|cordon)"])


# --- k7 -----------------------------------------------------------------------------------------------

def slow_start():
    c = Yard("k7-liveness-kills-slow-start", "moraine", "v1.24.17", "2023-04-19T07:00:00", "2023-04-19T08:00:00", "geo-index never becomes ready; its alert comes and goes",
             [("m-cp1", "192.168.40.2", "", "amd64", 4, 8), ("m-w1", "192.168.40.11", "", "amd64", 16, 64), ("m-w2", "192.168.40.12", "", "amd64", 16, 64)], control="m-cp1")

    def cs(tag):
        return [web("geo", f"harbor.moraine.example/routing/geo-index:{tag}", live=("/healthz", "http", "HTTP", 20, 10, 1, 3), memory="4Gi", limit_memory="12Gi")]
    made = app(c, "routing", "geo-index", cs("2023.03"), ["m-w1", "m-w2"], "2022-06-01T08:00:00", revision=5, rs_created="2023-03-05T08:00:00", automount=False)
    service(c, "routing", "geo-index", "2022-06-01T08:00:00", [("http", 80, "http")], {"app": "geo-index"})
    ordinary(c, "routing", "router", "harbor.moraine.example/routing/router:90")
    t = c.t("07:04:00")
    rs, tpl = roll(c, made, t, cs("2023.04"), "6c5f7d9b8d")
    p = birth(c, rs, "m-w1", t + s(0.3), start=False)

    def words(a):
        return [(a + s(0.3), "geo-index 2023.04"), (a + s(0.9), "loading /data/planet-2304.bin (38 GiB)"), (a + s(16), "loading 22%"), (a + s(32), "loading 44%"), (a + s(45), "loading 62%"), (a + s(50.1), "signal 15 received, exiting")]
    loop(c, p, t + s(4), c.end - s(30), 51, 143, "Error", words)
    ip = p["status"]["podIP"]
    n = 9
    probe_fails(c, p, "Liveness", f'Get "http://{ip}:8080/healthz": dial tcp {ip}:8080: connect: connection refused', t + s(24), c.end - s(200), 3 * n, "geo")
    probe_fails(c, p, "Readiness", f'Get "http://{ip}:8080/ready": dial tcp {ip}:8080: connect: connection refused', t + s(6), c.end - s(201), 10 * n, "geo")
    c.event(p, "Killing", "Container geo failed liveness probe, will be restarted", t + s(54), c.end - s(200), n, host="m-w1", field="geo")
    stuck(c, made[0], rs, t)
    at = dict(container="geo", namespace="routing", pod=p["metadata"]["name"], reason="CrashLoopBackOff", uid=p["metadata"]["uid"])
    flaps = [c.fire("KubePodCrashLooping", a, b, **at) for a, b in (("07:14:20.5", "07:22:20.5"), ("07:27:50.5", "07:33:20.5"), ("07:39:50.5", None))]
    roll_stuck = c.fire("KubeDeploymentRolloutStuck", "07:29:21.1", condition="Progressing", deployment="geo-index", namespace="routing", status="false")
    c.hum("m-w1")
    c.hum("m-w2", style="json")
    c.job_run("routing", "tiles-gc", "harbor.moraine.example/routing/tools:12", c.t("07:30:00"), 12, lines=("removed 118 tiles",), node_name="m-w2")
    c.deliver()
    return truth(c, "geo-index 2023.04 needs more than a minute to load; its liveness probe kills it after 50 seconds", [{
        "id": "liveness", "root": root("Deployment/routing/geo-index"), "says": [r"(?i)liveness", r"(?i)(kill|restart)"], "remedy": [r"(?i)(startupProbe|initialDelay|failureThreshold)"],
        "symptoms": [symptom(flaps[0], "pod"), symptom(roll_stuck, "deployment")], "evidence": [r"(?i)liveness probe"],
    }], [r"(?i)(OOM|out of memory|raise .{0,20}memory)", r"(?i)remove the liveness", r"(?i)network ?polic"])


# --- k8 -----------------------------------------------------------------------------------------------

def no_endpoints():
    c = Yard("k8-service-selector-cascade", "skerry", "v1.30.6", "2024-11-05T12:00:00", "2024-11-05T12:50:00", "carts, tills and reports fail at noon",
             [("skerry-1", "10.9.1.11", "", "amd64", 8, 32), ("skerry-2", "10.9.1.12", "", "amd64", 8, 32), ("skerry-3", "10.9.1.13", "", "amd64", 8, 32)])
    c.gz.update({"objects.json", "events.json"})
    w, born = c.workers, "2023-08-01T08:00:00"
    my = container("mysql", "mysql:8.0.36", ports=[("mysql", 3306)], cpu="1", memory="4Gi", limit_memory="4Gi", mounts=[("data", "/var/lib/mysql", False)], token=False)
    _, _, (db,) = statefulset(c, "data", "cart-db", [my], [w[2]], born, claims=[("data", "ceph-block", "80Gi")], automount=False)
    svc = service(c, "data", "cart-db", born, [("mysql", 3306, "mysql")], {"app": "cart-db"})
    ep = endpoints(c, svc, born, [db], [], [("mysql", 3306)])
    made = {}
    for ns, nm, nodes in (("shop", "cart", [w[0], w[1]]), ("pos", "tills", [w[0], w[2]]), ("reports", "daily", [w[1]])):
        made[nm] = app(c, ns, nm, [web(nm, f"ghcr.io/skerry/{nm}:4.{len(nm)}.0", env={"DATABASE_URL": "mysql://app@cart-db.data.svc:3306/cart"})], nodes, born, revision=6, rs_created="2024-10-14T08:00:00", automount=False)
        service(c, ns, nm, born, [("http", 80, "http")], {"app": nm})
    ordinary(c, "shop", "assets")
    t = c.t("12:06:41")

    def relabel(o):
        o["spec"]["selector"] = {"app.kubernetes.io/name": "cart-db"}
        managed(o, "helm", t, {"f:spec": {"f:selector": {}}})
    c.modify(t, svc, relabel)
    c.modify(t + s(0.2), ep, lambda o: o.update({"subsets": []}))
    alerts = []
    for i, (nm, (dep, rs, pods)) in enumerate(made.items()):
        ns = dep["metadata"]["namespace"]
        for j, p in enumerate(pods):
            x = t + s(14 + 6 * i + 3 * j)
            loses_ready(c, p, x)
            probe_fails(c, p, "Readiness", "HTTP probe failed with statuscode: 503", x - s(10), c.end - s(9), int((c.end - x).total_seconds() // 5))
            c.log(ns, p["metadata"]["name"], nm, [(c.start + s(20 + j), "INFO  ready, 12 connections in the pool")] + [(x - s(9) + s(73 * k), f"ERROR SQLNonTransientConnectionException: Could not connect to address=(host=cart-db.data.svc)(port=3306)(type=master) : Socket fail to connect to host:cart-db.data.svc, port:3306. Connection refused (Connection refused)") for k in range(30)])
        unavailable(c, dep, t + s(30), 0)
        alerts.append((c.fire("KubeDeploymentReplicasMismatch", t + s(935 + 7 * i), deployment=nm, namespace=ns), "deployment"))
    alerts.append((c.custom("CheckoutErrorBudgetBurn", "12:11:10.1", "checkout burns its error budget 14 times too fast", namespace="shop", service="cart"), "service"))
    c.log("data", "cart-db-0", "mysql", [(c.start + s(300), "2024-11-05T12:05:00.112344Z 0 [Note] [MY-010914] [Server] Aborted connection 8112 to db: 'cart' user: 'app' host: '10.104.0.9' (Got an error reading communication packets).")])
    c.hum(w[2])
    c.deliver(by=("alertname",))
    return truth(c, "Service data/cart-db selects a label that its pods do not carry since 12:06:41; three applications lost their database", [{
        "id": "selector", "root": root("Service/data/cart-db"), "says": [r"cart-db", r"(?i)(selector|selects?|no endpoints|label)"], "remedy": [r"(?i)(selector|label)"],
        "symptoms": [symptom(a, k) for a, k in alerts], "evidence": [r"(?i)(app\.kubernetes\.io/name|selector)", r"Could not connect"],
    }], [r"(?i)rollout undo deployment", r"(?i)(restart|delete) .{0,30}cart-db-0", r"(?i)network ?polic"])


# --- k9 -----------------------------------------------------------------------------------------------

def migration():
    c = Yard("k9-init-container-waits-for-failed-migration", "lagoon", "v1.33.2", "2025-08-12T18:00:00", "2025-08-12T18:45:00", "the ledger release hangs",
             [("lagoon-cp-0", "10.61.0.5", "", "amd64", 4, 8), ("lagoon-wk-0", "10.61.0.10", "", "amd64", 8, 32), ("lagoon-wk-1", "10.61.0.11", "", "amd64", 8, 32)], control="lagoon-cp-0", era=2026)
    w = c.workers
    waiter = {"name": "wait-for-schema", "image": "registry.lagoon.example/ledger-api:r17", "imagePullPolicy": "IfNotPresent", "args": ["wait-for-schema", "--want=42"], "resources": {}, "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File"}
    made = app(c, "finance", "ledger-api", [web("ledger-api", "registry.lagoon.example/ledger-api:r16")], [w[0], w[1]], "2024-09-01T08:00:00", revision=16, rs_created="2025-07-22T08:00:00", automount=False)
    ordinary(c, "finance", "statements", "registry.lagoon.example/statements:r16")
    t = c.t("18:02:00")
    job = c.job_run("finance", "ledger-migrate-r17", "registry.lagoon.example/ledger-api:r17", t, 5, owned=False, backoff=2, codes=(1, 1, 1), container_name="migrate",
                    lines=("migrate: schema version is 41, applying 42_reconciliation.sql", "ERROR:  permission denied for schema accounting (SQLSTATE 42501)", "migrate: 42_reconciliation.sql failed, rolled back"))
    r = t + s(12)
    rs, tpl = roll(c, made, r, [web("ledger-api", "registry.lagoon.example/ledger-api:r17")], "5f6d8c9b7c", init=[waiter])
    p = pod(c, rs, "ledger-api-5f6d8c9b7c-k4x7w", w[0], r, rs["spec"]["template"], phase="Pending", started=r + s(3))
    p["status"]["containerStatuses"] = [status_of(c, tpl["spec"]["containers"][0], r, ready=False, state={"waiting": {"reason": "PodInitializing"}}, seen=False)]
    p["status"]["initContainerStatuses"] = [status_of(c, waiter, r + s(3), ready=False, state={"running": {"startedAt": sec(r + s(3))}}, salt="init")]
    p["status"]["conditions"] = [cond("PodReadyToStartContainers", "True", r + s(2), probe=True), cond("Initialized", "False", r, "ContainersNotInitialized", "containers with incomplete status: [wait-for-schema]", probe=True),
                                 cond("Ready", "False", r, "ContainersNotReady", "containers with unready status: [ledger-api]", probe=True), cond("ContainersReady", "False", r, "ContainersNotReady", "containers with unready status: [ledger-api]", probe=True), cond("PodScheduled", "True", r, probe=True)]
    c.added(r + s(3), p)
    created_pod(c, rs, p, r)
    scheduled(c, p, r)
    for why, text in (("Pulled", 'Container image "registry.lagoon.example/ledger-api:r17" already present on machine'), ("Created", "Created container: wait-for-schema"), ("Started", "Started container wait-for-schema")):
        c.event(p, why, text, r + s(2), host=w[0])["involvedObject"]["fieldPath"] = "spec.initContainers{wait-for-schema}"
    c.log("finance", p["metadata"]["name"], "wait-for-schema", [(r + s(4 + 30 * i), "schema version is 41, want 42; waiting 30s") for i in range(84)])
    stuck(c, made[0], rs, r)
    alerts = [(c.fire("KubeJobFailed", c.last_end + s(925), job_name="ledger-migrate-r17", namespace="finance", condition="true", reason="BackoffLimitExceeded"), "job_name"), (c.fire("KubePodNotReady", r + s(925), namespace="finance", pod=p["metadata"]["name"]), "pod"),
              (c.fire("KubeDeploymentRolloutStuck", r + s(1530), condition="Progressing", deployment="ledger-api", namespace="finance", status="false"), "deployment")]
    c.hum(w[0], style="short-iso-precise")
    c.deliver()
    return truth(c, "The migration Job failed (permission denied for schema accounting); the new pods' init container waits for schema 42", [{
        "id": "migration", "root": root("Job/finance/ledger-migrate-r17"), "says": [r"ledger-migrate-r17", r"(?i)(fail|BackoffLimit)"], "remedy": [r"(?i)(job|migrat)"],
        "symptoms": [symptom(a, k) for a, k in alerts], "evidence": [r"permission denied for schema accounting"],
    }], [r"(?i)(raise|increase) .{0,20}(memory|limit|backoffLimit)", r"(?i)probe"], 0)


# --- k10 ----------------------------------------------------------------------------------------------

def two_causes():
    c = Yard("k10-two-causes-at-once", "bergen", "v1.26.11", "2024-01-01T00:00:00", "2024-01-01T00:50:00", "two teams are paged on New Year's Day",
             [("bergen-1", "10.15.0.11", "no1a", "amd64", 8, 32), ("bergen-2", "10.15.0.12", "no1a", "amd64", 8, 32), ("bergen-3", "10.15.0.13", "no1b", "amd64", 8, 32)])
    w = c.workers
    # one: a licence that ends with the year; nothing was changed
    _, _, pods = statefulset(c, "geo", "tiles", [web("tiles", "registry.bergen.example/geo/tileserver:8.4", memory="1Gi", limit_memory="3Gi")], [w[0], w[2]], "2022-03-01T08:00:00", automount=False)
    crash = lambda a: json_words(a, "2024-01-01 INFO  TileServer 8.4 starting (OpenJDK 17.0.8)", "2024-01-01 ERROR startup failed", "com.geosoft.license.LicenseExpiredException: license GS-20931 expired on 2023-12-31",
                                 "\tat com.geosoft.license.Verifier.check(Verifier.java:88)", "\tat com.geosoft.tiles.Main.main(Main.java:41)")
    alerts = []
    for i, p in enumerate(pods):
        loop(c, p, c.t("00:03:10") + s(40 * i), c.end - s(15), 6, 1, "Error", crash, keep=3)
        alerts.append(c.fire("KubePodCrashLooping", c.t("00:18:40") + s(30 * i), container="tiles", namespace="geo", pod=p["metadata"]["name"], reason="CrashLoopBackOff", uid=p["metadata"]["uid"]))
    c.modify(c.t("00:03:18"), ("StatefulSet", "geo", "tiles"), lambda o: o["status"].update({"readyReplicas": 0, "availableReplicas": 0}))
    alerts.append(c.fire("KubeStatefulSetReplicasMismatch", "00:18:55.2", statefulset="tiles", namespace="geo"))
    # two: the service account of the build agents was deleted; a finished agent is not replaced
    simple(c, "ServiceAccount", "ci", "runner", "2022-05-01T08:00:00")
    dep, rs, agents = app(c, "ci", "agents", [container("agent", "registry.bergen.example/ci/agent:3.9", cpu="1", memory="2Gi", limit_memory="2Gi")], [w[1], w[2], w[1]], "2022-05-01T08:00:00", sa="runner", revision=7, rs_created="2023-11-01T08:00:00")
    c.deleted(c.t("00:07:30"), ("ServiceAccount", "ci", "runner"))
    t = c.t("00:10:12")
    for i, p in enumerate(agents[:2]):
        gone(c, p, t + s(90 * i))
        unavailable(c, dep, t + s(90 * i + 1), 2 - i)
    not_created(c, rs, f'pods "{rs["metadata"]["name"]}-" is forbidden: error looking up service account ci/runner: serviceaccount "runner" not found', t + s(1), c.end - s(140), 21)

    def failing(o):
        o["status"]["conditions"].append(cond("ReplicaFailure", "True", t + s(1), "FailedCreate", f'pods "{rs["metadata"]["name"]}-{suffix("x")}" is forbidden: error looking up service account ci/runner: serviceaccount "runner" not found', update=t + s(1)))
    c.modify(t + s(2), dep, failing)
    lacks(c, rs, t + s(91), 1, f'pods "{rs["metadata"]["name"]}-{suffix("x")}" is forbidden: error looking up service account ci/runner: serviceaccount "runner" not found')
    mis = c.fire("KubeDeploymentReplicasMismatch", t + s(925), deployment="agents", namespace="ci")
    ordinary(c, "web", "front")
    c.job_run("web", "sitemap", "registry.bergen.example/web/sitemap:2", c.t("00:20:00"), 9, lines=("4120 addresses",), schedule="20 0 * * *", node_name=w[2])
    c.hum(w[0])
    c.hum(w[1])
    c.deliver()
    return truth(c, "Two causes: the tile server's licence has expired; the ServiceAccount of the build agents was deleted", [
        {"id": "licence", "root": root("StatefulSet/geo/tiles"), "says": [r"(?i)(exit|crash|start)", r"tiles"], "remedy": [r"(?i)(licen[cs]e|log)"], "symptoms": [symptom(a, "statefulset" if "statefulset" in a.labels else "pod") for a in alerts], "evidence": [r"LicenseExpiredException"]},
        {"id": "service-account", "root": root("ServiceAccount/ci/runner", "Deployment/ci/agents"), "says": [r"(?i)service ?account", r"runner"], "remedy": [r"(?i)service ?account"], "symptoms": [symptom(mis, "deployment")], "evidence": [r'serviceaccount "runner" not found']},
    ], [r"(?i)rollout undo", r"(?i)(raise|increase) .{0,20}(memory|limit)"])


# --- k11 ----------------------------------------------------------------------------------------------

def limit_lowered():
    c = Yard("k11-memory-limit-lowered-then-undone", "cobalt", "v1.32.3", "2025-05-06T11:00:00", "2025-05-06T11:55:00", "ranker is killed again and again",
             [("cobalt-7f2a", "10.70.3.4", "westeurope1", "amd64", 8, 32), ("cobalt-91bc", "10.70.3.5", "westeurope2", "amd64", 8, 32)], zone_of="topology.kubernetes.io/zone")
    w = c.workers

    def cs(limit):
        return [web("ranker", "cobalt.azurecr.io/search/ranker:19.2", memory="256Mi", limit_memory=limit, env={"JAVA_TOOL_OPTIONS": "-XX:MaxRAMPercentage=75"})]
    made = app(c, "search", "ranker", cs("1Gi"), [w[0], w[1]], "2024-10-01T08:00:00", revision=30, rs_created="2025-04-15T08:00:00", automount=False)
    old_tpl = clean(template(cs("1Gi"), {"app": "ranker"}, automount=False))
    ordinary(c, "search", "query", "cobalt.azurecr.io/search/query:33.0")
    t = c.t("11:04:25")
    rs, tpl = roll(c, made, t, cs("384Mi"), "74b8d9c5f6", first=2, cut=2, annotate={"kubernetes.io/change-cause": "kubectl set resources deployment ranker --limits=memory=384Mi"})
    pods, alerts = [], []
    end = c.t("11:36:50")
    for i in range(2):
        gone(c, made[2][i], t + s(14 + 9 * i), made[1])
        p = birth(c, rs, w[i], t + s(1 + 8 * i), i, ready_after=12)
        loop(c, p, t + s(30 + 9 * i), end - s(20), 34, 137, "OOMKilled", lambda a: [(a + s(1.1), "ranker 19.2 starting, heap 268435456"), (a + s(9.4), "model features-v7 mapped"), (a + s(21), "serving")], keep=2)
        alerts.append(c.fire("KubePodCrashLooping", t + s(930 + 31 * i), end + s(90), container="ranker", namespace="search", pod=p["metadata"]["name"], reason="CrashLoopBackOff", uid=p["metadata"]["uid"]))
        pods.append(p)
        nd = c.get("Node", "", w[i])
        c.event(nd, "OOMKilling", f"Memory cgroup out of memory: Killed process {41820 + i} (java) total-vm:3912344kB, anon-rss:392016kB, file-rss:14200kB, shmem-rss:0kB, UID:1000 pgtables:1100kB oom_score_adj:992", t + s(64), end - s(200), 7, "Warning", by="kernel-monitor", host=w[i])
    resize(c, made[1], t + s(24), 0)
    rollout_status(c, made[0], t + s(60), replicas=2, updatedReplicas=2, availableReplicas=0, readyReplicas=0, unavailableReplicas=2, ok=False)
    alerts.append(c.fire("KubeDeploymentReplicasMismatch", t + s(1000), end + s(75), deployment="ranker", namespace="search"))
    # kubectl rollout undo
    def undo(o):
        o["spec"]["template"] = copy.deepcopy(old_tpl)
        o["metadata"]["generation"] += 1
        o["metadata"]["annotations"].update({"deployment.kubernetes.io/revision": "32"})
        o["metadata"]["annotations"].pop("kubernetes.io/change-cause", None)
    c.modify(end, made[0], undo)
    c.modify(end + s(0.2), made[1], lambda o: o["metadata"]["annotations"].update({"deployment.kubernetes.io/revision": "32"}))
    scaled(c, made[0], made[1]["metadata"]["name"], 0, 2, end)
    scaled(c, made[0], rs["metadata"]["name"], 2, 0, end + s(1))
    resize(c, made[1], end + s(1), 2)
    resize(c, rs, end + s(1), 0)
    for i in range(2):
        gone(c, pods[i], end + s(2), rs)
        q = birth(c, c.get("ReplicaSet", "search", made[1]["metadata"]["name"]), w[i], end + s(1), 20 + i, ready_after=15)
    rollout_status(c, made[0], end + s(17), observedGeneration=32, replicas=2, updatedReplicas=2, availableReplicas=2, readyReplicas=2, unavailableReplicas=0, ok=True, progress=("True", "NewReplicaSetAvailable", f'ReplicaSet "{made[1]["metadata"]["name"]}" has successfully progressed.'))
    c.hum(w[0])
    c.deliver()
    return truth(c, "ranker's memory limit was lowered from 1Gi to 384Mi; rollout undo at 11:36:50 mended it", [{
        "id": "limit", "root": root("Deployment/search/ranker"), "says": [r"(?i)(OOM|memory)", r"(?i)limit", r"384Mi", r"(?i)(fixed|resolved|recovered|confirmed|mended|cleared|undone|undo|rolled back|gone)"],
        "remedy": [r"(?i)(limit|rollout undo|roll ?back)"], "symptoms": [symptom(a, "pod" if "Crash" in a.labels["alertname"] else "deployment") for a in alerts], "evidence": [r"(?i)OOMKill"],
    }], [r"(?i)(bad|broken|faulty|wrong) image", r"(?i)memory pressure", r"(?i)add .{0,10}node"])


# --- k12 ----------------------------------------------------------------------------------------------

def quota():
    c = Yard("k12-quota-refuses-rollout", "alder", "v1.29.8", "2024-09-10T13:00:00", "2024-09-10T13:45:00", "planner stays on the old version",
             [("alder-1", "10.30.0.11", "", "amd64", 16, 64), ("alder-2", "10.30.0.12", "", "amd64", 16, 64)])
    w = c.workers
    simple(c, "ResourceQuota", "team-blue", "team-quota", "2024-01-15T08:00:00", spec={"hard": {"requests.cpu": "4", "requests.memory": "16Gi"}},
           status={"hard": {"requests.cpu": "4", "requests.memory": "16Gi"}, "used": {"requests.cpu": "3800m", "requests.memory": "6472Mi"}})
    made = app(c, "team-blue", "planner", [web("planner", "ghcr.io/alder/planner:2.8.0", cpu="600m", memory="1Gi", limit_memory="1Gi")], [w[0], w[1], w[0]], "2024-01-15T08:00:00", revision=12, rs_created="2024-08-20T08:00:00", automount=False,
               strategy={"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}, "type": "RollingUpdate"})
    app(c, "team-blue", "solver", [web("solver", "ghcr.io/alder/solver:5.0.1", cpu="1", memory="1700Mi", limit_memory="2Gi")], [w[1], w[0]], "2024-01-15T08:00:00", automount=False)
    ordinary(c, "team-green", "board")
    t = c.t("13:03:44")
    rs, tpl = roll(c, made, t, [web("planner", "ghcr.io/alder/planner:2.9.0", cpu="600m", memory="1Gi", limit_memory="1Gi")], "8d7c6f5b49")
    text = f'pods "{rs["metadata"]["name"]}-%s" is forbidden: exceeded quota: team-quota, requested: requests.cpu=600m, used: requests.cpu=3800m, limited: requests.cpu=4'
    x = t + s(0.4)
    for i in range(9):
        not_created(c, rs, text % suffix("p", i), x, x, 1)
        x += s(2 ** i + 1)
    not_created(c, rs, "(combined from similar events): " + text % suffix("p", 30), c.t("13:18:02"), c.t("13:39:40"), 5)

    def failing(o):
        o["status"]["conditions"].append(cond("ReplicaFailure", "True", t + s(1), "FailedCreate", text % suffix("p", 0), update=t + s(1)))
        o["status"].update({"replicas": 3, "updatedReplicas": 0})
        o["status"].pop("unavailableReplicas", None)
        o["status"].pop("updatedReplicas")
    c.modify(t + s(2), made[0], failing)
    c.modify(t + s(1), rs, lambda o: o.update({"status": {"observedGeneration": 1, "replicas": 0, "conditions": [cond("ReplicaFailure", "True", t + s(1), "FailedCreate", text % suffix("p", 0))]}}))
    stuck(c, made[0], rs, t)
    st = c.fire("KubeDeploymentRolloutStuck", "13:28:50.2", condition="Progressing", deployment="planner", namespace="team-blue", status="false")
    c.hum(w[0], style="short")
    c.deliver(posts=900)
    return truth(c, "The quota of team-blue has no room for the surge pod of planner's rollout", [{
        "id": "quota", "root": root("ResourceQuota/team-blue/team-quota", "Deployment/team-blue/planner"), "says": [r"(?i)quota", r"(?i)requests\.cpu|cpu"], "remedy": [r"(?i)(quota|request|maxSurge|maxUnavailable)"],
        "symptoms": [symptom(st, "deployment")], "evidence": [r"exceeded quota: team-quota"],
    }], [r"(?i)(add|larger) .{0,10}node", r"(?i)insufficient cpu", r"(?i)image"])


# --- k13 ----------------------------------------------------------------------------------------------

def policy():
    c = Yard("k13-policy-refuses-replacements", "polder", "v1.30.4", "2024-10-22T09:00:00", "2024-10-22T09:50:00", "three services lose pods during maintenance",
             [("polder-a", "10.44.0.11", "", "amd64", 8, 32), ("polder-b", "10.44.0.12", "", "amd64", 8, 32), ("polder-c", "10.44.0.13", "", "amd64", 8, 32)])
    w = c.workers
    kv = app(c, "kyverno", "kyverno-admission-controller", [web("kyverno", "ghcr.io/kyverno/kyverno:v1.12.5", ready=None)], [w[0]], "2024-07-01T08:00:00", labels={"app": "kyverno"}, automount=False)
    service(c, "kyverno", "kyverno-svc", "2024-07-01T08:00:00", [("https", 443, "https")], {"app": "kyverno"})
    simple(c, "ValidatingWebhookConfiguration", None, "kyverno-resource-validating-webhook-cfg", "2024-07-01T08:00:10", api="admissionregistration.k8s.io/v1", webhooks=[{
        "admissionReviewVersions": ["v1"], "clientConfig": {"service": {"name": "kyverno-svc", "namespace": "kyverno", "path": "/validate/fail", "port": 443}}, "failurePolicy": "Fail", "matchPolicy": "Equivalent", "name": "validate.kyverno.svc-fail",
        "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"], "resources": ["pods"], "scope": "*"}], "sideEffects": "NoneOnDryRun", "timeoutSeconds": 10}])
    t0 = c.t("09:05:20")
    pol = {"apiVersion": "kyverno.io/v1", "kind": "ClusterPolicy", "metadata": c.meta("ClusterPolicy", None, "require-cost-centre", t0, generation=1),
           "spec": {"background": True, "validationFailureAction": "Enforce", "rules": [{"match": {"any": [{"resources": {"kinds": ["Pod"]}}]}, "name": "check-label", "validate": {"message": "The label cost-centre is required.", "pattern": {"metadata": {"labels": {"cost-centre": "?*"}}}}}]},
           "status": {"conditions": [cond("Ready", "True", t0 + s(1), "Succeeded", "Ready")]}}
    c.added(t0, pol)
    made = [app(c, ns, nm, [web(nm, f"ghcr.io/polder/{nm}:10")], [w[1], w[2]], "2024-03-01T08:00:00", revision=5, rs_created="2024-09-15T08:00:00", automount=False) for ns, nm in (("orders", "intake"), ("stock", "levels"), ("search", "suggest"))]
    ordinary(c, "web", "www")
    t = c.t("09:14:00")

    def cordon(o):
        o["spec"]["unschedulable"] = True
        o["spec"]["taints"] = [{"effect": "NoSchedule", "key": "node.kubernetes.io/unschedulable", "timeAdded": sec(t)}]
    nd = c.modify(t, ("Node", "", w[2]), cordon)
    c.event(nd, "NodeNotSchedulable", f"Node {w[2]} status is now: NodeNotSchedulable", t, by="kubelet", host=w[2])
    alerts = []
    for i, (dep, rs, pods) in enumerate(made):
        m = dep["metadata"]
        x = t + s(5 + 2 * i)
        gone(c, pods[1], x)
        text = f"admission webhook \"validate.kyverno.svc-fail\" denied the request: \n\nresource Pod/{m['namespace']}/{rs['metadata']['name']}- was blocked due to the following policies \n\nrequire-cost-centre:\n  check-label: 'validation error: The label cost-centre is required. rule check-label failed at path /metadata/labels/cost-centre/'\n"
        not_created(c, rs, text, x + s(0.5), c.end - s(230 - 3 * i), 19)
        unavailable(c, dep, x + s(1), 1)
        lacks(c, rs, x + s(1), 1, text)

        def failing(o, text=text, x=x):
            o["status"]["conditions"].append(cond("ReplicaFailure", "True", x + s(1), "FailedCreate", text, update=x + s(1)))
        c.modify(x + s(2), dep, failing)
        alerts.append(c.fire("KubeDeploymentReplicasMismatch", x + s(925), deployment=m["name"], namespace=m["namespace"]))
    c.hum(w[1])
    c.deliver()
    return truth(c, "The new policy require-cost-centre refuses pods without the label; pods evicted by the drain are not made anew", [{
        "id": "policy", "root": root("ClusterPolicy/require-cost-centre", "ValidatingWebhookConfiguration/kyverno-resource-validating-webhook-cfg"), "says": [r"require-cost-centre", r"(?i)(den|refus|block|reject)"], "remedy": [r"(?i)(label|polic|cost-centre)"],
        "symptoms": [symptom(a, "deployment") for a in alerts], "evidence": [r"label cost-centre is required"],
    }], [r"(?i)delete .{0,20}(webhook|validatingwebhookconfiguration)", r"(?i)uncordon", r"(?i)failurePolicy"])


# --- k14 ----------------------------------------------------------------------------------------------

def cut_off():
    c = Yard("k14-network-policy-cuts-database", "marsh", "v1.26.9", "2023-10-17T15:00:00", "2023-10-17T15:45:00", "the CRM is slow, then down",
             [("marsh-01", "10.52.0.11", "", "amd64", 8, 32), ("marsh-02", "10.52.0.12", "", "amd64", 8, 32)])
    w, born = c.workers, "2022-12-01T08:00:00"
    db = container("postgres", "postgres:14.9", ports=[("postgres", 5432)], cpu="1", memory="4Gi", limit_memory="4Gi", mounts=[("data", "/var/lib/postgresql/data", False)], token=False)
    _, _, (dbp,) = statefulset(c, "databases", "crm-pg", [db], [w[1]], born, claims=[("data", "longhorn", "40Gi")], automount=False)
    svc = service(c, "databases", "crm-pg", born, [("postgres", 5432, "postgres")], {"app": "crm-pg"})
    endpoints(c, svc, born, [dbp], [], [("postgres", 5432)])
    ip = svc["spec"]["clusterIP"]
    made = [app(c, "crm", nm, [web(nm, f"registry.marsh.example/crm/{nm}:7.7", env={"DB_HOST": "crm-pg.databases"})], nodes, born, revision=8, rs_created="2023-09-28T08:00:00", automount=False) for nm, nodes in (("contacts", [w[0], w[1]]), ("pipeline", [w[0]]))]
    ordinary(c, "web", "landing")
    t = c.t("15:05:33")
    np = {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": c.meta("NetworkPolicy", "databases", "default-deny-ingress", t, generation=1), "spec": {"podSelector": {}, "policyTypes": ["Ingress"]}}
    managed(np, "kubectl-client-side-apply", t, {"f:spec": {"f:podSelector": {}, "f:policyTypes": {}}})
    c.added(t, np)
    alerts = []
    for i, (dep, rs, pods) in enumerate(made):
        nm = dep["metadata"]["name"]
        for j, p in enumerate(pods):
            x = t + s(70 + 20 * i + 9 * j)
            loses_ready(c, p, x)
            probe_fails(c, p, "Readiness", f'Get "http://{p["status"]["podIP"]}:8080/ready": context deadline exceeded (Client.Timeout exceeded while awaiting headers)', x - s(15), c.end - s(8), int((c.end - x).total_seconds() // 5))
            c.log("crm", p["metadata"]["name"], nm, [(c.start + s(30), "info: 200 GET /contacts/8812 14ms")] + [(x - s(22) + s(64 * k), f"error: connect ETIMEDOUT {ip}:5432 (crm-pg.databases)") for k in range(30)])
        unavailable(c, dep, t + s(110), 0)
        alerts.append((c.fire("KubeDeploymentReplicasMismatch", t + s(1020 + 9 * i), deployment=nm, namespace="crm"), "deployment"))
    # of this one only the namespace is known: nobody has to fold it
    c.custom("SyntheticLoginFails", "15:09:40.2", "login at crm.marsh.example fails from two places", namespace="crm", instance="https://crm.marsh.example/login")
    c.log("databases", "crm-pg-0", "postgres", [(c.start + s(100), "2023-10-17 15:01:40.000 UTC [64] LOG:  checkpoint starting: time"), (c.start + s(400), "2023-10-17 15:06:40.000 UTC [64] LOG:  checkpoint starting: time")])
    c.hum(w[0])
    c.deliver()
    return truth(c, "NetworkPolicy databases/default-deny-ingress, added at 15:05:33, cuts the CRM off from its database", [{
        "id": "policy", "root": root("NetworkPolicy/databases/default-deny-ingress"), "says": [r"default-deny-ingress", r"(?i)(crm-pg|database)"], "remedy": [r"(?i)(network ?polic|default-deny-ingress|allow)"],
        "symptoms": [symptom(a, k) for a, k in alerts], "evidence": [r"ETIMEDOUT"],
    }], [r"(?i)rollout undo", r"(?i)(restart|delete) .{0,30}crm-pg", r"(?i)password"])


# --- k15 ----------------------------------------------------------------------------------------------

def tug_of_war():
    c = Yard("k15-autoscaler-and-gitops-fight", "ridge", "v1.34.1", "2026-01-20T10:00:00", "2026-01-20T10:40:00", "api pods come and go every few minutes",
             [("ridge-aa", "10.90.0.11", "", "amd64", 8, 32), ("ridge-bb", "10.90.0.12", "", "amd64", 8, 32)], era=2026)
    c.gz.update({"objects.json", "events.json"})
    w, born = c.workers, "2025-03-01T08:00:00"
    dep, rs, pods = app(c, "api", "public-api", [web("public-api", "ghcr.io/ridge/public-api:77")], [w[0], w[1]], born, revision=21, rs_created="2026-01-12T08:00:00", automount=False, annotations={"argocd.argoproj.io/tracking-id": "public-api:apps/Deployment:api/public-api"})
    h = hpa(c, "api", "public-api", born, "public-api", 2, 10, 2, [
        cond("AbleToScale", "True", when("2025-03-01T08:00:15"), "SucceededRescale", "the HPA controller was able to update the target scale to 4"),
        cond("ScalingActive", "True", when("2025-03-01T08:09:00"), "ValidMetricFound", "the HPA was able to successfully calculate a replica count from cpu resource utilization (percentage of request)"),
        cond("ScalingLimited", "False", when("2026-01-19T07:10:00"), "DesiredWithinRange", "the desired count is within the acceptable range")], cpu_now=130)
    application = simple(c, "Application", "argocd", "public-api", born, api="argoproj.io/v1alpha1", spec={"destination": {"namespace": "api", "server": "https://kubernetes.default.svc"}, "project": "default", "source": {"path": "api", "repoURL": "https://git.ridge.example/platform/apps.git", "targetRevision": "main"},
           "syncPolicy": {"automated": {"prune": True, "selfHeal": True}}}, status={"health": {"status": "Healthy"}, "sync": {"status": "Synced", "revision": digest("rev")[:40]}})
    ordinary(c, "api", "docs")
    extra, t = [], c.t("10:02:05")
    n = 0
    while t < c.end - s(60):
        def size(k, who, sub=None):
            def fn(o):
                o["spec"]["replicas"] = k
                o["metadata"]["generation"] += 1
                managed(o, who, t, {"f:spec": {"f:replicas": {}}}, sub=sub)
            return fn
        c.event(h, "SuccessfulRescale", "New size: 4; reason: cpu resource utilization (percentage of request) above target", t, by="horizontal-pod-autoscaler")
        c.modify(t, dep, size(4, "kube-controller-manager", "scale"))
        scaled(c, dep, rs["metadata"]["name"], 2, 4, t)
        resize(c, rs, t + s(0.3), 4, 2)
        fresh = [birth(c, rs, w[i % 2], t + s(0.5), 10 * n + i, ready_after=9) for i in range(2)]
        u = t + s(58)
        t_hpa, t = t, u
        c.modify(u, dep, size(2, "argocd-controller"))
        c.event(application, "OperationStarted", "Initiated automated sync to '" + digest("rev")[:40] + "'", u - s(1), by="argocd-application-controller")
        scaled(c, dep, rs["metadata"]["name"], 4, 2, u)
        resize(c, rs, u + s(0.3), 2)
        for p in fresh:
            gone(c, p, u + s(1), rs)
        t = t_hpa + s(180)
        n += 1
    a = c.custom("PodChurnHigh", "10:17:30.2", "more than 20 pods of a workload were made in 15 minutes", severity="warning", namespace="api", deployment="public-api")
    c.hum(w[0])
    c.deliver()
    return truth(c, "The autoscaler sets public-api to 4 replicas, Argo CD sets it back to 2 a minute later, again and again", [{
        "id": "two-writers", "root": root("Deployment/api/public-api", "HorizontalPodAutoscaler/api/public-api", "Application/argocd/public-api"), "says": [r"(?i)(replicas|scale)", r"(?i)argo", r"(?i)(autoscaler|HPA|HorizontalPodAutoscaler)"], "remedy": [r"(?i)(ignoreDifferences|replicas)"],
        "symptoms": [symptom(a, "deployment")], "evidence": [r"argocd-controller|SuccessfulRescale|New size: 4"],
    }], [r"(?i)crash", r"(?i)rollout undo", r"(?i)node .{0,20}(is|are) (down|not ready)"])


# --- k16 ----------------------------------------------------------------------------------------------

def forgotten_taint():
    c = Yard("k16-forgotten-maintenance-taint", "tundra", "v1.23.17", "2022-08-30T08:00:00", "2022-08-30T08:45:00", "Monday's release waits for room",
             [("tundra-m", "10.21.0.10", "", "amd64", 4, 8), ("tundra-1", "10.21.0.21", "", "amd64", 4, 16), ("tundra-2", "10.21.0.22", "", "amd64", 4, 16), ("tundra-3", "10.21.0.23", "", "amd64", 4, 16)], control="tundra-m", era=2022)
    w = c.workers
    # both open nodes are rather full
    for i in (0, 1):
        app(c, "batch", f"grinder-{'ab'[i]}", [container("grinder", "registry.tundra.example/grinder:4", cpu="3", memory="6Gi", limit_memory="6Gi", token=False)], [w[i]], "2022-05-01T08:00:00", automount=False)
    tainted = c.t("08:03:12")

    def taint(o):
        o["spec"]["taints"] = [{"effect": "NoSchedule", "key": "maintenance", "value": "disk-swap"}]
        managed(o, "kubectl-taint", tainted, {"f:spec": {"f:taints": {}}})
    made = app(c, "shop", "offers", [web("offers", "registry.tundra.example/offers:50", cpu="1")], [w[2], w[2]], "2022-05-01T08:00:00", revision=9, rs_created="2022-08-01T08:00:00", automount=False,
               strategy={"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}, "type": "RollingUpdate"})
    c.modify(tainted, ("Node", "", w[2]), taint)
    ordinary(c, "web", "pages", n=1)
    t = c.t("08:19:40")
    rs, tpl = roll(c, made, t, [web("offers", "registry.tundra.example/offers:51", cpu="1")], "6d9c8f7b5d")
    text = "0/4 nodes are available: 1 node(s) had taint {maintenance: disk-swap}, that the pod didn't tolerate, 1 node(s) had taint {node-role.kubernetes.io/master: }, that the pod didn't tolerate, 2 Insufficient cpu."
    p = pod(c, rs, "offers-6d9c8f7b5d-x2vlm", None, t, rs["spec"]["template"], pending={"phase": "Pending", "conditions": [cond("PodScheduled", "False", t, "Unschedulable", text, probe=True)]})
    c.added(t + s(1), p)
    created_pod(c, rs, p, t)
    c.event(p, "FailedScheduling", text, t + s(0.3), c.end - s(70), 24, "Warning", by="default-scheduler")
    stuck(c, made[0], rs, t)
    alerts = [(c.fire("KubePodNotReady", t + s(925), namespace="shop", pod=p["metadata"]["name"]), "pod")]
    c.hum(w[0], style="short")
    c.hum(w[2], style="short")
    c.deliver(by=("alertname", "namespace", "pod"))
    return truth(c, "tundra-3 still carries the taint maintenance=disk-swap; without it offers finds no node", [{
        "id": "taint", "root": root("Node/tundra-3", "Deployment/shop/offers"), "says": [r"(?i)taint", r"maintenance", r"tundra-3"], "remedy": [r"(?i)(taint|toleration)"], "symptoms": [symptom(a, k) for a, k in alerts], "evidence": [r"maintenance: disk-swap"],
    }], [r"(?i)rollout undo", r"(?i)remove the (master|control-plane) taint", r"node-role.kubernetes.io/master:?-", r"(?i)node .{0,20}(is|are) (down|not ready)"])


# --- k17 ----------------------------------------------------------------------------------------------

def label_lost():
    c = Yard("k17-node-replaced-without-its-label", "slate", "v1.19.16", "2021-06-14T06:00:00", "2021-06-14T06:50:00", "the report engine does not come back",
             [("slate-master", "10.5.0.10", "", "amd64", 4, 8), ("slate-07", "10.5.0.17", "", "amd64", 8, 32), ("slate-08", "10.5.0.18", "", "amd64", 8, 32), ("slate-ssd-1", "10.5.0.31", "", "amd64", 8, 64)], born="2020-02-11T08:00:00", control="slate-master", era=2022)
    k = ("Node", "", "slate-ssd-1")
    for place in (c.store, c.initial):
        place[k]["metadata"]["labels"]["disk"] = "ssd"
    dep, rs, pods = app(c, "bi", "report-engine", [web("engine", "registry.slate.example/bi/engine:3.3", cpu="2", memory="8Gi", limit_memory="16Gi")], ["slate-ssd-1"], "2020-11-01T08:00:00", labels={"app": "report-engine"}, revision=4, rs_created="2021-05-03T08:00:00", automount=False, selector={"disk": "ssd"})
    ordinary(c, "bi", "dashboards", "registry.slate.example/bi/dash:9", 3)
    t = c.t("06:04:10")
    # the machine is taken out and its successor joins
    p = pods[0]
    for q in [o for o in list(c.store.values()) if o["kind"] == "Pod" and o["spec"].get("nodeName") == "slate-ssd-1" and o is not p and o["metadata"]["name"] != p["metadata"]["name"]]:
        c.deleted(t + s(21), q)
    gone(c, p, t)
    text = "0/4 nodes are available: 1 node(s) were unschedulable, 3 node(s) didn't match node selector."

    def cordon(o):
        o["spec"]["unschedulable"] = True
        o["spec"]["taints"] = [{"effect": "NoSchedule", "key": "node.kubernetes.io/unschedulable", "timeAdded": sec(t)}]
    nd = c.modify(t - s(8), k, cordon)
    c.event(nd, "NodeNotSchedulable", "Node slate-ssd-1 status is now: NodeNotSchedulable", t - s(8), by="kubelet", host="slate-ssd-1")
    gone_at = c.t("06:09:30")
    c.event(nd, "RemovingNode", "Node slate-ssd-1 event: Removing Node slate-ssd-1 from Controller", gone_at, by="node-controller")
    c.deleted(gone_at, k)
    fresh = c.t("06:16:45")
    n2 = c.join("slate-ssd-2", "10.5.0.32", "", "amd64", 8, 64, fresh, "10.113.9.0/24", add=False)
    c.event(n2, "RegisteredNode", "Node slate-ssd-2 event: Registered Node slate-ssd-2 in Controller", fresh + s(4), by="node-controller")
    c.event(n2, "NodeReady", "Node slate-ssd-2 status is now: NodeReady", fresh + s(90), by="kubelet", host="slate-ssd-2")
    c.settle("slate-ssd-2", fresh + s(61))
    late = "0/4 nodes are available: 4 node(s) didn't match node selector."
    x = t + s(1)
    np = pod(c, rs, "report-engine-" + rs["metadata"]["labels"]["pod-template-hash"] + "-w8x5q", None, x, rs["spec"]["template"], pending={"phase": "Pending", "conditions": [cond("PodScheduled", "False", x, "Unschedulable", text, probe=True)]})
    c.added(x + s(1), np)
    created_pod(c, rs, np, x)
    c.event(np, "FailedScheduling", text, x, gone_at - s(20), 4, "Warning", by="default-scheduler")
    c.modify(fresh + s(60), np, lambda o: o["status"]["conditions"][0].update({"message": late}))
    c.event(np, "FailedScheduling", late, fresh + s(60), c.end - s(80), 23, "Warning", by="default-scheduler")
    unavailable(c, dep, x + s(1), 0)
    alerts = [(c.fire("KubePodNotReady", x + s(925), namespace="bi", pod=np["metadata"]["name"]), "pod"), (c.fire("KubeDeploymentReplicasMismatch", x + s(960), deployment="report-engine", namespace="bi"), "deployment")]
    c.hum("slate-07", style="short")
    c.deliver()
    return truth(c, "slate-ssd-2, which took the place of slate-ssd-1, lacks the label disk=ssd that report-engine demands", [{
        "id": "label", "root": root("Node/slate-ssd-2", "Deployment/bi/report-engine"), "says": [r"(?i)(label|selector)", r"disk"], "remedy": [r"(?i)(label|nodeSelector)"], "symptoms": [symptom(a, k) for a, k in alerts], "evidence": [r"didn't match node selector"],
    }], [r"(?i)rollout undo", r"(?i)insufficient", r"(?i)node slate-07 .{0,20}(down|not ready)"])


# --- k18, k19: nothing is wrong -----------------------------------------------------------------------

def release_day():
    c = Yard("k18-quiet-release-day", "hazel", "v1.34.2", "2026-03-03T14:00:00", "2026-03-03T14:45:00", "an afternoon of releases",
             [("hazel-1", "10.33.0.11", "", "amd64", 8, 32), ("hazel-2", "10.33.0.12", "", "amd64", 8, 32), ("hazel-3", "10.33.0.13", "", "amd64", 8, 32)], era=2026)
    w, born = c.workers, "2025-02-01T08:00:00"
    # a Helm upgrade touches ConfigMap and Deployment and goes well
    configmap(c, "desk", "tickets", born, {"app.toml": "[http]\nlisten = \":8080\"\n[limits]\nupload = \"10MB\"\n"})
    vols = [cm_volume("config", "tickets")]
    made = app(c, "desk", "tickets", [web("tickets", "ghcr.io/hazel/tickets:2.1.0", mounts=[("config", "/etc/tickets", True)])], w, born, revision=17, rs_created="2026-02-10T08:00:00", automount=False, volumes=vols)
    t = c.t("14:06:00")

    def edit(o):
        o["data"]["app.toml"] = o["data"]["app.toml"].replace("10MB", "25MB")
        managed(o, "helm", t, {"f:data": {"f:app.toml": {}}})
    c.modify(t, ("ConfigMap", "desk", "tickets"), edit)
    rs, tpl = roll(c, made, t + s(0.6), [web("tickets", "ghcr.io/hazel/tickets:2.2.0", mounts=[("config", "/etc/tickets", True)])], "79c8f6d5b4", volumes=vols, by="helm")
    for i in range(3):
        x = t + s(1 + 22 * i)
        p = birth(c, rs, w[i], x, i, ready_after=18, pull=4.1)
        ip = p["status"]["podIP"]
        probe_fails(c, p, "Readiness", f'Get "http://{ip}:8080/ready": dial tcp {ip}:8080: connect: connection refused', x + s(8), x + s(13), 2)
        gone(c, made[2][i], x + s(19), made[1])
        c.log("desk", p["metadata"]["name"], "tickets", [(x + s(6), "tickets 2.2.0"), (x + s(9), 'WARN retrying connection to queue: dial tcp 10.98.14.3:5672: connect: connection refused'), (x + s(15), "listening on :8080"), (x + s(300), "ERROR upload rejected: file too large")])
        scaled(c, made[0], rs["metadata"]["name"], i + 1, i + 2, x + s(19)) if i < 2 else None
        scaled(c, made[0], made[1]["metadata"]["name"], 3 - i, 2 - i, x + s(19))
    resize(c, made[1], t + s(65), 0)
    resize(c, rs, t + s(65), 3)
    rollout_status(c, made[0], t + s(66), replicas=3, updatedReplicas=3, availableReplicas=3, readyReplicas=3, unavailableReplicas=0, progress=("True", "NewReplicaSetAvailable", f'ReplicaSet "{rs["metadata"]["name"]}" has successfully progressed.'))
    # a canary crashes once, is mended by the next release within two minutes
    can = app(c, "desk", "search-canary", [web("search", "ghcr.io/hazel/search:8.0.0-rc1")], [w[1]], born, revision=3, rs_created="2026-03-01T08:00:00", automount=False, labels={"app": "search-canary"})
    t = c.t("14:18:30")
    rs1, _ = roll(c, can, t, [web("search", "ghcr.io/hazel/search:8.0.0-rc2")], "66d5c4b3f2")
    p = birth(c, rs1, w[2], t + s(0.5), start=False)
    loop(c, p, t + s(4), t + s(40), 2, 2, "Error", lambda a: json_words(a, "search 8.0.0-rc2", "flag provided but not defined: -shards"))
    t2 = t + s(85)
    dep2 = (c.get("Deployment", "desk", "search-canary"), rs1, [p])
    rs2, _ = roll(c, dep2, t2, [web("search", "ghcr.io/hazel/search:8.0.0-rc3")], "5b4c3d2f17")
    gone(c, p, t2 + s(1), rs1)
    resize(c, rs1, t2 + s(1), 0)
    birth(c, rs2, w[2], t2 + s(0.6), 7, ready_after=14)
    gone(c, can[2][0], t2 + s(16), can[1])
    resize(c, can[1], t2 + s(16), 0)
    resize(c, rs2, t2 + s(16), 1)
    rollout_status(c, can[0], t2 + s(17), replicas=1, updatedReplicas=1, availableReplicas=1, readyReplicas=1, unavailableReplicas=0, progress=("True", "NewReplicaSetAvailable", f'ReplicaSet "{rs2["metadata"]["name"]}" has successfully progressed.'))
    # a cron job that needs two tries, and one of last night that failed and was followed by a good run
    c.job_run("desk", "sla-report", "ghcr.io/hazel/reports:6", c.t("14:15:00"), 9, codes=(1, 0), lines={1: ("fetching", "error: upstream 503"), 0: ("fetching", "done, 412 rows")}, schedule="*/15 * * * *")
    c.job_run("desk", "sla-report", "ghcr.io/hazel/reports:6", c.t("14:30:00"), 9, codes=(0,), lines={0: ("fetching", "done, 415 rows")}, schedule="*/15 * * * *")
    # somebody scales a deployment down for the evening
    idle = app(c, "lab", "notebook", [web("notebook", "jupyter/base-notebook:2026-02-01")], [w[0], w[1]], born, automount=False)
    t = c.t("14:35:00")

    def zero(o):
        o["spec"]["replicas"] = 0
        o["metadata"]["generation"] += 1
        managed(o, "kubectl", t, {"f:spec": {"f:replicas": {}}}, sub="scale")
    c.modify(t, idle[0], zero)
    scaled(c, idle[0], idle[1]["metadata"]["name"], 2, 0, t)
    for p in idle[2]:
        gone(c, p, t + s(1), idle[1])
    resize(c, idle[1], t + s(1), 0)
    rollout_status(c, idle[0], t + s(4), observedGeneration=2, replicas=0, updatedReplicas=0, availableReplicas=0, readyReplicas=0, unavailableReplicas=0)
    # once a day a worker reaches its limit: the last time at 03:12
    wk = app(c, "desk", "thumbs", [web("thumbs", "ghcr.io/hazel/thumbs:3", limit_memory="256Mi")], [w[0]], born, automount=False, restarts=0)
    p = wk[2][0]
    for place in (c.store, c.initial):
        st = place[("Pod", "desk", p["metadata"]["name"])]["status"]["containerStatuses"][0]
        st["restartCount"] = 31
        st["state"] = {"running": {"startedAt": "2026-03-03T03:12:09Z"}}
        st["lastState"] = {"terminated": {"containerID": st["containerID"], "exitCode": 137, "reason": "OOMKilled", "startedAt": "2026-03-02T03:40:11Z", "finishedAt": "2026-03-03T03:12:07Z"}}
        place[("Pod", "desk", p["metadata"]["name"])]["status"]["conditions"] = pod_conditions(c, when(p["metadata"]["creationTimestamp"]), when("2026-03-03T03:12:15"))
    ordinary(c, "desk", "portal")
    for n in w:
        c.hum(n, every=200)
    c.deliver()
    return truth(c, "Releases that go well, a canary mended at once, a scale-down: nothing to report", [], [r"(?i)crash ?loop", r"(?i)\b(tickets|search|notebook|sla-report)\b.{0,40}(down|failing|stuck|degraded)"])


def spot_night():
    c = Yard("k19-quiet-spot-night", "willow", "v1.21.14", "2022-02-15T01:00:00", "2022-02-15T01:45:00", "a night on spot machines",
             [("ip-10-1-1-20.ec2.internal", "10.1.1.20", "us-east-1a", "amd64", 4, 16), ("ip-10-1-2-31.ec2.internal", "10.1.2.31", "us-east-1b", "amd64", 4, 16), ("ip-10-1-3-42.ec2.internal", "10.1.3.42", "us-east-1c", "amd64", 4, 16)], era=2022)
    w = list(c.workers)
    made = [app(c, ns, nm, [web(nm, f"123456789012.dkr.ecr.us-east-1.amazonaws.com/{nm}:2022-02-0{i + 1}")], nodes, "2021-04-01T08:00:00", revision=7, rs_created="2022-02-08T08:00:00", automount=False)
            for i, (ns, nm, nodes) in enumerate((("ads", "bidder", [w[0], w[1], w[1]]), ("ads", "pacing", [w[1], w[0]]), ("feeds", "crawler", [w[1], w[0]])))]
    t = c.t("01:12:00")
    new = "ip-10-1-2-77.ec2.internal"
    # the interruption notice: cordon, drain, the machine goes; another joins
    def cordon(o):
        o["spec"]["unschedulable"] = True
        o["spec"]["taints"] = [{"effect": "NoSchedule", "key": "node.kubernetes.io/unschedulable", "timeAdded": sec(t)}]
    nd = c.modify(t, ("Node", "", w[1]), cordon)
    c.event(nd, "SpotInterruption", "Spot Interruption event received. Instance will be interrupted at 2022-02-15T01:14:00Z", t, kind="Warning", by="aws-node-termination-handler", host=w[1])
    c.event(nd, "NodeNotSchedulable", f"Node {w[1]} status is now: NodeNotSchedulable", t, by="kubelet", host=w[1])
    j = t + s(48)
    c.join(new, "10.1.2.77", "us-east-1b", "amd64", 4, 16, j, "10.111.8.0/24", add=False)
    n2 = c.get("Node", "", new)
    c.event(n2, "RegisteredNode", f"Node {new} event: Registered Node {new} in Controller", j + s(3), by="node-controller")
    c.event(n2, "NodeReady", f"Node {new} status is now: NodeReady", j + s(40), by="kubelet", host=new)
    c.settle(new, j + s(21))
    k = 0
    for dep, rs, pods in made:
        for p in [x for x in pods if x["spec"]["nodeName"] == w[1]]:
            gone(c, p, t + s(2 + k))
            q = birth(c, rs, w[0] if k % 2 else new, (t if k % 2 else j + s(42)) + s(3 + k), 30 + k, ready_after=11, pull=5.512)
            unavailable(c, dep, t + s(4 + k), len(pods) - 1)
            rollout_status(c, dep, j + s(70 + k), availableReplicas=len(pods), readyReplicas=len(pods), unavailableReplicas=0, ok=True)
            k += 1
    c.event(nd, "NodeNotReady", f"Node {w[1]} status is now: NodeNotReady", t + s(165), by="node-controller")

    def unknown(o):
        for x in o["status"]["conditions"]:
            x.update({"status": "Unknown", "reason": "NodeStatusUnknown", "message": "Kubelet stopped posting node status.", "lastTransitionTime": sec(t + s(165))})
    c.modify(t + s(165), nd, unknown)
    c.event(nd, "RemovingNode", f"Node {w[1]} event: Removing Node {w[1]} from Controller", t + s(180), by="node-controller")
    for q in [o for o in list(c.store.values()) if o["kind"] == "Pod" and o["spec"].get("nodeName") == w[1]]:
        c.deleted(t + s(175), q)
    c.deleted(t + s(180), nd)
    # the autoscaler of a bidder breathes, one info event of missing metrics for the fresh pod
    h = hpa(c, "ads", "bidder", "2021-04-01T08:00:00", "bidder", 3, 12, 3, [
        {"type": "AbleToScale", "status": "True", "lastTransitionTime": "2021-04-01T08:00:15Z", "reason": "ReadyForNewScale", "message": "recommended size matches current size"},
        {"type": "ScalingActive", "status": "True", "lastTransitionTime": "2021-04-01T08:01:15Z", "reason": "ValidMetricFound", "message": "the HPA was able to successfully calculate a replica count from cpu resource utilization (percentage of request)"}], cpu_now=61)
    c.event(h, "FailedGetResourceMetric", "failed to get cpu utilization: did not receive metrics for any ready pods", t + s(20), t + s(35), 2, "Warning", by="horizontal-pod-autoscaler")
    # a finished Job of yesterday with one failed pod; a run that is fine
    c.job_run("feeds", "compact", "123456789012.dkr.ecr.us-east-1.amazonaws.com/compact:5", c.t("01:05:00"), 30, codes=(137, 0), node_name=w[0], lines={137: ("compacting 2022-02-14",), 0: ("compacting 2022-02-14", "done")}, schedule="5 1 * * *")
    ordinary(c, "feeds", "api", "123456789012.dkr.ecr.us-east-1.amazonaws.com/api:12", 1)
    c.workers = [w[0], w[2], new]
    c.hum(w[0], every=200, style="short")
    c.hum(w[2], every=200)
    c.deliver()
    return truth(c, "A spot machine is taken away and replaced, all workloads move: nothing to report", [], [r"(?i)(bidder|pacing|crawler|compact).{0,40}(down|failing|stuck|crash)", r"(?i)node .{0,60}(is|are) (down|lost|not ready)"])


# --- k20 ----------------------------------------------------------------------------------------------

def by_itself():
    c = Yard("k20-registry-outage-ends-by-itself", "juniper", "v1.29.6", "2024-07-30T17:00:00", "2024-07-30T17:55:00", "an evening release waits for images",
             [("juniper-1", "10.88.0.11", "", "amd64", 8, 32), ("juniper-2", "10.88.0.12", "", "amd64", 8, 32)])
    w = c.workers
    alerts = []
    note = 'rpc error: code = DeadlineExceeded desc = failed to pull and unpack image "quay.example.com/%s": failed to resolve reference "quay.example.com/%s": failed to do request: Head "https://quay.example.com/v2/%s/manifests/%s": dial tcp 203.0.113.40:443: i/o timeout'
    back = c.t("17:33:20")
    for i, (ns, nm, n) in enumerate((("loans", "scoring", 2), ("cards", "fraud", 2), ("cards", "limits", 1))):
        made = app(c, ns, nm, [web(nm, f"quay.example.com/{ns}/{nm}:6.0")], [w[j % 2] for j in range(n)], "2023-11-01T08:00:00", revision=12, rs_created="2024-07-10T08:00:00", automount=False)
        t = c.t("17:04:05") + s(41 * i)
        rs, tpl = roll(c, made, t, [web(nm, f"quay.example.com/{ns}/{nm}:6.1")], ("7bd8c9f6d5", "6cf7d5b8d4", "59b8d7c6f4")[i])
        p = birth(c, rs, w[i % 2], t + s(0.4), waiting="ImagePullBackOff", message=f'Back-off pulling image "quay.example.com/{ns}/{nm}:6.1"')
        path = f"{ns}/{nm}"
        pull_fails(c, p, note % (path + ":6.1", path + ":6.1", path, "6.1"), t + s(31), back - s(40), 9)
        stuck(c, made[0], rs, t)
        b = back + s(20 + 31 * i)
        at = dict(host=w[i % 2], field=nm)
        c.event(p, "Pulled", f'Successfully pulled image "quay.example.com/{path}:6.1" in 3.4s (3.4s including waiting)', b, **at)
        c.event(p, "Created", f"Created container {nm}", b + s(0.2), **at)
        c.event(p, "Started", f"Started container {nm}", b + s(0.4), **at)
        makes_ready(c, p, b + s(9))
        x = b + s(10)
        for j, q in enumerate(made[2]):
            gone(c, q, x + s(14 * j), made[1])
            if j < n - 1:
                birth(c, rs, w[j % 2], x + s(14 * j), 40 + j, ready_after=12, pull=2.9)
        resize(c, made[1], x + s(30), 0)
        resize(c, rs, x + s(30), n)
        rollout_status(c, made[0], x + s(31), replicas=n, updatedReplicas=n, availableReplicas=n, readyReplicas=n, unavailableReplicas=0, progress=("True", "NewReplicaSetAvailable", f'ReplicaSet "{rs["metadata"]["name"]}" has successfully progressed.'))
        alerts.append((c.fire("KubePodNotReady", t + s(935), b + s(45), namespace=ns, pod=p["metadata"]["name"]), "pod"))
    ordinary(c, "cards", "issuing", "quay.example.com/cards/issuing:3")
    c.hum(w[0])
    c.hum(w[1])
    c.deliver()
    return truth(c, "The registry quay.example.com did not answer from any node until 17:33; it came back by itself", [{
        "id": "registry", "root": root("Deployment/loans/scoring", "Deployment/cards/fraud", "Deployment/cards/limits", "Node/juniper-1", "Node/juniper-2"), "says": [r"quay\.example\.com", r"(?i)(timeout|timed out|reach|answer|unavailable)"], "remedy": [r"(?i)(registry|quay\.example\.com|network|reach)"],
        "symptoms": [symptom(a, k) for a, k in alerts], "evidence": [r"i/o timeout"],
    }], [r"(?i)rollout undo", r"(?i)imagePullSecret", r"(?i)(tag|image) .{0,30}(does not exist|wrong|misspelt)", r"(?i)(fixed|mended|cured) by"])


def build():
    return [password(), key_removed(), secret_missing(), architecture(), one_node_cannot_pull(), hub_limit(), slow_start(), no_endpoints(), migration(), two_causes(), limit_lowered(), quota(), policy(), cut_off(),
            tug_of_war(), forgotten_taint(), label_lost(), release_day(), spot_night(), by_itself()]
