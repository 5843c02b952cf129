//! When metrics on loopback are the cause, and when they must not be named.

mod small;

use kwhy_sdk::testkit::Input;
use serde_json::json;
use small::{
    LOOPBACK, at, cluster, listed, node, only, proxy, proxy_down, proxy_with, resolved, run, static_pod,
    subject, target_down, words,
};

fn with(line: &str, more: &[Input]) -> Vec<Input> {
    let mut all = cluster(line);
    all.extend(more.iter().cloned());
    all
}

#[test]
fn an_address_that_is_empty_absent_or_loopback_hides_the_metrics_of_a_well_kube_proxy() {
    for line in [
        r#"metricsBindAddress: """#,
        "metricsBindAddress: 127.0.0.1:10249",
        "metricsBindAddress: localhost:10249",
        "x: 1",
    ] {
        let found = only(&run(&with(line, &[proxy_down("09:00:00"), target_down("09:00:10", "kube-proxy")])));
        assert_eq!(
            (found.code.as_str(), found.root.kind.as_str(), found.root.name.as_str()),
            (LOOPBACK, "ConfigMap", "kube-proxy")
        );
        assert_eq!((found.confidence, found.severity.as_str()), (95, "warning"), "{line}");
        assert!(
            found.explanation.contains("kube-proxy itself is well: all 2 pods are ready"),
            "{}",
            found.explanation
        );
        assert!(found.evidence[0].excerpt.contains("metricsBindAddress"), "{line}");
        assert_eq!(
            found.remedies[0].command,
            "kubectl -n kube-system edit configmap kube-proxy     # metricsBindAddress: \"0.0.0.0:10249\"\n\
             kubectl -n kube-system rollout restart daemonset kube-proxy"
        );
        let explains =
            |name: &str, reach: &str| found.explains.iter().any(|e| e.name == name && e.reach == reach);
        assert!(
            explains("KubeProxyDown", "cluster")
                && explains("TargetDown", "workload")
                && explains("TargetDown", "self")
        );
    }
}

#[test]
fn nothing_is_claimed_that_would_send_somebody_to_the_wrong_place() {
    let found = only(&run(&with("metricsBindAddress: \"\"", &[proxy_down("09:00:00")])));
    for never in [
        r"(?i)kube-?proxy (is|are) (down|crash\w*|not running|dead|failing)",
        r"(?i)(service|cluster) (routing|networking|network|traffic) (is )?(broken|down)",
        r"(?i)(network|firewall) (partition|outage)",
        r"(?i)kube-?proxy.{0,80}(causes?|caused|leads to|led to|explains?|results in|makes?|drives?).{0,60}(churn|recreat|volume|kubelet|remount|CPU)",
    ] {
        let text = words(&found);
        assert!(!regex::Regex::new(never).unwrap().is_match(&text), "{never} matches {text}");
    }
}

#[test]
fn an_address_that_others_reach_acquits_the_setting_and_says_so() {
    let bench = run(&with(
        "metricsBindAddress: 0.0.0.0:10249",
        &[proxy_down("09:00:00"), target_down("09:00:10", "kube-proxy")],
    ));
    assert!(bench.diagnoses().is_empty(), "{:#?}", bench.diagnoses());
    let because = &bench.rejected(LOOPBACK).unwrap().because;
    assert!(because.contains("0.0.0.0:10249, which is not a loopback address"), "{because}");
}

#[test]
fn pods_that_are_not_ready_have_other_troubles() {
    let mut all = cluster("metricsBindAddress: \"\"");
    all.push(Input::changed(at("08:50:00"), proxy("kube-proxy-aaaaa", "kal", false, "08:00:00")));
    all.push(proxy_down("09:00:00"));
    assert!(run(&all).diagnoses().is_empty());
}

#[test]
fn without_an_alert_a_loopback_address_is_nobodys_trouble() {
    assert!(run(&cluster("metricsBindAddress: \"\"")).diagnoses().is_empty());
    let other =
        Input::alert(at("09:00:00"), "TargetDown", &subject("Service", "coredns"), &[("job", "coredns")]);
    assert!(run(&with("metricsBindAddress: \"\"", &[other])).diagnoses().is_empty());
}

