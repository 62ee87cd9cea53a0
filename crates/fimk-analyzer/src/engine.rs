//! The loop: packets and events come in, settle, are examined, committed, written, and done.

mod checkpoint;
mod deliver;
mod heartbeat;
mod keep;
mod pulse;
mod status;
mod storing;
mod wait;

pub use keep::{AGE, ALIVE};

use std::{
    collections::{HashMap, HashSet, VecDeque},
    os::unix::net::UnixStream,
    sync::Arc,
    time::{Duration, Instant},
};

use crate::{
    actors::Actors,
    age::Age,
    attempts::Attempts,
    channel::{Channel, ChannelError, Received},
    clock,
    control::Control,
    exit::{Failure, Status, log},
    held::How,
    homes::Table,
    identity::ActorKey,
    looks,
    mounts::Mounts,
    notify::Notify,
    output::Output,
    patience::Patience,
    pending::{Found, Pending, Settle, Times},
    signal::Signal,
    source::{
        arm,
        bpf::{Bpf, NAME_PATIENCE},
        fanotify::Fanotify,
    },
    stash::Stash,
    status::{About, Activity},
    tree::Tree,
    users::Users,
    walk::Walker,
};
use fimk_consumers::Token;
use fimk_core::{
    config::Config,
    event::{Action, Body, Event, Notice, Source},
    path::BytePath,
    rules::RuleSet,
    time::Timestamp,
};
use fimk_store::{Commit, Store};
use fimk_wire::{Packet, actor_of_attempt, raw};

/// Packets handled before anything else gets its turn.
const PACKETS_AT_ONCE: usize = 4_096;

/// How long is read and compared before records are taken in again, and whoever waits for a sign of life gets one.
const EXAMINE_AT_ONCE: Duration = Duration::from_millis(100);

/// Objects that the kernel is to forget are named so many at a time: the loader has to keep up.
const UNWATCH_AT_ONCE: usize = 4_096;

/// How long something that differs waits for the touch of who did it: the kernel makes it right after the change.
const EXPLAINED_WITHIN: Duration = Duration::from_millis(50);

/// Unknown actors remembered, so that nobody is asked for twice.
const UNKNOWN_MAX: usize = 4_096;

/// What serves.
pub enum Eyes {
    /// The BPF programs.
    Bpf(Box<Bpf>),
    /// A fanotify group, and the process probe where it could be loaded.
    Fanotify(Box<Fanotify>),
    /// Only comparisons, at an interval.
    Periodic,
}

