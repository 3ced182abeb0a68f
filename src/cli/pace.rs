//! The option that limits the rate of a transfer.

use crate::client::{Rates, parse_rates};

#[derive(Debug, Default, clap::Args)]
pub struct Pace {
    /// The most bytes per second, over all jobs, such as 10MiB; or a rate for each time of the day
    /// on this machine, such as 08:00=5M,22:00=off.
    #[arg(long, value_name = "RATE", value_parser = parse_rates)]
    pub limit_rate: Option<Rates>,
}
