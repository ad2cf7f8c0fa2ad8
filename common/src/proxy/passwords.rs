//! Passwords: looked up beside the workers, few at once, and those that were right are remembered for a while.

use std::{
    cell::RefCell,
    collections::HashMap,
    future::poll_fn,
    num::NonZero,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::Poll,
    thread::available_parallelism,
    time::Duration,
};

use aws_lc_rs::{
    digest::SHA256_OUTPUT_LEN,
    hmac::{self, HMAC_SHA256},
    rand::SystemRandom,
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    task::spawn_blocking,
    time::Instant,
};

use super::{exchange::Exchange, respond::Failure, responder::Responder};
use crate::filter::{PasswordQuestion, Users};

/// How long a password that was right is believed without looking it up again.
const BELIEVED: Duration = Duration::from_secs(60);
/// Passwords that a worker remembers.
const MOST_KEPT: usize = 10_000;
/// Passwords of an engine that wait to be looked up; further ones are told that there is too much to do.
const MOST_WAITING: usize = 64;

/// What tells a password apart: nothing of it can be found out of this without the key of the process.
type Seal = [u8; SHA256_OUTPUT_LEN];

/// What an engine needs to look passwords up.
pub struct Passwords {
    /// Lets as many be looked up at once as leave the workers their processors.
    turns: Arc<Semaphore>,
    waiting: AtomicUsize,
    /// `None` if the system gives no randomness: then nothing is remembered.
    key: Option<hmac::Key>,
}

/// Passwords that were right, as a worker remembers them: until when each is believed.
#[derive(Default)]
pub struct WorkerPasswords(RefCell<HashMap<Seal, Instant>>);

/// Counts a password as waiting while it lives.
struct Waiting<'p>(&'p AtomicUsize);

impl Default for Passwords {
    fn default() -> Self {
        let processors = available_parallelism().map_or(1, NonZero::get);
        Self {
            turns: Arc::new(Semaphore::new((processors / 2).max(1))),
            waiting: AtomicUsize::new(0),
            key: hmac::Key::generate(HMAC_SHA256, &SystemRandom::new()).ok(),
        }
    }
}

impl Passwords {
    /// The seal of a password of a user; `None` of one who is not there.
    fn seal(&self, question: &PasswordQuestion) -> Option<Seal> {
        let hash = question.users.hash_of(&question.name)?;
        let mut context = hmac::Context::with_key(self.key.as_ref()?);
        // With the hash, so that a changed password is a new one; with lengths, so that no two cases are one text.
        for part in [hash.as_bytes(), &question.name, &question.password] {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part);
        }
        let mut seal = [0; SHA256_OUTPUT_LEN];
        seal.copy_from_slice(context.sign().as_ref());
        Some(seal)
    }

    /// Waits for a turn; `None` if too many wait already.
    async fn turn(&self) -> Option<OwnedSemaphorePermit> {
        if let Ok(turn) = self.turns.clone().try_acquire_owned() {
            return Some(turn);
        }
        let before = self.waiting.fetch_add(1, Ordering::Relaxed);
        let _counted = Waiting(&self.waiting);
        match before < MOST_WAITING {
            true => self.turns.clone().acquire_owned().await.ok(),
            false => None,
        }
    }

    /// Looks a password up, beside the workers; `None` if there is too much to do.
    async fn look_up(&self, users: Arc<Users>, name: Vec<u8>, password: Vec<u8>) -> Option<bool> {
        let turn = self.turn().await?;
        let looked_up = spawn_blocking(move || {
            // The turn ends with the work, also when nobody waits for it any more.
            let _turn = turn;
            users.verify(&name, &password)
        });
        looked_up.await.ok()
    }
}

impl WorkerPasswords {
    fn is_believed(&self, seal: &Seal) -> bool {
        self.0.borrow().get(seal).is_some_and(|until| *until > Instant::now())
    }

