use proptest::prelude::*;

use super::*;

/// A secret of each kind, in the words in which it is met.
const CANARIES: [(&str, &str); 45] = [
    ("cannot parse MIIEpAIBAAKCAQEAc4n4ryVb2kT9zWmQ3xq8c7V0e1YkPz: asn1", "AAKCAQEAc4n4ry"),
    ("Authorization: Bearer c4n4ry.tok-en_1", "c4n4ry.tok-en_1"),
    ("curl -H \"Authorization: Basic dXNlcjpjNG40cnk=\" https://x", "dXNlcjpjNG40cnk="),
    ("headers: map[Authorization:[Bearer c4n4ryc4n4ry]]", "c4n4ryc4n4ry"),
    (
        "Authorization: AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/2020/s3, Signature=c4n4ry99",
        "c4n4ry99",
    ),
    ("sent bearer c4n4ryc4n4ry0 to peer", "c4n4ryc4n4ry0"),
    (
        "got eyJhbGciOiJSUzI1NiIsImtpZCI6IngifQ.eyJpc3MiOiJrdWJlcm5ldGVzIn0.c4n4ry_c4n4ry-sig then",
        "c4n4ry_c4n4ry-sig",
    ),
    ("cut in the middle eyJhbGciOiJSUzI1NiIsImtpZCI6IngifQ.eyJpc3Mi", "eyJpc3Mi"),
    ("dial postgres://app:c4n4ry@db:5432/shop: refused", "c4n4ry"),
    ("redis://:c4n4ry@cache:6379", "c4n4ry"),
    ("amqp://u:c4n/4r@y@mq:5672/vhost", "c4n/4r@y"),
    ("clone https://c4n4ryc4n4ryc4n4ry@git.example/x.git", "c4n4ryc4n4ryc4n4ry"),
    ("key AKIAIOSFODNN7EXAMPLE is disabled", "AKIAIOSFODNN7EXAMPLE"),
    ("aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/c4n4ry", "wJalrXUtnFEMI/K7MDENG/c4n4ry"),
    ("AWS_SECRET_ACCESS_KEY=c4n4ry", "c4n4ry"),
    ("ghp_c4n4ryc4n4ryc4n4ryc4n4ryc4n4ryc4n4 expired", "ghp_c4n4ry"),
    ("remote: glpat-c4n4ry_c4n4ry-c4n4ry", "glpat-c4n4ry"),
    ("xoxb-1234567890-c4n4ryc4n4ry", "c4n4ryc4n4ry"),
    ("post https://hooks.slack.com/services/T0/B0/c4n4ry: 404", "T0/B0/c4n4ry"),
    ("https://discord.com/api/webhooks/123/c4n4ry-x", "c4n4ry-x"),
    ("https://api.telegram.org/bot123:c4n4ry/sendMessage", "c4n4ry"),
    ("AIzac4n4ryc4n4ryc4n4ryc4n4ryc4n4ryc4n4r", "AIzac4n4ry"),
    ("ya29.c4n4ryc4n4ryc4n4ry-x", "ya29.c4n4ry"),
    ("sk_live_c4n4ryc4n4ry", "sk_live_c4n4ry"),
    ("using sk-proj-C4n4ryC4n4ryC4n4ry", "C4n4ryC4n4ryC4n4ry"),
    ("VAULT hvs.c4n4ryc4n4ryc4n4ry", "hvs.c4n4ry"),
    ("-----BEGIN RSA PRIVATE KEY-----\nc4n4ry\n-----END RSA PRIVATE KEY----- loaded", "c4n4ry"),
    ("-----BEGIN PRIVATE KEY----- c4n4ry cut", "c4n4ry"),
    ("MIIEpAIBAAKCAQEAc4n4ryVb2kT9zWmQ3xq8c7V0e1YkPzQ2d5Rk9sT6uX7yZ8a", "MIIEpAIBAAKCAQEAc4n4ry"),
    ("client-key-data: LS0tLS1CRUdJTiBSU0EgUFJJVkFURSBLRVktLS0tLQpjNG40cnk=", "LS0tLS1CRUdJTi"),
    ("password=c4n4ry", "c4n4ry"),
    ("DB_PASSWORD: \"c4n4ry with words\"", "c4n4ry with words"),
    ("{\"user\":\"a\",\"password\":\"c4n\\\"4ry\",\"x\":1}", "c4n\\\"4ry"),
    ("err=\"{\\\"password\\\":\\\"c4n4ry\\\",\\\"a\\\":1}\"", "c4n4ry"),
    ("password: c4n4ry9", "c4n4ry9"),
    ("login --password c4n4ry9 --user x", "c4n4ry9"),
    ("kubeadm join 10.0.0.1:6443 --token abcdef.c4n4ry0123456789 --x", "abcdef.c4n4ry0123456789"),
    ("GET /x?access_token=c4n4ry&y=1", "c4n4ry"),
    ("{\"auths\":{\"r\":{\"auth\":\"YzRuNHJ5OmM0bjRyeQ==\"}}}", "YzRuNHJ5OmM0bjRyeQ=="),
    ("Cookie: session=c4n4ry; x=y", "c4n4ry"),
    ("Set-Cookie: id=c4n4ry; HttpOnly", "c4n4ry"),
    ("X-Api-Key: c4n4ry99", "c4n4ry99"),
    ("AccountName=x;AccountKey=c4n4ry==;EndpointSuffix=y", "c4n4ry=="),
    ("client_secret=c4n4ry&grant", "c4n4ry"),
    ("https://x.blob/y?sv=1&sig=C4n4ry%2Fabc", "C4n4ry%2Fabc"),
];

