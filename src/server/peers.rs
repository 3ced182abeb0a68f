//! A limit on the connections of each peer.
//!
//! Guarantees: no peer has more connections than the limit, so that one peer cannot take all of
//! them; a connection that ends is no longer counted, however it ends. A peer is an IPv4 address,
//! or the first 64 bits of an IPv6 address, which networks give to one customer. Memory is
//! proportional to the open connections.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The number of connections of each peer. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Peers {
    max_each: usize,
    counts: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

/// The permit of one connection; counted until it is dropped.
#[derive(Debug)]
pub struct PeerPermit {
    peers: Peers,
    peer: IpAddr,
}

impl Peers {
    pub fn new(max_each: usize) -> Self {
        Self { max_each, counts: Arc::default() }
    }

    /// A permit for one more connection; None where the peer is at its limit.
    pub fn acquire(&self, address: IpAddr) -> Option<PeerPermit> {
        let peer = peer_of(address);
        let mut counts = self.lock();
        let count = counts.entry(peer).or_default();
        if *count >= self.max_each {
            return None;
        }
        *count += 1;
        drop(counts);
        Some(PeerPermit { peers: self.clone(), peer })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The peer that an address belongs to.
fn peer_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let network = address.to_bits() >> 64 << 64;
            IpAddr::V6(network.into())
        }
        address @ IpAddr::V4(_) => address,
    }
}

impl Drop for PeerPermit {
    fn drop(&mut self) {
        let mut counts = self.peers.lock();
        if let Some(count) = counts.get_mut(&self.peer) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.peer);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_peer_has_its_own_limit() {
        let peers = Peers::new(2);
        let acquire = |address: &str| peers.acquire(address.parse().unwrap());
        let first = acquire("10.0.0.1").unwrap();
        let _second = acquire("::ffff:10.0.0.1").unwrap();
        assert!(acquire("10.0.0.1").is_none());
        let _other = acquire("10.0.0.2").unwrap();
        drop(first);
        let _again = acquire("10.0.0.1").unwrap();
        let _ipv6 = [acquire("2001:db8::1").unwrap(), acquire("2001:db8::2:0:0:1").unwrap()];
        assert!(acquire("2001:db8::ffff").is_none(), "the same /64 network");
        assert!(acquire("2001:db8:0:1::1").is_some());
    }

    #[test]
    fn a_peer_without_connections_uses_no_memory() {
        let peers = Peers::new(1);
        drop(peers.acquire("10.0.0.1".parse().unwrap()).unwrap());
        assert!(peers.lock().is_empty());
    }
}
