//! The mount table of our mount namespace, as `proc_pid_mountinfo(5)` describes it.

use std::{
    collections::{BTreeMap, HashMap},
    io::{self, BufRead, BufReader, Read},
};

use fimk_core::path::{BytePath, escaped};

use super::places::{self, Overlay};
use crate::{apart::is_remote, tree::rebased};

/// Mounts kept. A busy container host has some thousands; each costs about 300 bytes here. The kernel's own
/// limit (fs.mount-max) is 100,000, which is more than our memory is meant for.
const MOUNTS_MAX: usize = 32_768;

/// Bytes read: 512 for each mount on average, and overlays with many layers have lines of several KiB.
const BYTES_MAX: u64 = 16 << 20;

/// One mount. Texts are escaped as paths are, so that any byte may be printed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// The mount it is on.
    pub parent: u64,
    /// `st_dev` of what is on it: major, minor.
    pub device: (u32, u32),
    /// Which directory or file of its file system is seen: `/` but for bind mounts.
    pub root: BytePath,
    /// Where it is.
    pub point: BytePath,
    /// Its own options: `ro,nosuid`.
    pub options: String,
    /// The type, `tmpfs`.
    pub file_system: String,
    /// The device, or what the file system has in its place.
    pub source: String,
    /// Options of the file system, which all its mounts have in common.
    pub super_options: String,
    /// What it is made of, if it is an overlay.
    pub overlay: Option<Overlay>,
}

/// The mounts by their numbers, which the kernel uses again.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Table {
    /// All that were kept.
    pub mounts: BTreeMap<u64, Mount>,
    /// There were more than are kept, or lines of an unknown form.
    pub incomplete: bool,
    /// Which mount is seen at a point.
    seen: HashMap<BytePath, u64>,
    /// The points of those that others may change.
    remote: Vec<BytePath>,
}

impl Table {
    /// Reads a whole table.
    ///
    /// # Errors
    /// Those of the reader. What cannot be understood or is too much is left out, and said in `incomplete`.
    pub fn read(from: impl Read) -> io::Result<Self> {
        let mut table = Self::lines(from)?;
        table.see();
        Ok(table)
    }

    fn see(&mut self) {
        self.seen = places::seen(&self.mounts);
        let seen = self.seen().into_iter();
        let remote = seen.filter(|mount| is_remote(&mount.file_system));
        self.remote = remote.map(|mount| mount.point.clone()).collect();
    }

    /// What is seen of it by whoever takes this directory for the root. Where that is no mount itself, it is a part of the one
    /// that it lies on.
    #[must_use]
    pub fn below(&self, directory: &BytePath) -> Self {
        let mut below = Self {
            incomplete: self.incomplete,
            ..Self::default()
        };
        let root = BytePath::new(b"/");
        let ground = self.seen_above(directory);
        if let Some((&id, mount)) = ground.and_then(|(_, id)| self.mounts.get_key_value(&id)) {
            let base = Mount {
                root: places::moved(directory, &mount.point, &mount.root),
                point: root.clone(),
                ..mount.clone()
            };
            below.mounts.insert(id, base);
        }
        let inside = self
            .mounts
            .iter()
            .filter(|(_, it)| it.point.is_in(directory));
        for (&id, mount) in inside {
            let point = rebased(&mount.point, directory, &root);
            below.mounts.entry(id).or_insert_with(|| Mount {
                point,
                ..mount.clone()
            });
        }
        below.see();
        below
    }

    /// The nearest place at or above this path where a mount is seen, and that mount.
    fn seen_above(&self, path: &BytePath) -> Option<(BytePath, u64)> {
        let mut above = Some(path.clone());
        while let Some(point) = above {
            if let Some(&id) = self.seen.get(&point) {
                return Some((point, id));
            }
            above = point.parent();
        }
        None
    }

