//! What is asked of us and not answered by one packet.

use fimk_wire::raw;
use zerocopy::{FromZeros, IntoBytes};

use super::{Fault, Server};
use crate::forward::Forward;
use crate::holders::Holders;
use crate::log;
use crate::packets;

/// Ancestors told of one process. Deeper trees are cut: the nearest tell most.
pub const ANCESTORS_MAX: u32 = 16;

/// An answer that is not yet whole.
pub(super) enum Answer {
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

impl Server {
    /// Who holds what, in reverse order. That a look failed is logged, and told as not having looked.
    pub(super) fn holders(&mut self) -> Vec<raw::fimk_holder> {
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
    pub(super) fn answer_behind(&mut self, packet: &[u8]) {
        let place = self.forward.as_ref().map_or(0, Forward::produced);
        self.answer = Some(Answer::Behind {
            place,
            packet: packet.to_vec(),
        });
    }

    pub(super) fn go_on(&self, answer: Answer) -> Result<Option<Answer>, Fault> {
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
    pub(super) fn tell_who(
        &self,
        process: raw::fimk_actor_key,
        told: u32,
        cookie: u64,
    ) -> Result<Option<Answer>, Fault> {
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
    pub(super) fn process_of(
        &self,
        asked: raw::fimk_actor_key,
    ) -> Result<raw::fimk_actor_key, Fault> {
        match &self.source.process {
            Some(table) if asked.start_ns == 0 => Ok(table.pids.get(&asked.pid)?.unwrap_or(asked)),
            _ => Ok(asked),
        }
    }
}
