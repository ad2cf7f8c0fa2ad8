//! Habits: no test sleeps, is skipped or expects a panic, and nothing is unsafe.

use crate::{
    assert_none, code,
    tree::{self, File},
};

/// Text of code, and why it is not written, anywhere.
const NOWHERE: [(&str, &str); 4] = [
    ("#[ignore", "a test that does not run says nothing"),
    ("#[should_panic", "check the error instead"),
    ("unsafe {", "nothing here needs it"),
    ("unsafe fn", "nothing here needs it"),
];

/// Text of code that tests do not hold, unless their time is paused.
const SLEEPS: [&str; 4] = ["thread::sleep", "time::sleep(", "sleep_until(", " sleep("];

fn check(file: &File) -> Vec<String> {
    let bare = code::bare(&file.text);
    let mut violations = Vec::new();
    for (number, line) in bare.lines().enumerate() {
        let found = NOWHERE.iter().filter(|(text, _)| line.contains(text));
        violations.extend(found.map(|(text, why)| format!("{}:{}: {text}: {why}", file.path, number + 1)));
    }
    let tests = code::tests(&file.path, &file.text);
    let first = bare.lines().count() - code::bare(tests).lines().count();
    let paused = tests.contains("start_paused") || tests.contains("time::pause()");
    for (number, line) in code::bare(tests).lines().enumerate() {
        let sleeps = SLEEPS.iter().any(|text| line.contains(text)) && (!paused || line.contains(SLEEPS[0]));
        if sleeps {
            let line = first + number + 1;
            violations.push(format!("{}:{line}: wait for what shall happen, or pause the time", file.path));
        }
    }
    violations
}

#[test]
fn tests_do_not_sleep_and_nothing_is_skipped_or_unsafe() {
    assert_none(tree::rust().flat_map(check).collect());
}

#[test]
fn bad_habits_are_found() {
    let cases = [
        ("common/src/a.rs", "#[cfg(test)]\nmod tests {\n    #[test]\n    #[ignore]\n    fn a() {}\n}"),
        ("common/src/a.rs", "#[cfg(test)]\nmod tests {\n    #[should_panic]\n    fn a() {}\n}"),
        ("common/src/a.rs", "fn a() { unsafe { b() } }"),
        ("common/src/a/tests.rs", "fn a() { std::thread::sleep(SECOND); }"),
        ("tests/proxy/a.rs", "async fn a() { tokio::time::sleep(SECOND).await; }"),
        ("tests/proxy/a.rs", "#[tokio::test(start_paused = true)]\nfn a() { thread::sleep(SECOND); }"),
    ];
    for (path, text) in cases {
        assert_eq!(check(&File::sample(path, text)).len(), 1, "{path}: {text}");
    }
    let late = File::sample(
        "common/src/a.rs",
        "fn a() {}\n#[cfg(test)]\nmod tests {\n    fn b() { thread::sleep(S) }\n}",
    );
    assert!(check(&late)[0].starts_with("common/src/a.rs:4: "), "{:?}", check(&late));
}

#[test]
fn sleeps_of_the_program_and_of_paused_time_pass() {
    let cases = [
        ("common/src/a.rs", "async fn a() { tokio::time::sleep(SECOND).await; }"),
        (
            "common/src/a/tests.rs",
            "#[tokio::test(start_paused = true)]\nasync fn a() { tokio::time::sleep(S).await }",
        ),
    ];
    for (path, text) in cases {
        assert_none(check(&File::sample(path, text)));
    }
}
