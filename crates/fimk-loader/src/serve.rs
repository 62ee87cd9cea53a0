//! Serves one analyzer after the other: forwards, answers, announces.

use std::collections::HashSet;
use std::os::fd::AsFd;
use std::rc::Rc;
use std::time::{Duration, Instant};

use fimk_wire::{HOOK_NAMES, actor_of_attempt, raw};
use libbpf_rs::Link;
use zerocopy::{FromZeros, IntoBytes};

use crate::actors::{Ends, bytes_of};
use crate::budget::Budget;
use crate::channel::Received;
use crate::counts::{Counts, Sums, counted};
use crate::error::{Error, Result};
use crate::fanotify;
use crate::forward::{Forward, SharedChannel};
use crate::handover::Quietly;
use crate::holders::Holders;
use crate::log;
use crate::objects;
use crate::packets;
use crate::plan;
use crate::probe::Source;
use crate::requests::{self, Nonsense};
use crate::take::{self, Taken};
use crate::tally::Tally;

/// Requests answered before the loop looks at signals again.
const STEPS_A_ROUND: usize = 256;
/// Ancestors told of one process. Deeper trees are cut: the nearest tell most.
pub const ANCESTORS_MAX: u32 = 16;
/// How long the arming program stays attached after a walk, arming nobody: to attach and to detach each wait for the
/// kernel's trampolines, so walks in quick succession share one, and no analyzer can have it attached in a loop.
const ARMING_KEPT: Duration = Duration::from_secs(2);

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

/// An answer that is not yet whole.
enum Answer {
    /// Send this packet once the ring has passed this place.
    Behind { place: u64, packet: Vec<u8> },
    /// Tell of this process and then of its ancestors.
    Who {
        process: raw::fimk_actor_key,
        told: u32,
        cookie: u64,
    },
    /// Tell of these, the last first.
    Holders {
        left: Vec<raw::fimk_holder>,
        cookie: u64,
    },
}

