//! The programs `quickstart` and `shop` as processes.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    process::{Child, Command, Stdio},
};

fn start(flags: &[&str]) -> Child {
    start_program(env!("CARGO_BIN_EXE_quickstart"), flags)
}

fn start_program(program: &str, flags: &[&str]) -> Child {
    let mut command = Command::new(program);
    // Nothing of whoever runs the tests.
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("SELVEDGE_")) {
        command.env_remove(name);
    }
    command.args(flags).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().expect("the program is there")
}

#[test]
fn a_taken_port_is_told_with_the_flag_that_helps() {
    for flag in ["--http", "--https", "--admin"] {
        let taken = TcpListener::bind("127.0.0.1:0").expect("loopback has free ports");
        let taken = taken.local_addr().map(|address| (taken, address.to_string())).expect("it is bound");
        let mut flags = vec![flag, &taken.1];
        for other in ["--http", "--https", "--admin"].into_iter().filter(|other| *other != flag) {
            flags.extend([other, "127.0.0.1:0"]);
        }
        let output = start(&flags).wait_with_output().expect("it ends");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains(&taken.1) && said.contains(&format!("with {flag} ADDR")), "{said}");
        assert_eq!(output.status.code(), Some(1));
    }
}

#[test]
fn it_proposes_requests_answers_them_and_drains_when_asked_to_end() {
    let mut child = start(&["--http=127.0.0.1:0", "--https=127.0.0.1:0", "--admin=127.0.0.1:0"]);
    let mut output = BufReader::new(child.stdout.take().expect("it is piped")).lines();
    let mut line = |wanted: &str| {
        let found =
            output.by_ref().map(|line| line.expect("it writes text")).find(|line| line.contains(wanted));
        found.unwrap_or_else(|| panic!("no line with {wanted}"))
    };
    let curl = line("http://shop.example/cart");
    let expected = line("  -> ").replace("  -> ", "");
    line("sed -i s/api-v1/api-v2/ ");
    line("Ctrl-C");
    let address =
        curl.split("::").nth(1).and_then(|rest| rest.split(' ').next()).expect("it names an address");
    let mut stream = TcpStream::connect(address).expect("it listens there");
    let request = "GET /cart HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).expect("it reads requests");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it answers");
    assert!(answer.contains(&expected), "{answer}");
    // The edge waits a while for clients that do not close.
    drop(stream);
    let process = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(process, rustix::process::Signal::INT).expect("it runs");
    assert!(child.wait().expect("it ends").success());
}

#[test]
fn the_shop_proposes_requests_answers_them_and_drains_when_asked_to_end() {
    let flags = ["--edge=127.0.0.1:0", "--router=127.0.0.1:0", "--admin=127.0.0.1:0"];
    let mut child = start_program(env!("CARGO_BIN_EXE_shop"), &flags);
    let mut output = BufReader::new(child.stdout.take().expect("it is piped")).lines();
    let mut line = |wanted: &str| {
        let found =
            output.by_ref().map(|line| line.expect("it writes text")).find(|line| line.contains(wanted));
        found.unwrap_or_else(|| panic!("no line with {wanted}"))
    };
    line("http://shop.example/");
    let curl = line("http_proxy=");
    line("graph --admin");
    line("Ctrl-C");
    let address =
        curl.split("http://").nth(1).and_then(|rest| rest.split(' ').next()).expect("it names an address");
    // What the shop proposes may come before the router has read everything.
    let answer = (0..1_000).find_map(|_| {
        let mut stream = TcpStream::connect(address).expect("it listens there");
        let request = "GET http://catalog.shop/ HTTP/1.1\r\nHost: catalog.shop\r\nConnection: close\r\n\r\n";
        stream.write_all(request.as_bytes()).expect("it reads requests");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("it answers");
        answer.starts_with("HTTP/1.1 200 ").then_some(answer)
    });
    assert!(answer.is_some_and(|answer| answer.contains("catalog")));
    let process = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(process, rustix::process::Signal::INT).expect("it runs");
    assert!(child.wait().expect("it ends").success());
}

#[test]
fn a_taken_port_of_the_shop_is_told_with_the_flags_that_help() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("loopback has free ports");
    let address = taken.local_addr().expect("it is bound").to_string();
    let flags = ["--edge", &address, "--router=127.0.0.1:0", "--admin=127.0.0.1:0"];
    let output = start_program(env!("CARGO_BIN_EXE_shop"), &flags).wait_with_output().expect("it ends");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains(&address) && said.contains("--edge"), "{said}");
    assert_eq!(output.status.code(), Some(1));
}
