//! Places: where a controller listens, for each scheme.

use std::{fmt, str::FromStr, time::Duration};

use anyhow::Context as _;
use tokio::{net::TcpStream, time::timeout};

/// Where a controller listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    text: String,
    http: Option<String>,
    https: Option<String>,
}

impl FromStr for Place {
    type Err = String;

    /// Reads `http://ADDRESS:PORT`, `https://ADDRESS:PORT`, both with a comma between them, or `ADDRESS` for the usual
    /// ports of both.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || {
            format!(
                "{text:?} is no place to send requests to; write http://ADDRESS:PORT,https://ADDRESS:PORT, one of them, or ADDRESS"
            )
        };
        let mut place = Self { text: text.to_owned(), http: None, https: None };
        for part in text.split(',') {
            let part = part.trim_end_matches('/');
            let fresh = match part.split_once("://") {
                Some(("http", authority)) => place.http.replace(address(authority, 80).ok_or_else(wrong)?),
                Some(("https", authority)) => place.https.replace(address(authority, 443).ok_or_else(wrong)?),
                None if text == part && address(part, 80).is_some_and(|with_port| with_port != part) => {
                    place.http = address(part, 80);
                    place.https.replace(address(part, 443).ok_or_else(wrong)?)
                }
                _ => return Err(wrong()),
            };
            if fresh.is_some() {
                return Err(wrong());
            }
        }
        Ok(place)
    }
}

/// An address with its port.
fn address(authority: &str, usual: u16) -> Option<String> {
    if authority.is_empty() || authority.contains(['/', '@', '?', '#', ' ']) {
        return None;
    }
    let after_brackets = authority.rsplit(']').next().unwrap_or_default();
    match after_brackets.rsplit_once(':') {
        Some((before, port)) => {
            let named = authority.starts_with('[') || !before.is_empty();
            (named && !before.contains(':') && port.parse::<u16>().is_ok_and(|port| port != 0))
                .then(|| authority.to_owned())
        }
        None => Some(format!("{authority}:{usual}")),
    }
}

impl Place {
    /// Whether it says where requests of this kind go.
    pub(super) fn has(&self, is_tls: bool) -> bool {
        self.address(is_tls).is_some()
    }

    /// Where requests of this kind go.
    pub(super) fn address(&self, is_tls: bool) -> Option<&str> {
        if is_tls { self.https.as_deref() } else { self.http.as_deref() }
    }

    /// Connects to each of its addresses once.
    ///
    /// # Errors
    /// One of them cannot be reached.
    pub(super) async fn check(&self, longest: Duration) -> anyhow::Result<()> {
        for (scheme, address) in [("http", &self.http), ("https", &self.https)] {
            let Some(address) = address else { continue };
            let wrong = || {
                format!(
                    "cannot reach {scheme}://{address}; give --compare a URL at which the controller answers from here, \
                     such as that of a forwarded port"
                )
            };
            timeout(longest, TcpStream::connect(address)).await.with_context(wrong)?.with_context(wrong)?;
        }
        Ok(())
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_and_addresses_are_read() {
        type Addresses = (Option<&'static str>, Option<&'static str>);
        let table: [(&str, Option<Addresses>); 15] = [
            ("http://10.0.0.1", Some((Some("10.0.0.1:80"), None))),
            ("http://10.0.0.1:8080/", Some((Some("10.0.0.1:8080"), None))),
            ("https://edge.test", Some((None, Some("edge.test:443")))),
            ("http://a:1,https://b:2", Some((Some("a:1"), Some("b:2")))),
            ("10.0.0.1", Some((Some("10.0.0.1:80"), Some("10.0.0.1:443")))),
            ("[::1]", Some((Some("[::1]:80"), Some("[::1]:443")))),
            ("http://[::1]:8080", Some((Some("[::1]:8080"), None))),
            ("10.0.0.1:80", None),
            ("http://a,http://b", None),
            ("http://a/path", None),
            ("http://me:secret@a", None),
            ("ftp://a", None),
            ("http://a:0", None),
            ("http://:80", None),
            ("", None),
        ];
        for (text, want) in table {
            let read = text.parse::<Place>().ok();
            let got = read.as_ref().map(|place| (place.address(false), place.address(true)));
            assert_eq!(got, want, "{text:?}");
        }
    }
}
