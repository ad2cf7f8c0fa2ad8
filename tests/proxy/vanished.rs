//! Machines that vanish: no word comes from them any more, not even that they are gone. The system finds out.

use std::{
    fs,
    io::{Read, Write},
    net::SocketAddr,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use selvedge_tests::{
    client::Client,
    origin::{After, Origin},
    own_network,
    proxy::Proxy,
    size::{figure, is_full},
    waiting::until,
};

/// The machine of the origin, as addresses are written in lists of sockets (proc_net_tcp(5)).
const MACHINE: &str = "10.9.0.5";
const LISTED: &str = "0500090A:";
/// What the system takes to believe it, and some.
const LONG: Duration = Duration::from_secs(120);

/// An origin that answers POST, tunnels upgrades, and says nothing to all others.
fn origin() -> Origin {
    let address: SocketAddr = format!("{MACHINE}:8080").parse().unwrap();
    Origin::on(address, true, |seen, stream| {
        let answer = match (seen.line.starts_with("POST"), seen.field("upgrade")) {
            (true, _) => "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
            (false, Some(_)) => "HTTP/1.1 101 x\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n",
            (false, None) => "",
        };
        stream.write_all(answer.as_bytes()).unwrap();
        match answer {
            "" => drop(stream.read(&mut [0])),
            _ => return After::KeepOpen,
        }
        After::Close
    })
}

/// The timer that each open connection of the proxy has (02: it asks whether the other side is there): those to the
/// origin, and those of clients.
fn timers(proxy: &Proxy) -> (Vec<String>, Vec<String>) {
    let port = format!(":{:04X}", proxy.http().port());
    let list = fs::read_to_string("/proc/thread-self/net/tcp").unwrap();
    let rows = list.lines().skip(1).map(|line| line.split_whitespace().collect::<Vec<_>>());
    let open: Vec<_> = rows.filter(|row| row[3] == "01").collect();
    let timer = |row: &&Vec<&str>| row[5][..2].to_owned();
    let of = |place: usize, text: &str| {
        open.iter().filter(|row| row[place].contains(text)).map(|row| timer(&row)).collect()
    };
    (of(2, LISTED), of(1, &port))
}

fn ask(proxy: &Proxy, request: &str) -> Client {
    let mut client = Client::connect(proxy.http());
    client.tcp().set_read_timeout(Some(LONG)).unwrap();
    client.send(request);
    client
}

const POST: &str = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n";
const UPGRADE: &str = "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n";

/// Each connection has a timer, with which the system asks whether the other side is there; what becomes of that takes
/// minutes and is looked at where tests are full.
#[test]
fn who_waits_for_one_is_told_so() {
    if !own_network::is_inside_beside_others("vanished::who_waits_for_one_is_told_so") {
        return;
    }
    let origin = origin();
    let mut proxy = Proxy::to(&[origin.address]);
    proxy.edit_host("*", |host| host.routes[0].timeouts.request = 5 * LONG);
    proxy.apply(&[("test/origin:80", &[origin.address])]);
    let mut tunnel = ask(&proxy, UPGRADE);
    assert_eq!(tunnel.head().unwrap().status, 101);
    let mut waiting = ask(&proxy, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut kept = ask(&proxy, POST);
    assert_eq!(kept.answer().text(), "ok");
    until(|| (origin.seen().len() == 3).then_some(()));
    until(|| {
        let (upstream, clients) = timers(&proxy);
        assert_eq!((upstream.len(), clients.len()), (3, 3));
        upstream.iter().chain(&clients).all(|timer| timer == "02").then_some(())
    });
    if is_full() {
        let vanish = ["route", "add", "blackhole", MACHINE, "table", "local"];
        assert!(Command::new("ip").args(vanish).status().unwrap().success());
        let start = Instant::now();
        kept.send(POST);
        thread::scope(|scope| {
            scope.spawn(|| {
                assert!(tunnel.is_closed());
                figure(&format!("a silent tunnel is closed after {:.0?}", start.elapsed()));
            });
            let waiting = ("waits for an answer", &mut waiting, "connect");
            let kept = ("was just sent", &mut kept, "upstream_closed");
            // The one is sent again and nobody is there; the other may have had an effect.
            for (what, client, why) in [waiting, kept] {
                scope.spawn(move || {
                    let answer = client.answer();
                    assert_eq!(
                        (answer.status, answer.field("x-selvedge-reason")),
                        (502, Some(why)),
                        "{what}"
                    );
                    figure(&format!("a request that {what} fails after {:.0?}", start.elapsed()));
                });
            }
        });
    }
}
