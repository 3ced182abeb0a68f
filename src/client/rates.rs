//! The argument of `--limit-rate`: `5M`, or a rate for each time of the day, `08:00=5M,22:00=off`.

use std::time::Duration;

use super::parse_size;
use crate::rate_limit::Rates;

/// The word for no limit.
const OFF: &str = "off";

/// Parses a rate or a schedule of rates.
pub fn parse_rates(text: &str) -> Result<Rates, String> {
    if !text.contains('=') {
        return parse_rate(text).map(Rates::constant);
    }
    let changes = text.split(',').map(|change| {
        let (time, rate) = change
            .split_once('=')
            .ok_or_else(|| format!("{change:?} is not of the form HH:MM=RATE, such as 08:00=5M"))?;
        Ok((parse_time(time.trim())?, parse_rate(rate.trim())?))
    });
    let changes = changes.collect::<Result<Vec<_>, String>>()?;
    Rates::daily(changes).ok_or_else(|| format!("{text:?} has the same time twice"))
}

fn parse_rate(text: &str) -> Result<Option<u64>, String> {
    if text == OFF { Ok(None) } else { parse_size(text).map(Some) }
}

fn parse_time(text: &str) -> Result<Duration, String> {
    let number = |text: &str, end: u64| {
        let is_number = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse::<u64>().ok().filter(|number| is_number && *number < end)
    };
    let time = text.split_once(':').and_then(|(hours, minutes)| {
        Some(Duration::from_secs(number(hours, 24)? * 3600 + number(minutes, 60)? * 60))
    });
    time.ok_or_else(|| format!("{text:?} is not a time of the day; write 00:00 to 23:59"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_a_size_or_a_schedule() {
        assert_eq!(parse_rates("5M"), Ok(Rates::constant(Some(5 << 20))));
        assert_eq!(parse_rates("off"), Ok(Rates::constant(None)));
        let at = |hours: u64| Duration::from_secs(3600 * hours);
        let expected = Rates::daily(vec![(at(8), Some(5 << 20)), (at(22), None)]);
        assert_eq!(parse_rates("08:00=5M,22:00=off").ok(), expected);
        for invalid in [
            "",
            "x",
            "8:00=5M",
            "24:00=5M",
            "08:60=5M",
            "08:00=",
            "08:00=5M,22:00",
            "=1",
            "08:00=1,08:00=2",
        ] {
            assert!(parse_rates(invalid).is_err(), "{invalid}");
        }
    }
}
