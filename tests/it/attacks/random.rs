//! Random requests of an account with a narrow grant; `scripts/fuzz.sh` runs more of them.
//!
//! `RATCHET_SEED=n` repeats a run, `RATCHET_REQUESTS=n` sets the number of requests.

use ratchet::clock::Clock;

#[path = "../../../fuzz/narrow.rs"]
mod narrow;

const REQUESTS: u64 = 3000;

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().and_then(|text| text.parse().ok())
}

#[test]
fn a_narrow_account_changes_and_reads_nothing_outside_its_grant() {
    let seed = number("RATCHET_SEED").unwrap_or_else(|| Clock::system().number_below(u64::MAX));
    let requests = number("RATCHET_REQUESTS").unwrap_or(REQUESTS);
    println!("attacks: random requests from seed {seed}");
    let random = Clock::seeded(seed);
    let mut world = narrow::World::start();
    let mut succeeded = 0;
    for _ in 0..requests {
        let input: Vec<u8> = (0..12).map(|_| random.number_below(256) as u8).collect();
        succeeded += u64::from(world.try_one(&input));
    }
    println!("attacks: {requests} random requests of a narrow account, {succeeded} succeeded");
    assert!(
        succeeded > requests / 100,
        "some requests within the grant must succeed, or the test proves nothing"
    );
}
