//! Files that change without any further record, because somebody has them mapped or open for writing.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use fimk_core::path::BytePath;

use crate::{identity::ActorKey, tree::rebased};

/// Between two readings of a file that is held.
const EVERY: Duration = Duration::from_secs(2);

/// Files held at a time. Each costs a reading every two seconds; what is beyond is read when it is released.
pub const HELD_MAX: usize = 1_024;

/// Holders known of one file, as many as the kernel keeps apart in its own entries. Of more, these are named.
const HOLDERS_MAX: usize = 16;

/// How somebody holds a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum How {
    /// Open for writing: a change shows in the time of change at least.
    Open,
    /// Mapped, shared and writable: a store into a page that was written before changes no time.
    Mapped,
}

/// One who holds a file; none: somebody does.
struct Holder {
    who: Option<ActorKey>,
    how: How,
    /// The number of the look before which this was learnt.
    since: u64,
}

struct File {
    due: Instant,
    holders: Vec<Holder>,
}

/// Who holds what. What is learnt by events stands until the kernel, looked at, says otherwise.
#[derive(Default)]
pub struct Held {
    files: HashMap<BytePath, File>,
    looks: u64,
    /// Files for which there was no room.
    pub left_out: u64,
}

impl Held {
    /// Somebody holds it now.
    pub fn add(&mut self, path: &BytePath, who: Option<ActorKey>, how: How) {
        if !self.files.contains_key(path) && !self.make_room(how) {
            self.left_out += 1;
            return;
        }
        let since = self.looks;
        let file = self.files.entry(path.clone()).or_insert_with(|| File {
            due: Instant::now() + EVERY,
            holders: Vec::new(),
        });
        if let Some(known) = file.holders.iter_mut().find(|it| it.who == who) {
            (known.how, known.since) = (known.how.max(how), since);
        } else if file.holders.len() < HOLDERS_MAX {
            file.holders.push(Holder { who, how, since });
        }
    }

    /// A file that is mapped takes the place of one that is only open: nothing else would tell of it.
    fn make_room(&mut self, how: How) -> bool {
        if self.files.len() < HELD_MAX {
            return true;
        }
        let only_open = |file: &File| file.holders.iter().all(|it| it.how == How::Open);
        let mut others = self.files.iter().filter(|(_, file)| only_open(file));
        let Some(other) = others.next().filter(|_| how == How::Mapped) else {
            return false;
        };
        let other = other.0.clone();
        self.left_out += 1;
        self.files.remove(&other).is_some()
    }

    /// It is released: by one who is known to hold it, or by one who held it before we looked.
    pub fn remove(&mut self, path: &BytePath, who: Option<ActorKey>) {
        let Some(file) = self.files.get_mut(path) else {
            return;
        };
        let known = file.holders.iter().any(|it| it.who == who);
        let gone = if known { who } else { None };
        file.holders.retain(|it| it.who != gone);
        if file.holders.is_empty() {
            self.files.remove(path);
        }
    }

    /// It has another name now, and what is below it; or none that is watched.
    pub fn moved(&mut self, old: &BytePath, new: Option<&BytePath>) {
        let moved: Vec<_> = self.files.extract_if(|path, _| path.is_in(old)).collect();
        let Some(new) = new else { return };
        for (path, file) in moved {
            self.files.insert(rebased(&path, old, new), file);
        }
    }

    /// Whether anybody has it mapped.
    pub fn holds(&self, path: &BytePath) -> bool {
        self.files
            .get(path)
            .is_some_and(|file| file.holders.iter().any(|it| it.how == How::Mapped))
    }

    /// Whether anybody holds it.
    pub fn is_held(&self, path: &BytePath) -> bool {
        self.files.contains_key(path)
    }

    /// How many are held.
    pub fn len(&self) -> usize {
        self.files.len()
    }

    /// Who may have changed it without a record: those who have it mapped, and with `open` those who have it open;
    /// if none has it mapped, those in any case.
    pub fn suspects(&self, path: &BytePath, open: bool) -> Vec<Option<ActorKey>> {
        let Some(file) = self.files.get(path) else {
            return Vec::new();
        };
        let mapped = file.holders.iter().any(|it| it.how == How::Mapped);
        file.holders
            .iter()
            .filter(|it| open || !mapped || it.how == How::Mapped)
            .map(|it| it.who)
            .collect()
    }

    /// The kernel is asked who holds what: what is learnt from here on may be younger than its answer.
    pub fn begin_look(&mut self) {
        self.looks += 1;
    }

    /// The answer: everybody who holds anything in one of these ways. Gives the files that nobody holds any more,
    /// with those who did.
    pub fn end_look(
        &mut self,
        found: &[(BytePath, ActorKey, How)],
        told: &[How],
    ) -> Vec<(BytePath, Vec<Option<ActorKey>>)> {
        let mut seen: HashMap<&BytePath, Vec<ActorKey>> = HashMap::new();
        for (path, who, how) in found {
            self.settle_one(path, *who, *how, told);
            seen.entry(path).or_default().push(*who);
        }
        let mut released = Vec::new();
        let looks = self.looks;
        self.files.retain(|path, file| {
            let before: Vec<_> = file.holders.iter().map(|it| it.who).collect();
            let seen = seen.get(path).map_or(&[][..], Vec::as_slice);
            file.holders.retain(|it| match it.who {
                // Whom a look does not find, who has it open, is the kernel itself; whom it finds, it was.
                None => !told.contains(&it.how) || it.how == How::Open && seen.is_empty(),
                Some(who) => it.since >= looks || !told.contains(&it.how) || seen.contains(&who),
            });
            if file.holders.is_empty() {
                released.push((path.clone(), before));
            }
            !file.holders.is_empty()
        });
        released
    }

