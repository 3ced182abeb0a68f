//! The program `ratchet`. All of it is in the library; see `cli`.

fn main() -> std::process::ExitCode {
    ratchet::cli::run()
}