    fn lines(from: impl Read) -> io::Result<Self> {
        // One byte more than is taken tells whether there was more.
        let mut lines = BufReader::with_capacity(64 << 10, from.take(BYTES_MAX + 1));
        let mut table = Self::default();
        let (mut line, mut bytes) = (Vec::new(), 0);
        loop {
            line.clear();
            let length = lines.read_until(b'\n', &mut line)?;
            bytes += length as u64;
            if length == 0 {
                return Ok(table);
            }
            if bytes > BYTES_MAX || table.mounts.len() >= MOUNTS_MAX {
                table.incomplete = true;
                return Ok(table);
            }
            match parse(line.strip_suffix(b"\n").unwrap_or(&line)) {
                Some((id, mount)) => drop(table.mounts.insert(id, mount)),
                None => table.incomplete = true,
            }
        }
    }

    /// Those that are seen, in the order of their points.
    pub fn seen(&self) -> Vec<&Mount> {
        let ids = self.seen.values();
        let mut seen: Vec<&Mount> = ids.filter_map(|id| self.mounts.get(id)).collect();
        seen.sort_by(|one, other| one.point.cmp(&other.point));
        seen
    }

    /// The points of those that are seen and that others may change, of which the kernel is not told.
    pub fn remote(&self) -> &[BytePath] {
        &self.remote
    }

    /// Whether what belongs at this place is mounted when somebody enters it (autofs), and is not now. To look
    /// there would mount it.
    pub fn waits_at(&self, point: &BytePath) -> bool {
        let mut here = self
            .mounts
            .values()
            .filter(|it| it.point == *point)
            .peekable();
        here.peek().is_some() && here.all(|mount| mount.file_system == "autofs")
    }

    /// The mount by which a path is reached, and where in its file system the path is. Links count as names.
    pub fn place_of(&self, path: &BytePath) -> Option<(&Mount, BytePath)> {
        let (point, id) = self.seen_above(path)?;
        let mount = self.mounts.get(&id)?;
        Some((mount, places::moved(path, &point, &mount.root)))
    }

    /// A path that leads to this place of a file system, given by its device as the kernel has it; the shortest, if
    /// there are several. None where nobody sees it here.
    pub fn path_of(&self, device: u32, inside: &BytePath) -> Option<BytePath> {
        self.path_on((device >> 20, device & 0xf_ffff), inside)
    }

    /// The same, with major and minor number.
    pub fn path_on(&self, device: (u32, u32), inside: &BytePath) -> Option<BytePath> {
        let seen = self.seen.iter();
        let mounts = seen.filter_map(|(point, id)| Some((point, self.mounts.get(id)?)));
        mounts
            .filter(|(_, mount)| mount.device == device && inside.is_in(&mount.root))
            .map(|(point, mount)| places::moved(inside, &mount.root, point))
            .filter(|path| {
                let place = self.place_of(path);
                place.is_some_and(|(mount, at)| mount.device == device && at == *inside)
            })
            .min_by(|one, other| {
                let length = |path: &BytePath| path.bytes().len();
                (length(one), one).cmp(&(length(other), other))
            })
    }

    /// Where the layers of an overlay would have a path, topmost first; whether its data may be in another layer than
    /// its attributes. None where no overlay is seen.
    pub fn layers_at(
        &self,
        path: &BytePath,
    ) -> Option<(impl Iterator<Item = BytePath> + use<'_>, bool)> {
        let (mount, inside) = self.place_of(path)?;
        let overlay = mount.overlay.as_ref()?;
        let root = BytePath::new(b"/");
        let layers = overlay.layers.iter();
        let places = layers.map(move |layer| places::moved(&inside, &root, layer));
        Some((places, overlay.metacopy))
    }

    /// Whether objects of this device (`s_dev` as the kernel has it) may share their identity with others of it, as
    /// files of btrfs do with their copies in snapshots.
    pub fn has_twins(&self, device: u32) -> bool {
        let (major, minor) = (device >> 20, device & 0xf_ffff);
        let mut mounts = self.mounts.values();
        mounts.any(|mount| mount.device == (major, minor) && mount.file_system == "btrfs")
    }

