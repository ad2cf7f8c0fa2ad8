//! Tokens: what was found out of a token is kept for a while, and each is asked for once however many wait for it.

use std::{
    cell::RefCell,
    collections::HashMap,
    rc::Rc,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime},
};

use aws_lc_rs::digest;
use tokio::{sync::watch, time::Instant};

use super::callers::Callers;
use crate::{
    model::Source,
    proxy::worker::Worker,
    source::tokens::{Token, TokenError, TokenVerifier, Verified},
};

/// How long a valid token is believed without asking again, if it does not end before.
const BELIEVED: Duration = Duration::from_secs(60);
/// How long a refused token is refused without asking again.
const REFUSED: Duration = Duration::from_secs(10);
/// How long nobody is asked again for a token that could not be verified.
const UNAVAILABLE: Duration = Duration::from_secs(1);
/// Longest wait for whoever verifies.
const PATIENCE: Duration = Duration::from_secs(1);
/// Tokens kept by an engine, and by each worker.
const MOST: usize = 10_000;
/// Tokens asked for at once by an engine: made-up ones shall not keep the API server busy.
const MOST_ASKED: usize = 32;

/// SHA-256 of a token: tokens themselves are not kept.
type Digest = [u8; digest::SHA256_OUTPUT_LEN];

/// What is known by a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Whose it is.
    Known(Arc<Source>),
    /// It is not valid.
    Refused,
    /// That cannot be found out now.
    Unavailable,
}

/// A verdict and how long it holds.
#[derive(Clone, Debug)]
struct Held {
    verdict: Verdict,
    until: Instant,
}

/// Verdicts that all workers share; looked at when a worker does not know a token itself.
#[derive(Default)]
pub struct Tokens {
    verifier: OnceLock<Arc<dyn TokenVerifier>>,
    slots: Mutex<HashMap<Digest, Slot>>,
    asked: AtomicUsize,
}

enum Slot {
    Held(Held),
    /// Someone has asked; the answer comes here.
    Asked(watch::Receiver<Option<Held>>),
}

/// Verdicts that a worker keeps for itself, without a lock.
#[derive(Default)]
pub struct WorkerTokens(RefCell<HashMap<Digest, Held>>);

/// Counts a token as being asked for while it lives.
struct Asking(Rc<Worker>, Digest);

impl Tokens {
    /// From now on tokens are verified by this one; the first one stays. Without one no token is looked at.
    pub fn verify_with(&self, verifier: Arc<dyn TokenVerifier>) {
        // Whoever comes second has no say.
        let _ = self.verifier.set(verifier);
    }

    /// Whether there is anyone to ask.
    pub fn is_on(&self) -> bool {
        self.verifier.get().is_some()
    }

    fn slots(&self) -> MutexGuard<'_, HashMap<Digest, Slot>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a verdict where others find it.
    fn keep(&self, digest: Digest, held: Held) {
        let mut slots = self.slots();
        if slots.len() >= MOST {
            make_room(&mut slots, |slot| match slot {
                Slot::Held(held) => Some(held),
                Slot::Asked(_) => None,
            });
        }
        slots.insert(digest, Slot::Held(held));
    }
}

/// What is known by a token: of this worker, else of any worker, else of who verifies it.
pub async fn verdict(worker: &Rc<Worker>, text: &[u8]) -> Verdict {
    let digest = digest_of(text);
    let now = Instant::now();
    if let Some(held) = worker.tokens.0.borrow().get(&digest).filter(|held| held.until > now) {
        return held.verdict.clone();
    }
    let Some(token) = Token::new(text) else { return Verdict::Refused };
    let held = shared_verdict(worker, digest, token, now).await;
    let mut own = worker.tokens.0.borrow_mut();
    if own.len() >= MOST {
        make_room(&mut own, |held| Some(held));
    }
    own.insert(digest, held.clone());
    held.verdict
}

async fn shared_verdict(worker: &Rc<Worker>, digest: Digest, token: Token, now: Instant) -> Held {
    let tokens = &worker.shared.identity.tokens;
    let unavailable = || Held { verdict: Verdict::Unavailable, until: now };
    let mut answer = {
        let mut slots = tokens.slots();
        match slots.get(&digest) {
            Some(Slot::Held(held)) if held.until > now => return held.clone(),
            // One that has no sender any more was asked for by a worker that has ended.
            Some(Slot::Asked(answer)) if answer.has_changed().is_ok() => answer.clone(),
            _ if tokens.asked.load(Ordering::Relaxed) >= MOST_ASKED => return unavailable(),
            _ => {
                let (tell, answer) = watch::channel(None);
                slots.insert(digest, Slot::Asked(answer.clone()));
                // A task of its own: others wait for the answer, too, when this client has gone.
                worker.spawn("token", ask(Asking::new(worker, digest), token, tell));
                answer
            }
        }
    };
    match answer.wait_for(Option::is_some).await {
        Ok(held) => held.clone().unwrap_or_else(unavailable),
        Err(_) => unavailable(),
    }
}

