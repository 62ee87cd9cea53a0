//! What differs between two readings of the mount table.

use fimk_consumers::{Difference as Words, redact};
use fimk_core::path::BytePath;

use super::table::{Mount, Table};

/// A mount that came (only `after`), went (only `before`), was moved or has other options (both).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// As it was.
    pub before: Option<Mount>,
    /// As it is.
    pub after: Option<Mount>,
}

/// All differences, what went before what came. The kernel uses numbers of mounts again: the same number with
/// another file system is another mount.
pub fn differences(old: &Table, new: &Table) -> Vec<Difference> {
    let kept = |id: &u64, mount: &Mount, other: &Table| {
        let same = |it: &&Mount| it.device == mount.device && it.file_system == mount.file_system;
        other.mounts.get(id).filter(same).cloned()
    };
    let gone = old
        .mounts
        .iter()
        .filter(|(id, mount)| kept(id, mount, new).is_none())
        .map(|(_, mount)| Difference {
            before: Some(mount.clone()),
            after: None,
        });
    let here = new
        .mounts
        .iter()
        .map(|(id, mount)| Difference {
            before: kept(id, mount, old),
            after: Some(mount.clone()),
        })
        .filter(Difference::shows);
    gone.chain(here).collect()
}

impl Difference {
    /// Whether it is one. What a mount is on changes with other mounts, which are differences of their own.
    fn shows(&self) -> bool {
        match (&self.before, &self.after) {
            (Some(before), Some(after)) => before.point != after.point || !self.words().is_empty(),
            _ => true,
        }
    }

    /// Where something else is seen now; none if only options differ.
    pub fn points(&self) -> Vec<&BytePath> {
        let (before, after) = (self.before.as_ref(), self.after.as_ref());
        let same_view = |(before, after): (&Mount, &Mount)| {
            before.point == after.point && before.root == after.root
        };
        if before.zip(after).is_some_and(same_view) {
            return Vec::new();
        }
        let mut points: Vec<_> = before
            .into_iter()
            .chain(after)
            .map(|it| &it.point)
            .collect();
        points.dedup();
        points
    }

    /// The old and the new place, if it was moved.
    pub fn moved(&self) -> Option<(&BytePath, &BytePath)> {
        let (before, after) = (self.before.as_ref()?, self.after.as_ref()?);
        (before.point != after.point).then_some((&before.point, &after.point))
    }

    /// In words, secrets redacted.
    pub fn words(&self) -> Vec<Words> {
        let sides = [&self.before, &self.after].map(|side| side.as_ref().map(fields));
        let of = |side: usize, at: usize| sides[side].as_ref().map(|texts| &texts[at]);
        FIELDS
            .into_iter()
            .enumerate()
            .map(|(at, field)| (field, of(0, at), of(1, at)))
            .filter(|(_, before, after)| before != after)
            .map(|(field, before, after)| Words {
                subject: "mount".to_owned(),
                field: field.to_owned(),
                before: before.map(|text| redact::line(text)),
                after: after.map(|text| redact::line(text)),
            })
            .collect()
    }
}

/// What is told of a mount, beside its place.
const FIELDS: [&str; 5] = [
    "source",
    "file system",
    "root",
    "options",
    "file system options",
];

fn fields(mount: &Mount) -> [String; FIELDS.len()] {
    [
        mount.source.clone(),
        mount.file_system.clone(),
        mount.root.escaped(),
        mount.options.clone(),
        mount.super_options.clone(),
    ]
}

#[cfg(test)]
mod tests {
    #![allow(clippy::expect_used, reason = "a test stops at the first surprise")]
    use super::*;

    fn table(lines: &[&str]) -> Table {
        Table::read(lines.join("\n").as_bytes()).expect("memory can be read")
    }

    const ROOT: &str = "1 0 8:1 / / rw - ext4 /dev/sda1 rw";

    fn between(old: &[&str], new: &[&str]) -> Vec<Difference> {
        differences(&table(old), &table(new))
    }

    fn words(difference: &Difference) -> Vec<(String, Option<String>, Option<String>)> {
        let each = difference.words().into_iter();
        each.map(|it| (it.field, it.before, it.after)).collect()
    }

    #[test]
    fn a_mount_that_came_and_one_that_went_are_one_difference_each() {
        let tmpfs = "2 1 0:40 / /a rw - tmpfs tmpfs rw";
        let came = between(&[ROOT], &[ROOT, tmpfs]);
        assert_eq!(came.len(), 1);
        assert!(came[0].before.is_none() && came[0].after.is_some());
        let went = between(&[ROOT, tmpfs], &[ROOT]);
        assert!(went.len() == 1 && went[0].after.is_none());
        assert_eq!(went[0].points(), [&BytePath::new(b"/a")]);
        assert!(between(&[ROOT, tmpfs], &[ROOT, tmpfs]).is_empty());
    }

    #[test]
    fn a_number_used_again_is_another_mount() {
        let old = "2 1 0:40 / /a rw - tmpfs tmpfs rw";
        let new = "2 1 0:41 / /a rw - tmpfs tmpfs rw";
        let both = between(&[ROOT, old], &[ROOT, new]);
        assert_eq!(both.len(), 2);
        assert!(both[0].after.is_none() && both[1].before.is_none());
    }

    #[test]
    fn a_remount_names_the_options_before_and_after_and_uncovers_nothing() {
        let rw = "2 1 0:40 / /a rw,nosuid - tmpfs tmpfs rw";
        let ro = "2 1 0:40 / /a ro,nosuid - tmpfs tmpfs rw";
        let all = between(&[ROOT, rw], &[ROOT, ro]);
        let text = |text: &str| Some(text.to_owned());
        assert_eq!(all.len(), 1);
        assert_eq!(
            words(&all[0]),
            [("options".to_owned(), text("rw,nosuid"), text("ro,nosuid"))]
        );
        assert!(all[0].points().is_empty() && all[0].moved().is_none());
    }

    #[test]
    fn a_moved_mount_has_two_places() {
        let old = "2 1 0:40 / /a rw - tmpfs tmpfs rw";
        let new = "2 1 0:40 / /b rw - tmpfs tmpfs rw";
        let all = between(&[ROOT, old], &[ROOT, new]);
        let (a, b) = (BytePath::new(b"/a"), BytePath::new(b"/b"));
        assert_eq!(all.len(), 1);
        assert_eq!(all[0].moved(), Some((&a, &b)));
        assert_eq!(all[0].points(), [&a, &b]);
    }

    #[test]
    fn what_is_stacked_on_one_place_is_told_one_by_one() {
        let lower = "2 1 0:40 / /a rw - tmpfs tmpfs rw";
        let upper = "3 2 0:41 / /a rw - tmpfs tmpfs rw";
        assert_eq!(between(&[ROOT], &[ROOT, lower, upper]).len(), 2);
        assert_eq!(between(&[ROOT, lower, upper], &[ROOT, lower]).len(), 1);
    }

    #[test]
    fn another_mount_below_it_is_no_difference_of_a_mount() {
        let one = "3 1 0:41 / /a rw - tmpfs tmpfs rw";
        let other = "3 2 0:41 / /a rw - tmpfs tmpfs rw";
        assert!(between(&[ROOT, one], &[ROOT, other]).is_empty());
    }

    #[test]
    fn a_password_among_the_options_is_not_told() {
        let line = "2 1 0:40 / /a rw - cifs //host/x rw,password=hunter2hunter2";
        let all = between(&[ROOT], &[ROOT, line]);
        let told = format!("{:?}", words(&all[0]));
        assert!(!told.contains("hunter2"), "{told}");
    }
}
