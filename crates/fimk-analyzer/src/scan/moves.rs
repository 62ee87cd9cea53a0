//! What a comparison finds under a name that stood for nothing, or for another object: whether it was recorded elsewhere.
//!
//! The number of an object alone does not say so, for file systems give it again; and sizes and times are of anybody's choice.
//! But no two objects have one number at the same time: what has the number on record, and was born before that record was
//! made, is the object that was recorded. Where the file system keeps no births nothing is told as moved.

use std::collections::HashMap;

use fimk_core::{
    path::BytePath,
    record::{Attributes, Record},
    time::Timestamp,
};

use super::{MEANWHILE_EVERY, Scan, absent::Records};
use crate::{
    clock,
    engine::{Engine, Trouble},
    exit::Failure,
    pending::{Found, Pending},
    signal::{Fact, Touch},
    start::is_new_ground,
};

/// File systems stamp births by a clock that lags behind by a tick of the kernel: 10 ms where it is slowest.
const TICK_NS: i64 = 10_000_000;

/// Names that lost their object and are remembered while one comparison lasts, some 200 bytes each. What they lost beyond is
/// told as gone from there and new elsewhere.
const LEFT_MAX: usize = 65_536;

/// Device and number of an object.
type Identity = ((u32, u32), u64);

fn identity(attributes: &Attributes) -> Identity {
    (attributes.device, attributes.inode)
}

/// What is on record of an object.
pub(super) struct Recorded {
    object: Identity,
    /// When the record was made.
    seen: Timestamp,
}

impl Recorded {
    pub(super) fn of(record: &Record) -> Self {
        Self {
            object: identity(&record.snapshot.attributes),
            seen: record.seen,
        }
    }
}

/// A name that does not stand for its recorded object any more.
struct Left {
    path: BytePath,
    object: Identity,
    /// When the record was made.
    seen: Timestamp,
    /// Nothing stands there now.
    gone: bool,
}

/// The names that lost their objects, by what they lost.
#[derive(Default)]
pub(super) struct Moves {
    left: HashMap<Identity, Left>,
    /// Names whose objects are to be looked for, in the order of the comparison.
    newcomers: Vec<BytePath>,
    /// Names that lost their objects and are not remembered.
    left_out: u64,
}

impl Moves {
    fn leaves(&mut self, path: BytePath, Recorded { object, seen }: Recorded, gone: bool) {
        if self.left.len() >= LEFT_MAX {
            self.left_out += u64::from(!self.left.contains_key(&object));
            return;
        }
        let left = Left {
            path,
            object,
            seen,
            gone,
        };
        self.left.entry(object).or_insert(left);
    }

    /// Where this object was recorded. Nobody else comes from there then.
    fn origin(&mut self, object: Identity, born: Option<Timestamp>) -> Option<Left> {
        let was_there =
            |left: &Left| born.is_some_and(|born| born.0.saturating_add(TICK_NS) <= left.seen.0);
        self.left.get(&object).filter(|left| was_there(left))?;
        self.left.remove(&object)
    }
}

impl Engine {
    /// Whether a name stands for another object than on record, or for one while there is no record. It is then examined when
    /// all names are known that lost theirs.
    pub(super) fn is_newcomer(
        &mut self,
        scan: &mut Scan<'_>,
        path: &BytePath,
    ) -> Result<bool, Trouble> {
        let record = self.store.record(path).map_err(Failure::from)?;
        let Some(record) = record else {
            let new = !is_new_ground(path, scan.past);
            if new {
                scan.moves.newcomers.push(path.clone());
            }
            return Ok(new);
        };
        let at = path.clone();
        let now = self.ask(path, move |reader| reader.attributes(&at));
        let another =
            matches!(now, Ok(Ok(now)) if identity(&now) != identity(&record.snapshot.attributes));
        if another {
            scan.moves
                .leaves(path.clone(), Recorded::of(&record), false);
            scan.moves.newcomers.push(path.clone());
        }
        Ok(another)
    }

    /// Examines the newcomers. First those where nothing stood: what they are compared with is on record where they came from,
    /// until that name is examined.
    pub(super) fn compare_newcomers(
        &mut self,
        scan: &mut Scan<'_>,
        below: Option<&[BytePath]>,
    ) -> Result<(), Trouble> {
        let newcomers = std::mem::take(&mut scan.moves.newcomers);
        if newcomers.is_empty() {
            return Ok(());
        }
        self.find_what_left(scan, below)?;
        self.moves_left_out += std::mem::take(&mut scan.moves.left_out);
        let (mut new, mut replaced) = (Vec::new(), Vec::new());
        for path in newcomers {
            if self.store.record(&path).map_err(Failure::from)?.is_some() {
                replaced.push(path);
            } else {
                new.push(path);
            }
        }
        for (compared, path) in (1u64..).zip(new.iter().chain(&replaced)) {
            if compared.is_multiple_of(MEANWHILE_EVERY) {
                self.serve_control();
                self.breathe();
            }
            if self.settle.waits(path) {
                self.expect_to_be_told(scan, path)?;
            } else {
                self.compare_newcomer(scan, path)?;
            }
        }
        Ok(())
    }