#[test]
fn the_alert_may_come_before_the_objects_are_known() {
    let mut all = vec![proxy_down("08:29:00")];
    all.extend(cluster("metricsBindAddress: \"\"").into_iter().map(|i| match i {
        Input::Object { json, .. } => Input::changed(at("08:30:00"), json),
        other => other,
    }));
    assert_eq!(only(&run(&all)).code, LOOPBACK);
}

#[test]
fn the_flag_counts_only_without_a_configuration_file() {
    let pod = |command| listed(proxy_with("kube-proxy-aaaaa", "kal", true, "06:00:00", command));
    let run_with = |command| run(&[listed(node("kal")), pod(command), proxy_down("09:00:00")]);
    let found =
        only(&run_with(json!(["/bin/sh", "-c", "kube-proxy --metrics-bind-address=127.0.0.1:10249 --v=2"])));
    assert_eq!(
        (found.root.kind.as_str(), found.evidence[0].excerpt.as_str()),
        ("DaemonSet", "--metrics-bind-address=127.0.0.1:10249")
    );
    assert!(
        found.remedies[0]
            .command
            .contains("edit daemonset kube-proxy     # --metrics-bind-address=0.0.0.0:10249")
    );
    assert_eq!(
        only(&run_with(json!(["kube-proxy", "--v=2"]))).root.kind,
        "DaemonSet",
        "the default is loopback"
    );
    assert!(run_with(json!(["kube-proxy", "--metrics-bind-address=0.0.0.0:10249"])).diagnoses().is_empty());
    // The file is not known here, and the flag beside it is ignored: nothing can be said.
    let both = json!(["kube-proxy", "--config=/etc/other/config", "--metrics-bind-address=127.0.0.1:10249"]);
    assert!(run_with(both).diagnoses().is_empty());
}

#[test]
fn static_pods_on_loopback_are_their_own_roots() {
    let down = |name: &str, job: &str| {
        Input::alert(at("09:00:00"), name, &subject("Cluster", "lab"), &[("job", job)])
    };
    for (component, args, alert, edit) in [
        (
            "kube-scheduler",
            "--bind-address=127.0.0.1",
            "KubeSchedulerDown",
            "sudo sed -i 's#--bind-address=127.0.0.1#--bind-address=0.0.0.0#' /etc/kubernetes/manifests/kube-scheduler.yaml     # on kal",
        ),
        (
            "kube-controller-manager",
            "--bind-address=127.0.0.1",
            "KubeControllerManagerDown",
            "sudo sed -i 's#--bind-address=127.0.0.1#--bind-address=0.0.0.0#' /etc/kubernetes/manifests/kube-controller-manager.yaml     # on kal",
        ),
        (
            "etcd",
            "--listen-metrics-urls=http://127.0.0.1:2381",
            "etcdMembersDown",
            "sudo sed -i 's#--listen-metrics-urls=http://127.0.0.1:2381#--listen-metrics-urls=http://127.0.0.1:2381,http://192.168.10.11:2381#' /etc/kubernetes/manifests/etcd.yaml     # on kal",
        ),
    ] {
        let pod = |args: &str, ready| listed(static_pod(component, "kal", &[args], ready));
        let found = only(&run(&[listed(node("kal")), pod(args, true), down(alert, component)]));
        assert_eq!((found.root.kind.as_str(), found.root.name.clone()), ("Pod", format!("{component}-kal")));
        assert_eq!(found.remedies[0].command.lines().next().unwrap(), edit);
        assert!(found.remedies[0].command.contains("edit configmap kubeadm-config"));
        assert!(
            found.explanation.contains(&format!("{component} itself is well: its pod is ready")),
            "{}",
            found.explanation
        );
        assert!(found.explains.iter().any(|e| e.name == alert && e.reach == "cluster"));
        assert!(run(&[pod(args, false), down(alert, component)]).diagnoses().is_empty(), "not ready");
        assert!(
            run(&[pod("--x=1", true), down(alert, component)]).diagnoses().is_empty(),
            "listens elsewhere"
        );
    }
}

