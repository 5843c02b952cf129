//! Each cause as it shows, and what comes near it and is none.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that cannot go on fails here")]

#[path = "../small/mod.rs"]
mod small;

mod churn;
mod configuration;
mod images;
mod jobs;
mod memory;
mod missing;
mod probes;
mod real;
mod refusals;
mod services;
mod start;

fn words(d: &kwhy_sdk::Diagnosis) -> String {
    let remedies: String = d.remedies.iter().map(|r| format!("\n{}\n{}", r.text, r.command)).collect();
    let evidence: String = d.evidence.iter().map(|e| format!("\n{} | {}", e.excerpt, e.note)).collect();
    format!("{}\n{}{remedies}{evidence}", d.title, d.explanation)
}

fn says(d: &kwhy_sdk::Diagnosis, parts: &[&str]) {
    let all = words(d);
    for part in parts {
        assert!(all.contains(part), "{part:?} is missing in:\n{all}");
    }
}
