//! Numbers as people read them. Pure.

/// A number of bytes, such as `1.2 MiB`.
pub fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if bytes < 1 << 10 {
        return format!("{bytes} B");
    }
    // The unit in which the number has at most four digits before the point.
    let mut unit = 0;
    while unit + 1 < UNITS.len() && bytes >> (10 * (unit + 1)) >= 1000 {
        unit += 1;
    }
    let one = 1_u64 << (10 * (unit + 1));
    let tenths = u128::from(bytes) * 10 / u128::from(one);
    format!("{}.{} {}", tenths / 10, tenths % 10, UNITS[unit])
}

#[cfg(test)]
mod tests {
    #[test]
    fn bytes_have_units() {
        let table = [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1536, "1.5 KiB"),
            (1_023_999, "999.9 KiB"),
            (1_024_000, "0.9 MiB"),
            (8 << 20, "8.0 MiB"),
            (u64::MAX, "16383.9 PiB"),
        ];
        for (bytes, text) in table {
            assert_eq!(super::bytes(bytes), text);
        }
    }
}