/// What a new analyzer, or one that lost announcements, is told of.
enum Announcement {
    Taken(raw::fimk_key),
    Dirty(raw::fimk_key),
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
        self.announcements.clear();
        if let Some(file) = &self.source.file {
            // The list is worked off from its end: what was taken comes first.
            let all = &mut self.announcements;
            file.each_untaken(|key, _| all.push(Announcement::Dirty(key)))?;
            file.taken
                .each(|key, _| all.push(Announcement::Taken(key)))?;
        }
        let kept = u32::try_from(self.announcements.len()).unwrap_or(u32::MAX);
        let ready = packets::ready(&self.source, kept);
        let mut channel = self.channel.borrow_mut();
        match &self.source.fanotify {
            Some((group, _)) => channel
                .send_with(ready.as_bytes(), group.as_fd())
                .map_err(Nonsense::Deaf)?,
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

    /// Ends the arming, if a walk was going on. The program stays for a while and arms nobody, and where it could not
    /// be attached again for good: that costs each stat on the host some fifty instructions.
    pub fn end_arming(&mut self) {
        if self.reattaches && self.arming.is_some() {
            self.detach_at = Some(Instant::now() + ARMING_KEPT);
        }
        if let Some(file) = &mut self.source.file {
            file.set_arming(0, 0, 0);
        }
    }

    /// Detaches the arming program once no walk has come for a while. Says when to ask again.
    pub fn detach_arming(&mut self, now: Instant) -> Option<Instant> {
        if self.detach_at.is_some_and(|at| now >= at) {
            (self.arming, self.detach_at) = (None, None);
        }
        self.detach_at
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

    /// Who holds what, in reverse order. That a look failed is logged, and told as not having looked.
    fn holders(&mut self) -> Vec<raw::fimk_holder> {
        let seen = match self.source.holders.as_mut().map(Holders::look) {
            Some(Ok(seen)) => seen,
            Some(Err(cause)) => {
                log::line(format_args!("who holds a file cannot be told: {cause:#}"));
                None
            }
            None => None,
        };
        let seen = seen.unwrap_or_default();
        let nobody = raw::fimk_key::new_zeroed();
        let held = seen.held.into_iter();
        held.map(|(key, how)| packets::holder(key, how, 0))
            .chain([packets::holder(nobody, seen.looked_for, seen.milliseconds)])
            .collect()
    }

    /// An answer behind every record that was made before it.
    fn answer_behind(&mut self, packet: &[u8]) {
        let place = self.forward.as_ref().map_or(0, Forward::produced);
        self.answer = Some(Answer::Behind {
            place,
            packet: packet.to_vec(),
        });
    }

    fn go_on(&self, answer: Answer) -> std::result::Result<Option<Answer>, Fault> {
        match answer {
            Answer::Behind { place, packet } => {
                if self
                    .forward
                    .as_ref()
                    .is_some_and(|forward| !forward.has_passed(place))
                {
                    return Ok(Some(Answer::Behind { place, packet }));
                }
                self.channel.borrow_mut().send(&packet);
                Ok(None)
            }
            Answer::Who {
                process,
                told,
                cookie,
            } => self.tell_who(process, told, cookie),
            Answer::Holders { mut left, cookie } => Ok(Some(match left.pop() {
                Some(holder) => {
                    self.channel.borrow_mut().send(holder.as_bytes());
                    Answer::Holders { left, cookie }
                }
                None => Answer::Behind {
                    place: self.forward.as_ref().map_or(0, Forward::produced),
                    packet: packets::synced(cookie).as_bytes().to_vec(),
                },
            })),
        }
    }

    /// One packet a step. The first process is told of even if it is unknown; the line of ancestors
    /// ends where one is.
    fn tell_who(
        &self,
        process: raw::fimk_actor_key,
        told: u32,
        cookie: u64,
    ) -> std::result::Result<Option<Answer>, Fault> {
        let known = match &self.source.process {
            Some(table) if told <= ANCESTORS_MAX && process.start_ns != 0 => {
                table.actors.get(&process)?
            }
            _ => None,
        };
        let mut channel = self.channel.borrow_mut();
        match known {
            Some(actor) => {
                channel.send(&packets::actor(actor));
                Ok(Some(Answer::Who {
                    process: actor.parent,
                    told: told + 1,
                    cookie,
                }))
            }
            None if told == 0 => {
                channel.send(&packets::unknown_actor(process));
                let nobody = raw::fimk_actor_key::new_zeroed();
                Ok(Some(Answer::Who {
                    process: nobody,
                    told: 1,
                    cookie,
                }))
            }
            None => {
                channel.send(packets::synced(cookie).as_bytes());
                Ok(None)
            }
        }
    }

    /// A pid alone stands for its latest image.
    fn process_of(
        &self,
        asked: raw::fimk_actor_key,
    ) -> std::result::Result<raw::fimk_actor_key, Fault> {
        match &self.source.process {
            Some(table) if asked.start_ns == 0 => Ok(table.pids.get(&asked.pid)?.unwrap_or(asked)),
            _ => Ok(asked),
        }
    }

    fn arm(&mut self, request: &raw::fimk_request) -> std::result::Result<(), Fault> {
        let thread = requests::arming_thread(request, self.analyzer)?;
        if thread == 0 {
            self.end_arming();
        } else if let Some(file) = &mut self.source.file {
            file.set_arming(thread, request.number, request.key.actor.image);
            self.detach_at = None;
            if self.arming.is_none() {
                match objects::attach(file.object(), raw::FIMK_HOOK_GETATTR) {
                    Ok(link) => self.arming = Some(link),
                    Err(cause) => self.tell_not_arming(&cause),
                }
            }
        }
        self.answer_behind(packets::synced(request.cookie).as_bytes());
        Ok(())
    }

    /// The walk finds no answers then, and its objects are not watched; the next ARM tries again.
    fn tell_not_arming(&mut self, cause: &libbpf_rs::Error) {
        if let Some(silent) = self.not_arming.may_speak(Instant::now()) {
            log::line(format_args!(
                "what the analyzer walks is not watched: the hook {} cannot be attached: {cause:#} ({silent} more \
                 since the last such line)",
                HOOK_NAMES[raw::FIMK_HOOK_GETATTR as usize]
            ));
        }
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

    fn announce(&self, announcement: &Announcement) -> std::result::Result<(), Fault> {
        let Some(file) = &self.source.file else {
            return Ok(());
        };
        let packet = match announcement {
            Announcement::Taken(key) => file
                .taken
                .get(key)?
                .map(|entry| packets::taken(*key, entry).as_bytes().to_vec()),
            Announcement::Dirty(key) => file
                .waiting(key)
                .get(key)?
                .map(|entry| packets::touch(*key, &entry)),
        };
        if let Some(packet) = packet {
            self.channel.borrow_mut().send(&packet);
        }
        Ok(())
    }

    /// Lines up what the ring had no room for. `announced` is not set here: writing an entry back would
    /// undo what a program adds meanwhile, and an announcement too many costs one TAKE.
    fn announce_again(&mut self) -> std::result::Result<(), Fault> {
        if let Some(file) = &self.source.file {
            let announcements = &mut self.announcements;
            file.each_untaken(|key, entry| {
                if entry.announced == 0 {
                    announcements.push(Announcement::Dirty(key));
                }
            })?;
            self.swept += announcements.len() as u64;
        }
        Ok(())
    }

    fn is_caught_up(&self) -> bool {
        self.forward
            .as_ref()
            .is_none_or(|forward| forward.has_passed(forward.produced()))
    }
}
