//! Protection: passwords and services that say who comes in, with the Secrets, ConfigMaps and Services they are in.

use std::sync::Arc;

use selvedge_common::{
    filter::{AuthCache, AuthRequest, BasicAuth, CacheTime, Filter, Template, TemplateField, Users},
    id::BackendId,
    kube::{
        rules::{self, BackendName},
        secret,
        service::external_name,
        translation::BackendPart,
    },
    model::{BackendTls, Discovery, Trust},
};

use super::{Context, RouteDraft, name, namespace, upstream::tell};
use crate::{annotations::form::ObjectName, globals::Globals};

/// Passwords that a route asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PasswordDraft {
    /// Secret with the users.
    pub secret: Option<ObjectName>,
    /// Whether each user has a key of his own there.
    pub is_map: bool,
    /// What clients are told it is about.
    pub realm: Arc<str>,
}

/// A service that a route asks who may come in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AskDraft {
    /// Whether over TLS.
    pub secure: bool,
    /// Its host, maybe with a port.
    pub authority: Arc<str>,
    /// Path and query.
    pub target: Template,
    /// Method.
    pub method: Option<Arc<str>>,
    /// What it is told of where the client wanted to go.
    pub redirect: Option<Template>,
    /// Where clients log in.
    pub signin: Option<Template>,
    /// Fields of its answer that the backend gets.
    pub response_fields: Vec<Arc<str>>,
    /// ConfigMap with further fields that it gets.
    pub request_fields: Option<ObjectName>,
    /// Whether its cookies reach the client in any case.
    pub always_set_cookie: bool,
    /// What its answers are kept by, and how long.
    pub cache: Option<(Template, Vec<CacheTime>)>,
}

/// A protection that cannot be kept up; its owner has been told.
pub(super) struct Lost;

/// The filters that let only some in.
///
/// # Errors
/// What they need is not there, so nobody may come in.
pub(super) fn filters(cx: &mut Context<'_, '_>, draft: &RouteDraft<'_>) -> Result<Vec<Filter>, Lost> {
    let mut filters = Vec::new();
    if Globals::begins(draft.written_path(), &draft.said.globals.unasked) {
        return Ok(filters);
    }
    if let Some(passwords) = &draft.passwords {
        let users = users(cx, draft, passwords)?;
        filters.push(Filter::BasicAuth(BasicAuth {
            realm: passwords.realm.clone(),
            users,
            spared: draft.spared.clone(),
        }));
    }
    if let Some(asks) = &draft.asks {
        filters.push(Filter::AuthRequest(Box::new(ask(cx, draft, asks)?)));
    }
    Ok(filters)
}

fn users(cx: &mut Context<'_, '_>, draft: &RouteDraft<'_>, said: &PasswordDraft) -> Result<Arc<Users>, Lost> {
    const KEY: &str = "auth-secret";
    // That none is named is told with the annotation.
    let wanted = said.secret.as_ref().ok_or(Lost)?;
    let own = namespace(draft.speaker);
    let place = wanted.namespace.as_deref().unwrap_or(own);
    let found = match place == own {
        true => cx.reader.secret(place, &wanted.name).ok_or("is not there, or of a type that is not read"),
        false => Err("is in another namespace than the Ingress, which is not read"),
    };
    let read = found.map_err(str::to_owned).and_then(|found| match said.is_map {
        true => Ok(of_map(found)),
        false => {
            let file = secret::value(found, "auth").ok_or("has no key \"auth\"")?;
            let text = std::str::from_utf8(file).map_err(|_| "is no text")?;
            let (users, faults) = Users::parse(text);
            Ok((users, faults.iter().map(ToString::to_string).collect()))
        }
    });
    let (users, faults) = match read.map(|(users, faults)| (users, few(faults))) {
        Ok((users, faults)) if !users.is_empty() => (users, faults),
        Ok((_, faults)) => {
            return Err(lost(
                cx,
                draft,
                KEY,
                &format!(
                    "Secret {place}/{} names no user whose password can be looked at ({})",
                    wanted.name,
                    faults.join("; ")
                ),
            ));
        }
        Err(why) => return Err(lost(cx, draft, KEY, &format!("Secret {place}/{} {why}", wanted.name))),
    };
    for fault in faults {
        tell(
            cx,
            draft,
            KEY,
            "InvalidUser",
            format!("Secret {place}/{}: {fault}; that user does not come in", wanted.name),
        );
    }
    Ok(Arc::new(users))
}

/// The first ones of what is wrong, and how many more there are: a Secret has room for half a million lines.
fn few(mut faults: Vec<String>) -> Vec<String> {
    const MOST_TOLD: usize = 8;
    let more = faults.len().saturating_sub(MOST_TOLD);
    faults.truncate(MOST_TOLD);
    faults.extend((more > 0).then(|| format!("{more} more are wrong, too")));
    faults
}

