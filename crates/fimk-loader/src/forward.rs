//! Ring → channel: one record, one packet, unchanged.

use std::cell::{Cell, RefCell};
use std::os::fd::{AsFd, BorrowedFd};
use std::rc::Rc;

use libbpf_rs::{MapHandle, Result, RingBuffer, RingBufferBuilder};

use crate::channel::Channel;
use crate::system;

/// The channel as the ring's callback and the loop share it, in one thread.
pub type SharedChannel = Rc<RefCell<Channel>>;

/// Records forwarded before the loop looks at requests again.
const RECORDS_A_ROUND: usize = 256;

/// The ring of the file object.
pub struct Forward {
    ring: RingBuffer<'static>,
    map: MapHandle,
    channel: SharedChannel,
    forwarded: Rc<Cell<u64>>,
}

impl Forward {
    /// Forwards the records of `map` to `channel`.
    pub fn new(map: MapHandle, channel: &SharedChannel) -> Result<Self> {
        let forwarded = Rc::new(Cell::new(0));
        let mut builder = RingBufferBuilder::new();
        let (to, counter) = (Rc::clone(channel), Rc::clone(&forwarded));
        builder.add(&map, move |record| {
            let mut channel = to.borrow_mut();
            channel.send(record);
            counter.set(counter.get() + 1);
            // A negative number ends the round; this record counts as consumed, the channel holds it.
            if channel.is_free() { 0 } else { -1 }
        })?;
        let ring = builder.build()?;
        Ok(Self {
            ring,
            map,
            channel: Rc::clone(channel),
            forwarded,
        })
    }

    /// Forwards what there is, as far as there is room.
    pub fn round(&self) {
        if self.channel.borrow().is_free() {
            self.ring.consume_raw_n(RECORDS_A_ROUND);
        }
    }

    /// The place up to which records were made by now.
    pub fn produced(&self) -> u64 {
        system::ring_positions(&self.ring).0
    }

    /// Whether everything up to `place` was forwarded. A record that a program has begun and not ended
    /// holds up those behind it.
    pub fn has_passed(&self, place: u64) -> bool {
        system::ring_positions(&self.ring).1 >= place
    }

    /// How many records were forwarded in all.
    pub fn forwarded(&self) -> u64 {
        self.forwarded.get()
    }
}

impl AsFd for Forward {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.map.as_fd()
    }
}
