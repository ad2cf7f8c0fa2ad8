//! Hashes of passwords that are made of many rounds of a digest: MD5-crypt in both forms, and SHA-crypt.

use aws_lc_rs::digest::{self, Algorithm, Context, SHA256, SHA512};
use md5::{Digest, Md5};

/// Rounds of SHA-crypt where the hash names none.
pub const USUAL_ROUNDS: u32 = 5000;
/// Least rounds of SHA-crypt; fewer are taken for these.
const LEAST_ROUNDS: u32 = 1000;
/// Rounds of MD5-crypt.
const MD5_ROUNDS: usize = 1000;
/// Digits of the numbers that crypt writes, least significant first.
const DIGITS: &[u8; 64] = b"./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// MD5-crypt of a password; `magic` is `$1$` or `$apr1$`.
pub fn md5_crypt(magic: &[u8], salt: &[u8], password: &[u8]) -> Vec<u8> {
    let join = |parts: &[&[u8]]| {
        let mut hasher = Md5::new();
        parts.iter().for_each(|part| hasher.update(part));
        hasher.finalize()
    };
    let inner = join(&[password, salt, password]);
    let mut first = Md5::new();
    [password, magic, salt].iter().for_each(|part| first.update(part));
    repeated(&inner, password.len(), |piece| first.update(piece));
    for bit in bits(password.len()) {
        first.update(if bit { &[0] } else { &password[..1] });
    }
    let mut sum = first.finalize();
    for round in 0..MD5_ROUNDS {
        let parts = order(round, (&sum, password, salt));
        sum = join(&parts);
    }
    let mut text = Vec::with_capacity(22);
    for at in 0..5 {
        let last = if at == 4 { 5 } else { at + 12 };
        push_digits([sum[at], sum[at + 6], sum[last]], 4, &mut text);
    }
    push_digits([0, 0, sum[11]], 2, &mut text);
    text
}

/// SHA-256-crypt of a password.
pub fn sha256_crypt(rounds: u32, salt: &[u8], password: &[u8]) -> Vec<u8> {
    let sum = sha_crypt(&SHA256, rounds, salt, password);
    let mut text = Vec::with_capacity(43);
    for at in 0..10 {
        let mut group = [sum[at], sum[at + 10], sum[at + 20]];
        group.rotate_left(2 * at % 3);
        push_digits(group, 4, &mut text);
    }
    push_digits([0, sum[31], sum[30]], 3, &mut text);
    text
}

/// SHA-512-crypt of a password.
pub fn sha512_crypt(rounds: u32, salt: &[u8], password: &[u8]) -> Vec<u8> {
    let sum = sha_crypt(&SHA512, rounds, salt, password);
    let mut text = Vec::with_capacity(86);
    for at in 0..21 {
        let mut group = [sum[at], sum[at + 21], sum[at + 42]];
        group.rotate_left(at % 3);
        push_digits(group, 4, &mut text);
    }
    push_digits([0, 0, sum[63]], 2, &mut text);
    text
}

fn sha_crypt(algorithm: &'static Algorithm, rounds: u32, salt: &[u8], password: &[u8]) -> Vec<u8> {
    let join = |parts: &[&[u8]]| {
        let mut context = Context::new(algorithm);
        parts.iter().for_each(|part| context.update(part));
        context.finish()
    };
    let inner = join(&[password, salt, password]);
    let mut first = Context::new(algorithm);
    first.update(password);
    first.update(salt);
    repeated(inner.as_ref(), password.len(), |piece| first.update(piece));
    for bit in bits(password.len()) {
        first.update(if bit { inner.as_ref() } else { password });
    }
    let mut sum = first.finish();
    let spread = |of: &[u8], times: usize, length: usize| {
        let digest = digest::digest(algorithm, &of.repeat(times));
        let mut whole = Vec::with_capacity(length);
        repeated(digest.as_ref(), length, |piece| whole.extend_from_slice(piece));
        whole
    };
    let password = spread(password, password.len(), password.len());
    let salt = spread(salt, 16 + usize::from(sum.as_ref()[0]), salt.len());
    for round in 0..rounds.max(LEAST_ROUNDS) as usize {
        let parts = order(round, (sum.as_ref(), &password, &salt));
        sum = join(&parts);
    }
    sum.as_ref().to_vec()
}

/// What is hashed in a round, in its order.
fn order<'a>(round: usize, (sum, password, salt): (&'a [u8], &'a [u8], &'a [u8])) -> [&'a [u8]; 4] {
    let is_odd = round % 2 == 1;
    let (first, last) = if is_odd { (password, sum) } else { (sum, password) };
    let salt: &[u8] = if round.is_multiple_of(3) { b"" } else { salt };
    let middle: &[u8] = if round.is_multiple_of(7) { b"" } else { password };
    [first, salt, middle, last]
}

