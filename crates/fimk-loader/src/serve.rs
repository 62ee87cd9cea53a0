//! Serves one analyzer after the other: forwards, answers, announces.

mod announce;
mod answers;
mod arming;

use std::collections::HashSet;
use std::os::fd::AsFd;
use std::rc::Rc;
use std::time::Instant;

use fimk_wire::{actor_of_attempt, raw};
use libbpf_rs::Link;
use zerocopy::{FromZeros, IntoBytes};

use crate::actors::{Ends, bytes_of};
use crate::budget::Budget;
use crate::channel::Received;
use crate::counts::{Counts, Sums, counted};
use crate::error::{Error, Result};
use crate::fanotify;
use crate::forward::{Forward, SharedChannel};
use crate::log::{self, Quietly};
use crate::objects;
use crate::packets;
use crate::plan;
use crate::probe::Source;
use crate::requests::{self, Nonsense};
use crate::take::{self, Taken};
use crate::tally::Tally;

pub use answers::ANCESTORS_MAX;

use announce::Announcement;
use answers::Answer;

/// Requests answered before the loop looks at signals again.
const STEPS_A_ROUND: usize = 256;
/// Why serving stopped.
pub enum Fault {
    /// The peer's: it is dropped.
    Nonsense(Nonsense),
    /// Ours.
    Fatal(Error),
}

impl From<Nonsense> for Fault {
    fn from(nonsense: Nonsense) -> Self {
        Self::Nonsense(nonsense)
    }
}

impl From<libbpf_rs::Error> for Fault {
    fn from(cause: libbpf_rs::Error) -> Self {
        Self::Fatal(Error::internal("a BPF map cannot be used", cause))
    }
}

/// What the loop should do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Come again at once.
    More,
    /// Come again in a moment: a program holds up the ring.
    Soon,
    /// Sleep until something happens.
    Wait,
}

/// The source, and what goes on between it and the analyzer.
pub struct Server {
    /// What serves.
    pub source: Source,
    channel: SharedChannel,
    forward: Option<Forward>,
    ends: Option<Ends>,
    counts: Counts,
    /// What was last told: runs skipped, entries swept, counts.
    told: Option<(u64, u64, Sums)>,
    /// Entries announced because the ring had no room.
    swept: u64,
    answer: Option<Answer>,
    announcements: Vec<Announcement>,
    /// The ring was full, and what it lost has not been lined up yet.
    sweep_due: bool,
    arming: Option<Link>,
    /// When it is detached, after the end of a walk.
    detach_at: Option<Instant>,
    not_arming: Quietly,
    reattaches: bool,
    analyzer: u32,
    /// The number of the last take.
    takes: u64,
    served: u64,
    budget: Budget,
    slowed: Quietly,
    tally: Tally,
}

impl Server {
    /// Builds the rings and reads the counters once: later, no file may be opened.
    pub fn new(mut source: Source, channel: &SharedChannel) -> Result<Self> {
        let internal = |cause| Error::internal("a BPF ring cannot be read", cause);
        let mut counts = Counts::default();
        let (mut forward, mut ends) = (None, None);
        if let Some(process) = &source.process {
            let exits = process.exits().map_err(internal)?;
            ends = Some(Ends::new(exits, &process.actors).map_err(internal)?);
            counts.add(process.counters().map_err(internal)?);
            // Of what a file program sees nothing is missing when one of these was skipped: it gathers who did it itself.
            if source.file.is_none() {
                counts.watch(objects::programs(process.object()), &mut source.adopted);
            }
        }
        if let Some(file) = &source.file {
            forward =
                Some(Forward::new(file.ring().map_err(internal)?, channel).map_err(internal)?);
            counts.add(file.counters().map_err(internal)?);
            counts.watch(objects::programs(file.object()), &mut source.adopted);
        }
        if let Some(second) = &source.second {
            counts.watch_again(objects::programs(second.object()));
        }
        counts.sums().map_err(internal)?;
        let takes = source.file.as_ref().map_or(Ok(0), take::last);
        let reattaches = nix::sys::utsname::uname()
            .is_ok_and(|kernel| kernel.release().to_str().is_some_and(plan::reattaches));
        let arming = source.arming.take().filter(|_| !reattaches);
        Ok(Self {
            takes: takes.map_err(internal)?,
            source,
            channel: Rc::clone(channel),
            forward,
            ends,
            counts,
            told: None,
            swept: 0,
            answer: None,
            announcements: Vec::new(),
            sweep_due: false,
            arming,
            detach_at: None,
            not_arming: Quietly::default(),
            reattaches,
            analyzer: 0,
            served: 0,
            budget: Budget::new(Instant::now()),
            slowed: Quietly::default(),
            tally: Tally::default(),
        })
    }