/// Everything the analyzer is made of.
pub struct Engine {
    pub(crate) config: Config,
    pub(crate) rules: Arc<RuleSet>,
    pub(crate) walker: Walker,
    pub(crate) store: Store,
    pub(crate) patience: Patience,
    /// What hangs, or may not be read for a while.
    pub(crate) stalled: crate::stalled::Stalled,
    /// The homes that the rules were made for.
    pub(crate) homes: Arc<Table>,
    /// A link that a rule spells out below a home leads elsewhere now.
    pub(crate) home_link_moved: bool,
    pub(crate) key_id: Token,
    pub(crate) users: Users,
    pub(crate) actors: Actors,
    pub(crate) channel: Channel,
    pub(crate) tree: Tree,
    pub(crate) settle: Settle,
    pub(crate) attempts: Attempts,
    pub(crate) eyes: Eyes,
    pub(crate) output: Output,
    delivery: deliver::Delivery,
    /// The loader does not answer: who did what is not waited for.
    pub(crate) alone: bool,
    heartbeat_at: Instant,
    pub(crate) own: crate::own::Own,
    pub(crate) boot: String,
    /// Packets that came while an answer was waited for.
    pub(crate) stash: Stash,
    /// False until `monitor_started`: events are stored and not yet written.
    pub(crate) started: bool,
    /// Mapped or open for writing: to be read again on a slow timer.
    pub(crate) held: crate::held::Held,
    pub(crate) looks: looks::Looks,
    pub(crate) look: crate::look::Look,
    /// The reason for a comparison of everything, when one is due.
    pub(crate) scan_wanted: Option<String>,
    pub(crate) last_scan: Instant,
    /// How long after it the next one that losses ask for may begin.
    pub(crate) scan_pause: Duration,
    /// What the kernel has no room to watch.
    pub(crate) unwatched: crate::unwatched::Unwatched,
    /// When everything was last compared.
    pub(crate) compared: Timestamp,
    /// How far it has come, while everything is compared.
    pub(crate) scanning: Option<crate::scan::Progress>,
    /// Rises with every commit.
    pub(crate) commits: u64,
    pub(crate) losses: crate::losses::Losses,
    pub(crate) repairs: crate::repairs::Repairs,
    pub(crate) control: Control,
    about: About,
    activity: Activity,
    pub(crate) mounts: Mounts,
    asked: HashMap<u64, ActorKey>,
    /// The values of `asked`.
    asked_for: HashSet<ActorKey>,
    unknown: HashSet<ActorKey>,
    /// Paths whose actors were asked for.
    awaiting: Vec<BytePath>,
    /// Taken entries, and the number of the last path that must be done before them.
    done: VecDeque<(u64, raw::fimk_key, u64)>,
    unsynced_since: Option<Instant>,
    pub(crate) storing: storing::Storing,
    pub(crate) removed_told: crate::retention::Told,
    age: Age,
    /// When the removal of old events is to go on.
    forget_at: Option<Instant>,
    pub(crate) checkpoint: checkpoint::Checkpoint,
    alive_at: Instant,
    tidied_at: Instant,
    pub(crate) stop: UnixStream,
    pub(crate) notify: Notify,
}

/// What an engine is made of.
pub struct Parts {
    pub config: Config,
    pub rules: Arc<RuleSet>,
    pub store: Store,
    pub age: Age,
    pub patience: Patience,
    pub homes: Arc<Table>,
    pub key_id: Token,
    pub channel: Channel,
    pub eyes: Eyes,
    pub output: Output,
    pub boot: String,
    pub stash: Stash,
    pub stop: UnixStream,
    pub control: Control,
    pub about: About,
    pub mounts: Mounts,
    pub notify: Notify,
}

impl Engine {
    /// Puts the parts together.
    pub fn new(parts: Parts) -> Self {
        let window = Duration::from_millis(parts.config.settle_ms);
        let removed_told = crate::retention::Told::new(parts.store.removed());
        let times = Times {
            window,
            longest: Duration::from_millis(parts.config.settle_max_ms),
            newborn: Duration::from_millis(parts.config.settle_new_ms),
        };
        Self {
            walker: Walker::new(&parts.rules, &parts.homes)
                .sparing(crate::own::Directories::of(&parts.config)),
            config: parts.config,
            homes: parts.homes,
            home_link_moved: false,
            rules: parts.rules,
            store: parts.store,
            patience: parts.patience,
            stalled: crate::stalled::Stalled::default(),
            key_id: parts.key_id,
            users: Users::default(),
            actors: Actors::default(),
            channel: parts.channel,
            tree: Tree::default(),
            settle: Settle::new(times),
            attempts: Attempts::new(window),
            eyes: parts.eyes,
            output: parts.output,
            delivery: deliver::Delivery::default(),
            alone: false,
            heartbeat_at: Instant::now(),
            own: crate::own::Own::of_this_process(),
            boot: parts.boot,
            stash: parts.stash,
            started: false,
            held: crate::held::Held::default(),
            looks: looks::Looks::default(),
            look: crate::look::Look::new(),
            scan_wanted: None,
            last_scan: Instant::now(),
            scan_pause: crate::start::SCAN_PAUSE,
            unwatched: crate::unwatched::Unwatched::default(),
            compared: clock::now(),
            scanning: None,
            commits: 0,
            losses: crate::losses::Losses::default(),
            repairs: crate::repairs::Repairs::default(),
            control: parts.control,
            about: parts.about,
            activity: Activity::default(),
            mounts: parts.mounts,
            asked: HashMap::new(),
            asked_for: HashSet::new(),
            unknown: HashSet::new(),
            awaiting: Vec::new(),
            done: VecDeque::new(),
            unsynced_since: None,
            storing: storing::Storing::default(),
            removed_told,
            age: parts.age,
            forget_at: None,
            checkpoint: checkpoint::Checkpoint::new(),
            alive_at: Instant::now(),
            tidied_at: Instant::now(),
            stop: parts.stop,
            notify: parts.notify,
        }
    }

