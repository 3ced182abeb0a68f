//! How many connections each peer has.
//!
//! Guarantees: no peer has more than its limit, so that one alone cannot have all of them; what
//! ends is counted down, however it ends. A peer is an IPv4 address, or the 64 bits of an IPv6
//! address that a network gives to one customer. Memory is that of the connections.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Connections by peer. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Peers {
    most_each: usize,
    counts: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

/// One connection of a peer; counted until it is dropped.
#[derive(Debug)]
pub struct OfPeer {
    peers: Peers,
    peer: IpAddr,
}

impl Peers {
    pub fn new(most_each: usize) -> Self {
        Self { most_each, counts: Arc::default() }
    }

    /// None where the peer has its limit already.
    pub fn enter(&self, address: IpAddr) -> Option<OfPeer> {
        let peer = peer(address);
        let mut counts = self.lock();
        let count = counts.entry(peer).or_default();
        if *count >= self.most_each {
            return None;
        }
        *count += 1;
        drop(counts);
        Some(OfPeer { peers: self.clone(), peer })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn peer(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let network = address.to_bits() >> 64 << 64;
            IpAddr::V6(network.into())
        }
        address @ IpAddr::V4(_) => address,
    }
}

impl Drop for OfPeer {
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
        let enter = |address: &str| peers.enter(address.parse().unwrap());
        let first = enter("10.0.0.1").unwrap();
        let _second = enter("::ffff:10.0.0.1").unwrap();
        assert!(enter("10.0.0.1").is_none());
        let _other = enter("10.0.0.2").unwrap();
        drop(first);
        let _again = enter("10.0.0.1").unwrap();
        let _six = [enter("2001:db8::1").unwrap(), enter("2001:db8::2:0:0:1").unwrap()];
        assert!(enter("2001:db8::ffff").is_none(), "the same network");
        assert!(enter("2001:db8:0:1::1").is_some());
    }

    #[test]
    fn nothing_is_kept_of_who_is_gone() {
        let peers = Peers::new(1);
        drop(peers.enter("10.0.0.1".parse().unwrap()).unwrap());
        assert!(peers.lock().is_empty());
    }
}
