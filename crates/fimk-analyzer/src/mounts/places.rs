//! Where a name leads: which mount is seen there, what lies below it in the layers of an overlay, and where it is
//! in its file system.

use std::collections::{BTreeMap, HashMap, HashSet};

use fimk_core::path::BytePath;

use super::table::{Mount, unescaped};
use crate::tree::rebased;

/// The layers of an overlay as its mount options name them. They are paths of whoever mounted it: in another root
/// they lead nowhere, or to what has nothing to do with it, which costs a reading when it changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overlay {
    /// Topmost first: the upper directory, if there is one, then the lower ones.
    pub layers: Vec<BytePath>,
    /// A file may have its attributes in one layer and its data in the next.
    pub metacopy: bool,
}

impl Overlay {
    /// From the options of its file system as the mount table has them. `lowerdir` is a list with colons; since 6.5
    /// each may be an option of its own. Relative paths, which are those of a process that is gone, are left out.
    pub fn of(options: &[u8]) -> Self {
        let (mut upper, mut lower) = (Vec::new(), Vec::new());
        let mut metacopy = false;
        for option in options.split(|&byte| byte == b',') {
            let mut parts = option.splitn(2, |&byte| byte == b'=');
            let (name, value) = (parts.next().unwrap_or_default(), parts.next());
            let value = unescaped(value.unwrap_or_default());
            match name {
                b"upperdir" => upper.push(value),
                b"lowerdir" => lower.extend(list(&value)),
                b"lowerdir+" | b"datadir+" => lower.push(value),
                b"metacopy" => metacopy = value == b"on",
                _ => {}
            }
        }
        let all = upper.into_iter().chain(lower);
        let absolute = all.filter(|path| path.first() == Some(&b'/') && !path.contains(&0));
        Self {
            layers: absolute.map(|path| BytePath::new(&path)).collect(),
            metacopy,
        }
    }
}

/// Parts between colons; a backslash takes the next byte as it is. Two colons are before layers of data only.
fn list(value: &[u8]) -> Vec<Vec<u8>> {
    let (mut parts, mut part) = (Vec::new(), Vec::new());
    let mut bytes = value.iter().copied();
    while let Some(byte) = bytes.next() {
        match byte {
            b':' => parts.push(std::mem::take(&mut part)),
            b'\\' => part.extend(bytes.next()),
            _ => part.push(byte),
        }
    }
    parts.push(part);
    parts.retain(|part| !part.is_empty());
    parts
}

/// The mounts that are seen, by their points: those that no other covers.
pub fn seen(mounts: &BTreeMap<u64, Mount>) -> HashMap<BytePath, u64> {
    let mut on: HashMap<u64, Vec<(&BytePath, u64)>> = HashMap::new();
    for (&id, mount) in mounts {
        if mount.parent != id {
            on.entry(mount.parent).or_default().push((&mount.point, id));
        }
    }
    let is_top =
        |(id, mount): &(&u64, &Mount)| mount.parent == **id || !mounts.contains_key(&mount.parent);
    let mut next: Vec<u64> = mounts.iter().filter(is_top).map(|(&id, _)| id).collect();
    let (mut seen, mut visited) = (HashMap::new(), HashSet::new());
    while let Some(id) = next.pop() {
        let Some(mount) = mounts.get(&id).filter(|_| visited.insert(id)) else {
            continue;
        };
        let mut upon = on.remove(&id).unwrap_or_default();
        if let Some(&(_, cover)) = upon.iter().find(|(point, _)| **point == mount.point) {
            next.push(cover);
            continue;
        }
        seen.insert(mount.point.clone(), id);
        // By components: what lies below a point follows it, and is covered by what is mounted there.
        upon.sort_by(|one, other| one.0.as_path().cmp(other.0.as_path()));
        upon.dedup_by(|later, earlier| later.0.is_in(earlier.0));
        next.extend(upon.into_iter().map(|(_, id)| id));
    }
    seen
}

