//! The program `ratchet`. All of its code is in the library; it starts in `cli`.

fn main() -> std::process::ExitCode {
    ratchet::cli::run()
}