    /// The type of the file system that has this device.
    pub fn file_system_of(&self, device: (u32, u32)) -> Option<&str> {
        let mut mounts = self.mounts.values();
        let mount = mounts.find(|mount| mount.device == device);
        mount.map(|mount| mount.file_system.as_str())
    }

    /// The type of the file system on which an object of this device is, that was found at this path: subvolumes of btrfs
    /// have devices of which the table knows nothing.
    pub fn file_system_at(&self, path: &BytePath, device: (u32, u32)) -> Option<&str> {
        self.file_system_of(device)
            .or_else(|| Some(&*self.place_of(path)?.0.file_system))
    }

    /// Whether a file system of this device is mounted anywhere.
    pub fn has_device(&self, device: (u32, u32)) -> bool {
        self.mounts.values().any(|mount| mount.device == device)
    }
}

/// `36 35 98:0 / /mnt rw,noatime master:1 - ext3 /dev/root rw,errors=continue`: any number of optional fields
/// before the dash.
fn parse(line: &[u8]) -> Option<(u64, Mount)> {
    let mut fields = line.split(|&byte| byte == b' ');
    let id = number(fields.next()?)?;
    let parent = number(fields.next()?)?;
    let mut device = fields.next()?.splitn(2, |&byte| byte == b':');
    let device = (number(device.next()?)?, number(device.next()?)?);
    let root = unescaped(fields.next()?);
    let point = absolute(unescaped(fields.next()?))?;
    let options = text(fields.next()?);
    fields.by_ref().find(|field| *field == b"-")?;
    let file_system = text(fields.next()?);
    let source = text(fields.next().unwrap_or_default());
    let rest: Vec<&[u8]> = fields.collect();
    let overlay = (file_system == "overlay").then(|| Overlay::of(&rest.join(&b' ')));
    let mount = Mount {
        overlay,
        parent,
        device,
        // The kernel appends this to the name of what was deleted while it was mounted.
        root: BytePath::new(root.strip_suffix(b"//deleted").unwrap_or(&root)),
        point: BytePath::new(&point),
        options,
        file_system,
        source,
        super_options: text(&rest.join(&b' ')),
    };
    Some((id, mount))
}

fn number<T: std::str::FromStr>(field: &[u8]) -> Option<T> {
    std::str::from_utf8(field).ok()?.parse().ok()
}

fn absolute(path: Vec<u8>) -> Option<Vec<u8>> {
    (path.first() == Some(&b'/') && !path.contains(&0)).then_some(path)
}

fn text(field: &[u8]) -> String {
    escaped(&unescaped(field))
}

/// The kernel writes space, tab, newline, backslash and some others as `\` and three octal digits.
pub(super) fn unescaped(field: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&first, behind)) = rest.split_first() {
        if let Some(byte) = octal(rest) {
            out.push(byte);
            rest = &rest[4..];
        } else {
            out.push(first);
            rest = behind;
        }
    }
    out
}

