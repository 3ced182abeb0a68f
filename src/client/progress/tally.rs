//! The counts of files and bytes, of a command and of one file. Pure.

/// What there is to do, and what of it is done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    /// Whether the totals still grow, because files are being counted.
    pub counting: bool,
    /// Whether the total of bytes is known only at the end.
    pub open_ended: bool,
    pub total_files: u64,
    pub total_bytes: u64,
    /// Files that are finished, the failed ones too.
    pub done_files: u64,
    /// Files that the destination had already.
    pub known_files: u64,
    /// Bytes that were sent or received, and are recorded.
    pub moved_bytes: u64,
    /// Bytes of files that the destination had already.
    pub known_bytes: u64,
    /// Bytes that an interrupted run left at the destination.
    pub resumed_bytes: u64,
    /// Bytes that the destination had, and that were read there to check them.
    pub checked_bytes: u64,
}

impl Tally {
    pub fn done_bytes(&self) -> u64 {
        self.moved_bytes + self.known_bytes + self.resumed_bytes + self.checked_bytes
    }

    /// What is left to do.
    pub fn remaining_bytes(&self) -> u64 {
        self.total_bytes.saturating_sub(self.done_bytes())
    }

    /// A file has ended. What was not done of it will not be done.
    pub fn end_of(&mut self, file: &OfFile) {
        let undone = file.counted_bytes + file.tally.remaining_bytes();
        self.total_bytes = self.total_bytes.saturating_sub(undone);
        self.done_files += u64::from(!file.is_check);
        self.known_files += u64::from(file.was_there && file.tally.moved_bytes == 0);
    }
}

/// The counts of one file.
#[derive(Debug)]
pub(super) struct OfFile {
    pub number: u64,
    /// Bytes of the command's total that the file has not claimed yet.
    counted_bytes: u64,
    pub tally: Tally,
    pub was_there: bool,
    /// Whether it is only read, to check it.
    pub is_check: bool,
}

impl OfFile {
    pub fn new(number: u64, counted_bytes: u64) -> Self {
        Self { number, counted_bytes, tally: Tally::default(), was_there: false, is_check: false }
    }

    /// Claims bytes. Returns how many the command's total lacks.
    pub fn expect(&mut self, bytes: u64) -> u64 {
        let counted = bytes.min(self.counted_bytes);
        self.counted_bytes -= counted;
        self.tally.total_bytes += bytes;
        bytes - counted
    }

    /// What was moved will be moved again. Returns how many bytes the command's total lacks.
    pub fn begin_again(&mut self) -> u64 {
        self.tally.total_bytes += self.tally.moved_bytes;
        self.tally.moved_bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_claims_what_was_counted_and_gives_back_what_it_did_not_do() {
        let mut command = Tally { total_files: 2, total_bytes: 150, ..Tally::default() };
        let mut file = OfFile::new(1, 100);
        assert_eq!(file.expect(100), 0, "it was counted");
        assert_eq!(file.expect(7), 7, "it was not");
        command.total_bytes += 7;
        for tally in [&mut command, &mut file.tally] {
            tally.moved_bytes += 60;
        }
        command.end_of(&file);
        assert_eq!((command.total_bytes, command.remaining_bytes()), (110, 50));
        // One that failed before it claimed anything.
        command.end_of(&OfFile::new(2, 50));
        assert_eq!((command.remaining_bytes(), command.done_files, command.known_files), (0, 2, 0));
    }

    #[test]
    fn a_file_that_is_begun_again_is_done_only_once_all_of_it_was_sent_again() {
        let mut file = OfFile::new(1, 0);
        file.expect(100);
        file.tally.moved_bytes += 30;
        assert_eq!(file.begin_again(), 30);
        file.tally.moved_bytes += 100;
        assert_eq!(file.tally.remaining_bytes(), 0);
    }
}
