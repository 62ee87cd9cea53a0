//! What the maps cost the kernel, and which load of the programs they belong to.

use std::collections::BTreeMap;
use std::fs;
use std::os::fd::{AsFd, AsRawFd};

use libbpf_rs::{Map, MapCore, MapType, Object};

/// What the kernel keeps for an entry of a hash beside key and value, each rounded up to 8 bytes, and for a bucket,
/// of which there are as many as entries, rounded up to a power of two (kernel/bpf/hashtab.c).
const ENTRY_BYTES: u64 = 48;
const BUCKET_BYTES: u64 = 16;

/// The sum over all maps of these objects; one that they share counts once. All are made whole from the start, so
/// the sum stays as it is.
pub fn of_maps<'a>(objects: impl Iterator<Item = &'a Object>) -> u64 {
    let maps = objects.flat_map(Object::maps);
    let by_id: BTreeMap<u32, u64> = maps
        .filter_map(|map| Some((map.info().ok()?.info.id, bytes(&map))))
        .collect();
    by_id.values().sum()
}

/// The kernel's number of the map in which the programs of the last object count: it gives each number once during a
/// boot, and the map outlives the loader exactly as long as the counts do.
pub fn load_of<'a>(objects: impl Iterator<Item = &'a Object>) -> u32 {
    let counts = |map: &Map<'_>| map.name().to_string_lossy().ends_with("_counters");
    let of = |object: &'a Object| object.maps().find(counts)?.info().ok();
    objects.filter_map(of).last().map_or(0, |info| info.info.id)
}

/// As the kernel says, or as is known of hashes, whichever is more: from 5.11 to 6.3 it says only what keys and
/// values take.
fn bytes(map: &Map<'_>) -> u64 {
    let said = fs::read_to_string(format!("/proc/self/fdinfo/{}", map.as_fd().as_raw_fd()));
    let said = said.as_deref().map_or(0, |text| memlock(text).unwrap_or(0));
    let is_hash = matches!(map.map_type(), MapType::Hash | MapType::LruHash);
    said.max(if is_hash {
        of_hash(map.max_entries(), map.key_size(), map.value_size())
    } else {
        0
    })
}

fn of_hash(entries: u32, key: u32, value: u32) -> u64 {
    let whole = |bytes: u32| u64::from(bytes).next_multiple_of(8);
    u64::from(entries) * (ENTRY_BYTES + whole(key) + whole(value))
        + u64::from(entries).next_power_of_two() * BUCKET_BYTES
}

fn memlock(fdinfo: &str) -> Option<u64> {
    let value = fdinfo
        .lines()
        .find_map(|line| line.strip_prefix("memlock:"))?;
    value.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_says_of_a_map_is_found_in_its_lines() {
        let text = "pos:\t0\nmap_type:\t1\nmemlock:\t23072768\nmap_id:\t7\n";
        assert_eq!(memlock(text), Some(23_072_768));
        assert_eq!(memlock("memlock:\tmuch\n"), None);
        assert_eq!(memlock(""), None);
    }

    #[test]
    fn a_hash_costs_more_than_its_keys_and_values() {
        assert_eq!(of_hash(262_144, 16, 8), 262_144 * (72 + 16));
        assert_eq!(of_hash(5, 4, 16), 5 * 72 + 8 * 16);
    }
}
