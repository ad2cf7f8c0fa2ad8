//! Users with the hashes of their passwords, as files of `htpasswd` hold them. No hash reaches a log or a dump.

use std::{collections::BTreeMap, fmt};

use aws_lc_rs::{constant_time, digest};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use thiserror::Error;

use super::crypt::{self, USUAL_ROUNDS};

/// Highest cost of bcrypt that is worked out: a second of a processor or more.
const MOST_COST: u32 = 15;
/// Most rounds of SHA-crypt that are worked out, for the same reason.
const MOST_ROUNDS: u32 = 1_000_000;

/// Users who may come in. `Debug` and `Serialize` show neither names nor hashes, only how many there are.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Users {
    by_name: BTreeMap<Box<str>, Hash>,
}

/// The hash of a password.
#[derive(Clone, PartialEq, Eq)]
struct Hash {
    kind: Kind,
    /// As it was written, by which a change of it is seen.
    text: Box<str>,
}

#[derive(Clone, PartialEq, Eq)]
enum Kind {
    Bcrypt,
    Md5 { magic: &'static str },
    Sha256 { rounds: u32 },
    Sha512 { rounds: u32 },
    Sha1 { sum: Vec<u8>, salt: Vec<u8> },
    Plain,
}

/// Why a line gives no user. It says nothing of what the line holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum UserProblem {
    /// There is no colon behind a name.
    #[error("it is not NAME:HASH")]
    NoHash,
    /// The hash is none that is known.
    #[error("the kind of the hash is not supported; make it anew with bcrypt, for example by htpasswd -B")]
    UnknownHash,
    /// The hash is of a kind that is known, and is malformed.
    #[error("the hash is malformed; make it anew, for example by htpasswd -B")]
    BadHash,
    /// Looking a password up would take too long.
    #[error(
        "the hash takes too long to work out; make it anew with a cost of at most {MOST_COST}, or {MOST_ROUNDS} rounds"
    )]
    TooCostly,
    /// The name came before.
    #[error("the name stands in an earlier line, which counts")]
    Twice,
}

/// A line that gives no user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("line {line}: {problem}")]
pub struct UserFault {
    /// Number of the line, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub problem: UserProblem,
}

impl Users {
    /// Reads a file of `htpasswd`: lines of name, colon and hash, maybe with another colon and a comment. Empty lines
    /// and those that begin with `#` say nothing. A line that cannot be used is told of, and the others count.
    pub fn parse(text: &str) -> (Self, Vec<UserFault>) {
        let mut users = Self::default();
        let mut faults = Vec::new();
        for (number, line) in text.lines().enumerate() {
            let line = line.trim_end_matches('\r');
            if line.trim().is_empty() || line.starts_with('#') {
                continue;
            }
            let added = match line.split_once(':') {
                Some((name, rest)) if !name.is_empty() => {
                    users.add(name, rest.split(':').next().unwrap_or_default())
                }
                _ => Err(UserProblem::NoHash),
            };
            faults.extend(added.err().map(|problem| UserFault { line: number + 1, problem }));
        }
        (users, faults)
    }

    /// Adds a user; the first one of a name counts.
    ///
    /// # Errors
    /// When the hash cannot be used or the name is there already.
    pub fn add(&mut self, name: &str, hash: &str) -> Result<(), UserProblem> {
        let hash = Hash { kind: kind(hash)?, text: hash.into() };
        match self.by_name.contains_key(name) {
            true => Err(UserProblem::Twice),
            false => {
                self.by_name.insert(name.into(), hash);
                Ok(())
            }
        }
    }

    /// Whether nobody may come in.
    pub fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }

    /// How many users there are.
    pub fn len(&self) -> usize {
        self.by_name.len()
    }

    /// The hash of a user as it was written, for a key by which a password that was right is known again.
    pub fn hash_of(&self, name: &[u8]) -> Option<&str> {
        let name = std::str::from_utf8(name).ok()?;
        self.by_name.get(name).map(|hash| &*hash.text)
    }

    /// Whether this is the password of this user. Costly, by intent of those who made the hashes. A name that is not
    /// there takes as long as one that is.
    pub fn verify(&self, name: &[u8], password: &[u8]) -> bool {
        let found = std::str::from_utf8(name).ok().and_then(|name| self.by_name.get(name));
        // The same other one each time, so that asking twice does not tell.
        let sum = digest::digest(&digest::SHA256, name);
        let turn = usize::from(sum.as_ref()[0]) % self.by_name.len().max(1);
        let Some(hash) = found.or_else(|| self.by_name.values().nth(turn)) else { return false };
        hash.fits(password) && found.is_some()
    }
}

