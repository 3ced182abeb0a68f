//! Which known name an unknown one was meant to be. Pure.

/// The known name that is the unknown one but for a typing mistake or two.
pub(super) fn similar<'a>(
    unknown: &str,
    known: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let candidates = known.into_iter().map(|name| (mistakes(unknown, name), name));
    let (mistakes, name) = candidates.min_by_key(|(mistakes, _)| *mistakes)?;
    // Short words resemble each other by chance.
    let most = if name.len().min(unknown.len()) < 6 { 1 } else { 2 };
    (mistakes <= most).then_some(name)
}

/// How many characters are missing, too many, wrong, or in the other order than their neighbour.
fn mistakes(left: &str, right: &str) -> usize {
    let (left, right): (Vec<char>, Vec<char>) = (left.chars().collect(), right.chars().collect());
    // Row i, column j: the first i characters of `left` against the first j of `right`.
    let mut rows: Vec<Vec<usize>> = vec![(0..=right.len()).collect()];
    for i in 1..=left.len() {
        let mut row = vec![i];
        for j in 1..=right.len() {
            let wrong = usize::from(left[i - 1] != right[j - 1]);
            let mut least =
                (rows[i - 1][j - 1] + wrong).min(rows[i - 1][j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && left[i - 1] == right[j - 2] && left[i - 2] == right[j - 1] {
                least = least.min(rows[i - 2][j - 2] + 1);
            }
            row.push(least);
        }
        rows.push(row);
    }
    rows[left.len()][right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_or_two_mistakes_are_recognised_and_other_words_are_not() {
        let known = ["listen", "store", "state_bucket", "log.level"];
        for (unknown, expected) in [
            ("lissten", Some("listen")),
            ("lsiten", Some("listen")),
            ("listn", Some("listen")),
            ("stroe", Some("store")),
            ("statebuckets", Some("state_bucket")),
            ("log.levle", Some("log.level")),
            ("port", None),
            ("stork", Some("store")),
            ("stomp", None),
            ("", None),
        ] {
            assert_eq!(similar(unknown, known), expected, "{unknown}");
        }
    }
}