/// Real lines that speak of secrets and hold none.
const HARMLESS: [&str; 24] = [
    "MountVolume.SetUp failed for volume \"default-token-8q5h2\" : secret \"default-token-8q5h2\" not found",
    "MountVolume.SetUp failed for volume \"default-token\" : failed to sync secret cache: timed out",
    "failed to fetch token: unexpected status code 401 Unauthorized",
    "Couldn't get secret kube-system/regcred: secret=\"kube-system/regcred\" err=\"not found\"",
    "\"Unable to retrieve pull secret\" pod=\"shop/web-0\" secret=\"regcred-2\" err=\"secret \\\"regcred-2\\\" not found\"",
    "Error: couldn't find key password in Secret shop/db",
    "Unable to authenticate the request: [invalid bearer token, token lookup failed]",
    "invalid bearer token: Token has expired",
    "password authentication failed for user \"app\"",
    "--token must be set; --bootstrap-token is deprecated",
    "Starting to serve on https://127.0.0.1:8443/metrics?mail=a@b",
    "Get \"https://10.96.0.1:443/api/v1/secrets?fieldSelector=metadata.name%3Dregcred\": dial tcp",
    "PWD=/root HOME=/root",
    "tokenPath=/var/run/secrets/kubernetes.io/serviceaccount/token",
    "volumes/kubernetes.io~secret/prometheus-operator-operator-token-8q5h2 and fsGroup set",
    "unable to load key: open /etc/kubernetes/pki/apiserver-etcd-client.key: no such file",
    "Generated self-signed certificate and private key",
    "secrets \"db\" is forbidden: User \"system:node:kal\" cannot get resource \"secrets\"",
    "password: authentication failed, token: expired",
    "authorization: denied by policy",
    "pulling image with credentials for registry: basic authentication required",
    "\"Reconciler: start to sync state\" key=\"shop/web\" sig=SIGTERM",
    "PRIVATE KEY file missing",
    "uid 6a1bb3cd-8af1-4330-a953-da78b26c352f sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
];

#[test]
fn no_canary_is_left() {
    for (text, canary) in CANARIES {
        let clean = secrets(text);
        assert!(!clean.contains(canary), "{text}\n  became {clean}");
        assert!(clean.contains(MASK), "{clean}");
        assert_eq!(secrets(&clean), clean, "masked again");
    }
}

/// The twin of the test above: the canaries are there to be seen.
#[test]
fn a_canary_is_in_its_text() {
    assert!(CANARIES.iter().all(|(text, canary)| text.contains(canary)));
}

#[test]
fn what_only_speaks_of_secrets_stays() {
    for text in HARMLESS {
        assert!(
            matches!(secrets(text), Cow::Borrowed(same) if same == text),
            "{text}\n  became {}",
            secrets(text)
        );
    }
}

#[test]
fn what_stands_around_a_secret_stays() {
    assert_eq!(
        secrets("dial postgres://app:x1@db:5432/shop: refused"),
        "dial postgres://app:[redacted]@db:5432/shop: refused"
    );
    assert_eq!(secrets("{\"password\":\"a b\",\"x\":1}"), "{\"password\":\"[redacted]\",\"x\":1}");
    assert_eq!(secrets("a password=x, b"), "a password=[redacted], b");
    assert_eq!(secrets("größe password=ü€ ende"), "größe password=[redacted] ende");
}

#[test]
fn a_value_is_judged_by_its_name() {
    assert_eq!(value("password", "x"), MASK);
    assert_eq!(value("pod", "shop/web-0"), "shop/web-0");
    assert_eq!(value("secret", "shop/regcred"), "shop/regcred");
    assert_eq!(value("err", "login with password=x"), "login with password=[redacted]");
}

#[test]
fn an_owned_text_is_given_back() {
    assert_eq!(clean(Cow::Owned("all quiet".to_owned())), "all quiet");
    assert_eq!(clean(Cow::Owned("pwd=secret9".to_owned())), "pwd=[redacted]");
}

proptest! {
    #[test]
    fn no_text_panics_and_what_is_clean_stays(text in "\\PC*", name in "(password|token|secret|auth|Authorization|https)", sep in "(=|: |\":\"|://a:| )", tail in "[ -~äß]{0,40}") {
        let text = format!("{text} {name}{sep}{tail}");
        let clean = secrets(&text).into_owned();
        prop_assert_eq!(secrets(&clean).into_owned(), clean);
    }

    #[test]
    fn a_password_never_passes(password in "[a-zA-Z0-9+/_-]{1,30}", quote in "(|\"|')") {
        prop_assume!(!password.starts_with('/') && (password.len() < 3 || password.bytes().any(|b| !matches!(b, b'x' | b'X' | b'-'))));
        prop_assume!(!matches!(password.as_str(), "nil" | "null" | "none" | "None" | "true" | "false"));
        let text = format!("connect password={quote}{password}{quote} now");
        let expected = format!("connect password={quote}{MASK}{quote} now");
        prop_assert_eq!(secrets(&text).into_owned(), expected);
    }
}
