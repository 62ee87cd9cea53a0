//! The loop: packets and events come in, settle, are examined, committed, written, and done.

mod baseline;
mod checkpoint;
mod deliver;
mod end;
mod forward;
mod heartbeat;
mod keep;
mod lane;
mod missed;
mod orders;
mod outputs;
mod packets;
mod pulse;
mod questions;
mod reload;
mod status;
mod storing;
mod wait;

pub use baseline::accepted;
pub use forward::Meter;
pub use keep::{AGE, ALIVE};
pub use lane::Lane;
pub use missed::Lost;
pub use outputs::Counts as OutputCounts;

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
    channel::{Channel, ChannelError},
    clock,
    configuration::Origin,
    control::Control,
    examine::Examined,
    exit::{Failure, Status, log},
    homes::Table,
    identity::ActorKey,
    looks,
    metrics::Metrics,
    mounts::Mounts,
    notify::Notify,
    patience::Patience,
    pending::{Found, Pending, Settle, Times},
    signal::Signal,
    source::{bpf::Bpf, fanotify::Fanotify},
    stash::Stash,
    status::{About, Activity},
    tree::Tree,
    users::{Users, Whose},
    walk::Walker,
};
use fimk_consumers::Token;
use fimk_core::{
    accepted::Accepted,
    config::Config,
    event::{Action, Body, Event, Notice, Source},
    path::BytePath,
    request::FORWARDER,
    rules::RuleSet,
    time::Timestamp,
};
use fimk_store::{Commit, Store};
use fimk_wire::raw;

/// How long is read and compared before records are taken in again, and whoever waits for a sign of life gets one.
const EXAMINE_AT_ONCE: Duration = Duration::from_millis(100);

/// How long something that differs waits for the touch of who did it: the kernel makes it right after the change.
pub(crate) const EXPLAINED_WITHIN: Duration = Duration::from_millis(50);

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
    /// Names that lost their objects and that comparisons could not remember.
    pub(crate) moves_left_out: u64,
    /// The homes that the rules were made for.
    pub(crate) homes: Arc<Table>,
    /// A link that a rule spells out below a home leads elsewhere now.
    pub(crate) home_link_moved: bool,
    pub(crate) key_id: Token,
    pub(crate) users: Users,
    /// Who speaks to us.
    pub(crate) peers: Users,
    pub(crate) actors: Actors,
    pub(crate) channel: Channel,
    pub(crate) tree: Tree,
    pub(crate) settle: Settle,
    pub(crate) attempts: Attempts,
    pub(crate) eyes: Eyes,
    /// The outputs of events, as configured.
    lanes: Vec<Lane>,
    /// Those that were, and get the last of what is for them.
    leaving: Vec<Lane>,
    /// Those of counters.
    meters: Vec<Meter>,
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
    /// Comparisons of all content at intervals.
    pub(crate) rounds: crate::scan::Rounds,
    pub(crate) others: crate::others::Others,
    /// The reason for a comparison of everything, when one is due.
    pub(crate) scan_wanted: Option<String>,
    pub(crate) last_scan: Instant,
    /// How long after it the next one that losses ask for may begin.
    pub(crate) scan_pause: Duration,
    /// What the kernel has no room to watch.
    pub(crate) unwatched: crate::unwatched::Unwatched,
    /// What is compared at intervals though something serves.
    pub(crate) apart: crate::apart::Apart,
    /// How file systems are marked, with the source fanotify.
    pub(crate) wholes: crate::wholes::Wholes,
    /// What is not walked.
    pub(crate) beyond: crate::beyond::Beyond,
    /// Comparisons that somebody asked for.
    orders: orders::Orders,
    /// What somebody has looked at.
    accepted: Accepted,
    metrics: Option<Metrics>,
    /// When everything was last compared.
    pub(crate) compared: Timestamp,
    /// How far it has come, while everything is compared.
    pub(crate) scanning: Option<crate::scan::Progress>,
    /// Rises with every commit.
    pub(crate) commits: u64,
    pub(crate) losses: crate::losses::Losses,
    pub(crate) repairs: crate::repairs::Repairs,
    pub(crate) control: Control,
    pub(crate) about: About,
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
    origin: Origin,
    /// Somebody wants the configuration to be read again.
    hangup: UnixStream,
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
    pub lanes: Vec<Lane>,
    pub meters: Vec<Meter>,
    pub boot: String,
    pub stash: Stash,
    pub stop: UnixStream,
    pub origin: Origin,
    pub hangup: UnixStream,
    pub control: Control,
    pub about: About,
    pub mounts: Mounts,
    pub notify: Notify,
    pub accepted: Accepted,
    pub metrics: Option<Metrics>,
}

