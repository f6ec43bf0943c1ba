//! Address blocks: pure arithmetic over what is taken.
//!
//! The engine's default pools hold about thirty networks (moby#23971), so we bring our own and pass
//! every subnet. Two tasks that pick the same block at the same moment are told apart by the
//! engine's overlap error: the loser excludes that block and plans again.

use std::net::{Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::spec::Subnet;
use crate::task::fnv64;

/// Bits of a block: sixteen addresses.
const BLOCK_BITS: u8 = 28;

/// The pool that nobody configured.
pub const DEFAULT_POOL: &str = "10.213.0.0/16";

/// A block of sixteen IPv4 addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Block(Ipv4Net);

impl Block {
    /// The whole block.
    #[must_use]
    pub fn net(self) -> Ipv4Net {
        self.0
    }

    /// The address at a place in the block. `.1` is the proxy's.
    #[must_use]
    pub fn address(self, place: u8) -> Ipv4Addr {
        Ipv4Addr::from(u32::from(self.0.network()) | u32::from(place & 0x0f))
    }

    /// The block of a fence. The range is its first four addresses: an engine takes an address for
    /// its bridge from the range's beginning (measured on 20.10 and 28), so a bridge that should have
    /// none has `.1`, which is the proxy's, and the proxy does not start. Strangers get `.2` and `.3`.
    #[must_use]
    pub fn fence(self) -> Subnet {
        let range = Ipv4Net::new_assert(self.address(0), 30);
        Subnet {
            block: IpNet::V4(self.0),
            range: Some(IpNet::V4(range)),
        }
    }

    /// The block of an ordinary network.
    #[must_use]
    pub fn open(self) -> Subnet {
        Subnet {
            block: IpNet::V4(self.0),
            range: None,
        }
    }
}

/// An IPv6 block of a fence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Block6(Ipv6Net);

impl Block6 {
    /// The unique local /64 that belongs to an IPv4 block of an installation: RFC 4193 wants forty
    /// random bits; these are spread from the installation's and the block's names, so that a plan
    /// is a pure function of what goes in.
    #[must_use]
    pub fn of(block: Block, state: &str) -> Block6 {
        let spread = fnv64(format!("{state} {}", block.0).as_bytes());
        let prefix = (0xfd << 56) | (spread & 0x00ff_ffff_ffff_ffff);
        let address = Ipv6Addr::from(u128::from(prefix) << 64);
        Block6(Ipv6Net::new_assert(address, 64))
    }

    /// The whole block.
    #[must_use]
    pub fn net(self) -> Ipv6Net {
        self.0
    }

    /// The address at a place.
    #[must_use]
    pub fn address(self, place: u8) -> Ipv6Addr {
        Ipv6Addr::from(u128::from(self.0.network()) | u128::from(place))
    }

    /// The block of a fence, as [`Block::fence`].
    #[must_use]
    pub fn fence(self) -> Subnet {
        let range = Ipv6Net::new_assert(self.0.network(), 126);
        Subnet {
            block: IpNet::V6(self.0),
            range: Some(IpNet::V6(range)),
        }
    }
}

/// The proxy's place in a fence: where a bridge with an address of the host would be.
pub const PROXY_PLACE: u8 = 1;
/// The agent's place: the first behind the range.
pub const AGENT_PLACE: u8 = 4;
/// The services' places.
pub const SERVICE_PLACES: std::ops::RangeInclusive<u8> = 5..=14;

/// A configured pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pool(Ipv4Net);

impl Pool {
    /// Checks what was configured.
    pub fn new(net: Ipv4Net) -> Result<Pool> {
        if net.prefix_len() > BLOCK_BITS - 1 {
            return Err(Error::Config(format!(
                "the address pool {net} is too small: a task needs two /28 blocks, so a /27 at least"
            )));
        }
        let net = net.trunc();
        // Both ends: a block that is too wide begins or ends outside of the private ones.
        if !net.network().is_private() || !net.broadcast().is_private() {
            return Err(Error::Config(format!(
                "the address pool {net} is not private: choose one of 10.0.0.0/8, 172.16.0.0/12, \
                 192.168.0.0/16"
            )));
        }
        Ok(Pool(net))
    }

    /// How many blocks it holds.
    #[must_use]
    pub fn blocks(self) -> usize {
        1 << (BLOCK_BITS - self.0.prefix_len())
    }

    /// Picks `count` free blocks, looking from a place that depends on `seed`, so that tasks that
    /// start together rarely want the same.
    pub fn pick(self, count: usize, seed: u64, taken: &[IpNet]) -> Result<Vec<Block>> {
        let taken: Vec<Ipv4Net> = taken
            .iter()
            .filter_map(|net| match net {
                IpNet::V4(net) if net.prefix_len() > 0 => Some(*net),
                IpNet::V4(_) | IpNet::V6(_) => None,
            })
            .collect();
        let blocks = self.blocks() as u64;
        let base = u32::from(self.0.network());
        let mut found = Vec::with_capacity(count);
        for step in 0..blocks {
            let index = u32::try_from((seed.wrapping_add(step)) % blocks).unwrap_or(0);
            let address = Ipv4Addr::from(base + (index << (32 - BLOCK_BITS)));
            let block = Ipv4Net::new_assert(address, BLOCK_BITS);
            if taken
                .iter()
                .all(|net| !net.contains(&block) && !block.contains(net))
            {
                found.push(Block(block));
                if found.len() == count {
                    return Ok(found);
                }
            }
        }
        Err(Error::PoolFull {
            pool: self.0.to_string(),
            blocks: self.blocks(),
        })
    }
}

/// The host's routes from the text of `/proc/net/route`: blocks that are somebody's already. A
/// default route is nobody's block.
#[must_use]
pub fn host_routes(text: &str) -> Vec<IpNet> {
    text.lines().skip(1).filter_map(route).collect()
}

fn route(line: &str) -> Option<IpNet> {
    let mut words = line.split_whitespace();
    let hex = |word: &str| u32::from_str_radix(word, 16).ok().map(u32::swap_bytes);
    let destination = hex(words.nth(1)?)?;
    let mask = hex(words.nth(5)?)?;
    if mask == 0 {
        return None;
    }
    let prefix = u8::try_from(mask.leading_ones()).ok()?;
    let net = Ipv4Net::new(Ipv4Addr::from(destination), prefix).ok()?;
    Some(IpNet::V4(net.trunc()))
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;

    fn pool(text: &str) -> Pool {
        Pool::new(text.parse().unwrap()).unwrap()
    }

    fn nets(texts: &[&str]) -> Vec<IpNet> {
        texts.iter().map(|t| t.parse().unwrap()).collect()
    }

    fn picked(pool: Pool, count: usize, seed: u64, taken: &[&str]) -> Vec<String> {
        let blocks = pool.pick(count, seed, &nets(taken)).unwrap();
        blocks.into_iter().map(|b| b.net().to_string()).collect()
    }

    #[test]
    fn picks_the_first_free_blocks_from_the_seed_on_and_wraps() {
        let pool = pool("10.213.0.0/26");
        assert_eq!(picked(pool, 2, 0, &[]), ["10.213.0.0/28", "10.213.0.16/28"]);
        assert_eq!(picked(pool, 2, 3, &[]), ["10.213.0.48/28", "10.213.0.0/28"]);
        assert_eq!(picked(pool, 1, 0, &["10.213.0.0/28"]), ["10.213.0.16/28"]);
    }

    #[test]
    fn a_bigger_and_a_smaller_network_both_take_a_block() {
        let pool = pool("10.213.0.0/26");
        assert_eq!(picked(pool, 1, 0, &["10.213.0.4/30"]), ["10.213.0.16/28"]);
        assert_eq!(picked(pool, 1, 0, &["10.213.0.0/27"]), ["10.213.0.32/28"]);
    }

    #[test]
    fn a_default_route_takes_nothing() {
        assert_eq!(
            picked(pool("10.213.0.0/27"), 1, 0, &["0.0.0.0/0"]),
            ["10.213.0.0/28"]
        );
    }

    #[test]
    fn a_full_pool_is_said_with_its_size() {
        let error = pool("10.213.0.0/27")
            .pick(2, 0, &nets(&["10.213.0.0/28"]))
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            "no free block is left in the address pool 10.213.0.0/27: all 2 are taken"
        );
    }

    #[test]
    fn refuses_a_pool_that_is_public_or_too_small() {
        assert!(Pool::new("8.8.0.0/16".parse().unwrap()).is_err());
        assert!(Pool::new("10.0.0.0/28".parse().unwrap()).is_err());
    }

    #[test]
    fn the_engines_range_begins_at_the_proxys_address_and_ends_before_the_agents() {
        let block = pool("10.213.0.0/16").pick(1, 5, &[]).unwrap()[0];
        assert_eq!(block.address(PROXY_PLACE).to_string(), "10.213.0.81");
        assert_eq!(block.fence().range.unwrap().to_string(), "10.213.0.80/30");
        let six = Block6::of(block, "state");
        assert_eq!(six.net().prefix_len(), 64);
        assert_eq!(six.net().network().octets()[0], 0xfd);
        for place in 0..=14 {
            let in_range = place < AGENT_PLACE;
            let four: IpAddr = block.address(place).into();
            let six_address: IpAddr = six.address(place).into();
            assert_eq!(block.fence().range.unwrap().contains(&four), in_range);
            assert_eq!(six.fence().range.unwrap().contains(&six_address), in_range);
        }
    }

    #[test]
    fn reads_the_kernels_route_table() {
        let text = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n\
                    eth0\t00000000\t010011AC\t0003\t0\t0\t0\t00000000\t0\t0\t0\n\
                    eth0\t000011AC\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0\nbroken\n";
        assert_eq!(host_routes(text), nets(&["172.17.0.0/16"]));
    }
}