#[test]
fn one_of_several_members_on_loopback_is_named_alone() {
    let all = [
        listed(static_pod("kube-scheduler", "cp1", &["--bind-address=0.0.0.0"], true)),
        listed(static_pod("kube-scheduler", "cp2", &["--bind-address=127.0.0.1"], true)),
        listed(static_pod("kube-scheduler", "cp3", &["--bind-address=0.0.0.0"], true)),
        target_down("09:00:00", "kube-scheduler"),
    ];
    let found = only(&run(&all));
    assert_eq!((found.root.name.as_str(), found.confidence), ("kube-scheduler-cp2", 85));
}

#[test]
fn it_is_taken_back_when_the_alerts_end_or_the_pods_run_with_a_better_address() {
    let mut all = with("metricsBindAddress: \"\"", &[proxy_down("09:00:00")]);
    let mut ended = all.clone();
    ended.push(resolved("09:20:00", proxy_down("09:00:00")));
    let bench = run(&ended);
    assert!(bench.diagnoses().is_empty());
    assert_eq!(
        bench.cleared()[0].because,
        "no alert says any more that the metrics of kube-proxy cannot be read"
    );

    all.push(Input::changed(at("09:10:00"), small::map("metricsBindAddress: 0.0.0.0:10249")));
    for (name, node) in [("kube-proxy-aaaaa", "kal"), ("kube-proxy-bbbbb", "ford")] {
        all.push(Input::deleted(at("09:11:00"), proxy(name, node, true, "06:00:00")));
        all.push(Input::changed(
            at("09:12:00"),
            proxy(&name.replace("-a", "-c").replace("-b", "-d"), node, true, "09:11:30"),
        ));
    }
    let bench = run(&all);
    assert!(bench.diagnoses().is_empty(), "{:#?}", bench.diagnoses());
    let because = &bench.cleared().last().unwrap().because;
    assert!(because.contains("serves its metrics on 0.0.0.0:10249"), "{because}");
}

#[test]
fn inside_k3s_one_finding_speaks_for_all_components_that_its_nodes_hide() {
    let member = |name: &str, args: &str, server: bool| {
        let mut json = node(name);
        json["status"]["nodeInfo"]["kubeletVersion"] = json!("v1.28.5+k3s1");
        json["metadata"]["annotations"] = json!({"k3s.io/node-args": args});
        json["metadata"]["labels"] = if server {
            json!({"node-role.kubernetes.io/control-plane": "true", "node-role.kubernetes.io/master": "true"})
        } else {
            json!({})
        };
        listed(json)
    };
    let down = |name: &str, job: &str| {
        Input::alert(at("09:00:00"), name, &subject("Cluster", "lab"), &[("job", job)])
    };
    let alerts = [down("KubeProxyDown", "kube-proxy"), down("KubeSchedulerDown", "kube-scheduler")];
    let start = |server: &str| {
        let mut all = vec![member("pi0", server, true), member("pi1", r#"["agent"]"#, false)];
        all.extend(alerts.iter().cloned());
        all
    };
    let found = only(&run(&start(r#"["server","--disable","traefik"]"#)));
    assert_eq!(
        (found.code.as_str(), found.root.kind.as_str(), found.root.name.as_str()),
        (LOOPBACK, "Node", "pi0")
    );
    assert!(
        found.title.starts_with("k3s serves the metrics of kube-proxy and kube-scheduler on 127.0.0.1 only"),
        "{}",
        found.title
    );
    assert!(
        found.remedies[0]
            .command
            .contains(r#"on pi0 and pi1: kube-proxy-arg: ["metrics-bind-address=0.0.0.0"]"#),
        "{}",
        found.remedies[0].command
    );

    let told = r#"["server","--kube-proxy-arg","metrics-bind-address=0.0.0.0","--kube-scheduler-arg=bind-address=0.0.0.0"]"#;
    let found = only(&run(&start(told)));
    assert!(
        found.title.contains("metrics of kube-proxy on") && found.root.name == "pi1",
        "the agent was not told: {}",
        found.title
    );
    let mut kubeadm = start("");
    kubeadm.insert(0, listed(node("kal")));
    assert!(
        run(&kubeadm).diagnoses().is_empty(),
        "a node of another kind, and no pod seen: nothing is known"
    );
}
