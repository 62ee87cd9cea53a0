//! Homes that come while fimk runs: what the rules want of them is watched from then on.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use crate::{
    engine::{Engine, Trouble},
    exit::log,
};

/// Between two rounds of homes: a script that adds a thousand users must not keep us walking.
const PAUSE: Duration = Duration::from_secs(1);

impl Engine {
    /// When homes that are not watched yet, or links in them that moved, are to be looked at; none while there
    /// are none. Users can move links as often as they like, so these wait longer.
    pub(crate) fn homes_due(&self) -> Option<Instant> {
        if !Arc::ptr_eq(&self.homes, &self.patience.reader().homes()) {
            return Some(self.last_scan + PAUSE);
        }
        self.home_link_moved
            .then(|| self.last_scan + crate::start::SCAN_PAUSE)
    }

    /// Watches what the rules want of homes that have come. What is there by then is recorded without an event
    /// for each, as where a link leads elsewhere.
    pub(crate) fn look_at_homes(&mut self) -> Result<(), Trouble> {
        if self.homes_due().is_none_or(|due| due > Instant::now()) {
            return Ok(());
        }
        let moved = std::mem::take(&mut self.home_link_moved);
        let before = std::mem::replace(&mut self.homes, self.patience.reader().homes());
        let wanted = self.config.paths_of_a_home();
        let (homes, _) = self.homes.for_rules(wanted);
        let come = wanted > 0 && homes != before.for_rules(wanted).0;
        let count = homes.len();
        if !(moved || come) {
            return Ok(());
        }
        self.follow_links()?;
        if come {
            log(format!("{count} homes are watched, for passwd changed"));
            self.say_homes_left_out()?;
        }
        Ok(())
    }

    /// A limit that was hit is told.
    pub(crate) fn say_homes_left_out(&mut self) -> Result<(), Trouble> {
        let wanted = self.config.paths_of_a_home();
        let (homes, left_out) = self.homes.for_rules(wanted);
        if wanted == 0 || left_out == 0 {
            return Ok(());
        }
        let sentence = format!(
            "there are more homes than can be watched: paths below ~/ are watched in {} of them and not in {left_out}; \
             write fewer such paths, or name directories above the homes",
            homes.len()
        );
        self.degraded(&sentence)
    }
}
