//! The causes that the pack knows, with the software that shows them and where they are described.

/// Code, title, versions, references.
pub(crate) type Code = (&'static str, &'static str, &'static str, &'static [&'static str]);

const DEBUG_PODS: &str = "https://kubernetes.io/docs/tasks/debug/debug-application/debug-pods/";
const IMAGES: &str = "https://kubernetes.io/docs/concepts/containers/images/";
const PRIVATE: &str = "https://kubernetes.io/docs/tasks/configure-pod-container/pull-image-private-registry/";
const RESOURCES: &str = "https://kubernetes.io/docs/concepts/configuration/manage-resources-containers/";
const CONFIG: &str = "https://kubernetes.io/docs/tasks/configure-pod-container/configure-pod-configmap/";
const SECRET: &str = "https://kubernetes.io/docs/concepts/configuration/secret/";
const PROBES: &str =
    "https://kubernetes.io/docs/tasks/configure-pod-container/configure-liveness-readiness-startup-probes/";
const LIFECYCLE: &str = "https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/";
const TERMINATION: &str =
    "https://kubernetes.io/docs/tasks/debug/debug-application/determine-reason-pod-failure/";
const CRASH: &str = "https://runbooks.prometheus-operator.dev/runbooks/kubernetes/kubepodcrashlooping";
const SECURITY: &str = "https://kubernetes.io/docs/concepts/security/pod-security-standards/";

const SERVICE: &str = "https://kubernetes.io/docs/tasks/debug/debug-application/debug-service/";

pub(crate) const CODES: [Code; 39] = [
    (crate::image::NOT_FOUND, "An image or its tag does not exist", "all", &[IMAGES, DEBUG_PODS]),
    (crate::image::AUTH, "A registry refuses the pull", "all", &[PRIVATE, IMAGES]),
    (
        crate::image::UNREACHABLE,
        "A registry cannot be reached or does not serve",
        "all",
        &[IMAGES, DEBUG_PODS],
    ),
    (
        crate::image::ARCHITECTURE,
        "An image is not built for the node's processor",
        "all",
        &["https://docs.docker.com/build/building/multi-platform/", IMAGES],
    ),
    (
        crate::oom::CODE,
        "A container reaches its memory limit and is killed",
        "all",
        &[RESOURCES, "https://kubernetes.io/docs/tasks/configure-pod-container/assign-memory-resource/"],
    ),
    (
        crate::config_change::CODE,
        "A workload fails since its configuration or template was changed",
        "all",
        &[
            CONFIG,
            "https://kubernetes.io/docs/concepts/workloads/controllers/deployment/#rolling-back-a-deployment",
            CRASH,
        ],
    ),
    (crate::missing::CONFIG_MAP, "A ConfigMap that pods need does not exist", "all", &[CONFIG, DEBUG_PODS]),
    (crate::missing::SECRET, "A Secret that pods need does not exist", "all", &[SECRET, DEBUG_PODS]),
    (crate::missing::KEY, "A ConfigMap or Secret lacks a key that pods need", "all", &[CONFIG, SECRET]),
    (
        crate::missing::ACCOUNT,
        "A ServiceAccount that pods need does not exist",
        "all",
        &["https://kubernetes.io/docs/tasks/configure-pod-container/configure-service-account/"],
    ),
    (
        crate::command::CODE,
        "A container's command is not in its image or may not be run",
        "all",
        &[
            "https://kubernetes.io/docs/tasks/inject-data-application/define-command-argument-container/",
            LIFECYCLE,
        ],
    ),
    (
        crate::refused::CODE,
        "The kubelet or the container runtime refuses to start a container",
        "all",
        &[DEBUG_PODS, LIFECYCLE],
    ),
    (
        crate::security::CODE,
        "A pod breaks the rules of pod security",
        "all",
        &[SECURITY, "https://kubernetes.io/docs/tasks/configure-pod-container/security-context/"],
    ),
    (
        crate::probe::TOO_STRICT,
        "A liveness or startup probe kills a container that only is slow",
        "all",
        &[PROBES],
    ),
    (crate::probe::LIVENESS, "A liveness probe kills a container again and again", "all", &[PROBES, CRASH]),
    (
        crate::probe::READINESS,
        "A container runs and is not ready",
        "all",
        &[PROBES, "https://runbooks.prometheus-operator.dev/runbooks/kubernetes/kubepodnotready"],
    ),
    (
        crate::generic::EXIT,
        "A container ends again and again for a reason of its own",
        "all",
        &[TERMINATION, CRASH],
    ),
    (
        crate::generic::INIT,
        "An init container fails",
        "all",
        &["https://kubernetes.io/docs/tasks/debug/debug-application/debug-init-containers/"],
    ),
    (
        crate::fight::FIGHT,
        "Two managers write the same template in turn",
        "all",
        &[
            "https://kubernetes.io/docs/reference/using-api/server-side-apply/#field-management",
            "https://prometheus-operator.dev/docs/platform/operator/",
        ],
    ),
    (crate::fight::CHURN, "Pods are replaced again and again", "all", &[LIFECYCLE]),
    (
        crate::admission::QUOTA,
        "A ResourceQuota refuses new pods",
        "all",
        &["https://kubernetes.io/docs/concepts/policy/resource-quotas/"],
    ),
    (
        crate::admission::LIMITS,
        "A LimitRange refuses new pods",
        "all",
        &["https://kubernetes.io/docs/concepts/policy/limit-range/"],
    ),
    (
        crate::admission::DENIED,
        "An admission rule refuses new pods",
        "all",
        &["https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/"],
    ),
    (
        crate::admission::WEBHOOK,
        "An admission webhook cannot be reached",
        "all",
        &[
            "https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/#failure-policy",
        ],
    ),
    (
        crate::job::BACKOFF,
        "A Job has failed too often",
        "all",
        &[
            "https://kubernetes.io/docs/concepts/workloads/controllers/job/#pod-backoff-failure-policy",
            "https://runbooks.prometheus-operator.dev/runbooks/kubernetes/kubejobfailed",
        ],
    ),
    (
        crate::job::DEADLINE,
        "A Job has run into its deadline",
        "all",
        &["https://kubernetes.io/docs/concepts/workloads/controllers/job/#job-termination-and-cleanup"],
    ),
    (
        crate::cron::MISSED,
        "A CronJob does not start its Jobs",
        "all",
        &["https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/#starting-deadline"],
    ),
    (
        crate::hpa::CODE,
        "An autoscaler has nothing to count with",
        "all",
        &[
            "https://kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale/#how-does-a-horizontalpodautoscaler-work",
        ],
    ),
    (
        crate::ceiling::CODE,
        "An autoscaler wants more replicas than it may have",
        "all",
        &["https://runbooks.prometheus-operator.dev/runbooks/kubernetes/kubehpamaxedout"],
    ),
    (
        crate::pdb::CODE,
        "A PodDisruptionBudget blocks the drain of a node",
        "all",
        &[
            "https://kubernetes.io/docs/tasks/administer-cluster/safely-drain-node/",
            "https://kubernetes.io/docs/tasks/run-application/configure-pdb/",
        ],
    ),
    (
        crate::login::CODE,
        "A server refuses the credentials of a workload",
        "PostgreSQL, MySQL, MariaDB, MongoDB, Redis, RabbitMQ, Kafka",
        &["https://www.postgresql.org/docs/current/client-authentication-problems.html", SECRET],
    ),
    (
        crate::login::CROWDED,
        "A server has no connection left for its clients",
        "PostgreSQL, PgBouncer, MySQL, MariaDB, MongoDB, Redis",
        &[
            "https://www.postgresql.org/docs/current/runtime-config-connection.html",
            "https://dev.mysql.com/doc/refman/8.0/en/too-many-connections.html",
        ],
    ),
    (
        crate::expired::CODE,
        "A server of the cluster answers with a certificate that has expired",
        "all",
        &["https://cert-manager.io/docs/troubleshooting/", SECRET],
    ),
    (
        crate::evicted::CODE,
        "Pods write more to the node's disk than their limit allows",
        "all",
        &["https://kubernetes.io/docs/concepts/storage/ephemeral-storage/", RESOURCES],
    ),
    (crate::service::SELECTOR, "A Service selects no pod", "all", &[SERVICE]),
    (crate::service::PORT, "A Service leads to a port that its pods do not have", "all", &[SERVICE]),
    (
        crate::service::POLICY,
        "A NetworkPolicy keeps traffic out",
        "all",
        &["https://kubernetes.io/docs/concepts/services-networking/network-policies/"],
    ),
    (crate::service::MISSING, "A Service that others need was deleted", "all", &[SERVICE]),
    (crate::service::DOWN, "A workload that others need has no ready pod", "all", &[SERVICE]),
];
