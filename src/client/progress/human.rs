//! Numbers as people read them. Pure.

use std::time::Duration;

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

/// A time, such as `3 min 12 s`.
pub fn time(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0..10 => format!("{}.{} s", seconds, time.subsec_millis() / 100),
        10..60 => format!("{seconds} s"),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3600, seconds / 60 % 60),
    }
}

/// A time that is only about right, such as `9 min`.
pub(super) fn rough_time(time: Duration) -> String {
    match time.as_secs() {
        seconds @ 0..120 => format!("{seconds} s"),
        seconds @ 120..7200 => format!("{} min", seconds / 60),
        seconds @ 7200..172_800 => format!("{} h", seconds / 3600),
        seconds => format!("{} days", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_units() {
        let table = [
            (800, "0.8 s", "0 s"),
            (10_900, "10 s", "10 s"),
            (192_000, "3 min 12 s", "3 min"),
            (599_999, "9 min 59 s", "9 min"),
            (7_500_000, "2 h 5 min", "2 h"),
            (300_000_000, "83 h 20 min", "3 days"),
        ];
        for (millis, exact, rough) in table {
            let duration = Duration::from_millis(millis);
            assert_eq!((time(duration).as_str(), rough_time(duration).as_str()), (exact, rough));
        }
    }

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