fn octal(bytes: &[u8]) -> Option<u8> {
    let [b'\\', digits @ ..] = bytes.first_chunk::<4>()? else {
        return None;
    };
    let digits = std::str::from_utf8(digits).ok()?;
    u8::from_str_radix(digits, 8).ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::expect_used, reason = "a test stops at the first surprise")]
    use super::*;
    use proptest::prelude::*;

    fn only(line: &[u8]) -> Mount {
        let table = Table::read(line).expect("memory can be read");
        assert!(!table.incomplete, "{table:?}");
        table.mounts.into_values().next().expect("one mount")
    }

    const ROOT: &str = "1 0 8:1 / / rw - ext4 a rw";

    fn points(table: &Table) -> Vec<String> {
        let seen = table.seen().into_iter();
        seen.map(|it| {
            format!(
                "{} {} of {}:{}",
                it.point, it.root, it.device.0, it.device.1
            )
        })
        .collect()
    }

    #[test]
    fn below_another_root_mounts_are_where_the_host_has_them() {
        let lines = [
            ROOT,
            "2 1 8:2 / /host ro - ext4 b rw",
            "3 2 0:30 / /host/run rw - tmpfs c rw",
            "4 3 0:31 / /host/run/lock rw - tmpfs d rw",
            "5 1 0:32 / /proc rw - proc e rw",
            "6 1 0:33 / /hostile rw - tmpfs f rw",
        ];
        let table = Table::read(lines.join("\n").as_bytes()).expect("memory can be read");
        let host = table.below(&BytePath::new(b"/host"));
        let expected = ["/ / of 8:2", "/run / of 0:30", "/run/lock / of 0:31"];
        assert_eq!(points(&host), expected);
        let at = host.path_on((0, 31), &BytePath::new(b"/x"));
        assert_eq!(at, Some(BytePath::new(b"/run/lock/x")));
        assert_eq!(host.path_on((0, 33), &BytePath::new(b"/x")), None);
    }

    #[test]
    fn a_root_that_is_no_mount_is_a_part_of_one() {
        let lines = [ROOT, "2 1 0:30 / /srv/root/tmp rw - tmpfs c rw"].join("\n");
        let table = Table::read(lines.as_bytes()).expect("memory can be read");
        let host = table.below(&BytePath::new(b"/srv/root"));
        assert_eq!(points(&host), ["/ /srv/root of 8:1", "/tmp / of 0:30"]);
        let at = host.path_on((8, 1), &BytePath::new(b"/srv/root/etc/x"));
        assert_eq!(at, Some(BytePath::new(b"/etc/x")));
        assert_eq!(host.path_on((8, 1), &BytePath::new(b"/etc/x")), None);
    }

    #[test]
    fn a_line_is_understood_with_any_number_of_optional_fields() {
        for optional in ["", "master:1 ", "shared:7 master:1 propagate_from:2 "] {
            let line = format!(
                "36 35 98:0 /sub /mnt/a rw,noatime {optional}- ext3 /dev/root rw,errors=continue\n"
            );
            let mount = only(line.as_bytes());
            assert_eq!((mount.parent, mount.device), (35, (98, 0)));
            assert_eq!(
                (mount.root, mount.point),
                (BytePath::new(b"/sub"), BytePath::new(b"/mnt/a"))
            );
            let texts = [
                mount.options,
                mount.file_system,
                mount.source,
                mount.super_options,
            ];
            assert_eq!(
                texts,
                ["rw,noatime", "ext3", "/dev/root", "rw,errors=continue"]
            );
        }
    }

    #[test]
    fn any_byte_of_a_mount_point_comes_back() {
        let mount = only(b"1 0 0:1 / /a\\040b\\012c\\134d\xff\\9 rw - tmpfs  rw\n");
        assert_eq!(mount.point, BytePath::new(b"/a b\nc\\d\xff\\9"));
        assert_eq!(mount.source, "");
    }

    #[test]
    fn a_source_that_was_deleted_is_still_the_same_source() {
        let line = b"1 0 0:1 /f//deleted /a rw - tmpfs tmpfs rw";
        assert_eq!(only(line).root, BytePath::new(b"/f"));
    }

    #[test]
    fn an_automount_waits_until_something_is_mounted_on_it() {
        let waiting = "2 1 0:50 / /a rw - autofs systemd-1 rw";
        let there = "3 2 8:2 / /a rw - vfat /dev/sda2 rw";
        let waits = |lines: &[&str], point: &[u8]| {
            let table = Table::read(lines.join("\n").as_bytes()).expect("memory can be read");
            table.waits_at(&BytePath::new(point))
        };
        assert!(waits(&[waiting], b"/a") && !waits(&[waiting], b"/b"));
        assert!(!waits(&[waiting, there], b"/a") && !waits(&[there], b"/a"));
    }

    #[test]
    fn what_cannot_be_understood_is_left_out_and_said() {
        for line in [
            &b"\n"[..],
            b"1 0 0:1 / /a rw tmpfs tmpfs rw\n",
            b"1 0 01 / /a rw - tmpfs tmpfs rw\n",
            b"1 0 0:1 / relative rw - tmpfs tmpfs rw\n",
            b"1 0 0:1 / /\\000 rw - tmpfs tmpfs rw\n",
        ] {
            let table = Table::read(line).expect("memory can be read");
            assert!(table.incomplete && table.mounts.is_empty(), "{table:?}");
        }
    }

    #[test]
    fn more_mounts_than_are_kept_are_said_to_be_more() {
        let lines: Vec<String> = (0..=MOUNTS_MAX)
            .map(|id| format!("{id} 0 0:1 / /a rw - tmpfs tmpfs rw"))
            .collect();
        let table = Table::read(lines.join("\n").as_bytes()).expect("memory can be read");
        assert!(table.incomplete);
        assert_eq!(table.mounts.len(), MOUNTS_MAX);
        let endless = Table::read(io::repeat(b'x')).expect("it ends at the limit");
        assert!(endless.incomplete && endless.mounts.is_empty());
    }

    #[test]
    fn the_table_of_this_process_is_understood_wholly() {
        let file = std::fs::File::open("/proc/self/mountinfo").expect("/proc is mounted");
        let table = Table::read(file).expect("it can be read");
        let root = |mount: &Mount| mount.point == BytePath::new(b"/");
        assert!(!table.incomplete && table.mounts.values().any(root));
    }

    #[test]
    fn a_place_in_a_file_system_is_found_where_it_is_seen() {
        let lines = [
            "1 0 8:1 / / rw - ext4 /dev/sda1 rw",
            "2 1 0:40 / /long/way rw - tmpfs t rw",
            "3 1 0:40 /sub /bound rw - tmpfs t rw",
            "4 1 0:41 / /covered rw - tmpfs t rw",
            "5 4 0:42 / /covered rw - tmpfs t rw",
        ];
        let table = Table::read(lines.join("\n").as_bytes()).expect("memory can be read");
        let at = |device, inside: &str| {
            let path = table.path_of(device, &BytePath::new(inside.as_bytes()));
            path.map(|it| it.to_string())
        };
        assert_eq!(at(8 << 20 | 1, "/etc/f").as_deref(), Some("/etc/f"));
        assert_eq!(
            at(8 << 20 | 1, "/bound/f"),
            None,
            "something is mounted there"
        );
        assert_eq!(at(40, "/f").as_deref(), Some("/long/way/f"));
        assert_eq!(at(40, "/sub/f").as_deref(), Some("/bound/f"));
        assert_eq!((at(41, "/f"), at(99, "/f")), (None, None));
    }

    #[test]
    fn a_file_system_is_known_by_its_device_or_else_by_the_place() {
        let lines = [
            "1 0 8:1 / / rw - ext4 /dev/sda1 rw",
            "2 1 0:40 /@ /home rw - btrfs /dev/sdb rw",
        ];
        let table = Table::read(lines.join("\n").as_bytes()).expect("memory can be read");
        let at = |path: &str, device| table.file_system_at(&BytePath::new(path.as_bytes()), device);
        assert_eq!(at("/home/a", (8, 1)), Some("ext4"), "it lies elsewhere");
        assert_eq!(at("/home/a", (0, 51)), Some("btrfs"), "a subvolume");
        assert_eq!(table.file_system_of((0, 51)), None);
    }

    fn escape(path: &[u8]) -> Vec<u8> {
        let each = path.iter().map(|&byte| match byte {
            b' ' | b'\t' | b'\n' | b'\\' => format!("\\{byte:03o}").into_bytes(),
            byte => vec![byte],
        });
        each.flatten().collect()
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            prop_assert!(Table::read(&bytes[..]).is_ok());
        }

        #[test]
        fn every_mount_point_survives_the_kernels_escapes(
            name in proptest::collection::vec(1u8.., 0..60)
        ) {
            let point = [&b"/"[..], &name].concat();
            let line = [b"7 1 0:9 / ", &escape(&point)[..], b" rw - tmpfs none rw\n"].concat();
            prop_assert_eq!(only(&line).point, BytePath::new(&point));
        }
    }
}
