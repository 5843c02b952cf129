//! `docs/causes.md` says what the binary says. After a change of a rule, make it anew, look at what changed, commit it:
//! `cargo xtask bless`.
#![allow(clippy::expect_used, clippy::panic, reason = "a test ends where its ground gives way")]

use std::fs;

use kwhy_tests::{
    Kwhy,
    causes::{packs, page},
    gate::{fixtures, plugins},
    here,
};

#[test]
fn the_page_of_causes_is_what_packs_and_fixtures_say() {
    let fixtures = fixtures(&plugins()).unwrap_or_else(|wrong| panic!("{wrong}"));
    let packs = packs(&Kwhy::new());
    let page = page(&packs, &fixtures);
    let file = here("../docs/causes.md");
    if std::env::var_os("KWHY_BLESS").is_some() {
        fs::write(&file, &page).expect("the page can be written");
    }
    let written = fs::read_to_string(&file).unwrap_or_default();
    let differs = page.lines().zip(written.lines()).position(|(is, was)| is != was);
    let first = differs.unwrap_or_else(|| page.lines().count().min(written.lines().count()));
    assert!(
        page == written,
        "docs/causes.md is another from line {} on; look at the change and bless it with `cargo xtask bless`\n\
         --- is\n{}\n--- was\n{}",
        first + 1,
        page.lines().nth(first).unwrap_or("(end)"),
        written.lines().nth(first).unwrap_or("(end)"),
    );
    for code in packs.iter().flat_map(|pack| &pack.codes) {
        assert!(page.contains(&format!("\n### {}\n", code.code)), "{} is missing", code.code);
    }
}
