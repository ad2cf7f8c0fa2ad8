//! Maps: the ConfigMaps of ingress-nginx, those that flags name and those that are found without.

use k8s_openapi::api::core::v1 as core;
use selvedge_common::{
    kube::objects::{Object, ObjectEvent},
    program::gathering::{Read, Unread},
};

use crate::{globals::ConfigMapName, settings::Settings};

/// Name of the ConfigMap with settings; the chart puts the name of its release before it.
const CONTROLLER: &str = "ingress-nginx-controller";

/// Names the ConfigMaps of ingress-nginx that are there in the settings, and takes those away that are not; says so.
pub(super) fn find(settings: &mut Settings, read: &mut Read) {
    let maps = read.events.iter().filter_map(|event| match event {
        ObjectEvent::Applied(Object::ConfigMap(map)) => Some(&**map),
        _ => None,
    });
    let (names, mut told) = (maps.map(name).collect::<Vec<_>>(), Vec::new());
    let is_named = settings.nginx_configmap.is_some();
    let named = [
        ("--nginx-configmap", &mut settings.nginx_configmap),
        ("--tcp-services-configmap", &mut settings.tcp_services),
        ("--udp-services-configmap", &mut settings.udp_services),
    ];
    for (flag, wanted) in named {
        if let Some(missing) = wanted.take_if(|wanted| !names.contains(wanted)) {
            let message =
                format!("{flag} {missing}: there is no such ConfigMap, so what it says is not in the report");
            told.push(Unread::Other(message));
        }
    }
    if !is_named {
        settings.nginx_configmap = controller(&names, &mut told);
    }
    if let Some(map) = settings.nginx_configmap.clone() {
        let services = |protocol| services(&map, protocol, &names);
        settings.tcp_services = settings.tcp_services.take().or_else(|| services("tcp"));
        settings.udp_services = settings.udp_services.take().or_else(|| services("udp"));
    }
    read.unread.extend(told);
}

fn name(map: &core::ConfigMap) -> ConfigMapName {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    ConfigMapName { namespace: text(&map.metadata.namespace), name: text(&map.metadata.name) }
}

/// The one with settings, if just one looks like it.
fn controller(names: &[ConfigMapName], told: &mut Vec<Unread>) -> Option<ConfigMapName> {
    let found: Vec<_> = names.iter().filter(|name| name.name.ends_with(CONTROLLER)).collect();
    match found.as_slice() {
        [one] => return Some((*one).clone()),
        [] => told.push(Unread::Notice(
            "no ConfigMap looks like that of ingress-nginx, so its settings are not judged; --nginx-configmap \
             NAMESPACE/NAME names it"
                .to_owned(),
        )),
        several => {
            let mut names: Vec<_> = several.iter().map(ToString::to_string).collect();
            names.sort();
            told.push(Unread::Flag(format!(
                "several ConfigMaps look like that of ingress-nginx, so its settings are not judged; name one by \
                 --nginx-configmap: {}",
                names.join(", ")
            )));
        }
    }
    None
}

/// The one with Services for ports that belongs to one with settings.
fn services(map: &ConfigMapName, protocol: &str, names: &[ConfigMapName]) -> Option<ConfigMapName> {
    let stem = map.name.strip_suffix("-controller").unwrap_or(&map.name);
    let usual = [format!("{stem}-{protocol}"), format!("{protocol}-services")];
    let is_there = |name: String| {
        let wanted = ConfigMapName { namespace: map.namespace.clone(), name };
        names.contains(&wanted).then_some(wanted)
    };
    usual.into_iter().find_map(is_there)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(maps: &[(&str, &str)]) -> Read {
        let event = |(namespace, name): &(&str, &str)| {
            let map = json!({"metadata": {"namespace": namespace, "name": name}});
            let map: core::ConfigMap = serde_json::from_value(map).unwrap();
            ObjectEvent::Applied(Object::from(map))
        };
        Read { events: maps.iter().map(event).collect(), unread: Vec::new(), places: Default::default() }
    }

    fn found(settings: &Settings) -> [Option<String>; 3] {
        [&settings.nginx_configmap, &settings.tcp_services, &settings.udp_services]
            .map(|name| name.as_ref().map(ToString::to_string))
    }

    #[test]
    fn config_maps_are_found_by_their_usual_names() {
        let owned = |name: Option<&str>| name.map(str::to_owned);
        const LONGER: &str = "my-ingress-nginx-controller";
        type Maps = &'static [(&'static str, &'static str)];
        type Found = [Option<&'static str>; 3];
        let table: [(Maps, Found, usize); 5] = [
            (&[("a", CONTROLLER), ("a", "x")], [Some("a/ingress-nginx-controller"), None, None], 0),
            (
                &[("a", LONGER), ("a", "my-ingress-nginx-tcp"), ("a", "udp-services")],
                [
                    Some("a/my-ingress-nginx-controller"),
                    Some("a/my-ingress-nginx-tcp"),
                    Some("a/udp-services"),
                ],
                0,
            ),
            (&[("a", CONTROLLER), ("b", LONGER)], [None; 3], 1),
            (&[("a", "edge-controller"), ("a", "edge-tcp")], [None; 3], 1),
            (&[], [None; 3], 1),
        ];
        for (maps, want, told) in table {
            let (mut settings, mut read) = (Settings::default(), read(maps));
            find(&mut settings, &mut read);
            assert_eq!((found(&settings), read.unread.len()), (want.map(owned), told), "{maps:?}");
        }
    }

    #[test]
    fn one_that_is_named_must_be_there() {
        let named = Some("a/b".parse().unwrap());
        let mut settings = Settings { nginx_configmap: named, ..Settings::default() };
        let mut read = read(&[("a", CONTROLLER)]);
        find(&mut settings, &mut read);
        assert_eq!(found(&settings), [const { None }; 3]);
        assert!(matches!(&*read.unread, [Unread::Other(told)] if told.contains("--nginx-configmap a/b")));
    }
}
