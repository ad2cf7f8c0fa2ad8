//! Hashing: values that are the same in every process and every release, so that replicas agree.

/// A well-mixed value of these bytes (FNV-1a, then the last step of splitmix64).
pub fn hash(bytes: &[u8]) -> u64 {
    mix(bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    }))
}

/// Spreads a value over all 64 bits; different values stay different (splitmix64).
pub(super) fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_never_change_from_release_to_release() {
        let rows: [(&[u8], u64); 3] = [
            (b"", 0xc381_7c01_6ba4_ff30),
            (b"a", 0x5f29_c2aa_dd9b_8527),
            (b"shop/orders:80", 0x30d2_1608_89b3_4438),
        ];
        for (bytes, wanted) in rows {
            assert_eq!(hash(bytes), wanted, "{bytes:?}: {:#x}", hash(bytes));
        }
    }
}