/// A path below `point` as one below `root`.
pub fn moved(path: &BytePath, point: &BytePath, root: &BytePath) -> BytePath {
    if point.parent().is_none() {
        // What is left of a path without "/" has no slash in front.
        return match path.bytes().strip_prefix(b"/") {
            Some(rest) if !rest.is_empty() => root.join(rest),
            _ => root.clone(),
        };
    }
    rebased(path, point, root)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::expect_used, reason = "a test stops at the first surprise")]
    use super::super::table::Table;
    use super::*;

    fn path(text: &str) -> BytePath {
        BytePath::new(text.as_bytes())
    }

    fn table(lines: &[&str]) -> Table {
        Table::read(lines.join("\n").as_bytes()).expect("memory can be read")
    }

    fn layers(options: &str) -> Vec<String> {
        let overlay = Overlay::of(options.as_bytes());
        overlay.layers.iter().map(ToString::to_string).collect()
    }

    const ROOT: &str = "1 0 8:1 / / rw - ext4 /dev/sda1 rw";

    #[test]
    fn the_layers_are_read_topmost_first_in_both_ways_to_name_them() {
        assert_eq!(
            layers("rw,lowerdir=/l1:/l2::/data,upperdir=/up,workdir=/work,metacopy=on"),
            ["/up", "/l1", "/l2", "/data"]
        );
        assert_eq!(layers("ro,lowerdir+=/l1,lowerdir+=/l2"), ["/l1", "/l2"]);
        assert_eq!(layers("rw,lowerdir=relative:/l"), ["/l"]);
        assert!(Overlay::of(b"metacopy=on").metacopy);
    }

    #[test]
    fn any_byte_of_a_layer_comes_back() {
        let overlay = Overlay::of(b"lowerdir=/a\\054b\\134:c:/d\\040e,upperdir=/u=v");
        let names: [&[u8]; 3] = [b"/u=v", b"/a,b:c", b"/d e"];
        assert_eq!(overlay.layers, names.map(BytePath::new));
    }

    #[test]
    fn a_path_on_an_overlay_has_a_place_in_each_layer() {
        let table = table(&[
            ROOT,
            "2 1 0:40 / /m rw - overlay o rw,lowerdir=/l,upperdir=/u",
            "3 1 0:40 /sub /bound rw - overlay o rw,lowerdir=/l,upperdir=/u",
            "4 2 0:41 / /m/over rw - tmpfs t rw",
        ]);
        let of = |text: &str| {
            let (layers, _) = table.layers_at(&path(text))?;
            Some(layers.map(|it| it.to_string()).collect::<Vec<_>>())
        };
        let expected = |texts: [&str; 2]| Some(texts.map(str::to_owned).to_vec());
        assert_eq!(of("/m"), expected(["/u", "/l"]));
        assert_eq!(of("/m/a/b"), expected(["/u/a/b", "/l/a/b"]));
        assert_eq!(of("/bound/x"), expected(["/u/sub/x", "/l/sub/x"]));
        assert_eq!((of("/m/over/x"), of("/mm/x"), of("/")), (None, None, None));
    }

    #[test]
    fn a_root_that_is_an_overlay_has_layers_too() {
        let table = table(&["1 0 0:40 / / rw - overlay o rw,lowerdir=/l,upperdir=/u"]);
        for (name, layer) in [("/", "/u"), ("/etc/passwd", "/u/etc/passwd")] {
            let (mut layers, _) = table.layers_at(&path(name)).expect("an overlay");
            assert_eq!(layers.next(), Some(path(layer)));
        }
    }

    #[test]
    fn what_another_mount_covers_is_not_seen() {
        let table = table(&[
            ROOT,
            "2 1 0:40 / /a/b rw - btrfs x rw",
            "3 1 0:41 / /a rw - tmpfs t rw",
            "4 1 0:42 / /c rw - tmpfs t rw",
            "5 4 0:43 /sub /c rw - btrfs x rw",
        ]);
        let at = |text: &str| {
            let (mount, inside) = table.place_of(&path(text))?;
            Some((mount.device.1, inside.to_string()))
        };
        assert_eq!(at("/a/b/c"), Some((41, "/b/c".to_owned())));
        assert_eq!(at("/c/d"), Some((43, "/sub/d".to_owned())));
        assert_eq!(at("/x"), Some((1, "/x".to_owned())));
        assert!(table.has_twins(43) && !table.has_twins(41));
    }
}
