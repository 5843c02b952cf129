//! Findings and their checkpoint: both or neither, once, and by one engine alone.

use kwhy_bus::{Commit, Committed, Filter, Head, chain};
use kwhy_proto::v1::{Checkpoint, Finding};

use crate::bench::{Bench, finding, restart};

/// The checkpoint of an engine at a place of the log.
fn checkpoint(owner: &str, sequence: u64, before: Option<&Head>, findings: &[Finding]) -> Checkpoint {
    let chain = chain(before.map_or(&[], |head| &head.checkpoint.chain), sequence, findings);
    Checkpoint { cluster: "homelab".into(), sequence, chain, owner: owner.into(), ..Checkpoint::default() }
}

/// Commits, which must succeed.
async fn stored(
    bench: &Bench,
    findings: &[Finding],
    at: u64,
    before: Option<&Head>,
) -> (Head, Vec<Committed>) {
    let checkpoint = checkpoint("one", at, before, findings);
    match bench.bus.commit(findings, &checkpoint, before).await.expect("an answer") {
        Commit::Stored(head, stored) => (head, stored),
        Commit::Fenced(head) => panic!("fenced by {head:?}"),
    }
}

async fn revisions(bench: &Bench) -> u64 {
    bench.count("KWHY_OUT", "kwhy.out.f.>").await
}

#[tokio::test]
async fn findings_are_stored_with_the_checkpoint_and_read_like_any_others() {
    let bench = Bench::start().await;
    assert_eq!(bench.bus.head().await.expect("an answer"), None);
    let findings = [finding("f1", 1), finding("f2", 1)];
    let (head, committed) = stored(&bench, &findings, 7, None).await;
    assert_eq!((head.sequence, committed), (3, vec![Committed::Now(1), Committed::Now(2)]));
    assert_eq!(bench.bus.head().await.expect("an answer"), Some(head.clone()));
    assert_eq!(bench.bus.stored_findings(&Filter::default()).await.expect("findings"), findings);
    let (next, _) = stored(&bench, &[], 8, Some(&head)).await;
    assert_eq!((next.sequence, next.checkpoint.sequence), (4, 8));
}

#[tokio::test]
async fn an_engine_whose_checkpoint_is_not_the_newest_stores_nothing() {
    let bench = Bench::start().await;
    let (first, _) = stored(&bench, &[finding("f1", 1)], 1, None).await;
    let (second, _) = stored(&bench, &[], 2, Some(&first)).await;
    for findings in [&[][..], &[finding("f2", 1)], &[finding("f2", 1), finding("f3", 1)]] {
        let late = checkpoint("late", 9, Some(&first), findings);
        let answer = bench.bus.commit(findings, &late, Some(&first)).await.expect("an answer");
        assert_eq!(answer, Commit::Fenced(Some(second.clone())));
    }
    assert_eq!(revisions(&bench).await, 1);
}

/// The twin: what is stored without the condition is stored by anybody.
#[tokio::test]
async fn without_the_condition_a_late_engine_stores_all_the_same() {
    let bench = Bench::start().await;
    let (first, _) = stored(&bench, &[finding("f1", 1)], 1, None).await;
    let (_second, _) = stored(&bench, &[], 2, Some(&first)).await;
    bench.bus.publish_findings(&[finding("f2", 1)]).await.expect("stored");
    assert_eq!(revisions(&bench).await, 2);
}

#[tokio::test]
async fn of_a_commit_whose_answer_was_lost_the_stored_checkpoint_tells_what_became() {
    let bench = Bench::start().await;
    let findings = [finding("f1", 1), finding("f2", 1)];
    let (head, committed) = stored(&bench, &findings, 1, None).await;
    let stored_before = bench.messages("KWHY_OUT").await;
    // Sent again by one who does not know.
    let (again, recommitted) = stored(&bench, &findings, 1, None).await;
    assert_eq!((again, recommitted), (head.clone(), committed));
    // Alone it has no revisions by which the server would know it.
    let (alone, _) = stored(&bench, &[], 2, Some(&head)).await;
    let (same, _) = stored(&bench, &[], 2, Some(&head)).await;
    assert_eq!(alone, same);
    assert_eq!(bench.messages("KWHY_OUT").await, stored_before + 1);
}