    /// Answers the HELLO of a new analyzer, and lines up what the one before left.
    pub fn greet(&mut self, analyzer: u32) -> std::result::Result<(), Fault> {
        self.end_arming();
        self.set_own(analyzer);
        (self.answer, self.told, self.analyzer) = (None, None, analyzer);
        self.announce_all()?;
        let kept = u32::try_from(self.announcements.len()).unwrap_or(u32::MAX);
        let ready = packets::ready(&self.source, kept);
        let mut channel = self.channel.borrow_mut();
        match &self.source.fanotify {
            Some((group, _)) => {
                let marker = self.source.marker.as_ref().map(AsFd::as_fd);
                let descriptors: Vec<_> = [group.as_fd()].into_iter().chain(marker).collect();
                channel
                    .send_with(ready.as_bytes(), &descriptors)
                    .map_err(Nonsense::Deaf)?;
            }
            None => channel.send(ready.as_bytes()),
        }
        Ok(())
    }

    /// Does what can be done without waiting, up to a limit.
    pub fn work(&mut self) -> std::result::Result<Next, Fault> {
        for _ in 0..STEPS_A_ROUND {
            self.channel.borrow_mut().flush();
            if let Some(forward) = &self.forward {
                forward.round();
            }
            if !self.channel.borrow().is_free() {
                return Ok(Next::Wait);
            }
            if let Some(answer) = self.answer.take() {
                self.answer = self.go_on(answer)?;
                if matches!(self.answer, Some(Answer::Behind { .. })) {
                    return Ok(Next::Soon);
                }
            } else if !self.budget.take(Instant::now()) {
                self.tell_slowed();
                return Ok(Next::Soon);
            } else if let Some(request) = self.next_request()? {
                self.served += 1;
                let arms = self.arming.is_some();
                self.begin(&request)?;
                if self.arming.is_some() && !arms {
                    // That took long: the loop has signals to look after.
                    return Ok(Next::More);
                }
            } else if let Some(announcement) = self.announcements.pop() {
                self.announce(&announcement)?;
            } else {
                return Ok(if self.is_caught_up() {
                    Next::Wait
                } else {
                    Next::Soon
                });
            }
        }
        Ok(Next::More)
    }

    /// Once the channel is half closed: what is done is still taken note of, nothing is answered.
    pub fn finish(&mut self) -> std::result::Result<(), Fault> {
        for _ in 0..STEPS_A_ROUND {
            let Some(request) = self.next_request()? else {
                break;
            };
            if u32::from(request.kind) == raw::FIMK_REQUEST_DONE {
                self.begin(&request)?;
            }
        }
        Ok(())
    }

    /// Sweeps: announces anew what the ring had no room for, and tells the counters, and the rules of which something
    /// was lost.
    pub fn tick(&mut self) -> std::result::Result<(), Fault> {
        if !self.channel.borrow().is_free() {
            return Ok(());
        }
        let now = (self.counts.skipped(), self.counts.sums()?);
        let lost = |sums: &Sums| counted(sums, raw::FIMK_COUNT_RING_FULL);
        let before = self.told.map_or(0, |(_, _, sums)| lost(&sums));
        self.sweep_due |= lost(&now.1) > before;
        if self.sweep_due && self.announcements.is_empty() {
            self.announce_again()?;
            self.sweep_due = false;
        }
        let now = (now.0, self.swept, now.1);
        let file = self.source.file.as_mut();
        let rules = file.map_or([0; packets::RULES_BYTES], objects::File::take_lost_rules);
        let news = self.told.is_none_or(|told| {
            (told.0, told.1) != (now.0, now.1) || told.2.as_bytes() != now.2.as_bytes()
        });
        if news || rules.iter().any(|&bits| bits != 0) {
            let packet = packets::counters(now.0, now.1, &now.2, rules);
            self.channel.borrow_mut().send(packet.as_bytes());
            self.told = Some(now);
        }
        Ok(())
    }

    /// Finds the processes whose end was lost.
    pub fn recover_ends(&self, now: Instant) -> std::result::Result<(), Fault> {
        if let (Some(ends), Some(process)) = (&self.ends, &self.source.process) {
            ends.recover(&process.actors, &self.counts.sums()?, now)?;
        }
        Ok(())
    }

    /// Takes note of the processes that ended, and says whether there were any.
    pub fn forget(&self) -> std::result::Result<bool, Fault> {
        let (Some(ends), Some(process)) = (&self.ends, &self.source.process) else {
            return Ok(false);
        };
        Ok(ends.tick(&process.actors, || {
            let mut named = HashSet::new();
            if let Some(file) = &self.source.file {
                let mut name = |key: raw::fimk_key, _: raw::fimk_entry| {
                    named.insert(bytes_of(&actor_of_attempt(key.actor)));
                };
                file.each_untaken(&mut name)?;
                file.taken.each(name)?;
            }
            Ok(named)
        })?)
    }

    /// How many requests were served.
    pub fn served(&self) -> u64 {
        self.served
    }

    /// Events in the queue of fanotify; 0 where there is none.
    pub fn queued(&self) -> u64 {
        let group = self.source.fanotify.as_ref();
        group.map_or(0, |(group, _)| fanotify::queued(group))
    }