    /// One who is seen to hold it only open has unmapped it, unless that is younger than the look.
    fn settle_one(&mut self, path: &BytePath, who: ActorKey, how: How, told: &[How]) {
        if told.contains(&How::Mapped)
            && let Some(file) = self.files.get_mut(path)
            && let Some(known) = file.holders.iter_mut().find(|it| it.who == Some(who))
            && known.since < self.looks
        {
            known.how = how;
        }
        self.add(path, Some(who), how);
    }

    /// Those whose time has come, and how they are held; each is due again later.
    pub fn due(&mut self) -> Vec<(BytePath, How)> {
        let now = Instant::now();
        let mut due = Vec::new();
        for (path, file) in self.files.iter_mut().filter(|(_, file)| file.due <= now) {
            file.due = now + EVERY;
            due.extend(
                file.holders
                    .iter()
                    .map(|it| it.how)
                    .max()
                    .map(|how| (path.clone(), how)),
            );
        }
        due
    }

    /// When the next is due.
    pub fn next_due(&self) -> Option<Instant> {
        self.files.values().map(|file| file.due).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOLD: [How; 2] = [How::Open, How::Mapped];

    fn path(text: &str) -> BytePath {
        BytePath::new(text.as_bytes())
    }

    fn who(pid: u32) -> ActorKey {
        ActorKey {
            pid,
            image: 0,
            start_ns: 1,
        }
    }

    #[test]
    fn what_is_held_below_a_directory_moves_with_it_and_goes_with_it() {
        let mut held = Held::default();
        held.add(&path("/a/f"), None, How::Mapped);
        held.add(&path("/ab"), None, How::Mapped);
        held.moved(&path("/a"), Some(&path("/z")));
        assert!(held.holds(&path("/z/f")) && held.holds(&path("/ab")));
        held.moved(&path("/z"), None);
        assert!(!held.holds(&path("/z/f")) && held.holds(&path("/ab")));
    }

    #[test]
    fn a_look_names_who_was_unknown_adds_a_child_and_drops_who_is_gone() {
        let mut held = Held::default();
        let file = path("/f");
        held.add(&file, None, How::Mapped);
        held.begin_look();
        let released = held.end_look(&[(file.clone(), who(1), How::Mapped)], &TOLD);
        assert_eq!(held.suspects(&file, false), [Some(who(1))]);
        held.begin_look();
        let both = [1, 2].map(|pid| (file.clone(), who(pid), How::Mapped));
        held.end_look(&both, &TOLD);
        assert_eq!(held.suspects(&file, false), [Some(who(1)), Some(who(2))]);
        held.begin_look();
        held.end_look(&both[1..], &TOLD);
        assert_eq!(held.suspects(&file, false), [Some(who(2))]);
        assert!(released.is_empty());
        held.begin_look();
        let released = held.end_look(&[], &TOLD);
        assert_eq!(released, [(file.clone(), vec![Some(who(2))])]);
        assert!(!held.is_held(&file));
    }

    #[test]
    fn what_is_learnt_while_the_kernel_looks_stands() {
        let mut held = Held::default();
        held.begin_look();
        held.add(&path("/f"), Some(who(1)), How::Mapped);
        held.end_look(&[], &TOLD);
        assert!(held.holds(&path("/f")));
    }

    #[test]
    fn a_look_that_cannot_tell_of_mappings_ends_none() {
        let mut held = Held::default();
        held.add(&path("/f"), Some(who(1)), How::Mapped);
        held.add(&path("/g"), Some(who(1)), How::Open);
        held.add(&path("/h"), None, How::Mapped);
        held.begin_look();
        let open = (path("/h"), who(2), How::Open);
        held.end_look(&[open], &[How::Open]);
        assert!(held.holds(&path("/f")) && !held.is_held(&path("/g")));
        assert_eq!(held.suspects(&path("/h"), false), [None]);
    }

    #[test]
    fn a_file_that_the_kernel_itself_holds_stays_held() {
        let mut held = Held::default();
        held.add(&path("/disk"), None, How::Open);
        held.begin_look();
        assert!(held.end_look(&[], &TOLD).is_empty());
        assert!(held.is_held(&path("/disk")) && !held.holds(&path("/disk")));
    }

    #[test]
    fn who_only_has_it_open_is_suspected_if_nobody_has_it_mapped() {
        let mut held = Held::default();
        held.add(&path("/f"), Some(who(1)), How::Open);
        assert_eq!(held.suspects(&path("/f"), false), [Some(who(1))]);
        held.add(&path("/f"), Some(who(2)), How::Mapped);
        assert_eq!(held.suspects(&path("/f"), false), [Some(who(2))]);
        assert_eq!(held.suspects(&path("/f"), true).len(), 2);
    }
}