#[tokio::test]
async fn revisions_that_are_there_without_their_checkpoint_are_not_stored_again() {
    let bench = Bench::start().await;
    let (head, _) = stored(&bench, &[finding("f1", 1)], 1, None).await;
    let findings = [finding("f1", 2), finding("f2", 1)];
    bench.bus.publish_findings(&findings[..1]).await.expect("stored");
    let (next, committed) = stored(&bench, &findings, 2, Some(&head)).await;
    assert!(matches!(committed.as_slice(), [Committed::Before(_), Committed::Now(_)]), "{committed:?}");
    assert_eq!(bench.bus.head().await.expect("an answer"), Some(next));
    assert_eq!(revisions(&bench).await, 3);
}

#[tokio::test]
async fn more_revisions_than_a_batch_takes_are_stored_before_their_checkpoint() {
    let bench = Bench::start().await;
    let many: Vec<Finding> = (0..1100).map(|n| finding(&format!("f{n}"), 1)).collect();
    let (head, committed) = stored(&bench, &many, 1, None).await;
    assert_eq!((committed.len(), head.sequence), (1100, 1101));
    let last = [finding("f0", 2)];
    let (_next, _) = stored(&bench, &last, 2, Some(&head)).await;
    assert_eq!(revisions(&bench).await, 1101);
}

/// The twin: as one batch the server would take none of them.
#[tokio::test]
async fn of_a_batch_of_more_than_a_thousand_the_server_takes_nothing() {
    let bench = Bench::start().await;
    let mut answer = None;
    for n in 1..=1100 {
        let mut headers = async_nats::HeaderMap::new();
        headers.insert("Nats-Batch-Id", "too-many");
        headers.insert("Nats-Batch-Sequence", n.to_string().as_str());
        if n == 1100 {
            headers.insert("Nats-Batch-Commit", "1");
        }
        let request = async_nats::Request::new().headers(headers).payload("x".into());
        let subject = format!("kwhy.out.f.homelab.f{n}.1._.a.b");
        if n == 1 || n == 1100 {
            answer = Some(bench.plain.send_request(subject, request).await.expect("an answer"));
        } else {
            let headers = request.headers.expect("headers");
            bench.plain.publish_with_headers(subject, headers, "x".into()).await.expect("it is sent");
        }
    }
    let answer = String::from_utf8_lossy(&answer.expect("an answer").payload).into_owned();
    assert!(answer.contains("\"error\""), "{answer}");
    assert_eq!(revisions(&bench).await, 0);
}

#[tokio::test]
async fn a_server_killed_in_the_middle_of_commits_loses_and_doubles_nothing() {
    let mut bench = Bench::start().await;
    let mut head: Option<Head> = None;
    for round in 1..=20_u32 {
        let findings: Vec<Finding> = (0..5).map(|n| finding(&format!("f{n}"), round)).collect();
        if round % 5 == 0 {
            bench = restart(bench).await;
        }
        let (next, _) = stored(&bench, &findings, round.into(), head.as_ref()).await;
        head = Some(next);
    }
    assert_eq!(revisions(&bench).await, 100);
    let newest = bench.bus.head().await.expect("an answer");
    assert_eq!(newest, head);
}

/// Whoever starts while another stores more.
#[tokio::test]
async fn findings_as_of_a_checkpoint_are_those_that_it_covers_and_what_none_covers() {
    let bench = Bench::start().await;
    let (first, _) = stored(&bench, &[finding("f1", 1), finding("f2", 1)], 1, None).await;
    let (second, _) = stored(&bench, &[finding("f1", 2), finding("f3", 1)], 2, Some(&first)).await;
    bench.bus.publish_findings(&[finding("f4", 1)]).await.expect("stored without a checkpoint");
    let of = async |head: &Head| -> Vec<(String, u32)> {
        let all = bench.bus.findings_as_of(&Filter::default(), head).await.expect("findings");
        all.into_iter().map(|finding| (finding.id, finding.revision)).collect()
    };
    let named = |all: &[(&str, u32)]| -> Vec<(String, u32)> {
        all.iter().map(|(id, revision)| ((*id).to_owned(), *revision)).collect()
    };
    assert_eq!(of(&first).await, named(&[("f1", 1), ("f2", 1), ("f4", 1)]));
    assert_eq!(of(&second).await, named(&[("f1", 2), ("f2", 1), ("f3", 1), ("f4", 1)]));
}