    /// Runs until the loader closes the channel or somebody ends us; then finishes what it has.
    pub fn run(&mut self) -> Result<(), Failure> {
        loop {
            match self.turn() {
                Ok(true) => {}
                Ok(false) | Err(Trouble::Channel(ChannelError::Closed)) => break,
                Err(Trouble::Channel(error)) => {
                    return Err(Failure::new(Status::Internal, error.to_string()));
                }
                Err(Trouble::Failure(failure)) => return Err(failure),
            }
        }
        self.finish()
    }

    /// One turn of the loop; false when it is time to end.
    fn turn(&mut self) -> Result<bool, Trouble> {
        if !self.wait()? {
            return Ok(false);
        }
        self.channel.flush()?;
        self.receive()?;
        self.look()?;
        self.look_at_homes()?;
        self.overdue(Instant::now())?;
        self.look_at_mounts()?;
        self.look_around()?;
        self.examine_due()?;
        self.report_attempts()?;
        self.look_at_holders()?;
        self.scan_if_wanted()?;
        self.tell_losses(false)?;
        self.say_unwatched()?;
        self.say_hanging()?;
        self.checkpoint()?;
        self.heartbeat()?;
        self.sync_if_due(false)?;
        self.recover_if_due()?;
        self.deliver()?;
        self.serve_control();
        self.watch_loader()?;
        self.sign_of_life()?;
        Ok(true)
    }

    /// Handles what the loader sent; false when there is no more for now.
    pub(crate) fn receive(&mut self) -> Result<bool, Trouble> {
        let mut handled = 0;
        while handled < PACKETS_AT_ONCE
            && let Some(received) = self.next_packet()?
        {
            self.handle(&received.0)?;
            handled += 1;
        }
        self.settle_books()?;
        Ok(handled == PACKETS_AT_ONCE)
    }

    fn next_packet(&mut self) -> Result<Option<Received>, Trouble> {
        match self.stash.pop() {
            Some(received) => Ok(Some(received)),
            None => self.receive_anew(),
        }
    }

    /// From the channel, once the stash is worked off.
    fn receive_anew(&mut self) -> Result<Option<Received>, Trouble> {
        if let Eyes::Bpf(bpf) = &mut self.eyes {
            for key in self.stash.take_announced() {
                bpf.want(key);
            }
            bpf.take(&mut self.channel, self.done.len() + bpf.taken.len())?;
        }
        Ok(self.channel.receive()?)
    }

    fn handle(&mut self, packet: &Packet) -> Result<(), Trouble> {
        match packet {
            Packet::Actor(actor) => {
                let key = self.actors.learn(actor);
                if let Eyes::Fanotify(fanotify) = &mut self.eyes {
                    fanotify.answer(key);
                }
            }
            Packet::Synced(synced) => self.answered(synced.cookie)?,
            Packet::Touch(touch) => {
                let actor = actor_of_attempt(touch.key.actor);
                self.note_executable(actor, touch.path_flags);
                self.want(ActorKey::of(actor))?;
                if let Eyes::Bpf(bpf) = &mut self.eyes {
                    bpf.touch(touch);
                }
            }
            Packet::Taken(taken) => {
                self.want(ActorKey::of(actor_of_attempt(taken.key.actor)))?;
                if let Eyes::Bpf(bpf) = &mut self.eyes {
                    let signals = bpf.taken(&self.tree, self.mounts.table(), taken);
                    self.signals(signals)?;
                }
            }
            Packet::Name(name) => {
                self.note_executable(name.actor, name.path_flags);
                self.want(ActorKey::of(name.actor))?;
                if let Eyes::Bpf(bpf) = &mut self.eyes {
                    let (tree, table) = (&mut self.tree, self.mounts.table());
                    let signals = bpf.name(tree, &self.walker, table, name);
                    self.signals(signals)?;
                }
            }
            Packet::Counters(counters) => self.count(counters)?,
            Packet::Holder(holder) => self.looks.note(holder),
            Packet::Armed(_) | Packet::Ready(_) => {}
        }
        self.keep_books()
    }