/// Gives so many bytes of a text that is repeated.
fn repeated(text: &[u8], length: usize, mut take: impl FnMut(&[u8])) {
    let mut left = length;
    while left > 0 {
        let piece = &text[..left.min(text.len())];
        take(piece);
        left -= piece.len();
    }
}

/// The bits of a number, lowest first, up to the highest one that is set.
fn bits(number: usize) -> impl Iterator<Item = bool> {
    std::iter::successors(Some(number), |rest| Some(rest >> 1))
        .take_while(|rest| *rest > 0)
        .map(|rest| rest & 1 == 1)
}

fn push_digits(bytes: [u8; 3], count: usize, out: &mut Vec<u8>) {
    let mut number = u32::from_be_bytes([0, bytes[0], bytes[1], bytes[2]]);
    for _ in 0..count {
        out.push(DIGITS[number as usize & 63]);
        number >>= 6;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn md5_crypt_gives_what_other_programs_give() {
        let rows = MD5_ROWS;
        for (magic, salt, password, wanted) in rows {
            let made = md5_crypt(magic.as_bytes(), salt.as_bytes(), password.as_bytes());
            assert_eq!(String::from_utf8(made).unwrap(), wanted, "{magic} {salt} {password}");
        }
    }

    #[test]
    fn sha_crypt_gives_what_other_programs_give() {
        for (rounds, salt, password, wanted) in SHA256_ROWS {
            let made = sha256_crypt(rounds, salt.as_bytes(), password.as_bytes());
            assert_eq!(String::from_utf8(made).unwrap(), wanted, "{salt} {password}");
        }
        for (rounds, salt, password, wanted) in SHA512_ROWS {
            let made = sha512_crypt(rounds, salt.as_bytes(), password.as_bytes());
            assert_eq!(String::from_utf8(made).unwrap(), wanted, "{salt} {password}");
        }
    }

    const MD5_ROWS: [(&str, &str, &str, &str); 6] = [
        ("$apr1$", "abcdefgh", "bar", "bGLO42WqKpmLoPH9uGWTg1"),
        ("$apr1$", "x", "Hello world!", "JTvpALI9/43YgVodh/vfV0"),
        (
            "$apr1$",
            "saltsalt",
            "a password of more than sixty-four bytes, which takes more than one block of each digest",
            "NvSaK9Daxsc/x9s.OwaH5/",
        ),
        ("$1$", "abcdefgh", "bar", "X4AQOXsoYNpzaat9Hm7iC/"),
        ("$1$", "x", "Hello world!", "nOgEtOLmf3xhWqibKtjGl."),
        (
            "$1$",
            "saltsalt",
            "a password of more than sixty-four bytes, which takes more than one block of each digest",
            "tICKh0im3Hv.DLvcPEEs/0",
        ),
    ];
    const SHA256_ROWS: [(u32, &str, &str, &str); 4] = [
        (USUAL_ROUNDS, "abcdefgh", "bar", "d7u6pMccLHaLEPpZjR0SAZPfuxqzifIjukzrxPp5Vk5"),
        (USUAL_ROUNDS, "saltstringsaltst", "Hello world!", "a5C8Ofk71MUIoKve2QuP9FMl.dwNgseF5tR1LGAL7iB"),
        (
            USUAL_ROUNDS,
            "x",
            "a password of more than sixty-four bytes, which takes more than one block of each digest",
            "mSvPvpv1B8tPmkfqQpG9zSA16/pHkJ6SrybdWymGiG3",
        ),
        (10_000, "saltstringsaltst", "Hello world!", "3xv.VbSHBb41AL9AvLeujZkZRBAwqFMz2.opqey6IcA"),
    ];
    const SHA512_ROWS: [(u32, &str, &str, &str); 4] = [
        (
            USUAL_ROUNDS,
            "abcdefgh",
            "bar",
            "eRCVTfM6DVKz9Bbuej9PpSMwyrZNRZ7fvE2MJbP.EfNqAQLeXh.dmdhCwDsteizQToJiFQ8BwdizmSCnsxS1u1",
        ),
        (
            USUAL_ROUNDS,
            "saltstringsaltst",
            "Hello world!",
            "e.3mR68CqZEpesEX1HlFZT6sEanSOjM/b5UoDyDo00a8syek2cJldMjrbtKP86.FJvzluVR7nc3DNzelAwTxj.",
        ),
        (
            USUAL_ROUNDS,
            "x",
            "a password of more than sixty-four bytes, which takes more than one block of each digest",
            "UNM/iyzD8szhKDhtVR3GagTSxjTKDjtb0jzarNvJks9nBA/IvtRajwyXjLYPlE9dlCovp/2JmZbdgQxFAdRjX1",
        ),
        (
            10_000,
            "saltstringsaltst",
            "Hello world!",
            "OW1/O6BYHV6BcXZu8QVeXbDWra3Oeqh0sbHbbMCVNSnCM/UrjmM0Dp8vOuZeHBy/YTBmSK6H9qs/y3RnOaw5v.",
        ),
    ];
}