    fn believe(&self, seal: Seal) {
        let mut kept = self.0.borrow_mut();
        let now = Instant::now();
        if kept.len() >= MOST_KEPT {
            kept.retain(|_, until| *until > now);
        }
        if kept.len() < MOST_KEPT {
            kept.insert(seal, now + BELIEVED);
        }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Whether a password is the right one; `None` if there is too much to do to find out.
///
/// # Errors
/// When the client has gone.
pub async fn verify(
    x: &Exchange<'_>,
    question: PasswordQuestion,
    responder: &mut Responder<'_>,
) -> Result<Option<bool>, Failure> {
    let worker = x.worker();
    let seal = worker.shared.passwords.seal(&question);
    if seal.is_some_and(|seal| worker.passwords.is_believed(&seal)) {
        return Ok(Some(true));
    }
    let PasswordQuestion { users, name, password } = question;
    let mut looked_up = pin!(worker.shared.passwords.look_up(users, name, password));
    let found = poll_fn(|cx| match looked_up.as_mut().poll(cx) {
        Poll::Ready(found) => Poll::Ready(Ok(found)),
        Poll::Pending => responder.poll_closed(cx).map(|()| Err(Failure::ClientClosed)),
    })
    .await?;
    if let (Some(true), Some(seal)) = (found, seal) {
        worker.passwords.believe(seal);
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question(file: &str, name: &str, password: &str) -> PasswordQuestion {
        let users = Arc::new(Users::parse(file).0);
        PasswordQuestion { users, name: name.into(), password: password.into() }
    }

    #[test]
    fn a_seal_holds_for_one_password_of_one_hash() {
        let passwords = Passwords::default();
        let seal = |file: &str, name, password| passwords.seal(&question(file, name, password));
        let one = seal("a:{PLAIN}x", "a", "x");
        assert!(one.is_some() && one == seal("b:{PLAIN}y\na:{PLAIN}x", "a", "x"));
        assert_ne!(one, seal("a:{PLAIN}y", "a", "x"));
        assert_ne!(one, seal("a:{PLAIN}x", "a", "y"));
        assert_ne!(one, seal("ax:{PLAIN}x", "ax", ""));
        assert_ne!(
            one,
            Passwords::default().seal(&question("a:{PLAIN}x", "a", "x")),
            "each process has its key"
        );
        assert_eq!(seal("a:{PLAIN}x", "b", "x"), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_password_is_believed_for_a_while_and_not_too_many_are_kept() {
        let kept = WorkerPasswords::default();
        let seal = |number: usize| {
            let mut seal = [0; SHA256_OUTPUT_LEN];
            seal[..8].copy_from_slice(&number.to_be_bytes());
            seal
        };
        kept.believe(seal(0));
        tokio::time::advance(BELIEVED / 2).await;
        (1..MOST_KEPT * 2).for_each(|number| kept.believe(seal(number)));
        assert_eq!(kept.0.borrow().len(), MOST_KEPT);
        assert!(kept.is_believed(&seal(0)) && kept.is_believed(&seal(MOST_KEPT - 1)));
        tokio::time::advance(BELIEVED / 2).await;
        assert!(!kept.is_believed(&seal(0)) && kept.is_believed(&seal(MOST_KEPT - 1)));
        kept.believe(seal(MOST_KEPT * 2));
        assert!(kept.is_believed(&seal(MOST_KEPT * 2)), "those that are believed no more make room");
    }

    #[tokio::test]
    async fn who_finds_too_many_waiting_is_told_so_at_once() {
        let passwords = Passwords::default();
        let all = passwords.turns.available_permits() as u32;
        let turns = passwords.turns.clone().acquire_many_owned(all).await.unwrap();
        let waiting: Vec<_> = (0..MOST_WAITING).map(|_| Box::pin(passwords.turn())).collect();
        let mut waiting = futures_util::future::join_all(waiting);
        assert!(futures_util::poll!(&mut waiting).is_pending());
        assert!(passwords.turn().await.is_none());
        drop(turns);
        drop(waiting);
        assert_eq!(passwords.waiting.load(Ordering::Relaxed), 0);
        assert!(passwords.turn().await.is_some());
    }
}