    fn note_executable(&mut self, actor: raw::fimk_actor_key, flags: u32) {
        if flags & raw::FIMK_PATH_EXECUTABLE_GONE != 0
            && let Some(key) = ActorKey::of(actor)
        {
            self.actors.lost_executable(key);
        }
    }

    /// What a source leaves to be done after each packet's signals.
    pub(crate) fn keep_books(&mut self) -> Result<(), Trouble> {
        let bpf = match &mut self.eyes {
            Eyes::Bpf(bpf) => bpf,
            Eyes::Fanotify(fanotify) => {
                let to_walk = std::mem::take(&mut fanotify.to_walk);
                return self.walk_new(to_walk);
            }
            Eyes::Periodic => return Ok(()),
        };
        bpf.take(&mut self.channel, self.done.len() + bpf.taken.len())?;
        for path in bpf.mapped.drain(..) {
            self.held.add(&path, None, How::Mapped);
            self.looks.want();
        }
        let unwanted = std::mem::take(&mut bpf.unwanted);
        for batch in unwanted.chunks(UNWATCH_AT_ONCE) {
            for object in batch {
                let key = raw::fimk_key {
                    object: object.wire(),
                    actor: crate::channel::no_actor(),
                };
                self.channel.ask(raw::FIMK_REQUEST_UNWATCH, 0, key, 0)?;
            }
            if batch.len() == UNWATCH_AT_ONCE {
                self.await_loader()?;
            }
        }
        Ok(())
    }

    /// Until the loader has done all that it was asked; what it says meanwhile is kept for its turn.
    fn await_loader(&mut self) -> Result<(), Trouble> {
        if self.alone {
            return Ok(());
        }
        let armed = arm::settle(&mut self.channel, &mut self.stash)?;
        debug_assert!(armed.is_empty(), "nothing is armed here");
        Ok(())
    }

    /// Takes in all that was recorded until now, so that a comparison does not find it first and without a name.
    pub(crate) fn catch_up(&mut self) -> Result<(), Trouble> {
        if matches!(self.eyes, Eyes::Periodic) {
            return Ok(());
        }
        self.look()?;
        self.await_loader()?;
        self.gather(false)
    }

    /// What waits until all packets that are here were handled. What was taken is done no sooner than what the walk
    /// finds, which may be of the same touch.
    fn settle_books(&mut self) -> Result<(), Trouble> {
        let stands = match &mut self.eyes {
            Eyes::Bpf(bpf) => bpf.look_beneath(&mut self.tree),
            Eyes::Fanotify(_) | Eyes::Periodic => false,
        };
        if stands {
            self.await_loader()?;
            self.handle_stash()?;
        }
        if let Eyes::Bpf(bpf) = &mut self.eyes {
            bpf.walk_beneath(&self.tree);
            // All at once: each arming waits for the kernel to attach a program.
            let to_walk = std::mem::take(&mut bpf.to_walk);
            self.walk_new(to_walk)?;
        }
        let needs = self.settle.next_id();
        if let Eyes::Bpf(bpf) = &mut self.eyes {
            let taken = bpf.taken.drain(..);
            self.done
                .extend(taken.map(|(key, take)| (needs, key, take)));
        }
        Ok(())
    }

    /// What came until now, and no more.
    fn handle_stash(&mut self) -> Result<(), Trouble> {
        for _ in 0..self.stash.len() {
            if let Some(received) = self.stash.pop() {
                self.handle(&received.0)?;
            }
        }
        Ok(())
    }