impl Hash {
    fn fits(&self, password: &[u8]) -> bool {
        let text = &*self.text;
        match &self.kind {
            Kind::Bcrypt => bcrypt::verify(password, text).unwrap_or(false),
            Kind::Md5 { magic } => same(text, &crypt::md5_crypt(magic.as_bytes(), salt(text, 8), password)),
            Kind::Sha256 { rounds } => same(text, &crypt::sha256_crypt(*rounds, salt(text, 16), password)),
            Kind::Sha512 { rounds } => same(text, &crypt::sha512_crypt(*rounds, salt(text, 16), password)),
            Kind::Sha1 { sum, salt } => {
                let mut context = digest::Context::new(&digest::SHA1_FOR_LEGACY_USE_ONLY);
                context.update(password);
                context.update(salt);
                is_same(sum, context.finish().as_ref())
            }
            Kind::Plain => {
                // By their digests, as comparing them themselves would tell how long the password is.
                let digest = |text: &[u8]| digest::digest(&digest::SHA256, text);
                let wanted = text.get(PLAIN.len()..).unwrap_or_default();
                is_same(digest(wanted.as_bytes()).as_ref(), digest(password).as_ref())
            }
        }
    }
}

/// What a password in plain text begins with.
const PLAIN: &str = "{PLAIN}";

/// What kind of hash a text is.
fn kind(text: &str) -> Result<Kind, UserProblem> {
    if let Some(sum) = text.strip_prefix("{SHA}") {
        return sha1(sum, 0);
    }
    if let Some(sum) = text.strip_prefix("{SSHA}") {
        return sha1(sum, 1);
    }
    if text.starts_with(PLAIN) {
        return Ok(Kind::Plain);
    }
    let parts: Vec<&str> = text.split('$').collect();
    match parts[..] {
        ["", "apr1", salt, sum] => crypted(salt, sum, 22, Kind::Md5 { magic: "$apr1$" }),
        ["", "1", salt, sum] => crypted(salt, sum, 22, Kind::Md5 { magic: "$1$" }),
        ["", "5", salt, sum] => crypted(salt, sum, 43, Kind::Sha256 { rounds: USUAL_ROUNDS }),
        ["", "6", salt, sum] => crypted(salt, sum, 86, Kind::Sha512 { rounds: USUAL_ROUNDS }),
        ["", "5", count, salt, sum] => crypted(salt, sum, 43, Kind::Sha256 { rounds: rounds(count)? }),
        ["", "6", count, salt, sum] => crypted(salt, sum, 86, Kind::Sha512 { rounds: rounds(count)? }),
        ["", "2a" | "2b" | "2y", cost, rest] => is_bcrypt(text, cost, rest),
        _ => Err(UserProblem::UnknownHash),
    }
}

fn sha1(text: &str, least_salt: usize) -> Result<Kind, UserProblem> {
    let bytes = STANDARD.decode(text).map_err(|_| UserProblem::BadHash)?;
    let (sum, salt) = bytes.split_at_checked(digest::SHA1_OUTPUT_LEN).ok_or(UserProblem::BadHash)?;
    if salt.len() < least_salt || (least_salt == 0 && !salt.is_empty()) {
        return Err(UserProblem::BadHash);
    }
    Ok(Kind::Sha1 { sum: sum.to_vec(), salt: salt.to_vec() })
}

fn crypted(salt: &str, sum: &str, length: usize, kind: Kind) -> Result<Kind, UserProblem> {
    let is_digit = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'/');
    let fits = salt.is_ascii() && sum.len() == length && sum.bytes().all(is_digit);
    fits.then_some(kind).ok_or(UserProblem::BadHash)
}

fn rounds(text: &str) -> Result<u32, UserProblem> {
    let number = text.strip_prefix("rounds=").and_then(|number| number.parse::<u64>().ok());
    let number = number.ok_or(UserProblem::BadHash)?;
    u32::try_from(number).ok().filter(|rounds| *rounds <= MOST_ROUNDS).ok_or(UserProblem::TooCostly)
}

fn is_bcrypt(text: &str, cost: &str, rest: &str) -> Result<Kind, UserProblem> {
    let is_digit = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'/');
    if text.len() != 60 || !rest.bytes().all(is_digit) {
        return Err(UserProblem::BadHash);
    }
    match cost.parse::<u32>() {
        Ok(4..=MOST_COST) => Ok(Kind::Bcrypt),
        Ok(cost) if cost > MOST_COST => Err(UserProblem::TooCostly),
        _ => Err(UserProblem::BadHash),
    }
}

/// The salt, the last part but one; of a longer one only the begin counts.
fn salt(text: &str, most: usize) -> &[u8] {
    let salt = text.rsplit('$').nth(1).unwrap_or_default().as_bytes();
    &salt[..salt.len().min(most)]
}

/// Whether a hash ends with what was worked out.
fn same(text: &str, made: &[u8]) -> bool {
    is_same(text.rsplit('$').next().unwrap_or_default().as_bytes(), made)
}

/// Takes as long for any two texts of a length.
fn is_same(one: &[u8], other: &[u8]) -> bool {
    constant_time::verify_slices_are_equal(one, other).is_ok()
}

impl fmt::Display for Users {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.len() {
            1 => f.write_str("1 user, redacted"),
            many => write!(f, "{many} users, redacted"),
        }
    }
}