async fn ask(asking: Asking, token: Token, tell: watch::Sender<Option<Held>>) {
    let Asking(worker, digest) = &asking;
    let identity = &worker.shared.identity;
    let Some(verifier) = identity.tokens.verifier.get() else { return };
    let answer = tokio::time::timeout(PATIENCE, verifier.verify(token)).await;
    let held =
        hold(answer.unwrap_or_else(|_| Err(TokenError::Unavailable("no answer".into()))), &identity.callers);
    identity.tokens.keep(*digest, held.clone());
    tell.send_replace(Some(held));
}

/// Makes an answer one that holds for a while.
fn hold(answer: Result<Verified, TokenError>, callers: &Callers) -> Held {
    let now = Instant::now();
    let (verdict, time) = match answer {
        Ok(Verified { caller, expires }) => {
            let left = expires.map(|end| end.duration_since(SystemTime::now()).unwrap_or_default());
            let source = callers.intern(Source::of_caller(caller));
            (Verdict::Known(source), left.map_or(BELIEVED, |left| left.min(BELIEVED)))
        }
        Err(TokenError::Refused(why)) => {
            tracing::debug!(why, "a caller's token is refused");
            (Verdict::Refused, REFUSED)
        }
        Err(TokenError::Unavailable(why)) => {
            tracing::debug!(why, "a caller's token could not be verified");
            (Verdict::Unavailable, UNAVAILABLE)
        }
    };
    Held { verdict, until: now + time }
}

/// Forgets what does not hold any more, else whatever is not known to be good, else everything.
fn make_room<V>(map: &mut HashMap<Digest, V>, held: impl Fn(&V) -> Option<&Held>) {
    let now = Instant::now();
    map.retain(|_, value| held(value).is_none_or(|held| held.until > now));
    if map.len() >= MOST {
        map.retain(|_, value| held(value).is_none_or(|held| matches!(held.verdict, Verdict::Known(_))));
    }
    if map.len() >= MOST {
        map.clear();
    }
}

fn digest_of(text: &[u8]) -> Digest {
    let mut digest = [0; digest::SHA256_OUTPUT_LEN];
    digest.copy_from_slice(digest::digest(&digest::SHA256, text).as_ref());
    digest
}

impl Asking {
    fn new(worker: &Rc<Worker>, digest: Digest) -> Self {
        worker.shared.identity.tokens.asked.fetch_add(1, Ordering::Relaxed);
        Self(worker.clone(), digest)
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        self.0.shared.identity.tokens.asked.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Caller;

    fn held(verdict: Verdict, seconds: u64) -> Held {
        Held { verdict, until: Instant::now() + Duration::from_secs(seconds) }
    }

    fn known() -> Verdict {
        Verdict::Known(Arc::new(Source::of_caller(Arc::new(Caller::new("shop", "web")))))
    }

    fn digest(number: usize) -> Digest {
        digest_of(number.to_string().as_bytes())
    }

    #[test]
    fn made_up_tokens_never_drive_out_good_ones() {
        let tokens = Tokens::default();
        tokens.keep(digest(0), held(known(), 60));
        for number in 1..MOST * 3 {
            tokens.keep(digest(number), held(Verdict::Refused, 10));
        }
        let slots = tokens.slots();
        assert!(slots.len() <= MOST && slots.contains_key(&digest(0)));
    }

    #[tokio::test(start_paused = true)]
    async fn what_does_not_hold_any_more_goes_first() {
        let mut map: HashMap<Digest, Held> =
            (0..MOST).map(|number| (digest(number), held(known(), 1 + number as u64 % 2))).collect();
        tokio::time::advance(Duration::from_millis(1500)).await;
        make_room(&mut map, |held| Some(held));
        assert_eq!(map.len(), MOST / 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_token_is_believed_no_longer_than_it_is_valid() {
        let of = |expires| {
            let verified = Verified { caller: Arc::new(Caller::new("shop", "web")), expires };
            hold(Ok(verified), &Callers::default()).until - Instant::now()
        };
        assert_eq!(of(None), BELIEVED);
        assert_eq!(of(Some(SystemTime::now() + Duration::from_secs(3600))), BELIEVED);
        assert!(of(Some(SystemTime::now() + Duration::from_secs(5))) <= Duration::from_secs(5));
        assert_eq!(of(Some(SystemTime::UNIX_EPOCH)), Duration::ZERO);
    }
}
