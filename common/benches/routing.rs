//! How long finding a route and building a table take, by the number of hosts and of paths.

use std::{hint::black_box, sync::Arc};

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use selvedge_common::{
    id::{ObjectRef, RouteId},
    message::RequestHead,
    model::{HostMatch, PathMatch, Route, RouteSet, VirtualHost},
    routing::{Asked, Table},
};

fn route(path: PathMatch) -> Route {
    let source = ObjectRef::new("Ingress", "default", "bench");
    Route::new(RouteId::new("default/bench/0/0"), source, path, Vec::new())
}

fn host(paths: usize) -> Arc<VirtualHost> {
    let prefix = |number| route(PathMatch::Prefix(format!("/api/v1/service-{number}").into()));
    Arc::new(VirtualHost { routes: (0..paths).map(prefix).collect(), ..VirtualHost::default() })
}

fn hosts(count: usize) -> RouteSet {
    let name = |number| HostMatch::Exact(format!("host-{number}.shop.example").into());
    let hosts = (0..count).map(|number| (name(number), host(1))).collect();
    RouteSet { hosts, fallback: None }
}

fn make(route: &Route) -> RouteId {
    route.id.clone()
}

fn find(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("find");
    let head = RequestHead::default();
    let asked = Asked { head: &head, caller: None };
    for count in [1, 100, 10_000] {
        let table = Table::build(&hosts(count), None, make);
        let name = format!("host-{}.shop.example", count / 2);
        group.bench_with_input(BenchmarkId::new("hosts", count), &name, |bencher, name| {
            let path = b"/api/v1/service-0/items/17";
            bencher.iter(|| table.find(black_box(name.as_bytes()), black_box(path), &asked));
        });
    }
    for count in [1, 100, 10_000] {
        let mut set = RouteSet::default();
        set.hosts.insert(HostMatch::Any, host(count));
        let table = Table::build(&set, None, make);
        let path = format!("/api/v1/service-{}/items/17", count / 2);
        group.bench_with_input(BenchmarkId::new("paths", count), &path, |bencher, path| {
            bencher.iter(|| table.find(black_box(b"shop.example"), black_box(path.as_bytes()), &asked));
        });
    }
    group.finish();
}

fn build(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("build");
    let before = hosts(10_000);
    let table = Table::build(&before, None, make);
    let mut after = before.clone();
    after.hosts.insert(HostMatch::Exact("host-5000.shop.example".into()), host(2));
    group.bench_function("one of 10000 hosts changed", |bencher| {
        bencher.iter_with_large_drop(|| Table::build(&after, Some(&table), make));
    });
    group.bench_function("10000 hosts from nothing", |bencher| {
        bencher.iter_with_large_drop(|| Table::build(&before, None, make));
    });
    group.finish();
}

criterion_group!(benches, find, build);
criterion_main!(benches);
