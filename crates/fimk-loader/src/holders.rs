//! Who holds files so that they can change without a further record: a look at all processes, when it is asked for.

use std::io::{ErrorKind, Read};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use fimk_wire::raw;
use libbpf_rs::skel::{OpenSkel, Skel, SkelBuilder};
use libbpf_rs::{Iter, Link, MapHandle, Result};

use crate::objects::{self, File, holding};
use crate::table::Table;

/// The hook of each iterator, and what it finds.
const ITERATORS: [(u32, u32); 2] = [
    // First: on a host where not all can be told, files that are only open are left out.
    (raw::FIMK_HOOK_MAPPINGS, raw::FIMK_HOLDS_MAPPED),
    (raw::FIMK_HOOK_OPEN_FILES, raw::FIMK_HOLDS_OPEN),
];

/// Which of them to try to load, best first: a kernel that lacks one refuses the object with it.
const ATTEMPTS: [[bool; 2]; 2] = [[true, true], [false, true]];

/// A look takes microseconds for each process, and nothing is forwarded meanwhile: it may take no more than one
/// part in so many of our time, however often it is asked for.
const REST: u32 = 50;

/// What a look found.
#[derive(Default)]
pub struct Seen {
    /// Who holds what, and how: `FIMK_HOLDS_*`.
    pub held: Vec<(raw::fimk_key, u32)>,
    /// `FIMK_HOLDS_*`; 0: nobody looked.
    pub looked_for: u32,
    /// How long it took.
    pub milliseconds: u32,
}

/// The iterators of this kernel, attached.
pub struct Holders {
    skeleton: holding::HoldersSkel<'static>,
    links: Vec<(u32, u32, Link)>,
    found: Table<raw::fimk_key, u32>,
    rests_until: Instant,
}

impl Holders {
    /// With `file`, only what it watches counts; without, every file that has a name. The error is that of the last
    /// attempt.
    pub fn load(file: Option<&File>) -> Result<Self> {
        let mut refused = None;
        for wanted in ATTEMPTS {
            match Self::try_load(file, wanted) {
                Ok(holders) => return Ok(holders),
                Err(cause) => refused = Some(cause),
            }
        }
        Err(refused.unwrap_or_else(|| std::io::Error::from(ErrorKind::Unsupported).into()))
    }

    fn try_load(file: Option<&File>, wanted: [bool; 2]) -> Result<Self> {
        objects::messages();
        let mut open = holding::HoldersSkelBuilder::default().open(objects::storage())?;
        open.progs.fimk_mappings.set_autoload(wanted[0]);
        open.progs.fimk_open_files.set_autoload(wanted[1]);
        if let Some(file) = file {
            open.maps.watch.reuse_fd(file.watch.handle()?.as_fd())?;
        }
        let mut skeleton = open.load()?;
        if let Some(variables) = skeleton.maps.bss_data.as_mut() {
            variables.every_file = file.is_none();
        }
        let mut links = Vec::new();
        for (&(hook, finds), _) in ITERATORS.iter().zip(wanted).filter(|(_, wanted)| *wanted) {
            links.push((hook, finds, objects::attach(skeleton.object(), hook)?));
        }
        Ok(Self {
            found: Table::new(MapHandle::try_from(&skeleton.maps.holders)?),
            skeleton,
            links,
            rests_until: Instant::now(),
        })
    }

    /// Whether the iterator of a hook serves.
    pub fn has(&self, hook: u32) -> bool {
        self.links.iter().any(|(its, ..)| *its == hook)
    }

    /// Looks at all processes. None when the last look is too short a time ago.
    pub fn look(&mut self) -> Result<Option<Seen>> {
        let begun = Instant::now();
        if begun < self.rests_until {
            return Ok(None);
        }
        let mut seen = Seen::default();
        self.found.clear()?;
        let before = self.left_out();
        for (_, finds, link) in &self.links {
            run(link)?;
            seen.looked_for |= finds;
        }
        if self.left_out() != before {
            seen.looked_for |= raw::FIMK_HOLDS_CUT;
        }
        self.found.each(|key, how| seen.held.push((key, how)))?;
        let took = begun.elapsed();
        seen.milliseconds = u32::try_from(took.as_millis()).unwrap_or(u32::MAX);
        self.rests_until = begun + took + took.max(Duration::from_millis(1)) * REST;
        Ok(Some(seen))
    }

    fn left_out(&self) -> u64 {
        let variables = self.skeleton.maps.bss_data.as_ref();
        variables.map_or(0, |variables| variables.left_out)
    }
}

/// To its end. The kernel stops after a million objects without a word of output, and says "again".
fn run(link: &Link) -> Result<()> {
    let mut iterator = Iter::new(link)?;
    let mut nothing = [0; 64];
    loop {
        match iterator.read(&mut nothing) {
            Ok(0) => return Ok(()),
            Ok(_) => {}
            Err(cause)
                if [ErrorKind::WouldBlock, ErrorKind::Interrupted].contains(&cause.kind()) => {}
            Err(cause) => return Err(cause.into()),
        }
    }
}