impl Engine {
    /// Puts the parts together.
    pub fn new(parts: Parts) -> Self {
        let removed_told = crate::retention::Told::new(parts.store.removed());
        let times = Times::of(&parts.config);
        let peers = Users::of(Whose::Own);
        let mut control = parts.control;
        control.keep_a_place_for(peers.number_of(FORWARDER));
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
            moves_left_out: 0,
            key_id: parts.key_id,
            users: Users::default(),
            peers,
            actors: Actors::default(),
            channel: parts.channel,
            tree: Tree::default(),
            settle: Settle::new(times),
            attempts: Attempts::new(times.window),
            eyes: parts.eyes,
            lanes: parts.lanes,
            leaving: Vec::new(),
            meters: parts.meters,
            alone: false,
            heartbeat_at: Instant::now(),
            own: crate::own::Own::of_this_process(),
            boot: parts.boot,
            stash: parts.stash,
            started: false,
            held: crate::held::Held::default(),
            looks: looks::Looks::default(),
            look: crate::look::Look::new(),
            rounds: crate::scan::Rounds::default(),
            others: crate::others::Others::default(),
            scan_wanted: None,
            last_scan: Instant::now(),
            scan_pause: crate::start::SCAN_PAUSE,
            unwatched: crate::unwatched::Unwatched::default(),
            apart: crate::apart::Apart::default(),
            wholes: crate::wholes::Wholes::default(),
            beyond: crate::beyond::Beyond::default(),
            orders: orders::Orders::default(),
            accepted: parts.accepted,
            metrics: parts.metrics,
            compared: clock::now(),
            scanning: None,
            commits: 0,
            losses: crate::losses::Losses::default(),
            repairs: crate::repairs::Repairs::default(),
            control,
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
            origin: parts.origin,
            hangup: parts.hangup,
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
        self.judge_wholes();
        self.say_ailing()?;
        self.say_uncertain(false)?;
        self.look_at_homes()?;
        self.overdue(Instant::now())?;
        self.look_at_mounts()?;
        self.look_around()?;
        self.compare_content()?;
        self.examine_due()?;
        self.report_attempts()?;
        self.look_at_holders()?;
        self.scan_if_wanted()?;
        self.compare_apart()?;
        self.scan_if_ordered()?;
        self.tell_losses(false)?;
        self.say_unwatched()?;
        self.say_beyond()?;
        self.say_hanging()?;
        self.checkpoint()?;
        self.heartbeat()?;
        self.sync_if_due(false)?;
        self.recover_if_due()?;
        self.deliver()?;
        self.serve_control();
        self.write_metrics();
        self.reload_if_asked()?;
        self.watch_loader()?;
        self.sign_of_life()?;
        Ok(true)
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
                match self.examine(&path, seen)? {
                    Examined::Done => {}
                    Examined::Unexplained => self.wait_for_who(path, pending)?,
                    Examined::OthersToCome => {
                        self.wait_for_others(path, pending, EXPLAINED_WITHIN);
                    }
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
            fanotify.read(loader, &self.walker)?.map_err(|error| {
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
            let signals = fanotify.unanswered(
                &mut self.tree,
                &self.walker,
                &self.actors,
                self.mounts.table(),
            );
            self.signals(signals)?;
            // No packet comes after which it would be done.
            self.keep_books()?;
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

    /// An event that is told now.
    pub(crate) fn event_of(&self, action: Action, severity: u8, body: Body) -> Event {
        Event {
            sequence: 0,
            created: clock::now(),
            boot: self.boot.clone(),
            source: Some(self.source()),
            action,
            severity,
            body,
        }
    }

    /// Tells one event.
    pub(crate) fn say(&mut self, action: Action, severity: u8, body: Body) -> Result<(), Trouble> {
        let event = self.event_of(action, severity, body);
        self.commit(Commit {
            events: vec![event],
            ..Commit::default()
        })
    }

    /// An event about ourselves.
    pub(crate) fn notice(&self, action: Action, severity: u8, notice: Notice) -> Event {
        self.event_of(action, severity, Body::Notice(notice))
    }

    /// Which source serves.
    pub(crate) fn source(&self) -> Source {
        match self.eyes {
            Eyes::Bpf(_) => Source::Bpf,
            Eyes::Fanotify(_) => Source::Fanotify,
            Eyes::Periodic => Source::Periodic,
        }
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