impl fmt::Debug for Users {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Users({self})")
    }
}

impl Serialize for Users {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Users {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (users, faults) = Self::parse(&String::deserialize(deserializer)?);
        match faults.first() {
            None => Ok(users),
            Some(fault) => Err(D::Error::custom(fault)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One user of each kind, all with the password `bar`.
    const ALL: &str = "apr1:$apr1$abcdefgh$bGLO42WqKpmLoPH9uGWTg1\n\
        md5:$1$abcdefgh$X4AQOXsoYNpzaat9Hm7iC/\n\
        sha256:$5$abcdefgh$d7u6pMccLHaLEPpZjR0SAZPfuxqzifIjukzrxPp5Vk5\n\
        sha512:$6$abcdefgh$eRCVTfM6DVKz9Bbuej9PpSMwyrZNRZ7fvE2MJbP.EfNqAQLeXh.dmdhCwDsteizQToJiFQ8BwdizmSCnsxS1u1\n\
        bcrypt:$2y$05$abcdefghijklmnopqrstuuUq7qXkDOZJ5Q8HA9wCOH0FErWp6q0b6\n\
        sha1:{SHA}Ys23Ag/5IOWqZCw9QGaVDdHwH00=\n\
        ssha:{SSHA}aTajYe2SJsRWrbKsIV9ZttXLp9RzYWx0\n\
        plain:{PLAIN}bar\n";

    #[test]
    fn each_kind_of_hash_lets_the_right_password_in_and_no_other() {
        let (users, faults) = Users::parse(ALL);
        assert_eq!((faults, users.len()), (vec![], 8));
        for name in users.by_name.keys() {
            assert!(users.verify(name.as_bytes(), b"bar"), "{name}");
            for wrong in ["", "ba", "barr", "Bar"] {
                assert!(!users.verify(name.as_bytes(), wrong.as_bytes()), "{name} {wrong:?}");
            }
        }
        for stranger in [&b""[..], b"nobody", b"PLAIN", b"\xff"] {
            assert!(!users.verify(stranger, b"bar"), "{stranger:?}");
        }
        assert!(!Users::default().verify(b"plain", b"bar"));
    }

    #[test]
    fn a_line_that_cannot_be_used_is_told_by_its_number_and_the_others_count() {
        use UserProblem::{BadHash, NoHash, TooCostly, Twice, UnknownHash};
        let text = "# comment\n\nfoo:{PLAIN}bar:a comment\r\nnothing\n:{PLAIN}x\nold:rqXexS6ZhobKA\nfoo:{PLAIN}x\n\
            a:$apr1$abcdefgh$short\nb:{SHA}!\nc:{SHA}YmFy\nd:{SSHA}Ys23Ag/5IOWqZCw9QGaVDdHwH00=\n\
            e:$2y$31$abcdefghijklmnopqrstuuUq7qXkDOZJ5Q8HA9wCOH0FErWp6q0b6\n\
            f:$5$rounds=2000000$abcdefgh$d7u6pMccLHaLEPpZjR0SAZPfuxqzifIjukzrxPp5Vk5\n\
            g:$5$rounds=x$abcdefgh$d7u6pMccLHaLEPpZjR0SAZPfuxqzifIjukzrxPp5Vk5\n\
            h:$2y$05$abcdefghijklmnopqrstuu\ni:plain\nj:";
        let (users, faults) = Users::parse(text);
        assert_eq!(users.len(), 1);
        assert!(users.verify(b"foo", b"bar"));
        let found: Vec<_> = faults.iter().map(|fault| (fault.line, fault.problem)).collect();
        let wanted = [
            (4, NoHash),
            (5, NoHash),
            (6, UnknownHash),
            (7, Twice),
            (8, BadHash),
            (9, BadHash),
            (10, BadHash),
            (11, BadHash),
            (12, TooCostly),
            (13, TooCostly),
            (14, BadHash),
            (15, BadHash),
            (16, UnknownHash),
            (17, UnknownHash),
        ];
        assert_eq!(found, wanted);
        assert_eq!(faults[0].to_string(), "line 4: it is not NAME:HASH");
    }

    #[test]
    fn nothing_of_a_hash_or_a_name_is_shown_and_a_change_is_seen() {
        let (users, _) = Users::parse(ALL);
        for shown in [format!("{users:?}"), serde_json::to_string(&users).unwrap()] {
            assert!(shown.contains("8 users, redacted"), "{shown}");
            assert!(!shown.contains("apr1") && !shown.contains("bar"), "{shown}");
        }
        let (other, _) = Users::parse(&ALL.replace("{PLAIN}bar", "{PLAIN}baz"));
        assert_ne!(users, other);
        assert_ne!(users.hash_of(b"plain"), other.hash_of(b"plain"));
        assert_eq!(serde_json::from_str::<Users>("\"a:{PLAIN}b\"").unwrap().len(), 1);
        assert!(serde_json::from_str::<Users>("\"a:b\"").is_err());
    }
}
