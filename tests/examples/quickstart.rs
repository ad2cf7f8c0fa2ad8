//! `examples/quickstart`: everything that the program proposes is answered as it says.

use selvedge_examples::{
    demo::{Addresses, MANIFESTS},
    smoke,
    tries::tries,
};

#[tokio::test]
async fn everything_that_the_quickstart_proposes_works() {
    let mut output = Vec::new();
    let manifests = std::path::Path::new(MANIFESTS);
    let done = smoke::run(manifests, &mut output).await;
    let output = String::from_utf8(output).expect("it writes text");
    done.unwrap_or_else(|error| panic!("{error:#}\nafter\n{output}"));
    let free = ([127, 0, 0, 1], 0).into();
    let addresses = Addresses { http: free, https: free, admin: free };
    // Each request, and the changed file and back.
    assert_eq!(output.lines().count(), tries(addresses).len() + 2, "{output}");
}

#[tokio::test]
async fn an_answer_that_is_not_as_proposed_is_found() {
    let folder = selvedge_tests::edge::folder();
    for entry in std::fs::read_dir(MANIFESTS).expect("the folder is there") {
        let path = entry.expect("entries are readable").path();
        let text = std::fs::read_to_string(&path).expect("manifests are text");
        let name = path.file_name().expect("files have names");
        std::fs::write(folder.path().join(name), text.replace("path: /api/v2", "path: /api/v3"))
            .expect("the folder can be written to");
    }
    let error = smoke::run(folder.path(), &mut Vec::new()).await.expect_err("a path is not as proposed");
    assert!(error.to_string().contains("the longest one wins"), "{error:#}");
}
