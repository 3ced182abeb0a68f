//! The time formats of signatures: `YYYYMMDDTHHMMSSZ`, and that of the `Date` header.
//!
//! Source: the algorithms `days_from_civil` and `civil_from_days` of Howard Hinnant,
//! <https://howardhinnant.github.io/date_algorithms.html>.

use std::time::{SystemTime, UNIX_EPOCH};

/// The time in the format of signatures.
pub(super) fn format(now: SystemTime) -> String {
    let seconds = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let (days, second_of_day) = (seconds / 86_400, seconds % 86_400);
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) =
        (second_of_day / 3600, second_of_day % 3600 / 60, second_of_day % 60);
    format!(
        "{:08}T{:06}Z",
        10_000 * year + 100 * month + day,
        10_000 * hour + 100 * minute + second
    )
}

/// The seconds since 1970 of a time in exactly this format; None for any other text.
pub(super) fn parse(text: &str) -> Option<u64> {
    let bytes = text.as_bytes();
    if bytes.len() != 16 || bytes[8] != b'T' || bytes[15] != b'Z' {
        return None;
    }
    let days = parse_day(text.get(..8)?)?;
    let (hour, minute, second) =
        (number(text, 9, 11)?, number(text, 11, 13)?, number(text, 13, 15)?);
    if hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    Some(days * 86_400 + hour * 3600 + minute * 60 + second)
}

fn number(text: &str, from: usize, to: usize) -> Option<u64> {
    let digits = text.get(from..to)?;
    digits.bytes().all(|digit| digit.is_ascii_digit()).then(|| digits.parse().ok())?
}

/// The days since 1970 of a day in exactly the format `YYYYMMDD`.
pub(super) fn parse_day(text: &str) -> Option<u64> {
    let (year, month, day) = (number(text, 0, 4)?, number(text, 4, 6)?, number(text, 6, 8)?);
    let in_range = year >= 1970 && (1..=12).contains(&month) && (1..=31).contains(&day);
    if !in_range || text.len() != 8 {
        return None;
    }
    let (shifted, from_march) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let (era, year_of_era) = (shifted / 400, shifted % 400);
    let day_of_year = (153 * from_march + 2) / 5 + day - 1;
    Some(
        era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year
            - 719_468,
    )
}

/// The seconds since 1970 of a `Date` header. Signatures of version 2 also have `+0000` for `GMT`.
pub(super) fn parse_http(text: &str) -> Option<u64> {
    let time = httpdate::parse_http_date(&text.replace("+0000", "GMT")).ok()?;
    Some(time.duration_since(UNIX_EPOCH).ok()?.as_secs())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn times_are_formatted_and_parsed_back() {
        for at in [0, 951_782_400, 1_369_353_600, 1_709_164_800, 4_102_444_799] {
            let text = format(UNIX_EPOCH + Duration::from_secs(at));
            assert_eq!(parse(&text), Some(at), "{text}");
        }
        assert_eq!(format(UNIX_EPOCH + Duration::from_secs(1_369_353_600)), "20130524T000000Z");
        for text in ["Fri, 24 May 2013 00:00:00 GMT", "Fri, 24 May 2013 00:00:00 +0000"] {
            assert_eq!(parse_http(text), Some(1_369_353_600), "{text}");
        }
        assert_eq!(parse_http("Bad Date"), None);
        for bad in [
            "",
            "20130524T000000",
            "2013052aT000000Z",
            "20131324T000000Z",
            "20130524T250000Z",
            "2013+524T000000Z",
        ] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
