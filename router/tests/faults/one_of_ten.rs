//! One service of ten is in trouble; the other nine must not notice.

use std::{
    net::SocketAddr,
    path::Path,
    time::{Duration, Instant},
};

use selvedge_tests::{
    client::Client,
    edge::{folder, write},
    load::{Load, LoadResult},
    pod::{Manners, Pod},
    process::Process,
    router::service,
    waiting::until,
};

use crate::{
    patient::{Illness, Patient},
    router,
};

/// Services beside the one in trouble.
const OTHERS: usize = 9;
/// Clients of the one in trouble.
const CLIENTS_OF_PATIENT: usize = 32;
/// Requests to the other services in a phase, in turn.
const REQUESTS: usize = 1_800;
/// Requests to the one in trouble for each of those, at most.
const PATIENT_PER_REQUEST: usize = 1;

struct World {
    folder: tempfile::TempDir,
    router: Process,
    patient: Patient,
    others: Vec<Pod>,
    /// Another router, which has the same other services and none in trouble. Whatever else the machine does slows both.
    healthy: Process,
    _healthy_folder: tempfile::TempDir,
}

/// What a phase came to.
#[derive(Debug, Default)]
struct Phase {
    requests: usize,
    failed: usize,
    /// Requests that took more than twice the time of the same one through the healthy router just after.
    slow: usize,
    patient: LoadResult,
}

impl World {
    fn new() -> Self {
        let (folder, healthy_folder) = (folder(), folder());
        let patient = Patient::start(3);
        let others: Vec<_> = (0..OTHERS).map(|_| Pod::start("pod", Manners::Good)).collect();
        write_patient(folder.path(), &patient.addresses());
        for (number, pod) in others.iter().enumerate() {
            let objects = service("shop", &format!("other-{number}"), 80, &[pod.address]);
            for folder in [&folder, &healthy_folder] {
                write(folder.path(), &format!("other-{number}.json"), &objects);
            }
        }
        // A request that hangs ends while the test still runs.
        let flags = ["--workers=2", "--request-timeout=1s"];
        let (router, healthy) = (router(folder.path(), &flags), router(healthy_folder.path(), &flags));
        Self { folder, router, patient, others, healthy, _healthy_folder: healthy_folder }
    }

    fn fall_ill(&self, illness: Illness) {
        let has_endpoints = illness != Illness::NoEndpoints;
        let addresses = if has_endpoints { self.patient.addresses() } else { Vec::new() };
        write_patient(self.folder.path(), &addresses);
        until(|| {
            let page: serde_json::Value = serde_json::from_str(&self.router.admin_page("/snapshot")).ok()?;
            let endpoints = page["endpoints"]["shop/patient:80"].as_array()?.len();
            (endpoints == addresses.len()).then_some(())
        });
        self.patient.set(illness);
    }

    /// Asks the nine in turn, each time through both routers, while many ask the tenth.
    fn measure(&self) -> Phase {
        let patient = Load::paced(self.router.http(), "patient.shop", CLIENTS_OF_PATIENT);
        let mut clients = [Client::connect(self.router.http()), Client::connect(self.healthy.http())];
        let mut phase = Phase { requests: REQUESTS, ..Phase::default() };
        for number in 0..REQUESTS {
            patient.allow(PATIENT_PER_REQUEST);
            let host = format!("other-{}.shop", number % OTHERS);
            let [here, there] = &mut clients;
            let (status, time) = timed(here, &host);
            let (healthy, usual) = timed(there, &host);
            assert_eq!(healthy, 200, "the healthy router is healthy");
            phase.failed += usize::from(status != 200);
            phase.slow += usize::from(time > usual * 2);
        }
        phase.patient = patient.stop();
        phase
    }
}

/// Asks on a kept connection; how long the answer took.
fn timed(client: &mut Client, host: &str) -> (u16, Duration) {
    let start = Instant::now();
    let answer = client.get(host, "/");
    (answer.status, start.elapsed())
}

fn write_patient(folder: &Path, addresses: &[SocketAddr]) {
    write(folder, "patient.json", &service("shop", "patient", 80, addresses));
}

#[test]
fn nine_services_do_not_notice_what_is_wrong_with_the_tenth() {
    let world = World::new();
    let usual = world.measure();
    assert_eq!((usual.failed, usual.patient.failed), (0, 0), "{usual:?}");
    for illness in [Illness::Hangs, Illness::Slow, Illness::Resets, Illness::Errors, Illness::NoEndpoints] {
        world.fall_ill(illness);
        let phase = world.measure();
        let Phase { requests, failed, slow, patient } = &phase;
        eprintln!("{illness:?}: {failed} of {requests} failed, {slow} slow; in trouble: {}", patient.failed);
        assert!(
            illness == Illness::Slow || patient.failed > 0,
            "{illness:?}: the trouble is real: {phase:?}"
        );
        assert!(failed * 1_000 <= *requests, "{illness:?}: 99.9 % succeed: {phase:?}");
        // The middle one of them takes at most twice the time. By counts, as single times say nothing on a busy machine.
        assert!(slow * 2 <= *requests, "{illness:?}: {phase:?}");
    }
    world.fall_ill(Illness::None);
    until(|| (world.router.status("patient.shop", "/") == 200).then_some(()));
    assert!(world.others.iter().all(|pod| pod.requests() > 0));
}