    /// Whether nothing waits: to be forwarded, taken or done.
    pub fn is_quiet(&self) -> bool {
        let empty = |file: &objects::File| {
            file.dirty.is_empty() && file.attempts.is_empty() && file.taken.is_empty()
        };
        self.is_caught_up()
            && self.answer.is_none()
            && self.announcements.is_empty()
            && self.source.file.as_ref().is_none_or(empty)
    }

    /// Grows with everything that was forwarded or asked.
    pub fn activity(&self) -> u64 {
        self.served + self.forward.as_ref().map_or(0, Forward::forwarded)
    }

    /// What was seen and done.
    pub fn tally(&self) -> libbpf_rs::Result<Tally> {
        let sums = self.counts.sums()?;
        let file = self.source.file.as_ref();
        Ok(Tally {
            announced: counted(&sums, raw::FIMK_COUNT_ANNOUNCED),
            lost: counted(&sums, raw::FIMK_COUNT_RING_FULL),
            delivered: self.forward.as_ref().map_or(0, Forward::forwarded),
            watched: file.map_or(Ok(0), |file| file.watch.len())?,
            put_off: self.budget.put_off(),
            ..self.tally
        })
    }

    /// Nobody reads the queue of fanotify: it is not filled any more. The next analyzer
    /// marks anew.
    pub fn forsake(&self) {
        if let Some((group, _)) = &self.source.fanotify {
            fanotify::remove_marks(group);
        }
        if let Some(marker) = &self.source.marker {
            marker.mark_nothing();
        }
    }

    /// Says once that nobody marks whole file systems any more, and offers it to no other analyzer.
    pub fn look_after_marker(&mut self) {
        if self.source.marker.take_if(|it| it.has_ended()).is_some() {
            log::line(
                "who marks whole file systems for fanotify has ended, and no more are marked: restart fimk-loader, and see \
                 what ended it",
            );
        }
    }

    /// The rings to wait on: that of the records, and that of the ends.
    pub fn rings(&self) -> (Option<&Forward>, Option<&Ends>) {
        (self.forward.as_ref(), self.ends.as_ref())
    }

    /// Whose opens of watched objects are no attempts, beside ours. 0: the analyzer is gone, and its pid may be given
    /// to another process.
    pub fn set_own(&mut self, analyzer: u32) {
        if let Some(file) = &mut self.source.file {
            file.set_own(std::process::id(), analyzer);
        }
    }

    fn tell_slowed(&mut self) {
        if let Some(silent) = self.slowed.may_speak(Instant::now()) {
            log::line(format_args!(
                "the analyzer (pid {}) asks for more than it can need: its requests are answered slowly ({silent} more \
                 such lines since the last)",
                self.analyzer
            ));
        }
    }

    fn next_request(&self) -> std::result::Result<Option<raw::fimk_request>, Nonsense> {
        let mut buffer = [0; size_of::<raw::fimk_request>() + 1];
        match self.channel.borrow_mut().receive(&mut buffer) {
            Received::Bytes(length) => requests::parse(&buffer[..length]).map(Some),
            Received::Nothing => Ok(None),
        }
    }

    fn begin(&mut self, request: &raw::fimk_request) -> std::result::Result<(), Fault> {
        match u32::from(request.kind) {
            raw::FIMK_REQUEST_ARM => self.arm(request)?,
            raw::FIMK_REQUEST_UNWATCH => {
                if let Some(file) = &mut self.source.file {
                    file.unwatch(&request.key.object)?;
                    self.tally.unwatched += 1;
                }
            }
            raw::FIMK_REQUEST_TAKE => self.take(&request.key)?,
            raw::FIMK_REQUEST_DONE => {
                if let Some(file) = &self.source.file {
                    self.tally.done += u64::from(take::done(file, &request.key, request.cookie)?);
                }
            }
            raw::FIMK_REQUEST_SYNC => {
                self.answer_behind(packets::synced(request.cookie).as_bytes());
            }
            raw::FIMK_REQUEST_WHO => {
                let process = self.process_of(request.key.actor)?;
                self.answer = Some(Answer::Who {
                    process,
                    told: 0,
                    cookie: request.cookie,
                });
            }
            raw::FIMK_REQUEST_HOLDERS => {
                self.answer = Some(Answer::Holders {
                    left: self.holders(),
                    cookie: request.cookie,
                });
            }
            _ => return Err(Nonsense::GreetedTwice.into()),
        }
        Ok(())
    }

    fn take(&mut self, key: &raw::fimk_key) -> std::result::Result<(), Fault> {
        let mut entry = raw::fimk_entry::new_zeroed();
        if let Some(file) = &mut self.source.file {
            self.takes += 1;
            match take::take(file, key, self.takes)? {
                Taken::Entry(found) => {
                    entry = *found;
                    self.tally.taken += u64::from(entry.count > 0);
                }
                Taken::Full => return Err(Nonsense::TooManyTaken.into()),
            }
        }
        self.answer_behind(packets::taken(*key, entry).as_bytes());
        Ok(())
    }

    fn is_caught_up(&self) -> bool {
        self.forward
            .as_ref()
            .is_none_or(|forward| forward.has_passed(forward.produced()))
    }
}
