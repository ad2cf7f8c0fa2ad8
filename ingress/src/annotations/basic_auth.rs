//! Annotation group: passwords.

use super::{
    Effect,
    form::{AuthType, ObjectName, Satisfy, SecretForm, Text},
    given::Given,
    key::key,
};
use crate::translate::{PasswordDraft, RouteDraft};

super::group! {
    /// Passwords
    BasicAuth {
        /// Ask for a password. `digest` is refused.
        kind: AuthType = key("auth-type").example("`basic`").protects()
            .limits("Paths of an Ingress that begin with `/.well-known/acme-challenge` are left out.");
        /// Secret in the namespace of the Ingress with the users. Where it is missing or holds none the paths answer 503.
        secret: ObjectName = key("auth-secret").example("`users`")
            .limits("Hashes of bcrypt, MD5-crypt, SHA-crypt and SHA-1. Secrets of other types than `kubernetes.io/tls` are read with `--adopt-ingress-nginx` alone.");
        /// How the Secret holds them: as lines of `htpasswd` under the key `auth`, or each hash under the name of its user.
        secret_form: SecretForm = key("auth-secret-type").default("`auth-file`").example("`auth-map`").protects();
        /// What browsers show when they ask.
        realm: Text = key("auth-realm").example("`Please log in`").limits("Empty by default, as there.");
        /// Whether an address that is allowed makes up for a missing password.
        satisfy: Satisfy = key("satisfy").default("`all`").example("`any`")
            .limits("Where `auth-type` or `auth-url` asks, too.");
    }
}

impl Effect for BasicAuth {
    fn apply(&self, route: &mut RouteDraft<'_>) {
        route.satisfies_any = self.satisfy == Some(Satisfy::Any);
        if self.kind == Some(AuthType::Basic) {
            route.passwords = Some(PasswordDraft {
                secret: self.secret.clone(),
                is_map: self.secret_form == Some(SecretForm::Map),
                realm: self.realm.as_ref().map(|realm| realm.0.clone()).unwrap_or_default(),
            });
        }
    }

    fn judge(&self, given: &mut Given<'_>) {
        match (self.kind, &self.secret) {
            (Some(AuthType::Digest), _) => {
                let message = "digests are refused, as they need passwords that are not hashed; use basic over HTTPS; the paths answer 503";
                given.tell("auth-type", "AnnotationRefused", message.into());
                given.close();
            }
            (Some(AuthType::Basic), None) => {
                let message = "auth-secret does not say who may come in; the paths answer 503".to_owned();
                given.tell("auth-type", "SecretNotFound", message);
                given.close();
            }
            // One that cannot be read is told already.
            (None, Some(_)) if !given.has("auth-type") => {
                let message = "without auth-type no password is asked for; it has no effect".to_owned();
                given.warn("auth-secret", "IncompleteAnnotations", message);
            }
            _ => {}
        }
    }
}
