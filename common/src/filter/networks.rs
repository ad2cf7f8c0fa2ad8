//! Networks: a set of ranges of addresses that is looked up quickly, however many there are.

use std::{net::IpAddr, sync::Arc};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

/// A set of networks, each with the length of its prefix: `10.0.0.0/8`.
///
/// IPv4 addresses that are written as IPv6 (`::ffff:10.0.0.1`) are IPv4, in networks and in addresses. Looking one
/// up is a search among sorted ranges.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(from = "Vec<IpNet>", into = "Vec<IpNet>")]
pub struct Networks {
    networks: Arc<[IpNet]>,
    v4: Arc<[Range<u32>]>,
    v6: Arc<[Range<u128>]>,
}

/// The first and the last address of a range.
type Range<N> = (N, N);

impl Networks {
    /// Whether an address is in one of them.
    pub fn contains(&self, address: IpAddr) -> bool {
        match address.to_canonical() {
            IpAddr::V4(address) => find(&self.v4, u32::from(address)),
            IpAddr::V6(address) => find(&self.v6, u128::from(address)),
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.networks.is_empty()
    }

    /// The networks as they were given.
    pub fn iter(&self) -> impl Iterator<Item = &IpNet> {
        self.networks.iter()
    }
}

/// Whether a number is in one of these ranges, which are sorted and do not meet.
fn find<N: Ord + Copy>(ranges: &[Range<N>], number: N) -> bool {
    let after = ranges.partition_point(|(first, _)| *first <= number);
    after.checked_sub(1).is_some_and(|at| number <= ranges[at].1)
}

/// Sorts ranges and makes one of those that meet.
fn merged<N: Ord + Copy>(mut ranges: Vec<Range<N>>) -> Arc<[Range<N>]> {
    ranges.sort_unstable();
    ranges.dedup_by(|next, last| {
        let meet = next.0 <= last.1;
        if meet {
            last.1 = last.1.max(next.1);
        }
        meet
    });
    ranges.into()
}

impl FromIterator<IpNet> for Networks {
    fn from_iter<I: IntoIterator<Item = IpNet>>(networks: I) -> Self {
        let networks: Arc<[IpNet]> = networks.into_iter().collect();
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for network in networks.iter() {
            match (network.network().to_canonical(), network.broadcast().to_canonical()) {
                (IpAddr::V4(first), IpAddr::V4(last)) => v4.push((first.into(), last.into())),
                _ => {
                    if let IpNet::V6(network) = network {
                        v6.push((network.network().into(), network.broadcast().into()));
                    }
                    if network.contains(&IpAddr::V6(std::net::Ipv4Addr::UNSPECIFIED.to_ipv6_mapped())) {
                        // All of IPv4 lies within.
                        v4.push((0, u32::MAX));
                    }
                }
            }
        }
        Self { networks, v4: merged(v4), v6: merged(v6) }
    }
}

impl From<Vec<IpNet>> for Networks {
    fn from(networks: Vec<IpNet>) -> Self {
        networks.into_iter().collect()
    }
}

impl From<Networks> for Vec<IpNet> {
    fn from(networks: Networks) -> Self {
        networks.networks.to_vec()
    }
}

impl PartialEq for Networks {
    fn eq(&self, other: &Self) -> bool {
        self.networks == other.networks
    }
}

impl Eq for Networks {}

#[cfg(test)]
mod tests {
    use super::*;

    fn networks(list: &[&str]) -> Networks {
        list.iter().map(|text| text.parse::<IpNet>().unwrap()).collect()
    }

    fn holds(networks: &Networks, address: &str) -> bool {
        networks.contains(address.parse().unwrap())
    }

    #[test]
    fn addresses_are_found_in_their_networks_and_nowhere_else() {
        let some = networks(&["10.0.0.0/8", "192.0.2.7/32", "10.1.0.0/16", "2001:db8::/32", "127.0.1.9/24"]);
        let rows = [
            ("10.0.0.0", true),
            ("10.255.255.255", true),
            ("11.0.0.0", false),
            ("9.255.255.255", false),
            ("192.0.2.7", true),
            ("192.0.2.6", false),
            ("192.0.2.8", false),
            ("127.0.1.255", true),
            ("127.0.2.0", false),
            ("2001:db8::1", true),
            ("2001:db9::", false),
            ("::ffff:10.2.3.4", true),
            ("::ffff:12.2.3.4", false),
            ("::10.2.3.4", false),
        ];
        for (address, wanted) in rows {
            assert_eq!(holds(&some, address), wanted, "{address}");
        }
        assert!(!holds(&Networks::default(), "10.0.0.1"));
    }

    #[test]
    fn networks_of_ipv4_written_as_ipv6_are_ipv4() {
        let mapped = networks(&["::ffff:10.0.0.0/104"]);
        for (address, wanted) in [("10.1.2.3", true), ("::ffff:10.1.2.3", true), ("11.0.0.0", false)] {
            assert_eq!(holds(&mapped, address), wanted, "{address}");
        }
        let all = networks(&["::/0"]);
        assert!(holds(&all, "192.0.2.1") && holds(&all, "::1"));
        let all = networks(&["0.0.0.0/0"]);
        assert!(holds(&all, "::ffff:192.0.2.1") && !holds(&all, "::1"));
    }

    #[test]
    fn thousands_of_networks_become_few_ranges_where_they_meet() {
        let many: Networks = (0..=u16::MAX)
            .map(|number| {
                let [high, low] = number.to_be_bytes();
                IpNet::new([10, high, low, 0].into(), if low % 2 == 0 { 23 } else { 24 }).unwrap()
            })
            .collect();
        assert_eq!(many.v4.len(), 1 << 15, "each of length 24 lies in the one of length 23 before it");
        assert!(holds(&many, "10.200.7.1") && !holds(&many, "11.0.0.1"));
    }

    #[test]
    fn they_are_written_as_they_were_given() {
        let text = r#"["10.1.2.3/8","2001:db8::/32","10.0.0.0/8"]"#;
        let read: Networks = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&read).unwrap(), text);
        assert_eq!(read.iter().count(), 3);
        assert!(!read.is_empty() && Networks::default().is_empty());
    }
}