    /// Makes sure that an actor is known or asked for; false while the answer is out.
    pub(crate) fn want(&mut self, key: Option<ActorKey>) -> Result<bool, Trouble> {
        // Without a start it is only a pid, of which nothing more can be known.
        let Some(key) = key.filter(|key| key.start_ns != 0) else {
            return Ok(true);
        };
        if self.actors.get(key).is_some() || self.unknown.contains(&key) {
            return Ok(true);
        }
        if self.alone {
            return Ok(true);
        }
        if self.asked_for.insert(key) {
            let cookie = self.channel.who(key.wire())?;
            self.asked.insert(cookie, key);
        }
        Ok(false)
    }

    fn answered(&mut self, cookie: u64) -> Result<(), Trouble> {
        if let Some(key) = self.asked.remove(&cookie) {
            self.asked_for.remove(&key);
            if self.actors.get(key).is_none() {
                if self.unknown.len() >= UNKNOWN_MAX {
                    self.unknown.clear();
                }
                self.unknown.insert(key);
            }
            for path in std::mem::take(&mut self.awaiting) {
                self.settle.hasten(&path);
            }
        }
        if let Eyes::Fanotify(fanotify) = &mut self.eyes {
            let signals = fanotify.synced(cookie, &mut self.tree, &self.walker, &self.actors);
            self.signals(signals)?;
        }
        self.holders_told(cookie);
        self.checkpoint.answered(cookie, self.name_patience());
        Ok(())
    }

    /// Takes from settling what is due, and examines it if its actors are known.
    pub(crate) fn examine_due(&mut self) -> Result<(), Trouble> {
        for (path, how) in self.held.due() {
            self.reread(&path, how)?;
        }
        self.retry_stalled();
        let begun = Instant::now();
        while begun.elapsed() < EXAMINE_AT_ONCE
            && let Some((path, pending)) = self.settle.pop_due(begun)
        {
            let Some(mut pending) = self.put_off(&path, pending) else {
                continue;
            };
            self.add_holders(&path, &mut pending);
            let seen = pending.with_guesses();
            let seen = seen.as_ref().unwrap_or(&pending);
            let mut known = true;
            for touch in &seen.touches {
                known &= self.want(touch.actor)?;
            }
            if known {
                if !self.examine(&path, seen)? {
                    self.wait_for_who(path, pending)?;
                }
            } else {
                self.settle
                    .defer(path.clone(), pending, Duration::from_secs(1));
                self.awaiting.push(path);
            }
        }
        Ok(())
    }

    /// What differs is examined again once more is known of who did it.
    fn wait_for_who(&mut self, path: BytePath, mut pending: Pending) -> Result<(), Trouble> {
        if pending.found == Some(Found::Late) && !pending.asked && !self.alone {
            pending.asked = true;
            self.settle.defer(path.clone(), pending, looks::PATIENCE);
            return self.ask_who_holds(&path);
        }
        pending.unexplained = true;
        self.settle.defer(path, pending, EXPLAINED_WITHIN);
        Ok(())
    }

    /// Reads the fanotify group, if that is what serves.
    pub(crate) fn look(&mut self) -> Result<(), Trouble> {
        if let Eyes::Fanotify(fanotify) = &mut self.eyes {
            let loader = (!self.alone).then_some(&mut self.channel);
            fanotify.read(loader)?.map_err(|error| {
                Failure::new(
                    Status::Internal,
                    format!("the fanotify group failed: {error}"),
                )
            })?;
        }
        self.go_on_alone()
    }

    /// What a loader that does not answer was asked: its answers are not waited for.
    fn go_on_alone(&mut self) -> Result<(), Trouble> {
        if self.alone
            && let Eyes::Fanotify(fanotify) = &mut self.eyes
        {
            let signals = fanotify.unanswered(&mut self.tree, &self.walker, &self.actors);
            self.signals(signals)?;
        }
        Ok(())
    }