    /// The recorded names where nothing stands.
    fn find_what_left(
        &mut self,
        scan: &mut Scan<'_>,
        below: Option<&[BytePath]>,
    ) -> Result<(), Trouble> {
        let mut records = Records::below(below);
        while let Some(slice) = records
            .absent(&self.store, &scan.paths)
            .map_err(Failure::from)?
        {
            for (path, recorded) in slice {
                if self.rules.covers(&path).is_some() && !self.settle.waits(&path) {
                    scan.moves.leaves(path, recorded, true);
                }
            }
            self.between_slices()?;
        }
        Ok(())
    }

    fn compare_newcomer(&mut self, scan: &mut Scan<'_>, path: &BytePath) -> Result<(), Trouble> {
        let at = path.clone();
        let now = self.ask(path, move |reader| reader.birth(&at));
        let origin = match now {
            Ok(Ok((attributes, born))) => {
                let object = identity(&attributes);
                // What others told in their turn is on record by now.
                if self.is_on_record(path, object)? {
                    None
                } else {
                    let origin = scan.moves.origin(object, born);
                    self.still_left(origin)?
                }
            }
            _ => None,
        };
        match origin {
            Some(origin) => self.examine_moved(scan, path, &origin),
            None => self.examine_found(path, scan.gap, &mut scan.tally),
        }
    }

    /// Whether the record of a name is one of this object.
    fn is_on_record(&self, path: &BytePath, object: Identity) -> Result<bool, Trouble> {
        let record = self.store.record(path).map_err(Failure::from)?;
        Ok(record.is_some_and(|it| identity(&it.snapshot.attributes) == object))
    }

    /// A name that an object left, unless others told in their turn what became of it, or it was not walked (see `beyond`) and
    /// something stands there.
    fn still_left(&mut self, left: Option<Left>) -> Result<Option<Left>, Trouble> {
        let Some(left) = left else {
            return Ok(None);
        };
        if !left.gone {
            return Ok(Some(left));
        }
        let untold = self.is_on_record(&left.path, left.object)?;
        let stands = self.beyond.is_any() && self.is_there(&left.path);
        Ok((untold && !stands).then_some(left))
    }

    fn examine_moved(
        &mut self,
        scan: &mut Scan<'_>,
        path: &BytePath,
        origin: &Left,
    ) -> Result<(), Trouble> {
        let stood_here = self.store.record(path).map_err(Failure::from)?.is_some();
        let base = self.store.record(&origin.path).map_err(Failure::from)?;
        let old = Some(origin.path.clone());
        let fact = if stood_here {
            Fact::Replaced(old)
        } else {
            Fact::Renamed(old)
        };
        let mut pending = Pending {
            base: base
                .filter(|it| !stood_here && identity(&it.snapshot.attributes) == origin.object),
            ..found_by_scan()
        };
        if origin.gone {
            // What came there since is watched, and stays so.
            if !self.settle.waits(&origin.path) && !self.is_there(&origin.path) {
                self.leave(&origin.path);
            }
            pending.former.push(origin.path.clone());
        }
        // It may have been a link and a removal.
        pending.add(Touch::by_nobody(clock::now(), Some(fact)));
        self.examine_counted(path, &pending, scan.gap, &mut scan.tally)
    }
}

pub(super) fn found_by_scan() -> Pending {
    Pending {
        found: Some(Found::Scan),
        // Nobody takes it back to wait.
        unexplained: true,
        ..Pending::default()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::expect_used, reason = "a test stops at the first surprise")]
    use super::*;

    const OBJECT: Identity = ((8, 1), 7);

    fn moves(seen: i64) -> Moves {
        let left = Left {
            path: BytePath::new(b"/a/b"),
            object: OBJECT,
            seen: Timestamp(seen),
            gone: true,
        };
        Moves {
            left: HashMap::from([(OBJECT, left)]),
            ..Moves::default()
        }
    }

    #[test]
    fn only_what_was_there_when_the_record_was_made_comes_from_there() {
        let second = 1_000_000_000;
        for (born, same) in [
            (Some(0), true),
            (Some(second - TICK_NS), true),
            // The clock of births may have lagged: it may be a new one with the number.
            (Some(second - TICK_NS + 1), false),
            (Some(2 * second), false),
            (None, false),
        ] {
            let origin = moves(second).origin(OBJECT, born.map(Timestamp));
            assert_eq!(origin.is_some(), same, "{born:?}");
        }
    }

    #[test]
    fn one_name_is_the_origin_of_one() {
        let mut moves = moves(1_000_000_000);
        assert!(moves.origin(OBJECT, Some(Timestamp(0))).is_some());
        assert!(moves.origin(OBJECT, Some(Timestamp(0))).is_none());
    }
}