/// Users that have keys of their own.
fn of_map(secret: &k8s_openapi::api::core::v1::Secret) -> (Users, Vec<String>) {
    let keys = secret.data.iter().flatten().map(|(key, _)| key);
    let keys = keys.chain(secret.string_data.iter().flatten().map(|(key, _)| key));
    let (mut users, mut faults) = (Users::default(), Vec::new());
    for user in keys {
        let hash =
            secret::value(secret, user).and_then(|hash| std::str::from_utf8(hash).ok()).unwrap_or_default();
        // Nothing of who it is: a name is half of what lets somebody in.
        faults.extend(users.add(user, hash.trim()).err().map(|why| why.to_string()));
    }
    (users, faults)
}

fn ask(cx: &mut Context<'_, '_>, draft: &RouteDraft<'_>, said: &AskDraft) -> Result<AuthRequest, Lost> {
    let service = service(cx, draft, said)?;
    let request_fields = match &said.request_fields {
        Some(map) => fields(cx, draft, map)?,
        None => Vec::new(),
    };
    let cache = said.cache.clone().map(|(key, times)| {
        let id = format!("{}/{}", namespace(draft.speaker), name(draft.speaker)).into();
        AuthCache { id, key, times }
    });
    Ok(AuthRequest {
        service,
        target: said.target.clone(),
        host: bare_host(&said.authority).into(),
        method: said.method.clone(),
        redirect: said.redirect.clone(),
        signin: said.signin.clone(),
        response_fields: said.response_fields.clone(),
        request_fields,
        always_set_cookie: said.always_set_cookie,
        cache,
        timeout: cx.defaults.timeouts.request,
        spared: draft.spared.clone(),
    })
}

/// ingress-nginx: `Host` of the question is that of the URL without its port.
fn bare_host(authority: &str) -> &str {
    authority.rsplit_once(':').map_or(authority, |(host, _)| host)
}

/// The backend that a URL means: a Service of the cluster by its name, or what the name resolves to.
fn service(cx: &mut Context<'_, '_>, draft: &RouteDraft<'_>, said: &AskDraft) -> Result<BackendId, Lost> {
    const KEY: &str = "auth-url";
    let usual = if said.secure { 443 } else { 80 };
    let port = said.authority.rsplit_once(':').map_or(usual, |(_, port)| port.parse().unwrap_or(usual));
    let host = bare_host(&said.authority).to_ascii_lowercase();
    if let Some(id) = service_of(cx, &host, port).filter(|_| !said.secure) {
        return Ok(id);
    }
    if external_name::check(&host).is_err() {
        return Err(lost(cx, draft, KEY, &format!("{host} is, or leads to, the proxy's own machine")));
    }
    let mut backend = cx.defaults.backend.clone();
    backend.discovery = Discovery::Dns { name: host.as_str().into(), port };
    let tls = || BackendTls {
        server_name: Some(host.as_str().into()),
        trust: Trust::Anyone,
        client_certificate: None,
    };
    backend.tls = said.secure.then(tls);
    let scheme = if said.secure { "https" } else { "http" };
    let owner = draft.speaker;
    let id = BackendId::new(format!("{}/{}+auth/{scheme}/{host}:{port}", namespace(owner), name(owner)));
    cx.parts.backends.insert(id.clone(), BackendPart { backend, endpoints: None });
    Ok(id)
}

/// The backend of a Service that a host name of the cluster means, if there is such a Service.
pub(super) fn service_of(cx: &mut Context<'_, '_>, host: &str, port: u16) -> Option<BackendId> {
    let bare = host.strip_suffix(".cluster.local").unwrap_or(host);
    let (service, namespace) = bare.strip_suffix(".svc")?.split_once('.')?;
    let name = BackendName { namespace, service, port: Some(port) };
    rules::resolve(&mut cx.rules(), name, None).ok().map(|(id, _)| id)
}

/// The fields that a ConfigMap holds for the service.
fn fields(
    cx: &mut Context<'_, '_>,
    draft: &RouteDraft<'_>,
    wanted: &ObjectName,
) -> Result<Vec<TemplateField>, Lost> {
    const KEY: &str = "auth-proxy-set-headers";
    let own = namespace(draft.speaker);
    let place = wanted.namespace.as_deref().unwrap_or(own);
    let map =
        Some(place).filter(|place| *place == own).and_then(|place| cx.reader.config_map(place, &wanted.name));
    let Some(map) = map else {
        return Err(lost(
            cx,
            draft,
            KEY,
            &format!(
                "ConfigMap {place}/{} is not there, or in another namespace than the Ingress",
                wanted.name
            ),
        ));
    };
    let mut fields = Vec::new();
    for (field, value) in map.data.iter().flatten() {
        let checked = selvedge_common::filter::check_token(field);
        match checked.and_then(|()| Template::parse(value).map_err(|why| why.to_string())) {
            Ok(value) => fields.push(TemplateField { name: field.as_str().into(), value }),
            Err(why) => {
                return Err(lost(
                    cx,
                    draft,
                    KEY,
                    &format!("ConfigMap {place}/{}: {field:?}: {why}", wanted.name),
                ));
            }
        }
    }
    Ok(fields)
}

fn lost(cx: &mut Context<'_, '_>, draft: &RouteDraft<'_>, key: &str, why: &str) -> Lost {
    tell(cx, draft, key, "UnreadableProtection", format!("{why}; the paths answer 503"));
    Lost
}