    pub(crate) fn overdue(&mut self, by: Instant) -> Result<(), Trouble> {
        if let Eyes::Bpf(bpf) = &mut self.eyes {
            let signals = bpf.overdue(&self.tree, by);
            self.repairs.directories(signals.len());
            self.signals(signals)?;
        }
        Ok(())
    }

    /// Handles signals in order.
    pub(crate) fn signals(&mut self, signals: Vec<Signal>) -> Result<(), Trouble> {
        for signal in signals {
            self.signal(signal)?;
        }
        Ok(())
    }

    /// An event about ourselves.
    pub(crate) fn notice(&self, action: Action, severity: u8, notice: Notice) -> Event {
        Event {
            sequence: 0,
            created: clock::now(),
            boot: self.boot.clone(),
            source: Some(self.source()),
            action,
            severity,
            body: Body::Notice(notice),
        }
    }

    /// Which source serves.
    pub(crate) fn source(&self) -> Source {
        match self.eyes {
            Eyes::Bpf(_) => Source::Bpf,
            Eyes::Fanotify(_) => Source::Fanotify,
            Eyes::Periodic => Source::Periodic,
        }
    }

    /// The end of a start that somebody cut short: what was recorded so far is kept, and the next start goes on.
    pub fn give_up_start(&mut self) -> Result<(), Failure> {
        log("the start was cut short; the next one goes on where this one ended");
        Ok(self.store.sync()?)
    }

    /// The end: what waits is examined, the last event written, everything brought to the disk.
    fn finish(&mut self) -> Result<(), Failure> {
        self.notify.stopping();
        let begun = clock::now();
        let done = self.take_in_the_rest().and_then(|all| {
            self.drain()?;
            if all {
                self.checkpoint.reach(begun);
            }
            self.tell_losses(true)?;
            self.deliver_kept(true)?;
            let notice = Notice {
                message: "fimk stopped watching".to_owned(),
                ..Notice::default()
            };
            let event = self.notice(Action::MonitorStopped, crate::severity::NOTICE, notice);
            self.commit(Commit {
                events: vec![event],
                ..Commit::default()
            })?;
            self.say_alive()?;
            self.sync_if_due(true)?;
            self.deliver_rest()
        });
        match done {
            // The loader may be gone by now; that it cannot be told DONE costs the next start a comparison.
            Ok(()) | Err(Trouble::Channel(_)) => {
                self.store_the_rest()?;
                crate::same::remember(&self.store, &self.config.state_dir, &self.config.run_dir);
                Ok(())
            }
            Err(Trouble::Failure(failure)) => Err(failure),
        }
    }

    fn drain(&mut self) -> Result<(), Trouble> {
        loop {
            match self.receive() {
                Ok(true) => {}
                Ok(false) | Err(Trouble::Channel(_)) => break,
                Err(trouble) => return Err(trouble),
            }
        }
        self.overdue(Instant::now() + NAME_PATIENCE)?;
        while let Some((path, mut pending)) = self.settle.pop() {
            (pending.unexplained, pending.asked) = (true, true);
            self.add_holders(&path, &mut pending);
            let seen = pending.with_guesses();
            self.examine(&path, seen.as_ref().unwrap_or(&pending))?;
        }
        self.report_all_attempts()
    }
}

/// Why a turn cannot go on.
#[derive(Debug)]
pub enum Trouble {
    /// The channel to the loader.
    Channel(ChannelError),
    /// Anything else.
    Failure(Failure),
}

impl From<ChannelError> for Trouble {
    fn from(error: ChannelError) -> Self {
        Self::Channel(error)
    }
}

impl From<Failure> for Trouble {
    fn from(failure: Failure) -> Self {
        Self::Failure(failure)
    }
}

impl Trouble {
    /// As the end of the program.
    pub fn into_failure(self) -> Failure {
        match self {
            Self::Failure(failure) => failure,
            Self::Channel(error) => {
                log(&error);
                Failure::new(Status::Internal, error.to_string())
            }
        }
    }
}
